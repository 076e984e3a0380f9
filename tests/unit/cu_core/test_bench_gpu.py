from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cu_core.bench_gpu import FORMATS, drawn_data, gradient_distance, matmul_flops, plain_cost, unlearn_config
from cu_core.models.build import ModelConfig

CPU = torch.device("cpu")


def test_operations_are_those_of_forward_and_backward() -> None:
    """Products of a ViT of one block, counted by hand."""
    model = ModelConfig(name="vit_mini", image_size=8, patch_size=4, width=32, depth=1)
    one, two = (plain_cost(model, batch, FORMATS["float32"], CPU, 1) for batch in (1, 2))
    tokens, width = 5, 32
    block = 2 * tokens * width * (3 * width + width + 2 * 2 * width)  # qkv, projection, two layers of the MLP
    attention = 2 * 2 * tokens * tokens * width
    patches, head = 2 * 4 * width * 3 * 16, 2 * width * 10
    forward = block + attention + patches + head
    # Backward: twice as much, without a gradient of the images; attention computes its scores once more.
    expected = 3 * forward - patches + attention / 2
    for cost in (one, two):
        assert cost.flops_per_second / cost.images_per_second == pytest.approx(expected)


def test_the_precision_of_products_is_left_as_it_was() -> None:
    before = torch.get_float32_matmul_precision()
    matmul_flops(FORMATS["TF32"], CPU, 8)
    plain_cost(ModelConfig(name="resnet10", width=8, image_size=8), 2, FORMATS["TF32"], CPU, 1)
    assert torch.get_float32_matmul_precision() == before == "highest"


def test_the_gradient_of_a_run_is_its_own_and_differs_by_precision(tmp_path: Path) -> None:
    data = drawn_data(tmp_path, 8, 64)
    full = unlearn_config({"name": "resnet10", "width": 8}, data, 4, False, "float32")
    half = replace(full, workers=replace(full.workers, precision="bfloat16"))
    assert gradient_distance([full, full]) == 0
    assert 0 < gradient_distance([half, full]) < 1
