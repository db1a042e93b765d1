"""Starts at points that are no rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from secure_kmeans.job import Clustering, Scaling
from secure_kmeans.plaintext.points import Moments, points

UNIT = 1 << 20


def clustering(lower: tuple[float, ...], upper: tuple[float, ...], **keys: object) -> Clustering:
    columns = tuple(f"column_{number}" for number in range(len(lower)))
    usual = {"columns": columns, "n_clusters": 3, "n_init": 4, "init": "uniform", "precision_bits": 20}
    return Clustering.of(scaling=Scaling.of(method="none", lower=lower, upper=upper), **usual | keys)


class TestMoments:
    def test_of_a_column_computed_by_hand(self) -> None:
        """2, 4, 4, 6: mean 4, variance 2, sqrt(6) = 2.449."""
        moments = Moments.of(np.array([[2], [4], [4], [6]], dtype=np.int64) * UNIT)
        low, high = moments.interval(0)
        assert (low + high) / 2 / UNIT == 4
        assert (high - low) / 2 / UNIT == pytest.approx(6**0.5, abs=1e-6)

    def test_of_equal_rows_is_one_point(self) -> None:
        assert Moments.of(np.full((7, 1), -5, dtype=np.int64)).interval(0) == (-5, -5)

    @given(arrays(np.int64, (9, 2), elements=st.integers(-(2**30), 2**30)))
    def test_are_exact_beyond_64_bits(self, X: np.ndarray) -> None:
        moments = Moments.of(X)
        assert list(moments.sums) == [sum(column) for column in X.T.tolist()]
        assert list(moments.squares) == [sum(value**2 for value in column) for column in X.T.tolist()]


class TestPoints:
    def test_lie_within_the_bounds_and_follow_from_the_seed(self) -> None:
        wanted = clustering((-2.0, 5.0), (1.0, 5.0))
        drawn = points(wanted, 7, None)
        assert drawn.shape == (4, 3, 2)
        assert (drawn[..., 0] >= -2 * UNIT).all()
        assert (drawn[..., 0] <= UNIT).all()
        assert (drawn[..., 1] == 5 * UNIT).all()
        assert (drawn == points(wanted, 7, None)).all()
        assert (drawn != points(wanted, 8, None)).any()

    def test_of_moments_are_cut_off_at_the_bounds(self) -> None:
        rows = np.array([[0], [0], [0], [UNIT]], dtype=np.int64)
        low, high = Moments.of(rows).interval(0)
        assert low < 0 < high
        drawn = points(clustering((0.0,), (1.0,), init="moments", n_init=200), 1, Moments.of(rows))
        assert drawn.min() >= 0
        assert drawn.max() <= high

    def test_of_moments_spread_evenly(self) -> None:
        """Three centroids of k-means on a segment: its sixth, half and five sixths, but for the 150 drawn points."""
        rows = np.array([[0], [UNIT]] * 3, dtype=np.int64)
        drawn = np.sort(points(clustering((0.0,), (1.0,), init="moments", n_init=20), 1, Moments.of(rows))[..., 0])
        assert np.abs(drawn / UNIT - [1 / 6, 1 / 2, 5 / 6]).max() < 0.12

    def test_of_equal_rows_are_these(self) -> None:
        rows = np.full((5, 1), UNIT // 3, dtype=np.int64)
        drawn = points(clustering((0.0,), (1.0,), init="moments"), 1, Moments.of(rows))
        assert set(drawn.ravel().tolist()) == {UNIT // 3}

    def test_of_many_clusters_are_found_soon(self) -> None:
        rows = np.array([[0], [UNIT]], dtype=np.int64)
        wanted = clustering((0.0,), (1.0,), init="moments", n_init=1, n_clusters=500)
        assert len(np.unique(points(wanted, 1, Moments.of(rows)))) > 450

    def test_are_uniform(self) -> None:
        """Of 30,000 draws the mean has a standard error of 1/sqrt(12 n): 6 of them are a false alarm of 2e-9."""
        drawn = points(clustering((0.0,), (1.0,), n_init=1000, n_clusters=30), 3, None) / UNIT
        assert abs(drawn.mean() - 0.5) < 6 * (1 / 12 / drawn.size) ** 0.5
        assert abs((drawn**2).mean() - 1 / 3) < 6 * (4 / 45 / drawn.size) ** 0.5
