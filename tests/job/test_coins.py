import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secure_kmeans.errors import JobError
from secure_kmeans.job import SEEDS, Init
from secure_kmeans.job.coins import Coins, DrawGrid, SecretCoins, fresh_seed
from secure_kmeans.job.fixed_point import bits_to_hold

INITS: list[Init] = ["farthest", "k-means++", "random"]


def words(seed: int, purpose: str, size: int) -> list[int]:
    """The words of a seed, from SHAKE-256 alone."""
    stream = hashlib.shake_256(f"secure_kmeans coins, {purpose}, ".encode() + seed.to_bytes(8, "big"))
    octets = stream.digest(8 * size)
    return [int.from_bytes(octets[8 * i : 8 * i + 8], "little") for i in range(size)]


def permutation(seed: int, purpose: str, size: int) -> list[int]:
    """The numbers below ``size`` in the order of their words."""
    keys = words(seed, purpose, size)
    return sorted(range(size), key=lambda number: keys[number])


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
        # Every party and the run in the clear draw for themselves: an implementation that draws otherwise must fail.
        assert Coins.draw(0, "random", 10, 3, 2).rows.tolist() == [[3, 5, 7], [0, 3, 5]]
        coins = Coins.draw(2**53 - 1, "k-means++", 10, 3, 2)
        assert coins.rows.tolist() == [[4], [9]]
        assert coins.draws.tolist() == [
            [6922151278482678372, 5359808543769418930],
            [10191982820006409933, 1597471103113413868],
        ]

    @given(st.integers(0, SEEDS - 1), st.integers(1, 30), st.integers(1, 70), st.data())
    def test_against_shake_alone(self, seed: int, n_samples: int, n_init: int, data: st.DataObject) -> None:
        k = data.draw(st.integers(1, n_samples))
        draws = words(seed, "draws", n_init * (k - 1))
        starts = [permutation(seed, f"rows of start {start}", n_samples)[:k] for start in range(n_init)]
        turns = [permutation(seed, f"rows, {turn}", n_samples) for turn in range(n_init // n_samples + 1)]
        first = [row for turn in turns for row in turn][:n_init]
        expected: dict[Init, list[list[int]]] = {"random": starts, "farthest": [[row] for row in first]}
        for init, rows in expected.items():
            coins = Coins.draw(seed, init, n_samples, k, n_init)
            assert coins.rows.tolist() == rows
            assert coins.draws.ravel().tolist() == draws
            assert coins.draws.shape == (n_init, k - 1)
            assert coins.draws.dtype == np.uint64

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

    def test_every_row_comes_before_any_comes_again(self) -> None:
        rows = Coins.draw(3, "farthest", 4, 2, 10).rows[:, 0].tolist()
        assert [sorted(rows[start : start + 4]) for start in (0, 4)] == [[0, 1, 2, 3]] * 2
        assert len(set(rows[8:])) == 2
        assert len({tuple(rows[start : start + 4]) for start in (0, 4)}) == 2, "each turn has an order of its own"

    @pytest.mark.parametrize("init", INITS)
    def test_one_draw_for_each_centroid_after_the_first(self, init: Init) -> None:
        draws = Coins.draw(3, init, 50, 4, 30).draws
        assert draws.shape == (30, 3)
        assert draws.dtype == np.uint64
        assert len(np.unique(draws)) == 90

    def test_one_cluster_needs_no_draw(self) -> None:
        assert Coins.draw(3, "k-means++", 50, 1, 2).draws.shape == (2, 0)

    def test_digests_differ_when_anything_differs(self) -> None:
        coins = Coins.draw(7, "random", 100, 3, 2)
        others = [
            Coins.draw(8, "random", 100, 3, 2),
            Coins.draw(7, "farthest", 100, 3, 2),
            Coins.draw(7, "random", 1000, 3, 2),
            Coins.draw(7, "random", 100, 4, 2),
            Coins.draw(7, "random", 100, 3, 3),
            replace(coins, rows=coins.rows[::-1]),
            replace(coins, rows=coins.rows.reshape(3, 2)),
            replace(coins, draws=coins.draws ^ np.uint64(1)),
            replace(coins, draws=coins.draws.reshape(4, 1)),
            replace(coins, draws=coins.draws.T),
        ]
        digests = {each.digest for each in [coins, *others]}
        assert len(digests) == 1 + len(others)
        assert Coins.draw(7, "random", 100, 3, 2).digest == coins.digest
        assert {len(digest) for digest in digests} == {32}

    def test_a_digest_computed_by_hand(self) -> None:
        coins = Coins(rows=np.array([[2], [1]]), draws=np.array([[3], [2**64 - 1]], dtype=np.uint64))
        rows, draws = (b"".join(each.to_bytes(8, "little") for each in pair) for pair in ((2, 1), (3, 2**64 - 1)))
        assert coins.digest == hashlib.sha256(b"(2, 1)" + rows + b"(2, 1)" + draws).digest()


class TestSecretCoins:
    def test_known_answers(self) -> None:
        coins = SecretCoins.draw(2**53 - 1, 5, 3, 2)
        assert coins.order.tolist() == [1, 4, 3, 0, 2]
        assert coins.draws.tolist() == Coins.draw(2**53 - 1, "k-means++", 5, 3, 2).draws.tolist()

    @given(st.integers(0, SEEDS - 1), st.integers(1, 200), st.integers(1, 10), st.integers(1, 5))
    def test_against_shake_alone(self, seed: int, n_samples: int, n_clusters: int, n_init: int) -> None:
        coins = SecretCoins.draw(seed, n_samples, n_clusters, n_init)
        assert coins.order.tolist() == permutation(seed, "order", n_samples)
        assert sorted(coins.order.tolist()) == list(range(n_samples))
        assert coins.draws.ravel().tolist() == words(seed, "draws", n_init * (n_clusters - 1))
        assert coins.draws.shape == (n_init, n_clusters - 1)
        assert coins.draws.dtype == np.uint64

    def test_the_order_of_many_rows_is_that_of_a_stable_sort_of_their_words(self) -> None:
        order = SecretCoins.draw(1, 5000, 1, 1).order
        assert order.tolist() == permutation(1, "order", 5000)

    def test_digests_differ_when_anything_differs(self) -> None:
        coins = SecretCoins.draw(7, 100, 3, 2)
        others = [
            SecretCoins.draw(8, 100, 3, 2),
            SecretCoins.draw(7, 101, 3, 2),
            SecretCoins.draw(7, 100, 4, 2),
            SecretCoins.draw(7, 100, 3, 3),
            replace(coins, order=coins.order[::-1]),
            replace(coins, draws=coins.draws ^ np.uint64(1 << 63)),
            replace(coins, draws=coins.draws.reshape(4, 1)),
        ]
        assert len({each.digest for each in [coins, *others]}) == 1 + len(others)
        assert SecretCoins.draw(7, 100, 3, 2).digest == coins.digest


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
        draws = np.array([0, 2**42 - 1, 2**42, 2**63, 2**64 - 1], dtype=np.uint64)
        assert grid.round(draws).tolist() == [0, 0, 1, 2**21, 2**22 - 1]
        assert grid.round(draws).dtype == np.int64
