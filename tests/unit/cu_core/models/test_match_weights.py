"""Names with prefixes, heads of another size, types and values, on a model of two layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cu_core.errors import UserError
from cu_core.models.classifier import Classifier
from cu_core.models.match_weights import Fit, restore, restore_foreign
from cu_core.models.preprocess import Preprocess


class Body(nn.Module):
    def __init__(self, classes: int = 3):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.conv(x)).mean((2, 3)))  # type: ignore[no-any-return]


def model() -> Classifier:
    made = Classifier(Body(), "norm", "norm", Preprocess(4, (0.5,) * 3, (0.5,) * 3))
    made.heads = ("body.fc",)
    return made


def filled(classes: int = 3) -> dict[str, Tensor]:
    """A state dict of which every value is another than a fresh model's."""
    return {k: torch.full_like(v, 7) for k, v in Body(classes).state_dict().items()}


def taken(weights: dict[str, Tensor], **fit: Any) -> tuple[Classifier, list[str]]:
    made = model()
    return made, restore_foreign(made, Fit(**fit), weights, "w.pt")


def refusal(weights: dict[str, Tensor], **fit: Any) -> str:
    with pytest.raises(UserError) as error:
        taken(weights, **fit)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "body.",
        "module.",
        "_orig_mod.",
        "model.",
        "backbone.",
        "net.",
        "module._orig_mod.model.",
        "model.module.net.",
    ],
)
def test_prefixes_of_trainers_are_taken_away_and_told(prefix: str) -> None:
    made, notes = taken({prefix + name: value for name, value in filled().items()})
    assert all(bool((value == 7).all()) for value in made.body.state_dict().values())
    parts = sorted(f"{p}." for p in prefix.split(".") if p and p != "body")
    assert notes == ([f"w.pt: prefixes of names are taken away: {', '.join(parts)}"] if parts else [])


def test_parts_that_were_compiled_or_lie_elsewhere_than_the_head() -> None:
    state = filled()
    mixed = {f"backbone.{k}" if not k.startswith("fc") else f"module.{k}": v for k, v in state.items()}
    mixed["backbone.conv._orig_mod.weight"] = mixed.pop("backbone.conv.weight")
    made, _ = taken(mixed)
    assert bool((made.body.conv.weight == 7).all())  # type: ignore[union-attr]


def test_two_sets_of_names_in_one_mapping_ask_for_one() -> None:
    both = {f"{who}.{k}": v for who in ("student", "teacher") for k, v in filled().items()}
    line = refusal(both)
    assert "student.conv.weight and teacher.conv.weight are both conv.weight" in line
    assert """'model.key_map={"teacher.": "unused."}'""" in line


def test_counters_of_batch_norm_may_be_missing() -> None:
    state = filled()
    del state["norm.num_batches_tracked"]
    made, _ = taken(state)
    assert int(made.body.norm.num_batches_tracked) == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused_by_name(value: float) -> None:
    state = filled()
    state["norm.weight"][2] = value
    assert "w.pt: norm.weight holds NaN or infinite values" in refusal(state)
    own = model()
    with pytest.raises(UserError, match="body.norm.weight holds NaN"):
        restore(own, {f"body.{k}": v for k, v in state.items()}, "folder")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.complex64, torch.int8, torch.bool])
def test_types_that_are_no_weights_are_refused(dtype: torch.dtype) -> None:
    state = filled()
    state["conv.weight"] = torch.zeros(4, 3, 1, 1).to(dtype)
    assert f"conv.weight has type {str(dtype)[6:]}, must be float32" in refusal(state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted_and_told(dtype: torch.dtype) -> None:
    made, notes = taken({k: v.to(dtype) if v.is_floating_point() else v for k, v in filled().items()})
    assert made.body.conv.weight.dtype == torch.float32  # type: ignore[union-attr]
    assert notes == [f"w.pt: {str(dtype)[6:]} values are converted to those of the model"]


def test_a_head_of_another_size_names_the_option() -> None:
    line = refusal(filled(1000))
    assert "the head does not fit (body.fc.bias is (1000,), must be (3,)), all else does" in line.replace("w.pt: ", "")
    assert "model.start=FILE model.new_head=true" in line
    assert "model.new_head=true gives it a fresh head" in refusal(filled(1000), option="model.start")
    without = {k: v for k, v in filled().items() if not k.startswith("fc")}
    assert "the head does not fit (body.fc.bias is absent)" in refusal(without)


@pytest.mark.parametrize("classes", [None, 3, 1000])
def test_a_new_head_is_fresh_and_told(classes: int | None) -> None:
    state = filled(classes or 3)
    if classes is None:
        state = {k: v for k, v in state.items() if not k.startswith("fc")}
    made, notes = taken({f"module.{k}": v for k, v in state.items()}, new_head=True, option="model.start")
    assert bool((made.body.conv.weight == 7).all())  # type: ignore[union-attr]
    assert not bool((made.body.fc.weight == 7).any())  # type: ignore[union-attr]
    assert f"the head (body.fc) is fresh, {2 if classes else 0} stored tensors left out" in notes[-1]


def test_another_model_is_refused_with_the_first_name() -> None:
    state = filled()
    state["extra"] = torch.ones(1)
    assert "holds another model: has unknown extra and 0 more" in refusal(state)
    del state["extra"], state["conv.weight"]
    assert "lacks conv.weight and 0 more" in refusal(state)
    state["conv.weight"] = torch.ones(1)
    assert "conv.weight is (1,), must be (4, 3, 1, 1)" in refusal(state)


def test_names_are_mapped_before_all_else() -> None:
    made, _ = taken({f"mine.{k}": v for k, v in filled().items()}, key_map={"mine.": ""})
    assert bool((made.body.conv.weight == 7).all())  # type: ignore[union-attr]


def test_a_huge_view_of_one_value_is_refused_by_its_shape() -> None:
    state = filled()
    state["conv.weight"] = torch.ones(1).expand(10**12)
    assert "conv.weight is (1000000000000,)" in refusal(state)
