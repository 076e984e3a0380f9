from __future__ import annotations

import numpy as np
import pytest

from cu_core.data.forget_split import RowSet
from cu_core.unlearn import evaluate
from cu_core.unlearn.evaluate import embed_texts, find_captions, predict, right_answers, shared_accuracy, shared_recall
from tests.unit.cu_core.audit.pairs import PlantedPairs
from tests.unit.cu_core.planted import Lookup, PlantedReader, predictions, table

LABELS = [0, 1, 2, 1, 0, 2, 2]


@pytest.fixture
def planted() -> PlantedReader:
    return PlantedReader(train=[0, 1, 2], val=[1, 2], test=LABELS)


def model(reader: PlantedReader, right: list[int]) -> Lookup:
    """Right on these test rows, and one class further on the others."""
    ids = reader.sample_ids("test", np.arange(len(LABELS)))
    given = {int(ids[row]): LABELS[row] if row in right else (LABELS[row] + 1) % 3 for row in range(len(LABELS))}
    return Lookup(table(reader.total, given, 3))


@pytest.mark.parametrize("at_once", [1, 3, 512])
def test_rows_come_in_the_order_asked_for_however_many_pass_at_once(
    at_once: int, planted: PlantedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "ROWS_AT_ONCE", at_once)
    rows = RowSet("test", np.array([6, 0, 3, 5]))
    found = predict(model(planted, [0, 5]), planted, rows)  # type: ignore[arg-type]
    assert found.labels.tolist() == [2, 0, 1, 2]
    assert found.sample_ids.tolist() == planted.sample_ids("test", rows.rows).tolist()
    assert found.correct.tolist() == [False, True, False, True]
    assert found.logits.argmax(1).tolist() == [0, 0, 2, 2]
    assert len(predict(model(planted, []), planted, RowSet("test", rows.rows[:0]))) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("training", [True, False])
def test_answers_are_those_of_evaluation_mode_and_the_mode_is_restored(training: bool, planted: PlantedReader) -> None:
    made = model(planted, []).train(training)
    predict(made, planted, RowSet("test", np.arange(3)))  # type: ignore[arg-type]
    assert made.modes == [False]
    assert made.training == training
    assert made.table.requires_grad


def test_hidden_embedding_and_logits_are_not_mixed_up(planted: PlantedReader) -> None:
    number = np.arange(planted.total)[:, None]
    made = Lookup(np.hstack([number, 0 * number, 0 * number]), embedding=number + 100, hidden=number + 200)
    found = predict(made, planted, RowSet("val", np.array([1, 0])))  # type: ignore[arg-type]
    ids = planted.sample_ids("val", np.array([1, 0]))
    assert found.logits[:, 0].tolist() == ids.tolist()
    assert (found.embedding[:, 0].tolist(), found.hidden[:, 0].tolist()) == ((ids + 100).tolist(), (ids + 200).tolist())


def test_where_takes_the_same_rows_of_every_part() -> None:
    kept = predictions(np.eye(3), [0, 1, 2], np.eye(3) + 1, np.eye(3) + 2).where(np.array([True, False, True]))
    assert kept.labels.tolist() == kept.sample_ids.tolist() == [0, 2]
    for value, first in ((kept.logits, 1), (kept.embedding, 2), (kept.hidden, 3)):
        assert np.diag(value[:, [0, 2]]).tolist() == [first, first]


def test_hits_and_rows_are_counted(planted: PlantedReader) -> None:
    made, rows = model(planted, [0, 1, 4]), RowSet("test", np.arange(5))
    assert shared_accuracy(made, planted, rows) == (3, 5)  # type: ignore[arg-type]
    assert shared_accuracy(made, planted, RowSet("test", rows.rows[:0])) == (0, 0)  # type: ignore[arg-type]
    assert right_answers(made, planted, rows).tolist() == [True, True, False, False, True]  # type: ignore[arg-type]


def pairs(classes: int) -> tuple[PlantedPairs, PlantedReader]:
    """Test images 0, 1 along their captions, 2 along caption b, 3 along the val caption d."""
    reader = PlantedReader(train=[0], val=[classes - 1], test=[0, 0, 0, 0])
    axes = np.eye(5)
    words = {"a": axes[0], "b": axes[1], "c": axes[2], "d": axes[3], "e": 0.5 * axes[3] + 0.1 * axes[4]}
    features = np.zeros((reader.total, 5))
    test = reader.sample_ids("test", np.arange(4))
    features[test] = axes[[0, 1, 1, 3]]
    reader._captions |= {int(i): [w, "other"] for i, w in zip(test, "abce", strict=True)}
    reader._captions |= {int(reader.sample_ids("val", 0)): ["d"], int(reader.sample_ids("train", 0)): ["a"]}
    return PlantedPairs(features, words, [["a", "b"]]), reader


def test_an_image_finds_its_own_caption_among_those_of_the_sets() -> None:
    """Image 3 lies nearest to caption e of its own set, and nearer to d of another."""
    made, reader = pairs(2)
    rows, unseen = RowSet("test", np.arange(4)), RowSet("val", np.arange(1))
    alone = find_captions(made, reader, rows, [rows])  # type: ignore[arg-type]
    assert alone.tolist() == [True, True, False, True]
    assert find_captions(made, reader, rows, [rows, unseen]).tolist() == [True, True, False, False]  # type: ignore[arg-type]
    assert shared_recall(made, reader, rows, [rows]) == (3, 4)  # type: ignore[arg-type]
    assert shared_recall(made, reader, rows, [rows, unseen]) == (2, 4)  # type: ignore[arg-type]


def test_pairs_without_classes_are_judged_by_their_captions() -> None:
    rows = RowSet("test", np.arange(4))
    for classes, want in ((1, [True, True, False, True]), (2, [True, False, False, True])):
        made, reader = pairs(classes)
        assert right_answers(made, reader, rows).tolist() == want  # type: ignore[arg-type]


@pytest.mark.parametrize("at_once", [1, 512])
def test_texts_come_in_the_order_of_the_captions(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "ROWS_AT_ONCE", at_once)
    made, _ = pairs(2)
    assert embed_texts(made, ["c", "a", "c", "b"]).argmax(1).tolist() == [2, 0, 2, 1]
    assert len(embed_texts(made, [])) == 0
