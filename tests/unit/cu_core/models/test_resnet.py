from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from cu_core.models.resnet import DEPTHS, WideResNet


@pytest.mark.parametrize("depth", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_at_width_64_with_the_large_stem_it_is_torchvisions(depth: str) -> None:
    with torch.device("meta"):
        own, theirs = WideResNet(depth, 7, 64, False, 3), getattr(torchvision.models, depth)(num_classes=7)
    shapes = [{name: tuple(t.shape) for name, t in model.state_dict().items()} for model in (own, theirs)]
    assert shapes[0] == shapes[1]
    for name in ("conv1", "maxpool"):
        assert repr(getattr(own, name)) == repr(getattr(theirs, name))


@pytest.mark.parametrize(("depth", "expansion", "blocks"), [("resnet10", 1, 4), ("resnet50", 4, 16)])
@pytest.mark.parametrize("width", [8, 24])
def test_stages_have_one_two_four_and_eight_times_the_width(
    depth: str, expansion: int, blocks: int, width: int
) -> None:
    with torch.device("meta"):
        model = WideResNet(depth, 3, width, True, 1)
    stages = [model.layer1, model.layer2, model.layer3, model.layer4]
    assert [stage[0].conv1.out_channels for stage in stages] == [width, 2 * width, 4 * width, 8 * width]
    assert sum(len(stage) for stage in stages) == sum(DEPTHS[depth][1]) == blocks
    assert model.layer1[0].conv1.in_channels == model.conv1.out_channels == model.bn1.num_features == width
    assert (model.fc.in_features, model.fc.out_features) == (8 * width * expansion, 3)


@pytest.mark.parametrize(("small_stem", "size"), [(True, 16), (False, 4)])
def test_the_small_stem_keeps_the_size_of_small_images(small_stem: bool, size: int) -> None:
    model = WideResNet("resnet10", 5, 8, small_stem, 2).eval()
    images = torch.rand(3, 2, 16, 16)
    assert model.maxpool(model.relu(model.bn1(model.conv1(images)))).shape == (3, 8, size, size)
    assert model(images).shape == (3, 5)


def test_the_stem_starts_like_the_other_convolutions() -> None:
    """Kaiming, fan out: the standard deviation is sqrt(2 / (channels out * kernel area))."""
    torch.manual_seed(0)
    model = WideResNet("resnet10", 2, 64, True, 3)
    assert model.conv1.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert isinstance(model.maxpool, nn.Identity)


def test_an_unknown_depth_has_no_model() -> None:
    with pytest.raises(KeyError, match="resnet9"):
        WideResNet("resnet9", 2, 8, True, 3)
