"""A sharded state: written by all workers while training goes on, whole or not taken for one, read by any number."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from cu_core.checkpoint import TrainState, load_state, read_meta
from cu_core.dist import rank, world_size
from cu_core.errors import DamagedFile
from cu_core.sharded_state import StateSaver, load_parts
from cu_core.sharding import average_whole_gradients, optimizer_state, shard, whole
from cu_core.unlearn.optim import OptimizerConfig, build_optimizer
from tests.parity.ranks import on_ranks

STEPS = 4


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.layers(x)


def run(place: Path, resume: Path | None = None, die: bool = False) -> dict[str, Tensor]:
    """Weights after ``STEPS`` steps; a state of each, written while the next step is taken.

    With ``die``, rank 1 is killed when it has written its part of the second one.
    """
    model, saver, ends = Net().double(), StateSaver(), []
    if world_size() > 1:
        shard([model.layers[0], model.layers[2], model])
    optimizer = build_optimizer(model.parameters(), OptimizerConfig(name="adamw", lr=0.1))
    first = 0
    if resume is not None:
        state = load_state(resume, "digest")
        assert state.parts is not None
        kept = load_parts(state.parts, model, optimizer)
        assert kept is not None
        assert torch.equal(kept["layers.0.bias"], Net().layers[0].bias.detach())
        first = state.step
    for step in range(first, STEPS):
        model(torch.full((2, 5), step + 1.0, dtype=torch.float64)).square().mean().backward()
        average_whole_gradients(model.parameters())
        optimizer.step()
        optimizer.zero_grad()
        if world_size() > 1:
            folder = place / f"step-{step + 1}"
            folder.mkdir(parents=True, exist_ok=True)
            state = TrainState(
                step=step + 1,
                model=model.state_dict(),
                optimizer=optimizer_state(model, optimizer),
                method={"seen": torch.tensor(step)},
                rng=torch.get_rng_state(),
                kept=Net().state_dict(),
            )
            if ends:
                ends.pop()()
            if die and step == 1 and rank() == 1:  # the first state is complete by now
                FileSystemWriter.write_data = _write_and_die  # type: ignore[method-assign,assignment]
            ends.append(saver.begin(folder, state, "digest"))
    for end in ends:
        end()
    return {name: whole(value.detach()) for name, value in model.state_dict().items()}


def _write_and_die(writer: FileSystemWriter, plan: Any, planner: Any) -> None:
    (Path(writer.path) / "__1_0.distcp").write_bytes(b"half")
    os._exit(9)


def same(have: dict[str, Tensor], want: dict[str, Tensor]) -> None:
    assert have.keys() == want.keys()
    for name, value in want.items():
        torch.testing.assert_close(have[name], value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("world", "later"), [(2, 4), (4, 2), (2, 1)])
def test_a_state_of_n_workers_is_continued_by_m(world: int, later: int, tmp_path: Path) -> None:
    want = run(tmp_path / "one")
    same(on_ranks(world, run, tmp_path / "many"), want)
    saved = tmp_path / "many" / "step-2"
    assert read_meta(saved)["workers"] == world
    assert {f"__{r}_0.distcp" for r in range(world)} < read_meta(saved)["files"].keys()
    assert load_state(saved, "digest").method == {"seen": torch.tensor(1)}
    have = on_ranks(later, run, tmp_path / "resumed", saved) if later > 1 else run(tmp_path / "resumed", saved)
    same(have, want)  # the state is that of its step, although training went on while it was written


def test_a_worker_that_is_killed_while_it_writes_leaves_the_state_before(tmp_path: Path) -> None:
    with pytest.raises((ProcessExitedException, ProcessRaisedException)):
        on_ranks(2, run, tmp_path, None, True)
    assert (tmp_path / "step-2" / "__1_0.distcp").read_bytes() == b"half"
    with pytest.raises(DamagedFile, match="holds no meta.json"):
        load_state(tmp_path / "step-2", "digest")
    same(on_ranks(2, run, tmp_path, tmp_path / "step-1"), run(tmp_path / "one"))


def test_a_part_that_was_changed_is_named(tmp_path: Path) -> None:
    on_ranks(2, run, tmp_path)
    part = tmp_path / "step-1" / "__1_0.distcp"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(DamagedFile, match=r"__1_0\.distcp is damaged"):
        load_state(tmp_path / "step-1", "digest")
