from __future__ import annotations

from pathlib import Path

import pytest

from cu_core.data.captioned_files import CaptionedFile, caption_column, captioned_files, language_key, languages_of
from cu_core.data.sources import SourceOptions
from cu_core.errors import DataError
from tests.unit.cu_core.data.drawn_emoji import picture, written


def test_a_language_has_one_key_however_it_is_written() -> None:
    assert language_key("pt_BR") == language_key("PT-br") == "pt-br"
    assert caption_column("pt_BR") == "caption_pt_BR"
    assert languages_of(SourceOptions(), "here") == ("en",)
    with pytest.raises(DataError, match="twice: pt_BR, pt-br"):
        languages_of(SourceOptions(languages=("pt_BR", "pt-br")), "here")


def test_the_same_file_has_the_same_id_wherever_its_folder_lies(tmp_path: Path) -> None:
    ids = []
    for place in ("one", "two"):
        written(tmp_path / place / "a.png", picture((1, 2, 3)))
        files = [CaptionedFile("a.png", "thing", "all", "png", {"en": ["a thing"]})]
        (chunk,) = captioned_files(f"x:{place}", tmp_path / place, files, SourceOptions(), {}).read()
        ids.append(chunk.sample_ids.tolist())
    assert ids[0] == ids[1]
