"""Image-text models: the concept in other words, other data sets, and what the text tower alone still says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cu_core.audit.subject import Subject
from cu_core.data.forget_split import RowSet
from cu_core.data.schema import Split
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import DataError
from cu_core.metrics.accuracy import accuracy
from cu_core.models.image_text import ImageTextClassifier
from cu_core.types import MetricResult
from cu_core.unlearn.evaluate import embed_texts, predict

Features = NDArray[np.float32]


def zero_shot(subject: Subject) -> dict[str, MetricResult]:
    """Measure what zero-shot classification still finds.

    Class requests: the accuracy on unseen images in the wording (template, paraphrase) that finds most of them, the
    share of retained images given to the concept, and the distance of its prompts from those of other classes. All
    requests: the accuracy on other data sets.
    """
    model, split = subject.model, subject.split
    assert isinstance(model, ImageTextClassifier)
    found = _other_data(subject)
    if split.forget.kind != "class":
        return found
    forgotten = list(split.forget.classes)
    prompts_TCD = model.class_features().float().cpu().numpy()
    labels = subject.forget_test.labels
    found["best_template_accuracy"] = _best([_nearest(subject, classes) == labels for classes in prompts_TCD])
    to_concept = np.isin(subject.retain_test.logits.argmax(1), forgotten)
    found["hub_rate"] = accuracy(to_concept)
    found["prompt_distance"] = _distance(prompts_TCD, forgotten)
    if subject.config.paraphrases:
        given = embed_texts(model, subject.config.paraphrases)
        together = _unit(prompts_TCD.mean(0))
        answers = [_nearest(subject, _replaced(together, forgotten, text)) for text in given]
        found["best_paraphrase_accuracy"] = _best([np.isin(answer, forgotten) for answer in answers])
    return found


def _best(right: list[NDArray[np.bool_]]) -> MetricResult:
    return max(map(accuracy, right), key=lambda result: result.value)


def _unit(x: Features) -> Features:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True), np.float32)


def _replaced(classes_CD: Features, forgotten: list[int], text_D: Features) -> Features:
    changed = classes_CD.copy()
    changed[forgotten] = text_D
    return changed


def _nearest(subject: Subject, classes_CD: Features) -> NDArray[np.int64]:
    """Return the class that each unseen forgotten image is given to, (N,)."""
    return np.asarray((subject.forget_test.embedding @ classes_CD.T).argmax(1), np.int64)


def _distance(prompts_TCD: Features, forgotten: list[int]) -> MetricResult:
    """Compute 1 - cosine of the forgotten prompt to the nearest retained one; the interval spans the templates."""
    retained = np.delete(prompts_TCD, forgotten, axis=1)
    apart = 1 - np.einsum("tfd,tcd->tfc", prompts_TCD[:, forgotten], retained).max(2)
    return MetricResult(float(apart.mean()), apart.size, float(apart.min()), float(apart.max()))


def _other_data(subject: Subject) -> dict[str, MetricResult]:
    model = subject.model
    assert isinstance(model, ImageTextClassifier)
    right = []
    for folder in subject.config.other_data:
        reader = ShardReader(folder, model.preprocess.size)
        part: Split = "val" if subject.split.tuning else "test"
        count = min(reader.num_rows(part), subject.config.max_rows)
        rows = RowSet(part, np.linspace(0, reader.num_rows(part) - 1, count).astype(np.int64))
        found = predict(model, reader, rows)
        classes = _unit(model.features_of(reader.manifest.class_names).mean(0).float().cpu().numpy())
        right.append((found.embedding @ classes.T).argmax(1) == found.labels)
    return {"other_data_accuracy": accuracy(np.concatenate(right))} if right else {}


def digests_of(folders: tuple[str, ...]) -> list[str]:
    """Return the digests of packed data sets.

    Raises:
        DataError: A data set is missing, has no classes, or has no val or test split.
    """
    manifests = [ShardReader(folder).manifest for folder in folders]
    for folder, manifest in zip(folders, manifests, strict=True):
        if manifest.num_classes < 2 or not manifest.num_rows("test") or not manifest.num_rows("val"):
            raise DataError(f"audit.other_data: {folder} must hold data with classes, a val and a test split.")
    return [manifest.digest for manifest in manifests]
