import datetime
import math
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_kmeans.chunked_tables import read_in_chunks
from secure_kmeans.errors import DataError
from secure_kmeans.job import LARGEST_MAGNITUDE, Scaling
from secure_kmeans.tables import check_bounds, read_table, split_table, table_from_frame

NUMBER = "987654321.125"
WORD = "secretname"

MISSING = "a value is missing; fill it in or leave the row out"
TEXT = "this is text, not a number; correct it, or choose other columns"
INFINITE = "the number is infinite; correct it or leave the row out"
TOO_LARGE = "the number is too large for the fixed point; use a larger unit"
BOOLEAN = "this is not a number; use 0 and 1, or choose other columns"
NO_ROWS = "there are no rows below the header; a table needs at least one"
NOT_COMMAS = "the columns are not separated by commas; save it as CSV with commas"
RAGGED = (
    "this is not a table with as many cells in every row as in its header; save it as CSV with commas, or as Parquet"
)
NOT_UTF8 = "this is not text in UTF-8; save it as a UTF-8 CSV or as Parquet"
UNREADABLE = "the file cannot be read as a table; save it as CSV or Parquet"


def written(folder: Path, name: str, content: str | bytes | pd.DataFrame) -> Path:
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    else:
        content.to_parquet(path)
    return path


def refusal(path: Path, columns: Sequence[str] = ()) -> str:
    """The message without the file's name, the same where it is read in chunks; no message may hold a value."""
    with pytest.raises(DataError) as caught:
        read_table(path, columns)
    message = str(caught.value)
    for chunk_rows in (1, 1000):
        with pytest.raises(DataError) as caught:
            read_in_chunks(path, columns, chunk_rows)
        assert str(caught.value) == message
    assert "\n" not in message
    prefix = f"{path}: "
    assert message.startswith(prefix)
    rest = message.removeprefix(prefix)
    assert "987654321" not in rest
    assert WORD not in rest
    return rest


class TestReading:
    @pytest.mark.parametrize("name", ["t.csv", "t.txt", "t"])
    def test_csv(self, tmp_path: Path, name: str) -> None:
        table = read_table(written(tmp_path, name, "a,b\n1,2.5\n-3,4e2\n"))
        assert table.columns == ("a", "b")
        assert table.rows.dtype == np.float64
        assert table.rows.tolist() == [[1.0, 2.5], [-3.0, 400.0]]
        assert len(table) == 2
        assert table.source == str(tmp_path / name)

    @pytest.mark.parametrize("name", ["t.parquet", "t.pq", "t.PARQUET"])
    def test_parquet(self, tmp_path: Path, name: str) -> None:
        frame = pd.DataFrame({"a": [1, -3], "b": [2.5, 400.0]}, index=[7, 8])
        table = read_table(written(tmp_path, name, frame))
        assert table.columns == ("a", "b")
        assert table.rows.tolist() == [[1.0, 2.5], [-3.0, 400.0]]

    @pytest.mark.parametrize(
        ("content", "columns", "rows"),
        [
            ("\ufeffa,b\n1,2\n", ("a", "b"), [[1, 2]]),
            (" a , b\n 1, 2 \n", ("a", "b"), [[1, 2]]),
            ("a,b\r\n1,2\r\n", ("a", "b"), [[1, 2]]),
            ("a,b\n1,2", ("a", "b"), [[1, 2]]),
            ('"a, ""x""",b\n"1","2"\n', ('a, "x"', "b"), [[1, 2]]),
            ("größe,b\n1,2\n", ("größe", "b"), [[1, 2]]),
            ("a\n1\n2\n\n", ("a",), [[1], [2]]),
        ],
    )
    def test_csv_as_programs_write_it(
        self, tmp_path: Path, content: str | bytes | pd.DataFrame, columns: tuple[str, ...], rows: list[list[float]]
    ) -> None:
        table = read_table(written(tmp_path, "t.csv", content))
        assert table.columns == columns
        assert table.rows.tolist() == rows

    @pytest.mark.parametrize(
        "cells",
        [
            pd.array([1, 2], dtype="Int64"),
            np.array([1, 2], dtype=np.float32),
            [Decimal("1.0"), Decimal("2.0")],
            ["1", "2.0"],
        ],
    )
    def test_parquet_types_that_hold_numbers(self, tmp_path: Path, cells: Any) -> None:
        table = read_table(written(tmp_path, "t.parquet", pd.DataFrame({"a": cells})))
        assert table.rows.tolist() == [[1.0], [2.0]]

    @pytest.mark.parametrize("name", ["NA", "nan", "None", "null"])
    def test_a_column_may_be_called_like_a_missing_value(self, tmp_path: Path, name: str) -> None:
        path = written(tmp_path, "t.csv", f"{name},b\n1,2\n")
        assert read_table(path, [name]).rows.tolist() == [[1.0]]

    @settings(max_examples=50, deadline=None)
    @given(data=st.data(), parquet=st.booleans())
    def test_floats_survive_bit_by_bit(self, data: st.DataObject, parquet: bool) -> None:
        names = ["plain", "with, comma", 'with "quotes"'][: data.draw(st.integers(1, 3))]
        cell = st.floats(-LARGEST_MAGNITUDE, LARGEST_MAGNITUDE, allow_subnormal=True)
        row = st.lists(cell, min_size=len(names), max_size=len(names))
        rows = np.array(data.draw(st.lists(row, min_size=1, max_size=12)))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / ("t.parquet" if parquet else "t.csv")
            frame = pd.DataFrame(rows, columns=names)
            if parquet:
                frame.to_parquet(path)
            else:
                frame.to_csv(path, index=False)
            table = read_table(path)
        assert table.columns == tuple(names)
        assert table.rows.tobytes() == rows.tobytes()


class TestColumns:
    @pytest.mark.parametrize(
        ("columns", "names", "rows"),
        [
            ((), ("a", "b", "c"), [[1, 2, 3]]),
            (("c", "a"), ("c", "a"), [[3, 1]]),
            (("3", "1"), ("c", "a"), [[3, 1]]),
            (("b", "3"), ("b", "c"), [[2, 3]]),
        ],
    )
    def test_by_name_and_by_number_from_1(
        self, tmp_path: Path, columns: Sequence[str], names: tuple[str, ...], rows: list[list[float]]
    ) -> None:
        table = read_table(written(tmp_path, "t.csv", "a,b,c\n1,2,3\n"), columns)
        assert table.columns == names
        assert table.rows.tolist() == rows

    def test_a_name_beats_a_number(self, tmp_path: Path) -> None:
        path = written(tmp_path, "t.csv", "2,1,x,y,z\n10,20,30,40,50\n")
        assert read_table(path, ["1"]).rows.tolist() == [[20.0]]
        assert read_table(path, ["2"]).rows.tolist() == [[10.0]]
        assert read_table(path, ["3"]).rows.tolist() == [[30.0]]

    def test_columns_that_are_not_chosen_may_hold_anything(self, tmp_path: Path) -> None:
        path = written(tmp_path, "t.csv", f"a,b,d,d\n1,{WORD},,x\n2,,inf,\n")
        assert read_table(path, ["a"]).rows.tolist() == [[1.0], [2.0]]

    @pytest.mark.parametrize("column", ["x", "0", "3", "-1", "1.0", "\u00b2", "", "A", " a"])
    def test_unknown(self, tmp_path: Path, column: str) -> None:
        path = written(tmp_path, "t.csv", f"a,b\n{NUMBER},{WORD}\n")
        assert refusal(path, [column]) == f'there is no column "{column}"; it has "a", "b", numbered from 1'

    def test_unknown_among_many(self, tmp_path: Path) -> None:
        path = written(tmp_path, "t.csv", "a,b,c,d,e,f,g,h,i,j\n" + ",".join("0123456789") + "\n")
        assert refusal(path, ["x"]) == (
            'there is no column "x"; it has "a", "b", "c", "d", "e", "f", "g", "h" and 2 more, numbered from 1'
        )

    @pytest.mark.parametrize("columns", [("a", "a"), ("a", "1"), ("1", "1"), ("b", "a", "1")])
    def test_named_twice(self, tmp_path: Path, columns: Sequence[str]) -> None:
        path = written(tmp_path, "t.csv", f"a,b\n{NUMBER},{NUMBER}\n")
        assert refusal(path, columns) == 'column "a" is named twice; name each column once'

    @pytest.mark.parametrize("columns", [(), ("a",), ("1",), ("3",)])
    def test_doubled_header(self, tmp_path: Path, columns: Sequence[str]) -> None:
        path = written(tmp_path, "t.csv", f"a,b,a\n{NUMBER},2,{NUMBER}\n")
        assert refusal(path, columns) == '2 columns are called "a"; rename them'

    def test_a_file_without_a_header_shows_none_of_its_first_row(self, tmp_path: Path) -> None:
        said = refusal(written(tmp_path, "t.csv", f"{NUMBER},2\n3,4\n"), ["income"])
        assert said == (
            'there is no column "income"; its first line looks like a row of data, not a header; add a header line'
        )


class TestCells:
    @pytest.mark.parametrize(
        ("cell", "finding"),
        [
            ("", MISSING),
            ("NA", MISSING),
            ("nan", MISSING),
            (WORD, TEXT),
            (f"{NUMBER} EUR", TEXT),
            ('"987,654,321.125"', TEXT),
            ("987654321125_0", TEXT),
            ("2024-02-29", TEXT),
            ("True", TEXT),
            ("inf", INFINITE),
            ("-Infinity", INFINITE),
            ("987654321.125e290", TOO_LARGE),
            ("-1e300", TOO_LARGE),
            ("987654321125987654321125", TOO_LARGE),
            ("9007199254740994", TOO_LARGE),
        ],
    )
    def test_csv(self, tmp_path: Path, cell: str, finding: str) -> None:
        path = written(tmp_path, "t.csv", f"id,income\n{NUMBER},{NUMBER}\n{NUMBER},{NUMBER}\n1,{cell}\n4,{cell}\n")
        assert refusal(path) == f'column "income", row 3: {finding}'

    @pytest.mark.parametrize(
        ("cells", "row", "finding"),
        [
            ([float(NUMBER), None], 2, MISSING),
            ([float(NUMBER), math.nan], 2, MISSING),
            (pd.array([987654321, None], dtype="Int64"), 2, MISSING),
            ([Decimal(NUMBER), None], 2, MISSING),
            ([NUMBER, WORD], 2, TEXT),
            ([float(NUMBER), math.inf], 2, INFINITE),
            ([float(NUMBER), -1e300], 2, TOO_LARGE),
            (np.array([1, 2**64 - 1], dtype=np.uint64), 2, TOO_LARGE),
            ([True, False], 1, BOOLEAN),
            (pd.array([True, None], dtype="boolean"), 1, BOOLEAN),
        ],
    )
    def test_parquet(self, tmp_path: Path, cells: Any, row: int, finding: str) -> None:
        path = written(tmp_path, "t.parquet", pd.DataFrame({"id": [1, 2], "income": cells}))
        assert refusal(path) == f'column "income", row {row}: {finding}'

    @pytest.mark.parametrize("cells", [["True", "False"], ["true", "true"]])
    def test_csv_booleans(self, tmp_path: Path, cells: Any) -> None:
        path = written(tmp_path, "t.csv", "id,income\n" + "".join(f"1,{cell}\n" for cell in cells))
        assert refusal(path) == f'column "income", row 1: {BOOLEAN}'

    @pytest.mark.parametrize(
        "cells",
        [
            pd.to_datetime(["2024-02-29", "2024-03-01"]),
            pd.to_timedelta([1, 2], unit="D"),
            [datetime.date(2024, 2, 29), datetime.date(2024, 3, 1)],
            [b"1", b"2"],
            [[1.0], [2.0]],
        ],
        ids=["times", "durations", "dates", "bytes", "lists"],
    )
    def test_parquet_types_that_hold_no_numbers(self, tmp_path: Path, cells: Any) -> None:
        path = written(tmp_path, "t.parquet", pd.DataFrame({"income": cells}))
        message = refusal(path)
        assert message.startswith('column "income", row 1: ')
        assert "not a number" in message
        assert "2024" not in message

    def test_the_first_column_that_was_asked_for_is_reported(self, tmp_path: Path) -> None:
        path = written(tmp_path, "t.csv", f"a,b\n1,\n,{WORD}\n")
        assert refusal(path, ["b", "a"]) == f'column "b", row 1: {MISSING}'
        assert refusal(path, ["a", "b"]) == f'column "a", row 2: {MISSING}'

    def test_a_blank_line_in_the_only_column_is_a_missing_value(self, tmp_path: Path) -> None:
        assert refusal(written(tmp_path, "t.csv", "a\n1\n\n3\n")) == f'column "a", row 2: {MISSING}'

    @pytest.mark.parametrize("number", [LARGEST_MAGNITUDE, -LARGEST_MAGNITUDE])
    def test_the_largest_number_passes(self, tmp_path: Path, number: float) -> None:
        path = written(tmp_path, "t.parquet", pd.DataFrame({"a": [number]}))
        assert read_table(path).rows.tolist() == [[number]]

    def test_rows_of_a_frame_are_counted_whatever_its_index(self) -> None:
        frame = pd.DataFrame({"a": [1.0, math.nan]}, index=[9, 9])
        with pytest.raises(DataError) as caught:
            table_from_frame(frame, source="X")
        assert str(caught.value) == f'X: column "a", row 2: {MISSING}'

    def test_rows_of_a_slice_are_counted_as_in_the_file(self, tmp_path: Path) -> None:
        table = read_table(written(tmp_path, "t.csv", "a,b\n" + "1,2\n" * 5 + f"1,{NUMBER}\n"))
        parts = split_table(table, 3)
        assert [part.first_row for part in parts] == [1, 3, 5]
        with pytest.raises(DataError) as caught:
            check_bounds(parts[2], Scaling.of(lower=(0.0, 0.0), upper=(9.0, 9.0)))
        assert str(caught.value).startswith(f'{table.source}: column "b", row 6: the number is outside')

    def test_names_of_a_frame_need_not_be_text(self) -> None:
        frame = pd.DataFrame([[1.0, 2.0]], columns=[10, 20])
        assert table_from_frame(frame, source="X").columns == ("10", "20")
        assert table_from_frame(frame, ["20"], source="X").rows.tolist() == [[2.0]]


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "content", "finding"),
        [
            ("empty.csv", "", "the file is empty; it needs a header and rows"),
            ("newline.csv", "\n\n", "the file is empty; it needs a header and rows"),
            ("mark.csv", "\ufeff", "the file is empty; it needs a header and rows"),
            ("header.csv", "a,b\n", NO_ROWS),
            ("header.parquet", pd.DataFrame({"a": np.array([])}), NO_ROWS),
            ("semicolons.csv", f"a;b\n{NUMBER};{WORD}\n", NOT_COMMAS),
            ("decimal.csv", "a;b\n987654321,125;1,5\n", NOT_COMMAS),
            ("tabs.csv", f"a\tb\n{NUMBER}\t{WORD}\n", NOT_COMMAS),
            ("long.csv", f"a,b\n1,2\n3,{NUMBER},{WORD}\n", RAGGED),
            ("long_first.csv", f"a,b\n1,{NUMBER},{WORD}\n3,4\n", RAGGED),
            ("short_header.csv", f"a,b\n1,{NUMBER},{WORD}\n2,{NUMBER},{WORD}\n", RAGGED),
            ("quote.csv", f'a,b\n1,"{NUMBER}\n3,4\n', RAGGED),
            ("short.csv", f"a,b\n{NUMBER},2\n3\n", f'column "b", row 2: {MISSING}'),
            ("latin.csv", f"a,b\n{NUMBER},2\nM\u00fcller {WORD},4\n".encode("latin-1"), NOT_UTF8),
            ("latin_header.csv", "gr\u00f6\u00dfe,b\n1,2\n".encode("latin-1"), NOT_UTF8),
            ("wide.csv", f"a,b\n{NUMBER},2\n".encode("utf-16"), NOT_UTF8),
            ("garbage.parquet", NUMBER.encode(), UNREADABLE),
            ("text.parquet", f"a,b\n{NUMBER},2\n", UNREADABLE),
            ("empty.parquet", b"", UNREADABLE),
            ("garbage.csv.gz", NUMBER.encode(), UNREADABLE),
            ("garbage.zip", NUMBER.encode(), UNREADABLE),
            ("garbage.csv.xz", NUMBER.encode(), UNREADABLE),
        ],
        ids=lambda value: value if isinstance(value, str) and "." in value and len(value) < 20 else "",
    )
    def test_refused(self, tmp_path: Path, name: str, content: str | bytes | pd.DataFrame, finding: str) -> None:
        assert refusal(written(tmp_path, name, content)) == finding

    @pytest.mark.parametrize("name", ["none.csv", "none.parquet"])
    def test_no_such_file(self, tmp_path: Path, name: str) -> None:
        assert refusal(tmp_path / name) == "there is no such file"

    @pytest.mark.parametrize("name", ["folder", "folder.parquet"])
    def test_folder(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).mkdir()
        assert refusal(tmp_path / name) == "this is a folder; name a CSV or Parquet file"
