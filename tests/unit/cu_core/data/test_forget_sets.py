from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cu_core.data.forget_sets import ForgetSet, load_forget_set, save_forget_set
from cu_core.data.requests import ByClass, resolve_request
from cu_core.data.shard_reader import ShardReader
from cu_core.errors import DataError


def test_a_saved_set_keeps_what_was_forgotten_before(reader: ShardReader, tmp_path: Path) -> None:
    before, now = (resolve_request(ByClass(classes=(c,)), reader) for c in (3, 5))
    forget = ForgetSet("class", (5,), now.rows, now.sample_ids, now.data_digest, before=before)
    assert forget.digest not in (now.digest, before.digest)
    again = load_forget_set(save_forget_set(tmp_path, forget), reader.manifest.digest)
    assert again.digest == forget.digest
    assert again.before is not None
    assert (again.before.kind, again.before.classes) == ("class", (3,))
    np.testing.assert_array_equal(again.before.rows, before.rows)
    np.testing.assert_array_equal(again.gone, np.union1d(now.rows, before.rows))
    np.testing.assert_array_equal(again.gone_ids, np.union1d(now.sample_ids, before.sample_ids))


def test_a_row_cannot_be_forgotten_twice(reader: ShardReader) -> None:
    now = resolve_request(ByClass(classes=(5,)), reader)
    with pytest.raises(DataError, match=f"{len(now.rows)} of {len(now.rows)} forget rows were forgotten before"):
        ForgetSet("class", (5,), now.rows, now.sample_ids, now.data_digest, before=now)
