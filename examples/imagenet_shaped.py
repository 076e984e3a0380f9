"""Writes JPEG files of 224 x 224 pixels in class folders: data of ImageNet's shape, for measuring what a run costs.

    python examples/imagenet_shaped.py FOLDER --images 200000
    cu data pack folder:FOLDER data/shaped --no-check

Images of a class share a coarse pattern. Each class has a training image; of the others, one in twenty is in val and
one in twenty in test. What is there is not written again.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 224


def place(number, classes):
    """Split, class and name of an image."""
    label, turn = number % classes, number // classes
    split = {0: "val", 1: "test"}.get((label + turn) % 20, "train") if turn else "train"
    return Path(split) / f"class{label:04d}" / f"{number:08d}.jpg"


def draw(number, classes):
    """The class's pattern under detail of the image's own; about 20 kB as JPEG."""
    own, pattern = np.random.default_rng(number), np.random.default_rng([7, number % classes])
    coarse = Image.fromarray(pattern.integers(256, size=(6, 6, 3), dtype=np.uint8)).resize((SIDE, SIDE))
    detail = Image.fromarray(own.integers(256, size=(56, 56, 3), dtype=np.uint8)).resize((SIDE, SIDE))
    return Image.blend(coarse, detail, 0.5)


def write(folder, classes, number):
    path = folder / place(number, classes)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(number, classes).save(path, "JPEG", quality=85)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--classes", type=int, default=1_000)
    given = parser.parse_args()
    if not 2 <= given.classes <= given.images:
        parser.error("--classes must lie between 2 and --images")
    with ProcessPoolExecutor() as pool:
        task = partial(write, given.folder, given.classes)
        for _ in pool.map(task, range(given.images), chunksize=256):
            pass
    print(f"{given.images} images of {given.classes} classes in {given.folder}")
