from __future__ import annotations

import torch

from cu_core.types import Batch, UnlearnBatch


def batch(rows: int, first: int = 0, tokens: bool = False) -> Batch:
    ids = torch.arange(first, first + rows)
    images = torch.full((rows, 3, 2, 2), first, dtype=torch.uint8)
    return Batch(images, ids % 2, ids, torch.ones(rows, 4, dtype=torch.int64) if tokens else None)


def test_a_batch_is_as_long_as_its_labels() -> None:
    assert [len(batch(rows)) for rows in (0, 1, 5)] == [0, 1, 5]


def test_a_model_reads_images_and_captions_where_there_are_any() -> None:
    plain, captioned = batch(2), batch(2, tokens=True)
    assert plain.inputs("forget").keys() == {"forget"}
    assert plain.inputs("forget")["forget"] is plain.images
    found = captioned.inputs("retain")
    assert found.keys() == {"retain", "retain texts"}
    assert found["retain texts"] is captioned.tokens


def test_a_batch_goes_to_a_device_with_all_its_parts() -> None:
    for tokens in (False, True):
        moved = batch(3, tokens=tokens).to(torch.device("meta"))
        parts = [moved.images, moved.labels, moved.sample_ids, *([moved.tokens] if tokens else [])]
        assert [part.device.type for part in parts if part is not None] == ["meta"] * (4 if tokens else 3)
        assert (moved.images.shape, moved.images.dtype) == ((3, 3, 2, 2), torch.uint8)
        assert (moved.tokens is not None) is tokens
    there = batch(3, first=7).to(torch.device("cpu"))
    assert (there.labels.tolist(), there.sample_ids.tolist()) == ([1, 0, 1], [7, 8, 9])


def test_the_parts_of_a_step_are_forget_and_retain() -> None:
    step = UnlearnBatch(forget=batch(0), retain=batch(2, tokens=True))
    assert {name: len(part) for name, part in step.parts.items()} == {"forget": 0, "retain": 2}
    assert {name: len(x) for name, x in step.inputs.items()} == {"forget": 0, "retain": 2, "retain texts": 2}
