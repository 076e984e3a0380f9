from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import cu_core
from cu_core import UserError, load_model, open_data, save_model, select, train_model, unlearn_model, wrap


def net(width: int = 8) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


def test_every_name_is_there_and_none_is_imported_before_it_is_used() -> None:
    assert all(getattr(cu_core, name) is not None for name in cu_core.__all__)
    done = subprocess.run([sys.executable, "-c", "import sys, cu_core; print('torch' in sys.modules)"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.strip() == "False"
    with pytest.raises(AttributeError, match="no attribute 'forget'"):
        cu_core.forget  # noqa: B018


def test_the_original_stays_and_what_is_saved_is_the_plain_module(digits: Path, tmp_path: Path) -> None:
    data = open_data(digits)
    model = wrap(net(), data, embedding_layer="2", hidden_layer="1")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    settings = {"method": {"name": "finetune"}, "stop": {"rule": "none", "max_steps": 2}}
    done = unlearn_model(model, data, select(data, classes=[3]), **settings)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not torch.equal(done.state_dict()["body.1.weight"], before["body.1.weight"])
    save_model(done, tmp_path / "w.safetensors")
    again = load_model(wrap(net(), data, embedding_layer="2"), tmp_path / "w.safetensors")
    assert torch.equal(again.body[1].weight, done.body[1].weight)
    with pytest.raises(UserError, match=r"w\.safetensors"):
        load_model(wrap(net(9), data, embedding_layer="2"), tmp_path / "w.safetensors")


def test_mistakes_are_named(digits: Path) -> None:
    data = open_data(digits)
    model, forget = wrap(net(), data, embedding_layer="2"), select(data, classes=[3])
    with pytest.raises(UserError, match="bad_teacher needs an untrained model"):
        unlearn_model(model, data, forget, method={"name": "bad_teacher"})
    with pytest.raises(UserError, match="workers: has no effect here"):
        unlearn_model(model, data, forget, workers={"count": 2})
    with pytest.raises(UserError, match="no layer 'avgpool'"):
        wrap(net(), data, embedding_layer="avgpool")
    with pytest.raises(UserError, match="did you mean"):
        unlearn_model(model, data, forget, methd={})
    with pytest.raises(UserError, match=r"logits \(2, 10\), one a class of the data set; it gives \(2, 5\)"):
        wrap(nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 5)), data, embedding_layer="1")
    for use in (unlearn_model, train_model):
        with pytest.raises(UserError, match="a Sequential is a plain module; give wrap"):
            use(net(), data, forget)  # type: ignore[operator]
    with pytest.raises(UserError, match="absent.safetensors: no such file"):
        load_model(model, "absent.safetensors")


def test_a_file_that_is_none_of_weights_and_a_place_that_cannot_be_written_are_named(
    digits: Path, tmp_path: Path
) -> None:
    model = wrap(net(), open_data(digits), embedding_layer="2")
    ids = tmp_path / "ids.txt"
    ids.write_text("1\n2\n3\n" * 20)
    with pytest.raises(UserError, match=r"ids\.txt must be a file that save_model wrote; it is no safetensors file"):
        load_model(model, ids)
    with pytest.raises(UserError, match="must be a file, it is a folder; give e.g. .*model.safetensors"):
        save_model(model, tmp_path)
    with pytest.raises(UserError, match="w cannot be written: .*; give another place"):
        save_model(model, ids / "w")


@pytest.mark.parametrize("name", [name for name in cu_core.__all__ if inspect.isfunction(getattr(cu_core, name))])
def test_every_function_says_what_it_takes_and_what_it_raises(name: str) -> None:
    function = getattr(cu_core, name)
    text = inspect.getdoc(function) or ""
    assert set(re.findall(r"^    \**(\w+): ", text.partition("Args:")[2].partition("\n\n")[0], re.M)) == {
        *inspect.signature(function).parameters
    }
    assert "\nRaises:\n    UserError: " in text


def test_the_guide_lists_every_name() -> None:
    guide = (Path(cu_core.__file__).parents[1] / "docs" / "guides" / "python.md").read_text()
    rows = re.findall(r"^\| (`.*?`) \| ", guide, re.M)
    assert sorted(name.strip("` ") for row in rows for name in row.split(",")) == sorted(cu_core.__all__)


def test_wrapping_leaves_the_mode_of_every_layer(digits: Path) -> None:
    module = net()
    module[2].eval()  # type: ignore[index]
    wrap(module, open_data(digits), embedding_layer="2")
    assert [part.training for part in module] == [True, True, False, True]  # type: ignore[attr-defined]
