"""One worker; tests/parity/test_sharded_state.py writes with several and kills one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from cu_core.checkpoint import TrainState, load_state, read_meta
from cu_core.sharded_state import StateSaver, load_parts
from cu_core.sharding import optimizer_state, shard, whole


@pytest.fixture
def group() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def stepped(spread: bool, steps: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))
    if spread:
        shard([model[0], model])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(steps):
        model(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> TrainState:
    return TrainState(
        step, model.state_dict(), optimizer_state(model, optimizer), {}, torch.get_rng_state(), {"n": [1]}
    )


def test_a_state_is_that_of_the_moment_and_a_whole_model_reads_it(group: None, tmp_path: Path) -> None:
    model, optimizer = stepped(True, 2)
    state, saver = state_of(model, optimizer, 2), StateSaver()
    assert state.sharded
    finish = saver.begin(tmp_path, state, "digest")
    with torch.no_grad():
        model[0].weight.fill_(9.0)  # training goes on
    assert not (tmp_path / "meta.json").exists()
    finish()
    saver.wait()
    found = load_state(tmp_path, "digest")
    assert (found.step, found.progress, found.model, found.parts) == (2, {"n": [1]}, {}, tmp_path)
    assert read_meta(tmp_path)["files"].keys() == {".metadata", "__0_0.distcp", "state.pt"}
    want, have = stepped(False, 2), stepped(False, 0)
    assert load_parts(tmp_path, *have) is None
    for name, value in want[0].state_dict().items():
        torch.testing.assert_close(have[0].state_dict()[name], value)
    wanted, got = optimizer_state(*want), optimizer_state(*have)
    assert wanted.keys() == got.keys()
    for name, held in wanted.items():
        for kind, value in held.items():
            torch.testing.assert_close(whole(got[name][kind]), value)


def test_the_next_state_waits_for_the_one_before(group: None, tmp_path: Path) -> None:
    saver = StateSaver()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    finish = saver.begin(tmp_path / "a", state_of(*stepped(True, 1), 1), "digest")
    assert not saver._idle.is_set()
    finish()
    saver.begin(tmp_path / "b", state_of(*stepped(True, 1), 2), "digest")()
    assert [load_state(tmp_path / name, "digest").step for name in ("a", "b")] == [1, 2]


def test_a_whole_state_is_written_as_ever(tmp_path: Path) -> None:
    state = state_of(*stepped(False, 1), 1)
    StateSaver().save(tmp_path / "state", state, "digest")
    assert load_state(tmp_path / "state", "digest").parts is None
    assert (tmp_path / "state" / "model.safetensors").is_file()


def test_what_a_killed_run_has_left_is_replaced(group: None, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "__7_0.distcp").write_bytes(b"half")
    StateSaver().save(tmp_path / "state", state_of(*stepped(True, 1), 1), "digest")
    assert "__7_0.distcp" not in {path.name for path in (tmp_path / "state").iterdir()}
