from __future__ import annotations

from pathlib import Path

import pytest

from cu_core import memory
from cu_core.config_io import load_config
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import ConfigError, UserError
from cu_core.memory import check_memory, machine_bytes, needed_bytes, weight_count


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (["model.width=65536"], "model"),
        (["model={name: vit_mini, width: 65536, patch_size: 1}"], "model"),
        (["model.projection=65536", "model.width=16384"], "model"),
        (["model.image_size=4096", "batches.retain_batch=1000000"], "batches"),
        (["batches={retain_batch: 1000000, forget_batch: 1000000}", "model.image_size=2048"], "batches"),
        (["method={name: unsir, noise_rows: 1000000}", "model.image_size=1024"], "method.noise_rows"),
        (["audit.rebound_batch=1000000", "model.image_size=4096"], "audit.rebound_batch"),
    ],
)
def test_terabytes_are_refused_before_they_are_asked_for(reader: ShardReader, overrides: list[str], part: str) -> None:
    with pytest.raises(ConfigError, match=rf"{part}.*: needs [\d,]+ GiB of memory at least, this machine has"):
        check_memory(load_config(None, overrides), reader)


def test_a_usual_run_passes(reader: ShardReader) -> None:
    check_memory(load_config(None, ["model={name: resnet10, width: 8}"]), reader)


def test_the_pairs_of_views_and_the_queue_are_counted(reader: ShardReader) -> None:
    def parts(*overrides: str) -> dict[str, int]:
        return dict(needed_bytes(load_config(None, ["model={name: resnet10, width: 8}", *overrides]), reader))

    plain = parts("train.batch=100")
    simclr = parts("train.batch=100", "train.objective=simclr")
    assert {k: v for k, v in simclr.items() if k not in plain} == {"train.batch (pairs of views)": 24 * 200**2}
    halved = parts("train.batch=100", "train.objective=supcon", "train.workers.count=2")
    assert halved["train.batch (pairs of views)"] == 24 * 200**2 // 2
    moco = parts("train={objective: moco, contrast: {queue: 50, projection: 6}}")
    assert moco["train.contrast.queue"] == 4 * 50 * 6


def test_weights_are_counted_without_memory(reader: ShardReader) -> None:
    config = load_config(None, ["model={name: vit_mini, width: 32, depth: 1}"])
    # patches 16*32+32, class token 32, positions 5*32, block, norm 64, head 330
    block = 64 + 32 * 96 + 96 + 32 * 32 + 32 + 64 + 32 * 64 + 64 + 64 * 32 + 32
    assert weight_count(config, reader) == 16 * 32 + 32 + 32 + 5 * 32 + block + 64 + 330
    assert needed_bytes(config, reader)["model"] == 16 * weight_count(config, reader)


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content, expected in (("1000000\n", 1_000_000), ("max\n", None)):
        (tmp_path / "memory.max").write_text(content)
        monkeypatch.setattr(memory, "CGROUP", tmp_path / "memory.max")
        assert (machine_bytes() == expected) if expected else (machine_bytes() > 10**8)


@pytest.mark.parametrize("model", ["{name: vit_mini, patch_size: 3}", "{name: vit_mini, width: 100}"])
def test_a_transformer_that_does_not_divide_is_refused(reader: ShardReader, model: str) -> None:
    with pytest.raises(UserError, match=r"model\.(patch_size|width): "):
        check_memory(load_config(None, [f"model={model}"]), reader)
