"""The loop on a weight whose gradient is given: after any step its value is arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cu_core.checkpoint import TrainState, load_state, save_state
from cu_core.data.loader import Batches, UnlearnStream
from cu_core.data.texts import load_batch
from cu_core.errors import NonFiniteError
from cu_core.methods.base import Method, Need, Preparation, StepContext, share
from cu_core.methods.contrastive import Contrastive
from cu_core.models.classifier import JointForward
from cu_core.types import Losses, RequestKind, StepReport, UnlearnBatch
from cu_core.unlearn.loop import Loop, LoopResult, frozen, run_loop
from cu_core.unlearn.optim import OptimizerConfig
from cu_core.unlearn.stopping import StopCheck, StopConfig, Stopper
from tests.unit.cu_core.planted import Lookup, PlantedReader, planted_split, table

EXACT = 1e-6


@dataclass(frozen=True, kw_only=True)
class Ramp(Method):
    """Loss 0.5 of every weight: the gradient is 0.5 everywhere, whatever the batch."""

    name: Literal["ramp"] = "ramp"
    infinite_at: int = -1
    asks_original: bool = False

    def needs(self) -> frozenset[Need]:
        return frozenset({"frozen original"}) if self.asks_original else frozenset()

    def prepare(self, prep: Preparation) -> int:
        assert not prep.model.training
        prep.state["count"] = torch.zeros(())
        return 11

    def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
        assert context.model.training
        context.state["count"] = context.state["count"] + 1
        assert float(context.state["count"]) == context.step + 1
        context.forward(batch.inputs)
        if context.reference is not None:
            context.reference({"forget": batch.forget.images})
        loss = 0.5 * context.model.table.sum()  # type: ignore[attr-defined]
        if context.step == self.infinite_at:
            loss = loss * float("inf")
        return share(loss, steps=torch.tensor(float(context.step)))


def planted(seed: int = 0, kind: RequestKind = "class", **parts: Any) -> Loop:
    reader = PlantedReader(train=[0] * 24 + [1] * 30, val=[0, 1] * 20, test=[0, 1] * 10)
    split = planted_split(reader, kind, list(range(24)))
    model: Any = Lookup(np.ones((reader.total, 2)))
    stream = UnlearnStream(split, Batches(forget_batch=4, retain_batch=6, omega=2), seed)
    optimizer = OptimizerConfig(lr=0.1, momentum=0.0)
    made = Loop(
        model=model, forward=JointForward(model), method=Ramp(), stream=stream, optimizer=optimizer, max_steps=5
    )
    return replace(made, **parts)


def weight(loop: Loop) -> float:
    values = loop.model.table.detach()  # type: ignore[union-attr]
    assert bool((values == values[0, 0]).all())
    return float(values[0, 0])


def test_each_step_takes_the_gradient_of_its_own_batch_alone() -> None:
    """1 - 5 steps of 0.1 * 0.5; gradients left from former steps would make it 1 - 15 * 0.05."""
    reports: list[StepReport] = []
    loop = planted(on_step=reports.append)
    result = run_loop(loop)
    assert weight(loop) == pytest.approx(1 - 5 * 0.05, abs=EXACT)
    assert not loop.model.training
    assert [r.step for r in reports] == [1, 2, 3, 4, 5]
    assert [r.values["steps"] for r in reports] == [0, 1, 2, 3, 4]
    assert all(r.max_steps == 5 and r.values["learning_rate"] == 0.1 for r in reports)
    norm = 0.5 * np.sqrt(2 * loop.stream.split.reader.total)  # type: ignore[attr-defined]
    assert [r.values["gradient_norm"] for r in reports] == pytest.approx([norm] * 5, rel=1e-6)
    assert {n for r in reports for n in r.values} == {"loss", "steps", "gradient_norm", "learning_rate"}
    counts = (result.steps, result.forget_rows, result.retain_rows, result.trained_rows, result.frozen_rows)
    assert counts == (5, 20, 30, 50, 0)
    assert (result.prepare_rows, result.leaks, result.retain_ids_checked) == (11, 0, 30)
    assert result.stop == {}


def test_frozen_rows_are_counted_apart() -> None:
    loop = planted(method=Ramp(asks_original=True))
    loop = replace(loop, reference=frozen(Lookup(np.ones((200, 2)))))  # type: ignore[arg-type]
    result = run_loop(loop)
    assert (result.forget_rows, result.frozen_rows) == (20, 20)


@pytest.mark.parametrize(("augment", "calls"), [("none", 3), ("crop_flip", 5)])
def test_the_original_forwards_a_forget_row_once_unless_rows_change(augment: Any, calls: int) -> None:
    """Steps 0 and 1, 2 and 3 have one batch each; 4 has a third."""
    original = Lookup(np.ones((200, 2)))
    loop = planted(method=Ramp(asks_original=True))
    loop.stream.batches = replace(loop.stream.batches, augment=augment)
    loop.stream._load = load_as_stored(loop.stream)  # type: ignore[method-assign]
    run_loop(replace(loop, reference=frozen(original)))  # type: ignore[arg-type]
    assert len(original.modes) == calls


def load_as_stored(stream: UnlearnStream) -> Any:
    """The images hold their ids, which no augmentation may change here."""
    return lambda rows, step: load_batch(stream.split.reader, "train", rows, None)


class Waits(TorchDispatchMode):
    """How often the host waits for what a device computes: a number that is read, or a shape that depends on values."""

    OPERATIONS = ("_local_scalar_dense", "nonzero", "_unique2", "unique_dim", "bincount", "masked_select")

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.count = 0
        for name in ("tolist", "cpu"):
            real = getattr(torch.Tensor, name)

            def read(tensor: Tensor, *given: Any, real: Any = real) -> Any:
                self.count += 1
                return real(tensor, *given)

            monkeypatch.setattr(torch.Tensor, name, read)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += any(func.__name__.startswith(name) for name in self.OPERATIONS)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["class", "sample"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pull_weights": "tilted", "pull_form": "softmax", "lambda_prototype": 0.5},
        {"lambda_cosine": 0.5, "terms": "pull"},
        {"pull_weights": "forests", "push_weights": "excess"},
    ],
    ids=["plain", "tilted", "cosine", "forests"],
)
def test_a_step_waits_for_the_device_once(
    settings: dict[str, Any], kind: RequestKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the update, to know that it is finite."""
    method, counts = Contrastive(**settings), []
    loop = planted(method=method, kind=kind)
    ids = torch.from_numpy(loop.stream.split.forget.sample_ids)
    state = {"ids": ids, "shares": torch.full((len(ids), 2), 0.5), "excess": torch.ones(len(ids))}
    state["cosine"] = torch.tensor(0.5)
    monkeypatch.setattr(Contrastive, "prepare", lambda self, prep: prep.state.update(state) or 0)
    waits = Waits(monkeypatch)
    table = np.random.default_rng(0).normal(size=(200, 2))
    original = frozen(Lookup(table)) if "frozen original" in method.needs() else None  # type: ignore[arg-type]
    with waits:
        run_loop(replace(loop, reference=original, on_step=lambda report: counts.append(waits.count)))
    assert np.diff(counts).tolist() == [1] * 4


@pytest.mark.parametrize("sampling", ["uniform", "auto"])
def test_of_many_classes_no_anchor_is_without_positives_unless_asked_for(sampling: Any) -> None:
    """60 classes, 8 retain rows a step: by chance most anchors have none."""
    labels = list(range(60)) * 4
    reader = PlantedReader(train=labels, val=labels[:120], test=labels[:60])
    split = planted_split(reader, "sample", list(range(20)))
    method, missing = Contrastive(), []
    batches = Batches(forget_batch=6, retain_batch=8, omega=1, retain_sampling=sampling)
    stream = UnlearnStream(split, batches.resolved(60, method.needs_positives("sample")), 0)
    model: Any = Lookup(np.random.default_rng(0).normal(size=(reader.total, 60)))
    loop = planted(model=model, forward=JointForward(model), method=method, stream=stream)
    run_loop(replace(loop, on_step=lambda report: missing.append(report.values["frac_without_same_class"])))
    assert len(missing) == 5
    assert all(share == 0 for share in missing) if sampling == "auto" else all(share > 0.5 for share in missing)


def test_the_rate_follows_the_schedule_step_by_step() -> None:
    """Cosine over 5 steps: the sum of the rates is 0.1 * (1 + cos)/2 at 0, 1/5, ... 4/5 of half a turn."""
    loop = planted(optimizer=OptimizerConfig(lr=0.1, momentum=0.0, schedule="cosine"))
    run_loop(loop)
    rates = 0.05 * (1 + np.cos(np.pi * np.arange(5) / 5))
    assert weight(loop) == pytest.approx(1 - 0.5 * rates.sum(), abs=EXACT)


def test_a_clipped_gradient_is_what_moves_the_weights() -> None:
    loop = planted(optimizer=OptimizerConfig(lr=0.1, momentum=0.0, clip_norm=0.5))
    run_loop(loop)
    count = 2 * loop.stream.split.reader.total  # type: ignore[attr-defined]
    assert weight(loop) == pytest.approx(1 - 5 * 0.1 * 0.5 / np.sqrt(count), abs=EXACT)


def test_nothing_is_updated_with_a_value_that_is_not_finite() -> None:
    loop = planted(method=Ramp(infinite_at=2))
    with pytest.raises(NonFiniteError, match="step 3: loss is inf"):
        run_loop(loop)
    assert weight(loop) == pytest.approx(1 - 2 * 0.05, abs=EXACT)


def test_checkpoints_are_due_by_number_or_asked_for_and_never_after_the_last_step() -> None:
    for every, asked, want in ((2, [], [2, 4]), (0, [3], [3]), (2, [4, 5], [2, 4]), (5, [], [])):
        steps: list[int] = []
        saved: list[TrainState] = []
        loop = planted(
            checkpoint_every=every,
            save=saved.append,
            wants_checkpoint=lambda steps=steps, asked=asked: len(steps) + 1 in asked,
            on_step=lambda report, steps=steps: steps.append(report.step),
        )
        run_loop(loop)
        assert [state.step for state in saved] == want
        assert all(s.progress["result"]["retain_ids_checked"] >= 6 * s.step for s in saved)


def test_a_run_resumed_from_disk_ends_as_one_that_never_stopped(tmp_path: Path) -> None:
    """Momentum, the method's state, counters, the rows served and the stop rule's looks all go on."""
    optimizer = OptimizerConfig(lr=0.1, momentum=0.9)
    config = StopConfig(check_every=1, max_steps=5)
    folder = tmp_path / "state"
    whole = planted(optimizer=optimizer, checkpoint_every=3, save=lambda state: save_state(folder, state, "digest"))
    whole = replace(whole, stopper=Stopper(config, whole.stream.split))
    want = run_loop(whole)
    served: list[int] = []
    rest = planted(optimizer=optimizer, on_step=lambda report: served.append(report.step))
    rest = replace(rest, stopper=Stopper(config, rest.stream.split))
    state = load_state(folder, "digest")
    found = run_loop(rest, state)
    assert served == [4, 5]
    velocity, value = 0.0, 1.0
    for _ in range(5):
        velocity = 0.9 * velocity + 0.5
        value -= 0.1 * velocity
    assert weight(whole) == weight(rest) == pytest.approx(value, abs=EXACT)
    for name in ("steps", "forget_rows", "retain_rows", "prepare_rows", "leaks", "retain_ids_checked", "stop"):
        assert getattr(found, name) == getattr(want, name), name
    assert found.seconds > state.progress["result"]["seconds"]


def stopper_that_sees(loop: Loop, config: StopConfig, looks: list[float]) -> tuple[Stopper, list[int]]:
    made, seen = Stopper(config, loop.stream.split), []
    answers = iter(looks)

    def look(model: Any, step: int) -> StopCheck:
        seen.append(step)
        forget = next(answers)
        return StopCheck(step, forget, forget, forget, 0.5, 0.9, forget <= 0.5)

    made.look = look  # type: ignore[method-assign]
    return made, seen


def test_the_run_ends_with_the_rule_and_with_the_weights_that_it_kept() -> None:
    """Checks at 0, 2, 4, 6, 8: the rule holds from 4 on and two more steps are taken; the later of two equally good
    states is kept. Where the last look is worse, the former is."""
    for last, kept in ((0.1, 6), (0.9, 4)):
        loop = planted(max_steps=20)
        stopper, seen = stopper_that_sees(
            loop, StopConfig(check_every=2, further_steps=2, patience=1), [1, 1, 0.1, last, 0.1]
        )
        reports: list[StepReport] = []
        result = run_loop(replace(loop, stopper=stopper, on_step=reports.append))
        assert (result.steps, seen) == (6, [0, 2, 4, 6])
        assert (result.stop["fired_at"], result.stop["kept_step"]) == (4, kept)
        assert weight(loop) == pytest.approx(1 - 0.05 * kept, abs=EXACT)
        judged = [r.step for r in reports if "stop_forget" in r.values]
        assert judged == [2, 4, 6]
        assert [r.values["stop_forget"] for r in reports if r.step in judged] == [1, 0.1, last]
        assert (reports[1].values["stop_target"], reports[1].values["stop_utility"]) == (0.5, 0.9)


def test_the_last_step_is_judged_and_without_a_rule_none_is() -> None:
    loop = planted(max_steps=5)
    stopper, seen = stopper_that_sees(loop, StopConfig(check_every=3), [1.0] * 9)
    run_loop(replace(loop, stopper=stopper))
    assert seen == [0, 3, 5]
    stopper, seen = stopper_that_sees(loop, StopConfig(rule="none"), [])
    result = run_loop(replace(planted(), stopper=stopper))
    assert (seen, result.steps) == ([], 5)


def test_the_batches_are_those_of_the_stream_s_seed() -> None:
    class Seen(Ramp):
        def losses(self, context: StepContext, batch: UnlearnBatch) -> Losses:
            rows.append((batch.forget.sample_ids.tolist(), batch.retain.sample_ids.tolist()))
            return super().losses(context, batch)

    found = []
    for seed in (0, 0, 1):
        rows: list[Any] = []
        run_loop(planted(seed, method=Seen()))
        found.append(rows)
    assert found[0] == found[1] != found[2]
    assert found[0][0][0] == found[0][1][0] != found[0][2][0]  # omega 2: a forget batch for two steps


def test_a_frozen_model_answers_in_evaluation_mode_without_gradient() -> None:
    model = Lookup(table(9, {3: 1}, 2)).train()
    out = frozen(model)({"forget": torch.tensor([[[[0, 3]]]], dtype=torch.uint8)})  # type: ignore[arg-type]
    assert out["forget"].logits.tolist() == [[0, 4]]
    assert not out["forget"].logits.requires_grad
    assert not model.table.requires_grad
    assert model.modes == [False]
    assert LoopResult(forget_rows=2, retain_rows=3).trained_rows == 5
