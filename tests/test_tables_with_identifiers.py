import csv
import datetime
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from secure_kmeans.errors import DataError
from secure_kmeans.tables import Table, load_rows, read_table, split_columns, split_table, table_from_frame
from tests.test_identifiers import BLANKS, MISSING, NEITHER, lists
from tests.test_tables_in_files import written


def ids_of(path: Path, identifier: str = "id") -> tuple[str, ...]:
    ids = read_table(path, (), identifier).ids
    assert ids is not None
    return ids


def refusal(path: Path, columns: tuple[str, ...] = (), identifier: str = "id") -> str:
    with pytest.raises(DataError) as caught:
        read_table(path, columns, identifier)
    message = str(caught.value).removeprefix(f"{path}: ")
    assert "secret" not in message
    return message


class TestCsv:
    def test_all_columns_but_the_identifiers(self, tmp_path: Path) -> None:
        table = read_table(written(tmp_path, "t.csv", "a,id,b\n1,007,2\n3,7,4\n"), (), "id")
        assert (table.columns, table.ids) == (("a", "b"), ("007", "7"))
        np.testing.assert_array_equal(table.rows, [[1, 2], [3, 4]])

    @pytest.mark.parametrize("identifier", ["id", "2"])
    def test_by_name_or_by_number(self, tmp_path: Path, identifier: str) -> None:
        table = read_table(written(tmp_path, "t.csv", "a,id,b\n1,x,2\n"), ("b",), identifier)
        assert (table.columns, table.ids) == (("b",), ("x",))

    def test_without_a_name_there_are_none(self, tmp_path: Path) -> None:
        assert read_table(written(tmp_path, "t.csv", "id,a\n7,1\n"), ("a",)).ids is None

    @pytest.mark.parametrize(
        "cell", ["NA", "null", "nan", "None", "1.0", "1e3", "007", "+7", "TRUE", "2020-01-01", "a b", "0x1F", "Zoë"]
    )
    def test_text_stays_as_it_is(self, tmp_path: Path, cell: str) -> None:
        assert ids_of(written(tmp_path, "t.csv", f"id,a\n{cell},1\n00,2\n")) == (cell, "00")

    def test_a_byte_order_mark_and_blanks_in_the_header(self, tmp_path: Path) -> None:
        assert ids_of(written(tmp_path, "t.csv", "\ufeffid , a\n007, 1\n")) == ("007",)

    def test_quoted(self, tmp_path: Path) -> None:
        assert ids_of(written(tmp_path, "t.csv", 'id,a\n"a,b",1\n"say ""so""",2\n')) == ("a,b", 'say "so"')

    def test_blank_lines_do_not_count(self, tmp_path: Path) -> None:
        assert ids_of(written(tmp_path, "t.csv", "\nid,a\n\nx,1\n  \ny,2\n\n")) == ("x", "y")
        assert refusal(written(tmp_path, "t.csv", "id,a\n\nx,1\n\n,2\n")) == f'column "id", row 2: {MISSING}'

    @pytest.mark.parametrize("row", [" secret,1", "secret ,1", '" secret",1', "\tsecret,1", '"secret ",1'])
    def test_blanks(self, tmp_path: Path, row: str) -> None:
        assert refusal(written(tmp_path, "t.csv", f"id,a\nx,0\n{row}\n")) == f'column "id", row 2: {BLANKS}'

    def test_blanks_after_commas(self, tmp_path: Path) -> None:
        assert refusal(written(tmp_path, "t.csv", "a, id\n0, secret\n")) == f'column "id", row 1: {BLANKS}'

    @pytest.mark.parametrize("row", ['0, "u,v",secret', '0, "u",secret'])
    def test_quotation_marks_after_blanks_in_another_column(self, tmp_path: Path, row: str) -> None:
        path = written(tmp_path, "t.csv", f"a,name,id\n1,w,x\n{row}\n")
        if "," in row.removeprefix('0, "').partition('"')[0]:
            remedy = "a quotation mark stands after a blank; remove the blanks that follow commas"
            assert refusal(path, ("a",)) == f"row 2: {remedy}"
        else:
            assert read_table(path, ("a",), "id").ids == ("x", "secret")

    def test_quotation_marks_after_a_blank(self, tmp_path: Path) -> None:
        assert "row 1: a quotation mark" in refusal(written(tmp_path, "t.csv", 'a,id\n0, "secret"\n'))

    @pytest.mark.parametrize("row", [",1", '"",1'])
    def test_missing(self, tmp_path: Path, row: str) -> None:
        assert refusal(written(tmp_path, "t.csv", f"id,a\nx,0\n{row}\n")) == f'column "id", row 2: {MISSING}'

    def test_missing_at_the_end_of_a_short_row(self, tmp_path: Path) -> None:
        assert refusal(written(tmp_path, "t.csv", "a,b,id\n1,2,x\n1,2\n")) == f'column "id", row 2: {MISSING}'

    def test_twice(self, tmp_path: Path) -> None:
        same = "the identifiers are the same; leave one of the rows out, or correct it"
        path = written(tmp_path, "t.csv", "id,a\nsecretë,1\nx,2\nsecrete\u0308,3\n")
        assert refusal(path) == f'column "id", rows 1 and 3: {same}'

    def test_to_cluster_by_too(self, tmp_path: Path) -> None:
        remark = "holds the identifiers; leave it out of the columns to cluster by"
        for columns in (("id",), ("a", "id"), ("1",)):
            assert refusal(written(tmp_path, "t.csv", "id,a\n7,1\n"), columns) == f'column "id" {remark}'

    @pytest.mark.parametrize("content", ["id\n7\n8\n", "id\n\nx\n"])
    def test_alone(self, tmp_path: Path, content: str) -> None:
        assert refusal(written(tmp_path, "t.csv", content)) == (
            "there is no column besides the identifiers; add one to cluster by"
        )

    def test_no_such_column(self, tmp_path: Path) -> None:
        path = written(tmp_path, "t.csv", "number,a\n7,1\n")
        assert refusal(path) == 'there is no column "id"; it has "number", "a", numbered from 1'

    @settings(max_examples=60, deadline=None)
    @given(lists)
    def test_any_text_survives(self, ids: list[str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "t.csv"
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, quoting=csv.QUOTE_NONNUMERIC).writerows([("id", "a"), *((each, 1) for each in ids)])
            assert ids_of(path) == tuple(ids)


class TestParquet:
    def frame(self, cells: Any) -> pd.DataFrame:
        return pd.DataFrame({"a": np.ones(len(cells)), "id": cells})

    @pytest.mark.parametrize(
        "cells", [["7", "NA"], pd.Categorical(["7", "NA"]), pd.array(["7", "NA"], dtype="string[pyarrow]")]
    )
    def test_text(self, tmp_path: Path, cells: Any) -> None:
        assert ids_of(written(tmp_path, "t.parquet", self.frame(cells))) == ("7", "NA")

    @pytest.mark.parametrize("dtype", ["int8", "uint64", "Int64"])
    def test_whole_numbers(self, tmp_path: Path, dtype: Any) -> None:
        assert ids_of(written(tmp_path, "t.parquet", self.frame(pd.Series([7, 12]).astype(dtype)))) == ("7", "12")

    @pytest.mark.parametrize("cells", [pd.array([7, None], dtype="Int64"), ["7", None], ["7", ""]])
    def test_missing(self, tmp_path: Path, cells: Any) -> None:
        assert refusal(written(tmp_path, "t.parquet", self.frame(cells))) == f'column "id", row 2: {MISSING}'

    @pytest.mark.parametrize(
        "cells", [[7.0], [True], [datetime.date(2020, 1, 1)], [pd.Timestamp(0)], [Decimal(7)], [b"7"]]
    )
    def test_neither_text_nor_whole(self, tmp_path: Path, cells: Any) -> None:
        assert refusal(written(tmp_path, "t.parquet", self.frame(cells))) == f'column "id", row 1: {NEITHER}'

    @pytest.mark.parametrize("cells", [["x", "y"], range(5, 7), [5, 6]])
    def test_in_the_index(self, tmp_path: Path, cells: Any) -> None:
        frame = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.Index(cells, name="id"))
        table = read_table(written(tmp_path, "t.parquet", frame), (), "id")
        assert (table.columns, table.ids) == (("a",), tuple(map(str, cells)))

    @settings(max_examples=60, deadline=None)
    @given(lists)
    def test_any_text_survives(self, ids: list[str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            assert ids_of(written(Path(folder), "t.parquet", self.frame(ids))) == tuple(ids)


class TestFrames:
    def test_text_and_whole_numbers(self) -> None:
        for cells, ids in ((["007", "7"], ("007", "7")), ([8, 7], ("8", "7"))):
            table = table_from_frame(pd.DataFrame({"id": cells, "a": [1, 2]}), source="X", identifier="id")
            assert (table.columns, table.ids) == (("a",), ids)

    def test_what_is_neither(self) -> None:
        with pytest.raises(DataError) as caught:
            table_from_frame(pd.DataFrame({"id": [1.5], "a": [1]}), source="X", identifier="id")
        assert str(caught.value) == f'X: column "id", row 1: {NEITHER}'


TABLE = Table("t.csv", ("a", "b", "c"), np.arange(12.0).reshape(4, 3), 5, ("w", "x", "y", "z"))


class TestSplit:
    def test_rows_keep_their_identifiers(self) -> None:
        parts = split_table(TABLE, 3)
        assert [part.ids for part in parts] == [("w", "x"), ("y",), ("z",)]
        assert [part.first_row for part in parts] == [5, 7, 8]

    @pytest.mark.parametrize(
        ("parties", "columns"), [(2, [("a", "b"), ("c",)]), (3, [("a",), ("b",), ("c",)]), (1, [("a", "b", "c")])]
    )
    def test_columns(self, parties: int, columns: list[tuple[str, ...]]) -> None:
        parts = split_columns(TABLE, parties)
        assert [part.columns for part in parts] == columns
        assert {(part.source, part.first_row, part.ids) for part in parts} == {("t.csv", 5, TABLE.ids)}
        np.testing.assert_array_equal(np.hstack([part.rows for part in parts]), TABLE.rows)
        assert all(part.rows.flags.c_contiguous for part in parts)

    def test_fewer_columns_than_parties(self) -> None:
        with pytest.raises(DataError) as caught:
            split_columns(TABLE, 4)
        assert (
            str(caught.value) == "t.csv: 3 columns do not suffice for 4 parties; choose more columns, or fewer parties"
        )


def test_the_digest_covers_the_identifiers() -> None:
    digests = {Table("t", TABLE.columns, TABLE.rows, ids=ids).digest for ids in (None, TABLE.ids, ("z", "x", "y", "w"))}
    assert len(digests) == 3


def test_rows_are_loaded_with_their_identifiers(tmp_path: Path) -> None:
    TABLE.save_rows(tmp_path / "rows.npy")
    loaded = load_rows(tmp_path / "rows.npy", TABLE.columns, TABLE.source, TABLE.first_row, TABLE.ids)
    assert (loaded.ids, loaded.digest) == (TABLE.ids, TABLE.digest)
