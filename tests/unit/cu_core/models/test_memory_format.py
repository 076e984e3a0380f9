"""Channels-last only where oneDNN survives it; the bare fault runs in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

from cu_core.models.memory_format import BLOCK, choose_memory_format
from cu_core.models.resnet import WideResNet

CHANNELS = 4
"""Fewer than the block of every CPU that oneDNN has channels-last kernels for."""
BARE = f"""
import torch
torch.manual_seed(0)
torch.set_num_threads(2)
convolution = torch.nn.Conv2d({CHANNELS}, 16, 1, stride=2, bias=False).to(memory_format=torch.channels_last)
for _ in range(4):
    images = torch.randn(64, {CHANNELS}, 16, 16).to(memory_format=torch.channels_last).requires_grad_()
    convolution(images).square().sum().backward()
"""


def is_channels_last(module: nn.Module) -> bool:
    return any(
        p.dim() == 4 and p.shape[1] > 1 and p.shape[2] > 1 and p.is_contiguous(memory_format=torch.channels_last)
        for p in module.parameters()
    )


@pytest.mark.parametrize(("width", "expected"), [(8, False), (16, True), (24, False), (64, True)])
def test_only_where_every_inner_convolution_reads_whole_blocks(width: int, expected: bool) -> None:
    body = WideResNet("resnet10", 3, width, True, 3)
    assert choose_memory_format(body, 3) is expected
    assert is_channels_last(body) is expected


def test_of_what_reads_as_many_channels_as_the_image_has_only_the_first_is_left_out() -> None:
    assert choose_memory_format(WideResNet("resnet10", 3, 8, True, 8), 8) is False
    assert choose_memory_format(WideResNet("resnet10", 3, 16, True, 8), 8) is True
    strided = nn.Sequential(nn.Conv2d(3, 16, 1, stride=2), nn.Conv2d(16, 16, 3))
    assert choose_memory_format(strided, 3) is False
    assert choose_memory_format(nn.Sequential(nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 3)), 3) is True
    assert choose_memory_format(nn.Sequential(nn.Conv2d(16, 16, 1, stride=2), nn.Conv2d(16, 16, 3)), 16) is True


def test_an_own_model_that_comes_channels_last_is_made_contiguous() -> None:
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, stride=2)).to(memory_format=torch.channels_last)
    assert choose_memory_format(body, 3) is False
    assert not is_channels_last(body)


@pytest.mark.parametrize(
    "body", [nn.Conv2d(3, 16, 3), nn.Linear(3, 3), nn.Sequential(nn.Conv2d(3, 32, 3), nn.Conv2d(32, 32, 3, groups=32))]
)
def test_transformers_and_depthwise_convolutions_stay_as_they_are(body: nn.Module) -> None:
    assert choose_memory_format(body, 3) is False


def test_the_bare_fault_in_a_process_of_its_own() -> None:
    """A crash must be the known one; where there is none, a warning says that torch may have mended it."""
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, timeout=300, check=False)
    assert CHANNELS < BLOCK
    if done.returncode == 0:
        seen = f"torch {torch.__version__} on {torch.backends.cpu.get_cpu_capability()} shows no fault"
        warnings.warn(f"{seen}: try without the rule of memory_format.py", stacklevel=1)
    else:
        assert -done.returncode in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS), done.stderr
