from __future__ import annotations

import pyarrow as pa
import pytest

from cu_core.data.column_roles import Roles
from cu_core.data.table_survey import Survey, empty_captions, own_id_name
from cu_core.errors import DataError


def test_all_that_is_wrong_is_named_at_once() -> None:
    survey = Survey("t", Roles("image", "id", "label", None, {}), False)
    survey.add("a", pa.record_batch({"id": ["x", None], "label": [0, 1]}), range(2))
    survey.add("b", pa.record_batch({"id": ["y", "z"], "label": [None, 1]}), range(5, 7))
    with pytest.raises(DataError, match="t: 1 rows have no id: a row 1; 1 rows have no label: b row 5. Nothing"):
        survey.result(None)


def test_ids_are_hashed_if_any_is_not_a_whole_number() -> None:
    for second, hashed in ((["3"], False), (["x"], True)):
        survey = Survey("t", Roles("image", "id", None, None, {}), False)
        for ids in (["1", "2"], second):
            survey.add("a", pa.record_batch({"id": ids}), range(len(ids)))
        found = survey.result(None)
        assert found.hashed == hashed
        assert (found.ids(pa.array(["1"]))[0].tolist() == [1]) != hashed


def test_empty_captions_of_rows_and_beside_others() -> None:
    empty, beside = empty_captions(pa.array([["a", None, " "], [], None, ["b"], [""]]), "x")
    assert (empty.tolist(), beside) == ([False, True, True, False, True], 2)
    assert empty_captions(pa.array(["a", None, "\t"]), "x")[0].tolist() == [False, True, True]


def test_the_users_column_keeps_its_name_unless_it_is_taken() -> None:
    assert own_id_name(Roles("image", "uid", None, None, {})) == "uid"
    assert own_id_name(Roles("image", "sample_id", None, None, {})) == "own_id"
    assert own_id_name(Roles("image", "sample_id", None, None, {"own_id": "own_id"})) == "sample_id_in_source"


def test_labels_that_are_joined_and_numbers_in_texts_are_said() -> None:
    survey = Survey("t", Roles("image", None, "label", None, {}), False)
    survey.add("a", pa.record_batch({"label": ["tea", "tea ", " b", "caf\u00e9", "cafe\u0301"]}), range(5))
    found = survey.result(None)
    assert found.notes == {"labels joined, they differ in spaces around them or in Unicode's normal form only": 2}
    survey = Survey("t", Roles("image", None, "label", None, {}), False)
    survey.add("a", pa.record_batch({"label": ["10.0", "2.0"]}), range(2))
    assert survey.result(None).notes == {"read as whole numbers, labels such as '2.0'": 2}
