"""Parity tables for the documents: ``python -m tests.parity.table docs/results/parity.md``, minutes on two cores.

The largest differences in loss and weights between one process and N workers, and between a straight run and one that
is resumed, on digits in float64.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from cu_core.audit.report import AuditReport
from cu_core.checkpoint import load_state
from cu_core.config import RunConfig
from cu_core.data.requests import resolve_request, save_forget_set
from cu_core.dist import data_parallel
from cu_core.evidence import measure_alone, measure_part
from cu_core.files import write_text
from cu_core.run import Hooks, run_train, run_unlearn
from cu_core.run_audit import run_audit
from cu_core.sharded_state import StateSaver
from cu_core.types import StepReport
from cu_core.workspace import Workspace
from pipelines.report.markdown import markdown_table
from pipelines.report.provenance import machine
from tests.conftest import pack_quietly, small
from tests.parity.ranks import on_ranks

MODELS: dict[str, dict[str, Any]] = {
    "resnet10": {"name": "resnet10", "width": 8},
    "ViT": {"name": "vit_mini", "width": 32, "depth": 2, "patch_size": 2},
    "ViT, sharded": {"name": "vit_mini", "width": 32, "depth": 2, "patch_size": 2},
}
EVERY, STEPS = 2, 6
TRAINED = ("model", "workers", "largest difference of a loss", "largest difference of a weight")
RESUMED = ("model", "saved by", "resumed by", "largest difference of a weight")
AUDITED = ("tasks", "figures", "largest difference")


def config_of(data: Path, storage: Path, name: str) -> RunConfig:
    shard = "sharded" in name
    return small(
        data, storage, model=MODELS[name], optimizer={"lr": 0.01},
        train={"epochs": 0.2, "batch": 64, "workers": {"count": 2, "shard": shard}},
        workers={"precision": "float64", "count": 2, "shard": shard, "checkpoint_every": EVERY},
        batches={"forget_batch": 10, "retain_batch": 14}, stop={"rule": "none", "max_steps": STEPS},
        audit={"oracles": 0, "audits": ["accuracy", "membership"]},
    )  # fmt: skip


def run(config: RunConfig, request: Path, out: Path, original: Path | None, resume: Path | None = None) -> list[float]:
    """Losses of the steps; a training, or with an original an unlearning."""
    losses: list[float] = []
    saver = StateSaver()

    def on_step(report: StepReport) -> None:
        losses.append(report.values["loss"])

    hooks = Hooks(
        wrap=lambda module: data_parallel(module, broadcast_buffers=False),
        on_step=on_step,
        save=lambda state: saver.save(out / f"step-{state.step}", state, "digest"),
        latest=lambda: load_state(resume, "digest") if resume else None,
    )
    if original is None:
        run_train(Workspace(config), out / "model", hooks)
    else:
        run_unlearn(Workspace(config, request), original, out / "model", hooks)
    return losses


def apart(one: Path, other: Path) -> float:
    """The largest difference of a weight."""
    a, b = (load_file(folder / "model" / "model.safetensors") for folder in (one, other))
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


def rows_of(data: Path, place: Path, job: str) -> Iterator[tuple[Sequence[str], Sequence[str] | None]]:
    """Rows of the table of workers and, of an unlearning, of that of resumed runs."""
    for name in MODELS:
        config = config_of(data, place, name)
        request = save_forget_set(place / "requests", resolve_request(config.request, Workspace(config).reader))
        base = place / f"{job}-{name}"
        original = None if job == "training" else place / f"training-{name}" / "1" / "model"
        want = run(config, request, base / "1", original)
        for count in (2, 4):
            have = on_ranks(count, run, config, request, base / str(count), original)
            loss = max(abs(a - b) for a, b in zip(want, have, strict=True))
            yield [name, str(count), f"{loss:.1e}", f"{apart(base / '1', base / str(count)):.1e}"], None
        if original is not None:
            for saved, later in ((2, 2), (2, 4), (4, 2)):
                out = base / f"{saved}-{later}"
                on_ranks(later, run, config, request, out, original, base / str(saved) / f"step-{2 * EVERY}")
                yield [], [name, str(saved), str(later), f"{apart(base / '1', out):.1e}"]


def audits(data: Path, place: Path) -> Iterator[Sequence[str]]:
    """Figures of an audit whose forward passes are split over tasks, against those of one process."""
    config = config_of(data, place, "resnet10")
    request = save_forget_set(place / "requests", resolve_request(config.request, Workspace(config).reader))
    folders = {"original": place / "training-resnet10" / "1" / "model"}
    folders["unlearned"] = place / "unlearning-resnet10" / "1" / "model"
    device = Hooks().device

    def report(tasks: int) -> AuditReport:
        space = Workspace(replace(config, storage=str(place / f"audit-{tasks}")), request)  # figures are stored there
        for folder in folders.values():
            parts = [measure_part(space, folder, device, n, tasks) for n in range(tasks)] if tasks > 1 else []
            measure_alone(space, folder, device, parts)
        return run_audit(space, folders, [], device, lambda role: None)

    def values(found: AuditReport) -> list[float]:
        return [value for row in found.rows for value in (row.original, row.unlearned)]

    want = values(report(1))
    for tasks in (2, 4):
        have = values(report(tasks))
        yield [str(tasks), str(len(have)), f"{max(abs(a - b) for a, b in zip(want, have, strict=True)):.1e}"]


def main() -> None:
    out = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        pack_quietly("digits", place / "digits")
        trained = [row for row, _ in rows_of(place / "digits", place, "training")]
        unlearned = list(rows_of(place / "digits", place, "unlearning"))
        audited = list(audits(place / "digits", place))
    parts = [
        "# One process and many workers",
        "**Question.** Does the number of workers change a result? **Answer.** No: the differences below are rounding "
        "of float64. **Not answered:** GPUs. The soak tests have the machines that fail in the middle.",
        f"```\npython -m tests.parity.table docs/results/parity.md\n```\n\nDigits, float64, gloo; {machine()}.",
        "## Training, against one process\n\n" + markdown_table(TRAINED, trained),
        "## Unlearning, against one process\n\n" + markdown_table(TRAINED, [row for row, _ in unlearned if row]),
        f"## Unlearning resumed at step {2 * EVERY}, against one process\n\nA run whose worker was "
        "killed is resumed by as many workers, an elastic run by another number.\n\n"
        + markdown_table(RESUMED, [row for _, row in unlearned if row]),
        "## Audits, against one task\n\n" + markdown_table(AUDITED, audited),
    ]
    write_text(out, "\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
