from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cu_core.errors import UserError
from pipelines.bench import gpu
from pipelines.bench.gpu import Page, run_gpu, tiny

CPU = torch.device("cpu")


def test_a_tiny_page_has_every_measurement(tmp_path: Path) -> None:
    run_gpu(tmp_path / "gpu.md", CPU)
    text = (tmp_path / "gpu.md").read_text()
    assert text.startswith("```\ncu bench gpu --device cpu --minutes 8\n```")
    for name in ("float32", gpu.BEST):
        assert f"| resnet10 | {name} | 8 |" in text
    assert "| resnet10 | bfloat16, channels-last | 16 |" in text
    for precision in ("float32", "bfloat16"):
        assert f"| resnet10 | {precision} | 4 |" in text
    assert "two processes do" in text
    assert "Left out: nothing." in text


def test_what_does_not_fit_or_has_no_time_is_named() -> None:
    def full() -> None:
        raise torch.OutOfMemoryError("none left")

    page = Page(tiny(), CPU, time.monotonic() + 60)
    page.run("large", full)
    page.until = time.monotonic() - 1
    page.run("late", lambda: pytest.fail("there is no time"))
    assert page.left_out == ["large (out of memory)", "late (no time)"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no GPU: torch.cuda.is_available"):
        run_gpu(tmp_path / "gpu.md", torch.device("cuda"))


def test_neither_ray_nor_mlflow_is_needed() -> None:
    code = "import sys, pipelines.bench.gpu; print({'ray', 'mlflow', 'typer', 'rich'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found == "set()\n"
