import stat
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_kmeans.errors import DataError
from secure_kmeans.identifiers import checked_identifiers, load_identifiers, save_identifiers

MISSING = "the identifier is missing; fill it in or leave the row out"
NEITHER = "this is neither text nor a whole number; save the column of identifiers as text"
BLANKS = "there are blanks before or after the identifier; remove them"

texts = st.text(min_size=1).filter(lambda text: text == text.strip())


lists = st.lists(texts, min_size=1, unique_by=lambda text: unicodedata.normalize("NFC", text))


def refusal(cells: list[Any]) -> str:
    with pytest.raises(DataError) as caught:
        checked_identifiers(cells, "t.csv", 'column "id"')
    return str(caught.value).removeprefix('t.csv: column "id", ')


class TestChecked:
    def test_text_stays_as_it_is(self) -> None:
        cells = ["007", "7", "NA", "null", "nan", "-", "1e3", "TRUE", "a b", "Zoë", "1.0"]
        assert checked_identifiers(cells, "t", "c") == tuple(cells)

    @pytest.mark.parametrize("cells", [[7, 12345678901234567890], [np.int64(7), np.uint64(12345678901234567890)]])
    def test_whole_numbers_are_their_digits(self, cells: list[Any]) -> None:
        assert checked_identifiers(cells, "t", "c") == ("7", "12345678901234567890")

    def test_no_rows(self) -> None:
        assert checked_identifiers([], "t", "c") == ()

    @pytest.mark.parametrize("cell", ["", None, float("nan"), pd.NA, pd.NaT])
    def test_missing(self, cell: Any) -> None:
        assert refusal(["a", cell]) == f"row 2: {MISSING}"

    @pytest.mark.parametrize("cell", [7.0, True, np.bool_(True), pd.Timestamp(0), b"7", ["7"], 7j])
    def test_neither_text_nor_whole(self, cell: Any) -> None:
        assert refusal(["a", "b", cell]) == f"row 3: {NEITHER}"

    @pytest.mark.parametrize("cell", [" 7", "7 ", "\t7", "7\n", "\u00a07", " "])
    def test_blanks(self, cell: str) -> None:
        assert refusal([cell]) == f"row 1: {BLANKS}"

    def test_half_a_letter(self) -> None:
        assert refusal(["\ud800"]) == "row 1: the identifier is no text in Unicode; correct it"

    @pytest.mark.parametrize("cells", [["a", "b", "a"], ["Zoë", "b", "Zoe\u0308"], ["7", "b", 7]])
    def test_two_rows_with_the_same_identifier(self, cells: list[Any]) -> None:
        assert refusal(cells) == "rows 1 and 3: the identifiers are the same; leave one of the rows out, or correct it"

    @given(lists)
    def test_any_text_without_blanks_around_it(self, ids: list[str]) -> None:
        assert checked_identifiers(ids, "t", "c") == tuple(ids)

    @given(lists, st.data())
    def test_no_message_shows_an_identifier(self, ids: list[str], data: st.DataObject) -> None:
        marked = [f"secret{identifier}" for identifier in ids]
        row = data.draw(st.integers(0, len(marked) - 1))
        spoiled = data.draw(
            st.sampled_from([f" {marked[row]}", f"{marked[row]} ", unicodedata.normalize("NFD", marked[row])])
        )
        assert "secret" not in refusal([*marked, spoiled])


class TestSaved:
    @settings(max_examples=30)
    @given(st.lists(st.text()))
    def test_are_loaded_as_they_were(self, ids: list[str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            save_identifiers(Path(folder) / "ids", ids)
            assert load_identifiers(Path(folder) / "ids") == tuple(ids)

    def test_only_their_owner_may_read_them(self, tmp_path: Path) -> None:
        save_identifiers(tmp_path / "ids", ["7"])
        assert stat.S_IMODE((tmp_path / "ids").stat().st_mode) == 0o600

    def test_no_file_is_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "ids").write_text("mine")
        with pytest.raises(FileExistsError):
            save_identifiers(tmp_path / "ids", ["7"])
        assert (tmp_path / "ids").read_text() == "mine"
