from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_kmeans.job import Init
from secure_kmeans.job.coins import Coins, DrawGrid
from secure_kmeans.plaintext.initialisation import farthest_rows, initial_centroids, k_means_plus_plus_rows

Row = Sequence[int]

FOUR = np.array([[1.0, 1.0], [1.0, 2.0], [4.0, 1.0], [4.0, 2.0]])
GRID = DrawGrid(row_bits=10, draw_bits=22)

WORDS = 2**64
"""A draw u in [0, 1) is a word below this, divided by it."""

points = st.lists(st.tuples(st.integers(-1024, 1024), st.integers(-1024, 1024)), min_size=1, max_size=12)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


def draws_of(*words: int) -> np.ndarray:
    return np.array(words, dtype=np.uint64)


def squared(p: Row, q: Row) -> int:
    return sum((a - b) ** 2 for a, b in zip(p, q, strict=True))


def farthest_oracle(rows: list[Row], k: int, start: int) -> list[int]:
    chosen = [start]
    while len(chosen) < k:
        nearest = [min(squared(row, rows[c]) for c in chosen) for row in rows]
        chosen.append(nearest.index(max(nearest)))
    return chosen


def draw_oracle(rows: list[Row], k: int, start: int, words: list[int], draw_bits: int) -> list[int]:
    chosen = [start]
    for word in words[: k - 1]:
        nearest = [min(squared(row, rows[c]) for c in chosen) for row in rows]
        goal = (word * 2**draw_bits // WORDS) * sum(nearest)
        passed = [i for i in range(len(rows)) if sum(nearest[: i + 1]) * 2**draw_bits > goal]
        chosen.append(passed[0] if passed else len(rows) - 1)
    return chosen


class TestFarthest:
    @pytest.mark.parametrize(("start", "last"), [(0, 3), (1, 2), (2, 1), (3, 0)])
    def test_the_opposite_corner(self, start: int, last: int) -> None:
        assert farthest_rows(FOUR, 2, start) == [start, last]

    def test_hand_computed(self) -> None:
        # From 0: 10 is farthest. Then 4 and 6 are both 4 away from the nearer one: the first is taken.
        assert farthest_rows(column(0, 10, 4, 6), 3, 0) == [0, 1, 2]
        assert farthest_rows(column(0, 10, 6, 4), 3, 0) == [0, 1, 2]
        assert farthest_rows(column(0, 10, 4, 6), 4, 0) == [0, 1, 2, 3]

    def test_a_tie_goes_to_the_first_row(self) -> None:
        assert farthest_rows(column(0, 1, -1, 1), 2, 0) == [0, 1]
        assert farthest_rows(column(5, 5, 5), 3, 1) == [1, 0, 0]

    @settings(max_examples=50, deadline=None)
    @given(points, st.data())
    def test_against_an_oracle(self, rows: list[Row], data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(rows) - 1))
        k = data.draw(st.integers(1, len(rows)))
        X = np.array(rows, dtype=float) / 1024
        assert farthest_rows(X, k, start) == farthest_oracle(rows, k, start)


class TestKMeansPlusPlus:
    @pytest.mark.parametrize(
        ("word", "row"),
        [
            *((0, 1), (WORDS // 20, 1), (WORDS // 10 - WORDS // 1000, 1)),
            *((WORDS // 10 + WORDS // 1000, 3), (WORDS // 2, 3), (WORDS - 1, 3)),
        ],
    )
    def test_hand_computed(self, word: int, row: int) -> None:
        # Squared distances to 0 are 0, 1, 0, 9: a tenth of the draws is for row 1.
        X = column(0, 1, 0, 3).astype(int)
        assert k_means_plus_plus_rows(X, 2, 0, draws_of(word), GRID) == [0, row]

    def test_the_last_row_where_all_distances_are_0(self) -> None:
        X = column(5, 5, 5).astype(int)
        assert k_means_plus_plus_rows(X, 3, 1, draws_of(WORDS // 3, 0), GRID) == [1, 2, 2]

    @settings(max_examples=50, deadline=None)
    @given(points, st.data())
    def test_against_an_oracle(self, rows: list[Row], data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(rows) - 1))
        k = data.draw(st.integers(1, len(rows)))
        words = data.draw(st.lists(st.integers(0, WORDS - 1), min_size=k - 1, max_size=k - 1))
        # |X| <= 1 and at most 12 rows: 12 * 8 * 2^20 * 2^22 < 2^61, so nothing may wrap.
        X = np.array(rows)
        answer = k_means_plus_plus_rows(X, k, start, draws_of(*words), GRID)
        assert answer == draw_oracle(rows, k, start, words, 22)

    def test_the_finest_grid_does_not_wrap(self) -> None:
        generator = np.random.default_rng(0)
        grid = DrawGrid.fitting(64, 2, 1.0)
        X = generator.choice([-1, 1], (64, 2)) << grid.row_bits
        rows = X.tolist()
        words = [WORDS - 1, WORDS // 2, WORDS - WORDS // 1000]
        answer = k_means_plus_plus_rows(X, 4, 0, draws_of(*words), grid)
        assert answer == draw_oracle(rows, 4, 0, words, grid.draw_bits)

    def test_draws_are_in_proportion(self) -> None:
        X = column(0, 1, 2).astype(int)
        words = [(2 * number + 1) * WORDS // 2000 for number in range(1000)]
        second = [k_means_plus_plus_rows(X, 2, 0, draws_of(word), GRID)[1] for word in words]
        assert np.bincount(second).tolist() == [0, 200, 800]


class TestInitialCentroids:
    X = np.random.default_rng(1).integers(0, 2**24, (20, 2))

    @pytest.mark.parametrize("init", ["farthest", "k-means++", "random"])
    def test_each_restart_starts_at_rows_that_its_coins_lead_to(self, init: Init) -> None:
        coins = Coins.draw(5, init, 20, 3, 4)
        starts = initial_centroids(self.X, init, 3, coins, bits=24, largest=2.0)
        grid = DrawGrid.fitting(20, 2, 2.0)
        coarse = np.rint(self.X / 2.0 ** (24 - grid.row_bits)).astype(int)
        rows = {
            "farthest": [farthest_rows(self.X, 3, start) for start in coins.rows[:, 0]],
            "k-means++": [
                k_means_plus_plus_rows(coarse, 3, start, draws, grid)
                for start, draws in zip(coins.rows[:, 0], coins.draws, strict=True)
            ],
            "random": coins.rows.tolist(),
        }[init]
        assert starts.shape == (4, 3, 2)
        np.testing.assert_array_equal(starts, self.X[np.array(rows)])

    @pytest.mark.parametrize("init", ["farthest", "k-means++", "random"])
    def test_one_cluster(self, init: Init) -> None:
        coins = Coins.draw(5, init, 20, 1, 2)
        starts = initial_centroids(self.X, init, 1, coins, bits=24)
        np.testing.assert_array_equal(starts[:, 0], self.X[coins.rows[:, 0]])
