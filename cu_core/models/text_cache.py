"""Embeddings of captions by a frozen text tower, kept on disk by the digest of its weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cu_core.dist import rank
from cu_core.files import digest_of, load_arrays, save_arrays
from cu_core.models.classifier import Classifier
from cu_core.models.image_text import ImageTextClassifier
from cu_core.storage import fetched


def recall_texts(model: Classifier, folder: Path, about: object) -> None:
    """Load the embeddings that earlier runs stored; does nothing if the text tower is trained.

    Args:
        model: The model.
        folder: Folder of the cache.
        about: Everything besides the weights that the embeddings depend on.
    """
    if (file := _file(model, folder, about)) and fetched(file):
        assert isinstance(model, ImageTextClassifier)
        model.keep_texts(**load_arrays(file))


def store_texts(model: Classifier, folder: Path, about: object) -> None:
    """Store the embeddings of the first worker for later runs.

    Args:
        model: The model.
        folder: Folder of the cache.
        about: Everything besides the weights that the embeddings depend on.
    """
    if rank() == 0 and (file := _file(model, folder, about)):
        assert isinstance(model, ImageTextClassifier)
        if arrays := model.kept_texts():
            save_arrays(file, arrays)


def _file(model: Classifier, folder: Path, about: object) -> Path | None:
    if not isinstance(model, ImageTextClassifier):
        return None
    weights = model.body.parameters_of("text")
    if any(p.requires_grad for p in weights):
        return None
    digest = hashlib.sha256(digest_of(about).encode())
    for weight in weights:
        digest.update(weight.detach().cpu().numpy().tobytes())
    return folder / f"{digest.hexdigest()[:16]}.npz"
