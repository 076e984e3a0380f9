"""Whether runs give bit for bit the weights that another commit gives: ``python -m tests.same_weights COMMIT``.

Class, samples and image-text pairs, on digits and on Fashion-MNIST, each trained and unlearned in one process.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parents[1]
FASHION = "/usr/share/datasets/fashion-mnist"
PACKS = {
    "digits": ["digits"],
    "digits-captions": ["digits", "--caption", "a photo of the digit {class}.", "--caption", "the digit {class}"],
    "fashion-mnist": [f"fashion-mnist:{FASHION}", "--train-rows", "1000"],
    "fashion-mnist-captions": [
        f"fashion-mnist:{FASHION}",
        "--train-rows",
        "1000",
        "--caption",
        "a photo of a {class}.",
        "--caption",
        "a picture of one {class}",
    ],  # fmt: skip
}
SMALL = ["train.epochs=3", "stop.max_steps=12", "audit.oracles=0"]
RUNS = {
    "digits, class": ["digits_class.yaml", "data.path={data}/digits", *SMALL],
    "digits, samples": ["digits_samples.yaml", "data.path={data}/digits", *SMALL],
    "digits, paper's settings": ["digits_class.yaml", "data.path={data}/digits", "preset=paper", *SMALL],
    "digits, pairs": ["digits_clip.yaml", "data.path={data}/digits-captions", *SMALL],
    "Fashion-MNIST, class": ["fashion_mnist_class.yaml", "data.path={data}/fashion-mnist", *SMALL],
    "Fashion-MNIST, samples": ["fashion_mnist_samples.yaml", "data.path={data}/fashion-mnist", *SMALL],
    "Fashion-MNIST, pairs": ["fashion_mnist_clip.yaml", "data.path={data}/fashion-mnist-captions", *SMALL],
}


def weights(tree: Path, data: Path, out: Path, run: list[str]) -> str:
    """Digest of the unlearned weights."""
    file, *settings = [word.format(data=data) for word in run]
    words = [
        sys.executable,
        "-m",
        "cu_core",
        str(HERE / "tune_configs" / "base" / file),
        *settings,
        f"storage={out}/store",
    ]
    subprocess.run([*words, "--out", str(out)], cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, check=True)
    (found,) = out.rglob("unlearned/model.safetensors")
    return hashlib.sha256(found.read_bytes()).hexdigest()


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        data, before = Path(place) / "data", Path(place) / "before"
        subprocess.run(["git", "worktree", "add", "--detach", str(before), sys.argv[1]], cwd=HERE, check=True)
        try:
            for name, words in PACKS.items():
                command = [sys.executable, "-m", "pipelines.cli.entry", "data", "pack", words[0], str(data / name)]
                subprocess.run([*command, "--val-frac", "0.2", *words[1:]], cwd=HERE, check=True)
            differ = []
            for number, (name, run) in enumerate(RUNS.items()):
                found = [
                    weights(tree, data, Path(place) / f"{number}-{side}", run)
                    for side, tree in enumerate((before, HERE))
                ]
                same = found[0] == found[1]
                sys.stdout.write(f"{name}: {'the same' if same else 'differ'} ({found[1][:12]})\n")
                differ += [] if same else [name]
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(before)], cwd=HERE, check=True)
    sys.exit(f"other weights than {sys.argv[1]}: {', '.join(differ)}" if differ else 0)


if __name__ == "__main__":
    main()
