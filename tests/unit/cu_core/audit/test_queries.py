from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cu_core.audit.queries import Query, check_columns, forgotten_and_searched, percent, precisions
from cu_core.audit.subject import AuditConfig
from cu_core.errors import UserError
from tests.unit.cu_core.audit.test_retrieval import AXES, class_subject, sample_subject

SCHEMA = pa.schema({"caption_de": pa.list_(pa.string()), "caption_fr": pa.int64(), "style": pa.string()})
READER: Any = SimpleNamespace(folder="here", schema=SCHEMA, manifest=SimpleNamespace(extra_columns=tuple(SCHEMA.names)))


def test_columns_that_are_there_are_accepted() -> None:
    check_columns(AuditConfig(languages=("de",), style_column="style"), READER)
    check_columns(AuditConfig(), READER)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            AuditConfig(languages=("de", "el")),
            "audit.languages: here has no column 'caption_el'; its columns: caption_de",
        ),
        (AuditConfig(style_column="form"), "audit.style_column: here has no column 'form'"),
        (AuditConfig(languages=("fr",)), "'caption_fr' must hold texts or lists of texts, not int64"),
    ],
)
def test_columns_that_are_missing_or_hold_no_text_are_named(config: AuditConfig, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_columns(config, READER)


def test_class_requests_search_the_test_set_and_sample_requests_the_forget_rows() -> None:
    forgotten, gallery = forgotten_and_searched(class_subject({}, [0, 0, 1, 2, 3]))
    assert forgotten.keys_K.tolist() == [0, 0]
    assert gallery.keys_K.tolist() == [0, 0, 1, 2, 3]
    assert gallery.captions[0] == ["zero"]
    own, searched = forgotten_and_searched(sample_subject())
    assert own.keys_K.tolist() == searched.keys_K.tolist()
    assert len(own.captions) == len(own.keys_K)


def test_the_precision_of_a_text() -> None:
    """Of two images of class 0 one lies along class 1: its text finds both before all others. To "two" the image of
    class 2 is nearest, and four are equally near: one of the two of class 0 is the second in half of the orders."""
    subject = class_subject({1: AXES[1] + 0.1 * AXES[0]}, [0, 0, 1, 2, 3])
    _, gallery = forgotten_and_searched(subject)
    found = precisions(subject, [Query("zero", 0), Query("zero", 1), Query("two", 0)], gallery)
    assert found.tolist() == [1, 0, 0.25]
    assert precisions(subject, [], gallery).shape == (0,)


def test_the_mean_of_rates_in_percent() -> None:
    result = percent(np.array([1.0, 0.5]), 4)
    assert (result.value, result.count) == (75, 4)
    assert result.low is not None
    assert result.low < 75 < (result.high or 0)
