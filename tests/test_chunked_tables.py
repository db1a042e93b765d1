import gzip
import math
import tempfile
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_kmeans import chunked_tables
from secure_kmeans.chunked_tables import SAMPLE_ROWS, ChunkedTable, read_in_chunks
from secure_kmeans.errors import DataError
from secure_kmeans.job import Scaling
from secure_kmeans.tables import BLOCK_ROWS, Table, bounds_of, check_bounds, read_table

CHANGED = (
    "its rows are no longer those that were read at first; let nobody change the file during a run, and start the run "
    "anew"
)


def found(path: Path, columns: Sequence[str] = (), chunk_rows: int | None = None) -> str | tuple[object, ...]:
    """The message of a refusal, or all that a table is; None reads it whole."""
    try:
        table = read_table(path, columns) if chunk_rows is None else read_in_chunks(path, columns, chunk_rows)
    except DataError as error:
        return str(error)
    rows = np.concatenate(list(table.blocks()))
    extent = [each.tolist() for each in table.extent]
    return table.source, table.columns, len(table), rows.tobytes(), table.digest, extent, table.first_row, table.ids


def assert_as_whole(path: Path, columns: Sequence[str] = ()) -> None:
    whole = found(path, columns)
    for chunk_rows in (1, 2, 3, 1000):
        assert found(path, columns, chunk_rows) == whole, chunk_rows


AWKWARD = [
    "a,b\n1,2\n3,4\n5,6\n",
    "\ufeffa,b\n1,2\n",
    " a , b\n 1, 2 \n 3 ,4\n",
    "a,b\r\n1,2\r\n3,4\r\n",
    'a,b\n"1", "2"\n3,"4"\n',
    "a,b\n1,2.5\n2.25,3\n1e3,-.5\n",
    "a,b\n\n1,2\n\n\n3,4\n\n",
    "a,b\n1,2,\n3,4,\n5,6,\n",
    "a,b\n1,2,\n3,4,\n5,6,7\n",
    "a,b\n1,2\n3,4\n5,6\n7,8,9\n",
    "a,b\n1,2\n3,4\n5\n",
    "a,b\n1,2\n,4\n5,x\n",
    "a,b\n1,x\n,4\n5,6\n",
    "a,b\n1,True\n2,True\n",
    "a,b\n1,True\n2,False\n3,1\n",
    "a,b\n1,1\n2,1\n3,True\n",
    "a,b\n1,True\n2,\n3,False\n",
    "a,b\n1,\n2,\n3,\n",
    "a,b\n1,inf\n2,1e300\n3,\n",
    "a,b\n1,2024-02-29\n2,3\n",
    "a,b\n1,987654321987654321987654321\n2,3\n",
    "a,b\n1,18446744073709551615\n2,-3\n",
    'a,b\n1,"2\n3"\n4,5\n',
    "a,a\n1,2\n3,4\n",
    "a,\n1,2\n3,4\n",
    "1,2\n3,4\n5,6\n",
    "NA,b\n1,2\n3,4\n",
    "a,b\n",
    "",
    "a;b\n1;2\n",
    "a\n1\n2\n3\n",
    "a\n1\n2\n\n\n\n",
    "a\n1\n\n\n\n3\n",
    "\n\na\n\n1\n",
    "a\n",
    "a\n\n\n",
    "a\n1,2\n3\n",
    "a\n1\n2\n3,4\n",
    "a\n1\nx\n3\n",
]


class TestAsWhole:
    @pytest.mark.parametrize("content", AWKWARD)
    @pytest.mark.parametrize("columns", [(), ("a",), ("2",), ("b", "a")])
    def test_csv(self, tmp_path: Path, content: str, columns: Sequence[str]) -> None:
        path = tmp_path / "t.csv"
        path.write_bytes(content.encode())
        assert_as_whole(path, columns)

    @settings(max_examples=30, deadline=None)
    @given(data=st.data())
    def test_any_csv(self, data: st.DataObject) -> None:
        cell = st.one_of(
            st.floats(-1e12, 1e12).map(repr),
            st.integers(-(2**70), 2**70).map(str),
            st.sampled_from(["", " ", "NA", "x", "True", "inf", "1e5", "+1", " 2 ", '"3"', "0x1", "1_0", "nan "]),
        )
        usual = st.floats(-1e6, 1e6).map(repr)
        width = data.draw(st.integers(1, 3))
        rows = data.draw(st.lists(st.lists(usual, min_size=width, max_size=width), min_size=1, max_size=8))
        for _ in range(data.draw(st.integers(0, 2))):
            rows[data.draw(st.integers(0, len(rows) - 1))][data.draw(st.integers(0, width - 1))] = data.draw(cell)
        lines = [",".join("abc"[:width]), *map(",".join, rows)]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "t.csv"
            path.write_text("\n".join(lines) + "\n")
            assert_as_whole(path)

    @pytest.mark.parametrize(
        "cells",
        [
            [1, 2, 3],
            [1.5, 2.5, -0.0],
            [1.5, None, 2.5],
            [1, None, 3],
            pd.array([1, 2, None], dtype="Int64"),
            pd.array([1, 2, 3], dtype="Int8"),
            np.array([1, 2, 3], dtype=np.float32),
            np.array([1, 2, 2**64 - 1], dtype=np.uint64),
            [Decimal("1.1"), Decimal(2), Decimal("3.25")],
            [Decimal("1.1"), None, Decimal("3.25")],
            ["1", "2.0", "3"],
            ["1", "x", None],
            [True, False, True],
            [True, None, False],
            pd.array([True, None, False], dtype="boolean"),
            [None, None, None],
            [math.inf, 1.0, 2.0],
            pd.to_datetime(["2024-02-29", "2024-03-01", "2024-03-02"]),
            [[1.0], [2.0], [3.0]],
            pd.Categorical([1, 2, 1]),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("columns", [(), ("b",), ("b", "a")])
    def test_parquet(self, tmp_path: Path, cells: Any, columns: Sequence[str]) -> None:
        path = tmp_path / "t.parquet"
        pd.DataFrame({"a": [3, 4, 5], "b": cells}).to_parquet(path, row_group_size=2)
        assert_as_whole(path, columns)

    @pytest.mark.parametrize("columns", [(), ("k",), ("a", "k"), ("1",)])
    def test_an_index_that_is_a_column(self, tmp_path: Path, columns: Sequence[str]) -> None:
        path = tmp_path / "t.parquet"
        pd.DataFrame({"a": [3, 4, 5]}, index=pd.Index([7, 9, 8], name="k")).to_parquet(path)
        assert_as_whole(path, columns)

    def test_names_that_are_numbers_or_have_dots(self, tmp_path: Path) -> None:
        path = tmp_path / "t.parquet"
        pd.DataFrame({2020: [3.0, 4.0], 2021: [1.0, 2.0]}).to_parquet(path)
        assert_as_whole(path, ("2021", "2020"))
        pd.DataFrame({"a.b": [1.0, 2.0], "a": [5.0, 6.0]}).to_parquet(path)
        assert_as_whole(path, ("a", "a.b"))
        assert_as_whole(path, ("a",))

    @pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
    def test_a_file_that_is_none(self, tmp_path: Path, name: str) -> None:
        assert_as_whole(tmp_path / name)
        (tmp_path / name).write_bytes(b"\xff\xfe\x00garbage")
        assert_as_whole(tmp_path / name)

    def test_compressed(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv.gz"
        path.write_bytes(gzip.compress(b"a,b\n1,2\n3,4\n"))
        assert_as_whole(path)

    def test_columns_of_equal_names(self, tmp_path: Path) -> None:
        path = tmp_path / "t.parquet"
        pq.write_table(pa.table([pa.array([1.0]), pa.array([2.0])], names=["a", "a"]), path)
        with pytest.raises(DataError):
            read_table(path)
        with pytest.raises(DataError, match='2 columns are called "a"; rename them'):
            read_in_chunks(path, (), 1)


def test_an_index_without_cells_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [3, 4, 5]}, index=pd.RangeIndex(3, name="k")).to_parquet(path)
    with pytest.raises(DataError) as caught:
        read_in_chunks(path, ("a",), 2)
    assert str(caught.value) == (
        f"{path}: its index has a name, but no cells; make it a column, or save it without the name"
    )


def written(folder: Path, rows: np.ndarray, name: str = "t.parquet") -> Path:
    path = folder / name
    frame = pd.DataFrame(rows, columns=["a", "b"])
    if name.endswith("csv"):
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


ROWS = np.random.default_rng(5).normal(size=(7, 2))


class TestBlocks:
    def test_no_block_is_larger_than_those_of_a_table(self, tmp_path: Path) -> None:
        rows = np.arange(2.0 * (BLOCK_ROWS + 3)).reshape(-1, 2)
        table = read_in_chunks(written(tmp_path, rows), (), 10 * BLOCK_ROWS)
        sizes = [len(block) for block in table.blocks()]
        assert sizes == [BLOCK_ROWS, 3]
        assert sizes == [len(block) for block in Table("t", ("a", "b"), rows).blocks()]

    @pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
    def test_two_passes_at_once(self, tmp_path: Path, name: str) -> None:
        table = read_in_chunks(written(tmp_path, ROWS, name), (), 3)
        both = list(zip(table.blocks(), table.blocks(), strict=True))
        assert [len(one) for one, _ in both] == [3, 3, 1]
        assert all(np.array_equal(one, other) for one, other in both)

    @pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
    def test_progress_of_each_pass(self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chunked_tables, "_PROGRESS_SECONDS", 0.0)
        seen: list[tuple[str, int, int]] = []
        table = read_in_chunks(written(tmp_path, ROWS, name), (), 3, lambda *args: seen.append(args))
        assert {phase for phase, _, _ in seen} == {"reading"}
        assert [done for _, done, _ in seen[:3]] == [3, 6, 7]
        assert all(done <= total for _, done, total in seen)
        later: list[tuple[str, int, int]] = []
        assert list(table.reporting_to(lambda *args: later.append(args)).blocks())
        assert later == [("reading", 3, 7), ("reading", 6, 7), ("reading", 7, 7)]

    def test_progress_is_reported_now_and_then(self, tmp_path: Path) -> None:
        seen: list[tuple[str, int, int]] = []
        read_in_chunks(written(tmp_path, ROWS), (), 1, lambda *args: seen.append(args))
        assert seen == [("reading", 7, 7)]

    def test_the_rows_are_never_in_memory_at_once(self, tmp_path: Path) -> None:
        table = read_in_chunks(written(tmp_path, ROWS), (), 3)
        with pytest.raises(AssertionError, match="only in its blocks"):
            table.rows  # noqa: B018


class TestSample:
    @pytest.mark.parametrize("chunk_rows", [997, 20_000, 100_000])
    def test_evenly_spaced(self, tmp_path: Path, chunk_rows: int) -> None:
        rows = np.arange(2.0 * 3 * SAMPLE_ROWS).reshape(-1, 2)
        table = read_in_chunks(written(tmp_path, rows), (), chunk_rows)
        np.testing.assert_array_equal(table.sample.rows, rows[::4])

    def test_of_a_small_table_all_rows(self, tmp_path: Path) -> None:
        table = read_in_chunks(written(tmp_path, ROWS), (), 2)
        np.testing.assert_array_equal(table.sample.rows, ROWS)


def changes(rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    other = rows.copy()
    other[2, 1] = np.nextafter(other[2, 1], 0)
    yield "a last bit", other
    yield "a row more", np.concatenate([rows, rows[:1]])
    yield "a row less", rows[:-1]
    yield "another order", rows[::-1]
    far = rows.copy()
    far[0, 0] = 1e9
    yield "a number beyond the first ones", far
    missing = rows.copy()
    missing[5, 0] = math.nan
    yield "a missing number", missing


class TestFilesThatChange:
    @pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
    @pytest.mark.parametrize("other", [each[1] for each in changes(ROWS)], ids=[each[0] for each in changes(ROWS)])
    def test_refused_by_name(self, tmp_path: Path, name: str, other: np.ndarray) -> None:
        path = written(tmp_path, ROWS, name)
        table = read_in_chunks(path, (), 3)
        assert len(list(table.blocks())) == 3
        written(tmp_path, other, name)
        with pytest.raises(DataError) as caught:
            list(table.blocks())
        assert str(caught.value) == f"{path}: {CHANGED}"

    def test_a_file_that_is_gone(self, tmp_path: Path) -> None:
        path = written(tmp_path, ROWS)
        table = read_in_chunks(path, (), 3)
        path.unlink()
        with pytest.raises(DataError, match="there is no such file"):
            list(table.blocks())

    def test_the_same_rows_in_a_new_file_pass(self, tmp_path: Path) -> None:
        path = written(tmp_path, ROWS)
        table = read_in_chunks(path, (), 3)
        path.unlink()
        written(tmp_path, ROWS)
        np.testing.assert_array_equal(np.concatenate(list(table.blocks())), ROWS)


class TestChecks:
    def test_a_row_outside_the_bounds_is_named_as_in_a_whole_table(self, tmp_path: Path) -> None:
        path = written(tmp_path, np.arange(20.0).reshape(-1, 2))
        bounds = Scaling.of(lower=(0.0, 0.0), upper=(15.0, 12.0))
        said = []
        for table in (read_table(path), read_in_chunks(path, (), 3)):
            with pytest.raises(DataError) as caught:
                check_bounds(table, bounds)
            said.append(str(caught.value))
        assert said[0] == said[1]
        assert 'column "b", row 7: the number is outside' in said[0]

    def test_bounds(self, tmp_path: Path) -> None:
        path = written(tmp_path, ROWS)
        assert bounds_of([read_in_chunks(path, (), 2)]) == bounds_of([read_table(path)])
        check_bounds(read_in_chunks(path, (), 2), Scaling.of(lower=(-9.0, -9.0), upper=(9.0, 9.0)))

    def test_tables_are_equal_only_to_themselves(self, tmp_path: Path) -> None:
        path = written(tmp_path, ROWS)
        one, other = read_in_chunks(path, (), 2), read_in_chunks(path, (), 2)
        assert one == one
        assert one != other
        assert isinstance(one, ChunkedTable)
        assert len({one, other}) == 2
        assert repr(one) == f"ChunkedTable({str(path)!r})"
