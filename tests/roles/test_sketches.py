from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from secure_kmeans.chunked_tables import read_in_chunks
from secure_kmeans.roles.sketches import MOST_HASHES, Difference, Sketch, are_few, difference
from secure_kmeans.tables import Table

KEY = bytes(range(32))


def table_of(rows: object, columns: tuple[str, ...] = ("age", "dose")) -> Table:
    return Table("t.csv", columns, np.array(rows, dtype=np.float64).reshape(-1, len(columns)))


def sketch_of(rows: object, columns: tuple[str, ...] = ("age", "dose")) -> Sketch:
    return Sketch.of(table_of(rows, columns), KEY)


def between(one: object, other: object) -> Difference:
    assert difference(sketch_of(one), sketch_of(other)) == difference(sketch_of(other), sketch_of(one))
    return difference(sketch_of(one), sketch_of(other))


def drawn(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 100, (rows, 2))


SMALL = [[1, 2], [2, 1], [1, 1], [3, 3]]


class TestSmallTables:
    @pytest.mark.parametrize(
        ("other", "rows"),
        [
            (SMALL, 0),
            (SMALL[::-1], 0),
            ([[1, 2], [2, 1], [1, 1], [3, 4]], 1),
            (SMALL[:3], 1),
            ([*SMALL, [3, 3]], 1),
            ([*SMALL, [9, 9], [8, 8]], 2),
            ([[9, 9], [8, 8]], 4),
            ([[2, 1]] * 4, 3),
            ([], 4),
        ],
        ids=["same", "order", "changed", "fewer", "twice", "more", "all", "repeated", "none"],
    )
    def test_the_number_is_exact(self, other: object, rows: int) -> None:
        found = between(SMALL, other)
        assert found == Difference(rows, rows)
        assert found.is_exact

    def test_a_row_counts_as_often_as_it_occurs(self) -> None:
        assert between([[1, 1]] * 1000, [[1, 1]] * 997) == Difference(3, 3)
        assert len(sketch_of([[1, 1]] * 1000).hashes) == 1000

    def test_the_order_of_the_columns_does_not_count(self) -> None:
        rows, swapped = [[1, 2], [3, 4]], [[2, 1], [4, 3]]
        assert difference(sketch_of(rows), sketch_of(swapped, ("dose", "age"))) == Difference(0, 0)
        assert difference(sketch_of(rows), sketch_of(swapped)) == Difference(2, 2)

    def test_there_is_one_zero(self) -> None:
        assert between([[0.0, 1.0]], [[-0.0, 1.0]]) == Difference(0, 0)

    def test_two_empty_tables(self) -> None:
        assert between([], []) == Difference(0, 0)


class TestLargeTables:
    ROWS = 20_000

    @pytest.mark.parametrize("changed", [1, 20, 200, 2000])
    def test_the_number_is_estimated(self, changed: int) -> None:
        one, other = drawn(self.ROWS), drawn(self.ROWS)
        other[:changed] += 1000
        found = between(one, other)
        assert not found.is_exact
        assert 1 <= found.rows <= found.most
        assert changed <= found.most
        assert found.rows == pytest.approx(changed, abs=10 + 5 * changed**0.5)

    def test_rows_that_were_added(self) -> None:
        one = drawn(self.ROWS)
        found = between(one, np.concatenate([one, drawn(150, seed=1)]))
        assert 150 <= found.rows <= 200

    def test_a_large_and_a_small_one(self) -> None:
        assert between(drawn(self.ROWS), drawn(50)).rows >= self.ROWS - 50
        assert between(drawn(self.ROWS), []).rows == self.ROWS

    def test_the_same_rows_in_another_order(self) -> None:
        assert between(drawn(self.ROWS), drawn(self.ROWS)[::-1]) == Difference(0, 0)

    def test_it_does_not_grow(self) -> None:
        assert len(sketch_of(drawn(self.ROWS)).hashes) == MOST_HASHES


class TestFew:
    @pytest.mark.parametrize(
        ("rows", "changed", "few"),
        [
            (4, 1, True),
            (4, 2, True),
            (4, 3, False),
            (30, 15, True),
            (30, 16, False),
            (100, 20, True),
            (100, 21, False),
            (3000, 30, True),
            (3000, 31, False),
            (4, 0, False),
        ],
    )
    def test_up_to_20_or_a_hundredth_or_a_half(self, rows: int, changed: int, few: bool) -> None:
        one, other = drawn(rows), drawn(rows)
        other[:changed] += 1000
        sketches = sketch_of(one), sketch_of(other)
        assert are_few(difference(*sketches), *sketches) == few


class TestContent:
    def test_another_key_gives_other_hashes(self) -> None:
        other = Sketch.of(table_of(SMALL), bytes(32))
        assert not set(other.hashes.tolist()) & set(sketch_of(SMALL).hashes.tolist())
        assert other.digest != sketch_of(SMALL).digest

    @pytest.mark.parametrize("rows", [0, 1, 4, 5000])
    def test_it_can_be_kept_as_text(self, rows: int) -> None:
        sketch = sketch_of(drawn(rows))
        read = Sketch.decoded(sketch.rows, sketch.digest, sketch.encoded())
        assert read.hashes.tolist() == sketch.hashes.tolist()
        assert difference(read, sketch) == Difference(0, 0)

    @pytest.mark.parametrize("text", ["", "AAAA", "no base64"])
    def test_a_text_that_is_none(self, text: str) -> None:
        with pytest.raises(ValueError, match=r".+"):
            Sketch.decoded(4, "0" * 32, text)


def test_a_table_that_is_read_in_chunks_has_the_same_sketch(tmp_path: Path) -> None:
    rows = np.concatenate([drawn(50), drawn(20), np.zeros((4, 2)), -np.zeros((3, 2))])
    pd.DataFrame(rows, columns=["age", "dose"]).to_parquet(tmp_path / "t.parquet")
    whole, chunked = sketch_of(rows), Sketch.of(read_in_chunks(tmp_path / "t.parquet", ("dose", "age"), 7), KEY)
    assert (chunked.rows, chunked.digest) == (whole.rows, whole.digest)
    assert chunked.hashes.tolist() == whole.hashes.tolist()
