"""The page of an audit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cu_core.audit.report import AuditReport
from cu_core.config_io import config_from
from cu_core.types import MetricResult
from pipelines.report import audit_page, plots
from pipelines.report.audit_page import PLAIN_WORDS, environment, write_report
from tests.unit.pipelines.report.test_class_table import many
from tests.unit.pipelines.reports import report

SAMPLES = pd.DataFrame(
    {"role": "original", "set": ["forget", "retain", "holdout"], "label": [0, 1, 0], "loss": [0.5, 0.1, 0.3]}
)


@pytest.fixture
def samples_file(tmp_path: Path) -> Path:
    SAMPLES.to_parquet(tmp_path / "samples.parquet")
    return tmp_path / "samples.parquet"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture is the name of its function."""
    names = ("bands", "class_change", "loss_histograms", "received", "embedding_maps", "cosine_histograms",
             "search_results", "relearning", "stop_curve", "loss_curves")  # fmt: skip
    for name in names:
        monkeypatch.setattr(plots, name, lambda *given, name=name: f"<svg>{name}</svg>")


def made() -> AuditReport:
    figures = {0: MetricResult(50.0, 10), 1: MetricResult(60.0, 10)}
    return replace(
        report(config_from({"seed": 77})),
        class_names=("a<b", "c"),
        per_class={"original": figures, "unlearned": figures},
        sizes={"forget_set": 10, "retain_set": 90, "retain_pool": 30},
    )


def test_the_page_is_one_file_with_names_as_text(samples_file: Path, tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", made(), samples_file, "run <b>", {"total_loss": [(1, 2.0), (2, 1.0)]})
    page = (tmp_path / "r.html").read_text()
    assert "run &lt;b&gt;" in page
    assert "run <b>" not in page
    assert "a&lt;b" in page  # matplotlib's text
    assert PLAIN_WORDS["over-forgotten"] in page
    assert "seed: 77" in page
    assert "the run drew its retain rows from 30 of them" in page
    assert "was not measured on this data" in page
    assert page.count("<svg") == 5  # figures of two audits, classes, losses of samples, loss terms
    assert not any(word in page for word in ("http://cdn", "https://cdn", "<script src", "<link "))


@pytest.mark.parametrize("count", [49, 1000])
def test_a_page_of_many_classes_has_the_worst_and_a_search_box(count: int, samples_file: Path, tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", many(count), samples_file, "run")
    page = (tmp_path / "r.html").read_text()
    lines = page[page.index('id="classes"') :].splitlines() if count > 49 else []
    rows = [line for line in lines if "<td>class " in line]
    assert len(rows) == (count if count > 49 else 0)
    assert sum("<tr hidden>" in row for row in rows) == max(0, len(rows) - 40)
    assert ('type="search"' in page) == ("input[data-searches]" in page) == (count > 49)
    assert len(page) < 10**6


def test_of_a_large_table_evenly_spaced_rows_are_read_and_all_of_the_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_page, "PICTURED", 10)
    table = pd.DataFrame({"sample_id": range(35), "x": [0.5 if n == 7 else None for n in range(35)]})
    pq.write_table(pa.Table.from_pandas(table), tmp_path / "large.parquet", row_group_size=6)
    assert audit_page.read_samples(tmp_path / "large.parquet")["sample_id"].tolist() == sorted([*range(0, 35, 4), 7])
    table[:10].to_parquet(tmp_path / "small.parquet")
    assert audit_page.read_samples(tmp_path / "small.parquet").equals(table[:10])


@pytest.mark.usefixtures("drawn")
def test_a_picture_is_there_only_with_what_it_shows() -> None:
    def shown(found: AuditReport, samples: pd.DataFrame, curves: bool = False) -> dict[str, list[str]]:
        pictures = audit_page._pictures(found, samples, {"loss": [(1, 1.0)]} if curves else {})
        return {audit: [svg[5:-6] for _, svg in both] for audit, both in pictures.items() if both}

    plain = {"accuracy": ["bands", "class_change"], "membership": ["bands", "loss_histograms"]}
    assert shown(made(), SAMPLES) == plain
    assert shown(made(), SAMPLES, curves=True) == plain | {"course": ["loss_curves"]}
    more = replace(made(), received={"unlearned": [1.0]}, curves={"relearn_5": {}}, stop={"history": [{}]})
    added = {"neighbours": ["received"], "relearning": ["relearning"], "course": ["stop_curve"]}
    assert shown(more, SAMPLES) == plain | added
    pairs = SAMPLES.assign(matched=0.5, picture=None)
    assert shown(made(), pairs) == plain | {"retrieval": ["cosine_histograms"]}
    pictures = pairs.assign(picture=b"png")
    assert shown(made(), pictures) == plain | {"retrieval": ["cosine_histograms", "search_results"]}


@pytest.mark.usefixtures("drawn")
def test_figures_in_steps_have_no_band_in_points() -> None:
    rows = (replace(made().rows[0], name="relearn_steps", audit="relearning"),)
    assert audit_page._pictures(replace(made(), rows=rows), SAMPLES, {})["relearning"] == []


def test_a_first_letter_is_raised_and_no_other_lowered() -> None:
    raise_first = environment().filters["capitalize_first"]
    assert (raise_first("mIA of CLIP"), raise_first("")) == ("MIA of CLIP", "")
