import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secure_kmeans.errors import JobError
from secure_kmeans.job import SEEDS, Init
from secure_kmeans.job.coins import Coins, DrawGrid, fresh_seed
from secure_kmeans.job.fixed_point import bits_to_hold

INITS: list[Init] = ["farthest", "k-means++", "random"]


def test_fresh_seeds_differ_and_are_below_their_bound() -> None:
    seeds = {fresh_seed() for _ in range(50)}
    assert len(seeds) == 50
    assert max(seeds) < SEEDS


class TestCoins:
    @pytest.mark.parametrize("init", INITS)
    def test_a_seed_repeats_them(self, init: Init) -> None:
        first, again = (Coins.draw(7, init, 100, 5, 20) for _ in range(2))
        np.testing.assert_array_equal(first.rows, again.rows)
        np.testing.assert_array_equal(first.draws, again.draws)
        other = Coins.draw(8, init, 100, 5, 20)
        assert (other.rows != first.rows).any()
        assert (other.draws != first.draws).all()

    def test_known_answers(self) -> None:
        # All parties and the baseline draw for themselves: a NumPy that draws otherwise has to be noticed.
        assert Coins.draw(0, "random", 10, 3, 2).rows.tolist() == [[5, 9, 6], [9, 8, 0]]
        coins = Coins.draw(2**53 - 1, "k-means++", 10, 3, 2)
        assert coins.rows.tolist() == [[0], [7]]
        assert coins.draws.tolist() == [
            [0.5376094823800641, 0.1563294447865048],
            [0.10975294922492185, 0.42336996360446333],
        ]

    @given(st.integers(0, 2**53 - 1), st.integers(1, 30), st.data())
    def test_random_names_different_rows(self, seed: int, n_samples: int, data: st.DataObject) -> None:
        n_clusters = data.draw(st.integers(1, n_samples))
        rows = Coins.draw(seed, "random", n_samples, n_clusters, 3).rows
        assert rows.shape == (3, n_clusters)
        assert all(len(set(start)) == n_clusters for start in rows.tolist())
        assert rows.min() >= 0
        assert rows.max() < n_samples

    @pytest.mark.parametrize("init", ["farthest", "k-means++"])
    def test_restarts_begin_with_different_rows(self, init: Init) -> None:
        rows = Coins.draw(3, init, 20, 4, 20).rows
        assert rows.shape == (20, 1)
        assert sorted(rows[:, 0].tolist()) == list(range(20))

    @pytest.mark.parametrize("init", INITS)
    def test_more_restarts_than_rows(self, init: Init) -> None:
        coins = Coins.draw(3, init, 4, 2, 50)
        assert len(coins.rows) == len(coins.draws) == 50
        assert set(coins.rows[:, 0].tolist()) == {0, 1, 2, 3}

    @pytest.mark.parametrize("init", INITS)
    def test_one_draw_for_each_centroid_after_the_first(self, init: Init) -> None:
        draws = Coins.draw(3, init, 50, 4, 30).draws
        assert draws.shape == (30, 3)
        assert draws.min() >= 0
        assert draws.max() < 1
        assert len(np.unique(draws)) == 90

    def test_one_cluster_needs_no_draw(self) -> None:
        assert Coins.draw(3, "k-means++", 50, 1, 2).draws.shape == (2, 0)


class TestDrawGrid:
    @pytest.mark.parametrize(
        ("n_samples", "n_features", "largest", "row_bits", "draw_bits"),
        [
            (200, 2, 1.0, 14, 22),  # 1600 < 2^11: (61 - 11 - 22) / 2
            (2, 1, 1.0, 18, 22),  # 2^3
            (200, 2, 150.0, 6, 22),  # 36e6 < 2^26
            (10**6, 2, 1.0, 7, 24),  # 8e6 < 2^23, and 10^6 < 2^20
            (10, 2, 0.01, 19, 22),  # less than 2^0
        ],
    )
    def test_hand_computed(
        self, n_samples: int, n_features: int, largest: float, row_bits: int, draw_bits: int
    ) -> None:
        assert DrawGrid.fitting(n_samples, n_features, largest) == DrawGrid(row_bits, draw_bits)

    @given(st.integers(1, 10**7), st.integers(1, 100), st.floats(0, 1000))
    def test_bounds(self, n_samples: int, n_features: int, largest: float) -> None:
        magnitude = 4 * n_samples * n_features * max(largest, 2.0**-20) ** 2
        try:
            grid = DrawGrid.fitting(n_samples, n_features, largest)
        except JobError:
            # Not even six bits: with 30 for the draw at most, the sum of distances alone takes 61 - 30 - 12.
            assert magnitude > 2**19
            return
        # A product of floats may be off by a few 2^-53 of itself.
        assert magnitude * 2.0 ** (2 * grid.row_bits + grid.draw_bits) <= 2.0**61 * (1 + 2.0**-50)
        assert 6 <= grid.row_bits <= 19
        assert 22 <= grid.draw_bits <= 30
        assert grid.draw_bits >= bits_to_hold(n_samples)

    def test_no_room(self) -> None:
        with pytest.raises(JobError) as caught:
            DrawGrid.fitting(1000, 3, 5000.0)
        assert str(caught.value) == (
            'init: "k-means++" has no room in the ring for 1,000 rows of 3 columns; use "farthest"'
        )

    def test_rounding_a_draw(self) -> None:
        grid = DrawGrid(row_bits=10, draw_bits=22)
        draws = np.array([0.0, 2.0**-23, 0.5, np.nextafter(1.0, 0)])
        assert grid.round(draws).tolist() == [0, 0, 2**21, 2**22 - 1]
        assert grid.round(draws).dtype == np.int64
