"""``cu quickstart``: the whole pipeline on real images in a few minutes."""

from __future__ import annotations

import sys
from pathlib import Path

from cu_core.config_io import load_config
from cu_core.data.convert import SplitPlan, pack
from cu_core.data.schema import MANIFEST
from cu_core.data.sources import SourceOptions
from cu_core.errors import ConfigError
from cu_core.yaml_io import SHIPPED
from pipelines.console import bars, console
from pipelines.report.terminal import end_table
from pipelines.run.job import run_job
from pipelines.tracking.server import page_command

CONFIGS = SHIPPED / "tune_configs" / "base"
RECIPES = {
    "digits": ("digits_class.yaml", SplitPlan(val_frac=0.2, test_frac=0.2)),
    "fashion-mnist": ("fashion_mnist_class.yaml", SplitPlan(val_frac=0.2, train_rows=10_000)),
    "digits-captions": ("digits_clip.yaml", SplitPlan(val_frac=0.2, test_frac=0.2)),
}
NEXT = (
    "  {bin}cu unlearn {file} request.classes=[3]     # another class\n"
    "  {bin}cu unlearn {file} preset=paper            # the paper's own settings\n"
    "  {bin}cu unlearn tune_configs/base/digits_samples.yaml --dry-run"
)
NEXT_CLIP = (
    "  {bin}cu unlearn {file} 'request.concept=\"3\"'   # another concept\n"
    "  {bin}cu unlearn {file} method.name=null_space  # a control that hides it\n"
    "  {bin}cu unlearn {file} --dry-run"
)
CAPTIONS = ("a photo of the digit {class}.", "the digit {class}", "a handwritten {class}")


def bin_folder() -> str:
    """Folder of this command as it is typed here: relative where it lies below the working folder, else none."""
    folder = Path(sys.argv[0]).absolute().parent
    return f"{folder.relative_to(Path.cwd())}/" if folder.is_relative_to(Path.cwd()) else ""


def run_quickstart(data: str, storage: str, clip: bool = False) -> None:
    """Run the pipeline; with ``clip``, an image-text model on captioned images.

    Raises: ConfigError for data without a recipe.
    """
    kind = data.partition(":")[0] + ("-captions" if clip else "")
    if kind not in RECIPES:
        raise ConfigError(
            f"--data {data}: quickstart knows digits and fashion-mnist:DIR, --clip digits; for other data see "
            f"`cu data pack --help` and `cu unlearn --help`."
        )
    file, plan = RECIPES[kind]
    if not (CONFIGS / file).is_file():
        raise ConfigError(f"no {CONFIGS / file}: run quickstart from a clone of the repository.")
    packed = Path("data") / kind
    if not (packed / MANIFEST).is_file():
        with bars() as drawn:
            pack(
                data,
                packed,
                plan,
                SourceOptions(captions=CAPTIONS if clip else ()),
                lambda done, total: drawn.update(f"pack {kind}", done, total),
            )
    config = load_config(CONFIGS / file, ["workers.count=2", f"storage={storage}", f"data.path={packed}"])
    finished = run_job(config)
    console.print(end_table(finished.report))
    console.print(
        f"\nreport       {finished.folder.path / 'report.html'}\n"
        f"MLflow page  {bin_folder()}{page_command(finished.config)}\n\n"
        f"Try next:\n" + (NEXT_CLIP if clip else NEXT).format(bin=bin_folder(), file=f"tune_configs/base/{file}"),
        highlight=False,
        soft_wrap=True,
    )
