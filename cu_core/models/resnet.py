"""ResNets of torchvision (He et al. 2016), with a stem for small images and a width for small trials."""

from __future__ import annotations

from typing import Any

import torch.nn as nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

DEPTHS: dict[str, tuple[Any, list[int]]] = {
    "resnet10": (BasicBlock, [1, 1, 1, 1]),
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
    "resnet101": (Bottleneck, [3, 4, 23, 3]),
}


class WideResNet(ResNet):  # type: ignore[misc]
    """ResNet of torchvision with ``width`` channels in the first stage instead of 64."""

    def __init__(self, depth: str, num_classes: int, width: int, small_stem: bool, channels: int):
        block, layers = DEPTHS[depth]
        self.width = width
        super().__init__(block, layers, num_classes=num_classes)
        kernel, stride = (3, 1) if small_stem else (7, 2)
        self.conv1 = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.bn1 = nn.BatchNorm2d(width)
        if small_stem:
            self.maxpool = nn.Identity()
        self.fc = nn.Linear(8 * width * block.expansion, num_classes)

    def _make_layer(self, block: Any, planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:
        if planes == 64:
            self.inplanes = self.width
        return super()._make_layer(block, planes * self.width // 64, *args, **kwargs)  # type: ignore[no-any-return]
