"""``cu bench gpu``: what one GPU does, as a Markdown page. Without Ray, MLflow: ``python -m pipelines.bench.gpu``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from cu_core.bench_gpu import (
    FORMATS,
    at_once,
    drawn_data,
    gradient_distance,
    matmul_flops,
    plain_cost,
    unlearn_config,
    unlearn_cost,
)
from cu_core.config import RunConfig
from cu_core.errors import UserError
from cu_core.files import write_text
from cu_core.models.build import ModelConfig
from pipelines.report.markdown import check_out, markdown_table
from pipelines.report.provenance import machine

BEST = "bfloat16, channels-last"
PLAIN = ("model", "format", "batch", "images a second", "share of a large product's rate", "peak memory (MiB)")
OURS = ("model", "precision", "batch", "rows a second", "plain step / step", "waiting for data", "peak memory (MiB)")


@dataclass(frozen=True)
class Size:
    """What is measured."""

    models: Sequence[ModelConfig] = tuple(
        ModelConfig(name=name, stem="imagenet", image_size=224)
        for name in ("resnet50", "vit_small", "resnet18", "timm:vit_base_patch16_224")
    )
    formats: Sequence[str] = tuple(FORMATS)
    batch: int = 256
    batches: Sequence[int] = (64, 1024, 4096)
    rows: int = 2048
    steps: int = 10
    product_side: int = 8192


@dataclass
class Page:
    """Tables that grow until the time is over."""

    size: Size
    device: torch.device
    until: float
    plain: list[list[str]] = field(default_factory=list)
    ours: list[list[str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def run(self, label: str, measure: Callable[[], None]) -> None:
        """Measure if there is time; what does not fit into the memory is named."""
        if time.monotonic() > self.until:
            self.left_out.append(f"{label} (no time)")
            return
        print(label, file=sys.stderr, flush=True)
        try:
            measure()
        except torch.OutOfMemoryError:
            self.left_out.append(f"{label} (out of memory)")
            torch.cuda.empty_cache()

    def add_plain(self, model: ModelConfig, name: str, batch: int, rate: float) -> None:
        cost = plain_cost(model, batch, FORMATS[name], self.device, self.size.steps)
        share = f"{100 * cost.flops_per_second / rate:.0f}%"
        numbers = [f"{cost.images_per_second:,.0f}", share, f"{cost.peak_bytes / 2**20:,.0f}"]
        self.plain.append([model.name, name, str(batch), *numbers])

    def add_unlearning(self, config: RunConfig) -> None:
        cost = unlearn_cost(config, self.size.steps)
        shares = [f"{cost.plain:.2f}", f"{100 * cost.data_share:.0f}%", f"{cost.peak_bytes / 2**20:,.0f}"]
        about = [config.model.name, config.workers.precision, str(config.batches.retain_batch)]
        self.ours.append([*about, f"{cost.rows_per_second:,.0f}", *shares])

    def add_gradients(self, runs: Sequence[RunConfig]) -> None:
        found = gradient_distance(runs)
        self.lines.append(f"Gradient of {runs[0].model.name}, bfloat16 from float32: relative distance {found:.1e}.")

    def add_together(self, model: ModelConfig, batch: int) -> None:
        one, two = (at_once(model, batch, FORMATS[BEST], self.device, self.size.steps, n) for n in (1, 2))
        self.lines.append(f"{model.name}, batch {batch}: two processes do {two / one:.2f} times what one does.")


def fill(page: Page, data: Path) -> None:
    """Measure, the most telling first."""
    size, half = page.size, page.size.batch // 2
    for model in size.models[:2]:
        values = {"name": model.name, "stem": model.stem, "width": model.width}
        runs = [unlearn_config(values, data, half, page.device.type == "cuda", p) for p in ("bfloat16", "float32")]
        for config in runs:
            label = f"unlearning step, {model.name}, {config.workers.precision}"
            page.run(label, partial(page.add_unlearning, config))
        page.run(f"gradients, {model.name}", partial(page.add_gradients, runs))
    page.run(f"two processes, {size.models[0].name}", partial(page.add_together, size.models[0], half))
    rates = {name: matmul_flops(FORMATS[name], page.device, size.product_side) for name in size.formats}
    page.lines.append("Large products: " + ", ".join(f"{n} {r / 1e12:.2f} TFLOP/s" for n, r in rates.items()) + ".")
    cases = [(model, name, size.batch) for name in size.formats for model in size.models]
    cases += [(model, BEST, batch) for batch in size.batches for model in size.models]
    for model, name, batch in cases:
        label = f"plain step, {model.name}, {name}, batch {batch}"
        page.run(label, partial(page.add_plain, model, name, batch, rates[name]))


def run_gpu(out: Path, device: torch.device, minutes: float = 8.0, size: Size | None = None) -> None:
    """Measure and write the page.

    Raises: UserError if there is no such device.
    """
    check_out(out)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("no GPU: torch.cuda.is_available() is false; --device cpu tries the command in small.")
    size = size or (Size() if device.type == "cuda" else tiny())
    page = Page(size, device, time.monotonic() + 60 * minutes)
    with tempfile.TemporaryDirectory() as place:
        fill(page, drawn_data(Path(place), size.models[0].image_size or 224, size.rows))
    write_text(out, "\n\n".join(_parts(page, minutes)) + "\n")


def tiny() -> Size:
    """Seconds on a CPU."""
    model, formats = ModelConfig(name="resnet10", width=8, image_size=16), ("float32", BEST)
    return Size((model,), formats, batch=8, batches=(16,), rows=64, steps=2, product_side=64)


def _parts(page: Page, minutes: float) -> Iterator[str]:
    name = torch.cuda.get_device_name() if page.device.type == "cuda" else "CPU"
    yield f"```\ncu bench gpu --device {page.device.type} --minutes {minutes:g}\n```"
    yield f"{name}; {machine()}, torch {torch.__version__}. Median of {page.size.steps} steps after 3. Random images."
    yield "## Unlearning steps\n\n" + markdown_table(OURS, page.ours)
    yield "## Plain training steps, images on the device\n\n" + markdown_table(PLAIN, page.plain)
    yield "\n".join(f"- {line}" for line in page.lines)
    left_out = "; ".join(page.left_out) or "nothing"
    yield f"Left out: {left_out}. For image-text models, `cu bench step` takes their configuration."


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.bench.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="No measurement begins after this time.")
    given = parser.parse_args()
    try:
        run_gpu(given.out, torch.device(given.device), given.minutes)
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
