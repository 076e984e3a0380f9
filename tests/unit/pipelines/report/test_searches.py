from __future__ import annotations

import pandas as pd

from pipelines.report.audit_page import environment
from pipelines.report.searches import searches

TEXT = '<script>alert(1)</script> & "quoted"'


def table() -> pd.DataFrame:
    rows = [
        {"role": role, "search": kind, "finds": finds, "query": TEXT, "query_thumb": b"query", "rank": rank,
         "answer": f"{role} {rank}", "thumb": b"image" if finds == "images" else None, "hit": rank == 1}
        for role in ("oracle_1", "oracle_0", "unlearned", "original")
        for kind in ("retained", "forgotten")
        for finds in ("images", "captions")
        for rank in (2, 1)
    ]  # fmt: skip
    return pd.concat([pd.DataFrame(rows), pd.DataFrame([{"role": "original", "set": "test"}])], ignore_index=True)


def test_models_stand_side_by_side_in_one_order_and_answers_by_rank() -> None:
    found = searches(table())
    assert list(found) == ["Forgotten", "Retained, drawn at random"]
    images, captions = found["Forgotten"]
    assert list(images.answers) == ["original", "unlearned", "oracle"]
    assert [answer.text for answer in images.answers["oracle"]] == ["oracle_0 1", "oracle_0 2"]
    assert [answer.hit for answer in images.answers["original"]] == [True, False]
    assert images.thumb == ""
    assert captions.thumb == "data:image/png;base64,cXVlcnk="
    assert images.answers["original"][0].thumb == "data:image/png;base64,aW1hZ2U="
    assert captions.answers["original"][0].thumb == ""


def test_other_models_have_no_searches() -> None:
    assert searches(pd.DataFrame([{"role": "original", "set": "test"}])) == {}


def test_captions_are_escaped() -> None:
    page = environment().get_template("searches.html.jinja").render(searches=searches(table()))
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;quoted&#34;" in page
