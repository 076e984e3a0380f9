"""Random views: what they depend on, what they may change, and how a stream serves them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cu_core.data.loader import Batches, UnlearnStream
from cu_core.data.views import ViewStream, _crop, random_views
from tests.unit.cu_core.planted import PlantedReader, planted_split


def images(count: int, channels: int = 3, side: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, channels, side, side), generator=generator, dtype=torch.uint8)


IDS = np.arange(100, 116)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_view_depends_on_the_row_and_on_every_key_and_on_nothing_else(channels: int) -> None:
    made = images(16, channels)
    want = random_views(made, IDS, 5, 7, 0)
    assert want.shape == made.shape
    assert want.dtype == torch.uint8
    torch.manual_seed(99)
    assert torch.equal(random_views(made, IDS, 5, 7, 0), want)
    backwards = random_views(made.flip(0), IDS[::-1].copy(), 5, 7, 0)
    assert torch.equal(backwards.flip(0), want)
    assert torch.equal(random_views(made[3:5], IDS[3:5], 5, 7, 0), want[3:5])
    for keys in ((6, 7, 0), (5, 8, 0), (5, 7, 1)):
        assert (random_views(made, IDS, *keys) != want).flatten(1).any(1).float().mean() > 0.9
    assert (random_views(made, IDS + 50, 5, 7, 0) != want).flatten(1).any(1).float().mean() > 0.9


def test_no_rows_have_no_views() -> None:
    assert random_views(images(0), IDS[:0], 0).shape == (0, 3, 12, 12)


def test_crops_keep_the_stated_share_within_the_image() -> None:
    """The smallest draw keeps a fifth of the area, the largest all of it; the ratio lies between 3:4 and 4:3."""
    smallest = _crop(100, 100, (0.0, 0.5, 0.999, 0.999))
    assert smallest[2] * smallest[3] == pytest.approx(2000, rel=0.03)
    assert (smallest[0] + smallest[2], smallest[1] + smallest[3]) == (100, 100)  # the last place
    assert _crop(100, 100, (0.9999, 0.5, 0.0, 0.0)) == (0, 0, 100, 100)
    tall, wide = _crop(100, 100, (0.2, 0.0, 0, 0)), _crop(100, 100, (0.2, 0.9999, 0, 0))
    assert (tall[3] / tall[2], wide[3] / wide[2]) == pytest.approx((3 / 4, 4 / 3), rel=0.03)
    for u in np.random.default_rng(0).random((200, 4)):
        top, left, height, width = _crop(7, 9, tuple(u))
        assert 0 <= top <= 7 - height
        assert 0 <= left <= 9 - width
        assert min(height, width) >= 1


def test_shares_of_views_that_are_flipped_grey_and_left_in_their_colours() -> None:
    """Images whose colour and left half tell: red left, green right."""
    made = torch.zeros(400, 3, 8, 8, dtype=torch.uint8)
    made[:, 0, :, :4] = 200
    made[:, 1, :, 4:] = 200
    seen = random_views(made, np.arange(400), 0).float()
    grey = (seen[:, 0] == seen[:, 1]).flatten(1).all(1)
    assert grey.float().mean().item() == pytest.approx(0.2, abs=0.08)
    coloured = seen[~grey]
    left_red = (coloured[:, 0] - coloured[:, 1])[:, :, 0].mean(1)
    right_red = (coloured[:, 0] - coloured[:, 1])[:, :, -1].mean(1)
    both = (left_red - right_red).abs() > 100  # crops that show both halves
    flipped = (left_red < right_red)[both].float().mean().item()
    assert flipped == pytest.approx(0.5, abs=0.12)


def test_the_stream_serves_both_views_of_the_rows_of_a_step() -> None:
    reader = PlantedReader(train=[0] * 4 + [1] * 12, val=[0, 1] * 4, test=[0, 1] * 4)
    split = planted_split(reader, "class", [0, 1, 2, 3])
    batches = Batches(forget_batch=0, retain_batch=6, omega=1)
    stream, plain = ViewStream(split, batches, 3), UnlearnStream(split, batches, 3)
    for step in range(4):
        two, one = stream(step), plain(step)
        assert len(two.forget) == 0
        assert two.retain.sample_ids.tolist() == one.retain.sample_ids.tolist() * 2
        assert two.retain.labels.tolist() == one.retain.labels.tolist() * 2
        ids = one.retain.sample_ids.numpy()
        assert torch.equal(two.retain.images[:6], random_views(one.retain.images, ids, 3, step, 0))
        assert torch.equal(two.retain.images[6:], random_views(one.retain.images, ids, 3, step, 1))
