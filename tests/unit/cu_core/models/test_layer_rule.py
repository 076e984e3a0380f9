"""The rule that finds head, embedding and hidden layers, on plain modules."""

from __future__ import annotations

import pytest
from torch import nn

from cu_core.errors import UserError
from cu_core.models.layer_rule import Layers, find_layers, heads_of


def test_blocks_of_a_list_without_norms_and_the_head() -> None:
    blocks = [nn.Linear(4, 4) for _ in range(8)]
    body = nn.Sequential(*blocks, nn.LayerNorm(4), nn.Linear(4, 3))
    assert find_layers(body, 3) == Layers(("9",), "9:input", ("1", "3", "5"))


def test_the_largest_part_is_searched() -> None:
    trunk = nn.ModuleDict({"layers": nn.ModuleList(nn.Linear(9, 9) for _ in range(4))})
    body = nn.ModuleDict({"stem": nn.Linear(2, 2), "trunk": trunk, "head": nn.Linear(2, 3)})
    assert find_layers(body, 3).depths == ("trunk.layers.0", "trunk.layers.1", "trunk.layers.2")


def test_the_head_is_the_last_layer_with_an_output_for_each_class() -> None:
    body = nn.Sequential(nn.Linear(3, 3), nn.Conv2d(3, 3, 1), nn.Linear(3, 5))
    assert heads_of(body, 3) == ("1",)
    assert heads_of(body, 7) == ()


def test_the_line_names_what_was_set_without_its_rule() -> None:
    line = Layers(("fc",), "fc:input", ("a", "b", "c")).chosen("pool", "c")
    assert line.startswith("embedding pool, hidden layer c (the block at three quarters of the depth); others by")


def test_a_model_without_a_layer_of_the_classes() -> None:
    with pytest.raises(UserError, match="no linear layer or convolution with 3 outputs"):
        find_layers(nn.Linear(4, 5), 3)
