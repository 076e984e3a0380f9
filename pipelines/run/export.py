"""``cu export``: a model in the format of the library it came from, for use without this project."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from cu_core.checkpoint import ADAPTER
from cu_core.config import RunConfig
from cu_core.errors import ConfigError
from cu_core.files import new_folder
from cu_core.models.image_text import ImageTextClassifier
from cu_core.models.published_towers import OPENER
from cu_core.run import load_model
from cu_core.storage import fetched
from pipelines.console import console
from pipelines.run.export_formats import ROUNDING, write_classifier
from pipelines.run.plan import Plan, make_plan
from pipelines.run.saved_models import find_model


def export(config: RunConfig, model: str, out: Path, adapter: bool) -> list[str]:
    """Write the model to ``out``, which appears when it is whole; with ``adapter`` only what LoRA changed. Returns the
    names of the files; how they are opened is printed.

    Raises: ConfigError if ``out`` exists, or there is no adapter.
    """
    if out.exists():
        raise ConfigError(f"--out {out} already exists; name a new folder.")
    plan = make_plan(replace(config, audit=replace(config.audit, oracles=0)))
    folder = find_model(plan, model)
    with new_folder(out.resolve()) as partial:
        if adapter:
            if not all(fetched(folder / name) for name in ADAPTER):
                raise ConfigError(f"--adapter: {model} was not unlearned with trainable.tune=lora.")
            for name in ADAPTER:
                shutil.copy(folder / name, partial / name)
        else:
            _write(plan, folder, partial)
    return sorted(p.name for p in out.iterdir())


def _write(plan: Plan, folder: Path, out: Path) -> None:
    loaded = load_model(plan.config, plan.reader, folder)
    if isinstance(loaded, ImageTextClassifier):
        loaded.body.export(out)
        said = [f"whole images are resized to a square, bilinear, as here. {ROUNDING}"]
        if (out / OPENER).exists():
            said.append(f"{OPENER} opens the model in plain open_clip; inside the folder, local-dir:. does so too.")
    else:
        said = write_classifier(plan.config.model, loaded, plan.manifest.class_names, out)
    for line in said:
        console.print(line, highlight=False, markup=False)
