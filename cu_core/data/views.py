"""Random views of images, for training objectives that compare them: every draw depends on the keys and the row."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cu_core.data.loader import UnlearnStream
from cu_core.data.order import Rows, hash_uniform
from cu_core.salts import Salt
from cu_core.types import Batch

AREA = (0.2, 1.0)
"""Share of the image that a crop keeps."""
RATIO = (3 / 4, 4 / 3)
"""Width of a crop over its height, drawn evenly in the logarithm."""
JITTERED, GREY = 0.8, 0.2
"""Share of the views whose colours change, and that lose their colours."""
BRIGHTNESS = CONTRAST = SATURATION = 0.4
HUE = 0.1
DRAWS = 11


def random_views(images: Tensor, sample_ids: Rows, *keys: int) -> Tensor:
    """Make one random view of each image: crop, flip, colours.

    The operations are torchvision's, on the pixels as they are stored. The ranges are those of MoCo v2 (Chen et al.
    2020, arXiv 2003.04297; its ``main_moco.py``), without blur, which SimCLR leaves out for small images, too (Chen et
    al. 2020, arXiv 2002.05709, appendix B.9).

    Args:
        images: uint8 (N, channels, H, W).
        sample_ids: (N,).
        *keys: What the draws depend on beside the sample_id, e.g. seed, step and number of the view.

    Returns:
        uint8 of the same shape.
    """
    if not len(images):
        return images
    draws = [hash_uniform(sample_ids, Salt.VIEW, *keys, k) for k in range(DRAWS)]
    rows = zip(images, zip(*(values.tolist() for values in draws), strict=True), strict=True)
    return torch.stack([_view(image, of_row) for image, of_row in rows])


def _view(image: Tensor, u: tuple[float, ...]) -> Tensor:
    """Make a view from numbers in [0, 1)."""
    from torchvision.transforms.v2 import functional as image_ops

    top, left, height, width = _crop(image.shape[-2], image.shape[-1], u)
    found: Tensor = image_ops.resized_crop(image, top, left, height, width, list(image.shape[-2:]), antialias=True)
    if u[4] < 0.5:
        found = image_ops.horizontal_flip(found)
    if u[5] < JITTERED:
        found = image_ops.adjust_brightness(found, 1 + BRIGHTNESS * (2 * u[6] - 1))
        found = image_ops.adjust_contrast(found, 1 + CONTRAST * (2 * u[7] - 1))
        if image.shape[0] == 3:
            found = image_ops.adjust_saturation(found, 1 + SATURATION * (2 * u[8] - 1))
            found = image_ops.adjust_hue(found, HUE * (2 * u[9] - 1))
    if image.shape[0] == 3 and u[10] < GREY:
        found = image_ops.rgb_to_grayscale(found, num_output_channels=3)
    return found


def _crop(height: int, width: int, u: tuple[float, ...]) -> tuple[int, int, int, int]:
    """Return top, left, height and width of a crop; it is cut to the image."""
    area = height * width * (AREA[0] + (AREA[1] - AREA[0]) * u[0])
    ratio = math.exp(math.log(RATIO[0]) + math.log(RATIO[1] / RATIO[0]) * u[1])
    tall = min(height, max(1, round(math.sqrt(area / ratio))))
    wide = min(width, max(1, round(math.sqrt(area * ratio))))
    return int(u[2] * (height - tall + 1)), int(u[3] * (width - wide + 1)), tall, wide


class ViewStream(UnlearnStream):
    """Stream that serves two random views of every row: the first view of all local rows, then the second."""

    def _load(self, rows: Rows, step: int) -> Batch:
        stored = super()._load(rows, step)
        ids = stored.sample_ids.numpy()
        views = [random_views(stored.images, ids, self.seed, step, number) for number in range(2)]
        return Batch(torch.cat(views), stored.labels.repeat(2), stored.sample_ids.repeat(2))
