import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from secure_kmeans.errors import DataError
from secure_kmeans.job import Scaling
from secure_kmeans.tables import (
    Table,
    bounds_of,
    check_bounds,
    check_reach,
    check_together,
    load_rows,
    split_table,
)

NUMBER = "987654321.125"


class TestSplitting:
    @pytest.mark.parametrize(
        ("rows", "parties", "sizes"), [(10, 3, [4, 3, 3]), (4, 2, [2, 2]), (3, 3, [1, 1, 1]), (5, 1, [5])]
    )
    def test_consecutive_and_even(self, rows: int, parties: int, sizes: list[int]) -> None:
        table = Table("t.csv", ("a",), np.arange(rows, dtype=float)[:, None])
        parts = split_table(table, parties)
        assert [len(part) for part in parts] == sizes
        assert {(part.source, part.columns) for part in parts} == {("t.csv", ("a",))}
        np.testing.assert_array_equal(np.concatenate([part.rows for part in parts]), table.rows)

    def test_fewer_rows_than_parties(self) -> None:
        table = Table("t.csv", ("a",), np.full((2, 1), float(NUMBER)))
        with pytest.raises(DataError) as caught:
            split_table(table, 3)
        assert str(caught.value) == "t.csv: 2 rows do not suffice for 3 parties; use fewer parties"


class TestTogether:
    def table(self, source: str, columns: tuple[str, ...], rows: int) -> Table:
        return Table(source, columns, np.full((rows, len(columns)), float(NUMBER)))

    @pytest.mark.parametrize("clusters", [1, 5])
    def test_enough_rows_in_all_tables(self, clusters: int) -> None:
        tables = [self.table("a", ("x",), 2), self.table("b", ("x",), 3)]
        check_together(tables, clusters)
        assert sum(map(len, tables)) == 5

    @pytest.mark.parametrize(("second", "named"), [(("y", "x"), '"y", "x"'), (("x",), '"x"'), (("x", "z"), '"x", "z"')])
    def test_other_columns(self, second: tuple[str, ...], named: str) -> None:
        tables = [self.table("a.csv", ("x", "y"), 2), self.table("b.csv", second, 2)]
        with pytest.raises(DataError) as caught:
            check_together(tables, 1)
        assert str(caught.value) == (
            f'b.csv: columns {named} differ from "x", "y" of a.csv; name the same columns for all tables'
        )

    @pytest.mark.parametrize(("sources", "shown"), [(("a", "b"), "a, b"), (("a", "a"), "a")])
    def test_fewer_rows_than_clusters(self, sources: tuple[str, str], shown: str) -> None:
        with pytest.raises(DataError) as caught:
            check_together([self.table(source, ("x",), 2) for source in sources], 5)
        assert str(caught.value) == f"{shown}: 4 rows do not suffice for 5 clusters; use fewer clusters"


class TestBounds:
    scaling = Scaling.of(lower=(0.0, -1.0), upper=(1.0, 2.0))

    def test_rows_on_the_bounds_pass(self) -> None:
        table = Table("t", ("x", "y"), np.array([[0.0, 2.0], [1.0, -1.0]]))
        check_bounds(table, self.scaling)
        assert bounds_of([table]) == (self.scaling.lower, self.scaling.upper)

    @pytest.mark.parametrize(
        ("rows", "column", "row"),
        [
            ([[0.5, 0.0], [float(NUMBER), 0.0]], "x", 2),
            ([[0.5, 0.0], [0.5, 0.0], [0.5, -float(NUMBER)]], "y", 3),
            ([[0.5, np.nextafter(2.0, 3.0)], [float(NUMBER), 0.0]], "y", 1),
        ],
    )
    def test_a_row_outside(self, rows: list[list[float]], column: str, row: int) -> None:
        with pytest.raises(DataError) as caught:
            check_bounds(Table("t.csv", ("x", "y"), np.array(rows)), self.scaling)
        assert str(caught.value) == (
            f't.csv: column "{column}", row {row}: the number is outside the agreed bounds, too large or too small '
            "for the fixed point; agree on wider bounds, or correct it"
        )

    def test_bounds_of_all_tables(self) -> None:
        tables = [
            Table("a", ("x", "y"), np.array([[1.0, 9.0], [2.0, 8.0]])),
            Table("b", ("x", "y"), np.array([[0, 10.0]])),
        ]
        assert bounds_of(tables) == ((0.0, 8.0), (2.0, 10.0))
        assert bounds_of(tables[:1]) == ((1.0, 8.0), (2.0, 9.0))
        assert all(type(bound) is float for bounds in bounds_of(tables) for bound in bounds)


class TestReach:
    scaling = Scaling.of(lower=(0.0, 0.0), upper=(4.0, 4.0))

    def test_rows_within_reach_pass(self) -> None:
        table = Table("t", ("x", "y"), np.array([[8.0, -8.0]]))
        check_reach(table, self.scaling, 2.0)
        assert self.scaling.apply(table.rows).tolist() == [[2.0, -2.0]]

    @pytest.mark.parametrize(("rows", "column", "row"), [([[8.5, 0.0]], "x", 1), ([[0.0, 0.0], [0.0, -8.5]], "y", 2)])
    def test_a_row_too_far_outside(self, rows: list[list[float]], column: str, row: int) -> None:
        with pytest.raises(DataError) as caught:
            check_reach(Table("t.csv", ("x", "y"), np.array(rows)), self.scaling, 2.0)
        assert str(caught.value) == (
            f't.csv: column "{column}", row {row}: the number is too far outside the bounds that the model was fitted '
            "with; correct it or leave the row out"
        )


class TestDigest:
    rows = np.array([[1.0, 2.0], [3.0, 4.0]])

    def test_known_answer(self) -> None:
        written = b"(('x', 'y'), (2, 2))" + np.array([1.0, 2.0, 3.0, 4.0]).tobytes()
        assert Table("t", ("x", "y"), self.rows).digest == hashlib.sha256(written).digest()

    def test_neither_the_file_nor_the_layout_in_memory_counts(self) -> None:
        digest = Table("t", ("x", "y"), self.rows).digest
        assert Table("other", ("x", "y"), self.rows).digest == digest
        assert Table("t", ("x", "y"), np.asfortranarray(self.rows)).digest == digest
        assert Table("t", ("x", "y"), np.repeat(self.rows, 2, axis=0)[::2]).digest == digest

    @pytest.mark.parametrize(
        "other",
        [
            Table("t", ("x", "z"), rows),
            Table("t", ("x", "y"), rows[::-1]),
            Table("t", ("x", "y"), rows[:1]),
            Table("t", ("x", "y"), rows * [1.0, 1.0 + 2.0**-52]),
        ],
        ids=["columns", "order", "fewer rows", "last bit"],
    )
    def test_columns_and_rows_count(self, other: Table) -> None:
        assert other.digest != Table("t", ("x", "y"), self.rows).digest

    def test_a_table_without_rows_has_one(self) -> None:
        assert len(Table("t", ("x", "y"), np.empty((0, 2))).digest) == 32

    def test_computed_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        table = Table("t", ("x", "y"), self.rows)
        first = table.digest
        monkeypatch.setattr(hashlib, "sha256", None)
        assert table.digest is first


class TestSavedRows:
    @pytest.mark.parametrize("rows", [0, 1, 7])
    def test_are_loaded_bit_by_bit(self, tmp_path: Path, rows: int) -> None:
        table = Table("t.csv", ("x", "y"), np.random.default_rng(rows).random((rows, 2)))
        table.save_rows(tmp_path / "rows.npy")
        loaded = load_rows(tmp_path / "rows.npy", table.columns, table.source)
        assert (loaded.source, loaded.columns) == ("t.csv", ("x", "y"))
        assert loaded.rows.tobytes() == table.rows.tobytes()
        assert loaded.digest == table.digest

    def test_only_their_owner_may_read_them(self, tmp_path: Path) -> None:
        Table("t", ("x",), np.ones((2, 1))).save_rows(tmp_path / "rows.npy")
        assert (tmp_path / "rows.npy").stat().st_mode & 0o777 == 0o600

    def test_no_file_is_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "rows.npy").write_text("mine")
        with pytest.raises(FileExistsError):
            Table("t", ("x",), np.ones((2, 1))).save_rows(tmp_path / "rows.npy")
        assert (tmp_path / "rows.npy").read_text() == "mine"

    def test_no_object_is_unpickled(self, tmp_path: Path) -> None:
        np.save(tmp_path / "rows.npy", np.array([[{}]], dtype=object), allow_pickle=True)
        with pytest.raises(ValueError, match="allow_pickle"):
            load_rows(tmp_path / "rows.npy", ("x",), "t")

    def test_need_neither_pandas_nor_pyarrow(self, tmp_path: Path) -> None:
        Table("t", ("x",), np.ones((2, 1))).save_rows(tmp_path / "rows.npy")
        code = (
            "import sys; from secure_kmeans.tables import load_rows; "
            "table = load_rows(sys.argv[1], ['x'], 't'); table.digest; "
            "print(len(table), [each for each in ('pandas', 'pyarrow', 'torch') if each in sys.modules])"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "rows.npy")]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "2 []\n"
