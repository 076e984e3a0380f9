"""Shared data: handwritten digits packed once, models trained once for a few seconds."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # Ray gives 15: workers then wait for every other test

import numpy as np
import psutil
import pytest
import torch
from hypothesis import settings

from cu_core.audit.answers import Answers
from cu_core.config import RunConfig
from cu_core.config_io import config_from
from cu_core.data.convert import SplitPlan, pack
from cu_core.data.requests import ByClass, ByRandom, resolve_request, save_forget_set
from cu_core.data.shard_reader import ShardReader
from cu_core.data.sources import SourceOptions

FASHION = Path(os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
CACHE = tempfile.TemporaryDirectory(prefix="cu-cache-")
os.environ.setdefault("CU_CACHE", CACHE.name)
torch.set_num_threads(1)
settings.register_profile("cu", deadline=None)  # no timed tests
settings.load_profile("cu")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if (FASHION / "train-labels-idx1-ubyte.gz").is_file() or (FASHION / "train-labels-idx1-ubyte").is_file():
        return
    reason = f"Fashion-MNIST is not in {FASHION} (Debian: apt-get install dataset-fashion-mnist; or set FASHION_MNIST)"
    for item in items:
        if item.get_closest_marker("fashion_mnist"):
            item.add_marker(pytest.mark.skip(reason=reason))


def title(process: psutil.Process) -> str:
    """What a process calls itself; Ray's workers tell what they run."""
    try:
        return " ".join(process.cmdline()[:1])
    except psutil.NoSuchProcess:  # zombies too
        return ""


def pack_quietly(source: str, out: Path, plan: SplitPlan | None = None) -> Path:
    pack(source, out, plan or SplitPlan(val_frac=0.2), SourceOptions(), lambda done, total: None)
    return out


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed digits; tests must not change them."""
    return pack_quietly("digits", tmp_path_factory.mktemp("data") / "digits")


@pytest.fixture(scope="session")
def reader(digits: Path) -> ShardReader:
    return ShardReader(digits)


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the whole test run, so that a model is trained once."""
    return tmp_path_factory.mktemp("storage")


def small(digits: Path, storage: Path, **parts: object) -> RunConfig:
    """A run of seconds: a narrow ResNet on digits."""
    values: dict[str, object] = {
        "data": {"path": str(digits)},
        "storage": str(storage),
        "model": {"name": "resnet10", "width": 8},
        "request": {"kind": "by_class", "classes": [5]},
        "train": {"epochs": 6, "batch": 64, "optimizer": {"lr": 0.05}},
        "audit": {"oracles": 1, "rebound_steps": 3, "relearn_steps": 2},
    }
    return config_from({**values, **parts})


def knows(answers: Answers) -> Answers:
    """A model that is sure of the label of every forget row."""
    sure = np.eye(answers.forget.shape[1], dtype=np.float32)[answers.forget_labels]
    return dataclasses.replace(answers, forget=sure)


CAPTIONS = ("a photo of the digit {class}.", "the digit {class}")


@pytest.fixture(scope="session")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed digits with captions; tests must not change them."""
    out = tmp_path_factory.mktemp("data") / "captions"
    pack("digits", out, SplitPlan(val_frac=0.2), SourceOptions(captions=CAPTIONS), lambda done, total: None)
    return out


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip model so small that it trains in seconds."""
    path = tmp_path_factory.mktemp("clip") / "tiny.json"
    vision = {"image_size": 16, "patch_size": 8, "layers": 2, "width": 32, "head_width": 16}
    text = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    path.write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    return path


def small_clip(captions: Path, storage: Path, clip_file: Path, **parts: object) -> RunConfig:
    """An image-text run of seconds on captioned digits."""
    adamw = {"name": "adamw", "lr": 1e-3}
    values: dict[str, object] = {
        "data": {"path": str(captions)},
        "storage": str(storage),
        "model": {"name": f"open_clip:{clip_file}", "templates": CAPTIONS},
        "request": {"kind": "by_class", "classes": [5]},
        "train": {"epochs": 1, "batch": 64, "optimizer": adamw},
        "audit": {"oracles": 1, "rebound_steps": 3, "relearn_steps": 2},
    }
    return config_from({**values, **parts})


@pytest.fixture
def class_config(digits: Path, storage: Path) -> RunConfig:
    return small(digits, storage)


@pytest.fixture(scope="session")
def class_request(reader: ShardReader, storage: Path) -> Path:
    return save_forget_set(storage / "requests", resolve_request(ByClass(classes=(5,)), reader))


@pytest.fixture(scope="session")
def sample_request(reader: ShardReader, storage: Path) -> Path:
    return save_forget_set(storage / "requests", resolve_request(ByRandom(count=40, seed=3), reader))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
