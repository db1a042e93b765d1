"""The bound of the stop rule against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from secure_kmeans.errors import JobError
from secure_kmeans.job import Clustering, Scaling
from secure_kmeans.job.fixed_point import FixedPoint, bits_to_hold, choose_precision_bits
from secure_kmeans.job.tolerance import Tolerance

LARGEST = [2.0**-10, 0.3, 1.0, 150.0, 2.0**15]
TOLS = [1e-300, 1e-12, 1e-8, 1e-4, 0.3, 1.0]


def clustering_with(d: int, tol: float, largest: float = 1.0, n_clusters: int = 1) -> Clustering:
    """A clustering of d columns between -largest and largest, with the most fractional bits that fit."""
    return Clustering.of(
        columns=tuple(f"x{number}" for number in range(d)),
        n_clusters=n_clusters,
        tol=tol,
        scaling=Scaling.of(method="none", lower=(-largest,) * d, upper=(largest,) * d),
        precision_bits=choose_precision_bits(d, n_clusters, largest),
    )


def tolerance_of(clustering: Clustering, n_samples: int) -> Tolerance:
    found = Tolerance.of(clustering, n_samples)
    assert found is not None
    return found


def sum_of_variances(X: np.ndarray) -> Fraction:
    n = len(X)
    squares = sum(int(x) ** 2 for x in X.ravel())
    return Fraction(squares, n) - sum(Fraction(sum(map(int, column)), n) ** 2 for column in X.T)


def check(clustering: Clustering, X: np.ndarray) -> None:
    """Compare the bound for rows in units of the fixed point with that in exact fractions."""
    tolerance = tolerance_of(clustering, len(X))
    bound = tolerance.bound(X)
    part = Fraction(clustering.tol) / X.shape[1]
    exact = part * sum_of_variances(X)
    # Each of d means is off by half a unit of 2^-mean_bits, so that its square, which is at most B^2, is off by at most
    # (B + 1/4) 2^-mean_bits; the squares of d columns and that of the mean lose less than a shifted unit each, the mean
    # of norms is off by half of one. The slack is as large as these errors, at most, so that it more than doubles none.
    unit = 2**tolerance.shift
    most = part * 2 * tolerance.slack * unit
    # The factor has 20 bits: it is off by 2^-20 of itself, or by half of 2^-62 where it has fewer; the rest is a floor.
    size = exact + most
    rounding = size / 2**19 + (size / unit + 1) / 2**62 + 1
    assert exact * (1 - Fraction(1, 2**19)) - rounding <= bound <= exact + most + rounding
    assert bound >= 0


@pytest.mark.parametrize("tol", [0.0, 1e-4])
def test_no_bound_is_needed_where_no_centroid_may_move(tol: float) -> None:
    assert (Tolerance.of(clustering_with(2, tol), 100) is None) == (tol == 0)


def test_hand_computed() -> None:
    # Two columns, rows (0, 0), (0, 0), (4, 2), (4, 2) times 2^20: variances 4 and 1 times 2^40, and half of them.
    clustering = clustering_with(2, 0.5)
    X = np.array([[0, 0], [0, 0], [4, 2], [4, 2]]) << 20
    tolerance = tolerance_of(clustering, 4)
    # A squared norm is below 2 (1.02 * 2^24)^2 < 2^50: with 39 bits of room it loses 11.
    assert (tolerance.shift, tolerance.largest) == (11, 2**39)
    # 2 (1.02 * 2^24)^2 is above 2^49 and below 2^50: 61 - 50 bits are twice 5, and one.
    assert tolerance.mean_bits == 5
    # Two, one for each column, and 2 (1.02 * 2^24 + 1) / 2^16 = 522.2.
    assert tolerance.slack == 4 + 523
    # A quarter of 2^11.
    assert Fraction(tolerance.factor) / 2**tolerance.factor_bits == 2**9
    assert tolerance.bound(X) == ((5 << 40 - 11) + 4 + 523) * 2**9


def test_as_scikit_learn_computes_it() -> None:
    X = np.random.default_rng(0).random((500, 3))
    clustering = clustering_with(3, 1e-4)
    scaled = FixedPoint(clustering.precision_bits)
    bound = tolerance_of(clustering, 500).bound(scaled.encode(X)) / scaled.scale**2
    # The factor has 20 bits; the roundings, of 2^-24 and the slack, are small beside a variance of 1/12.
    assert bound == pytest.approx(1e-4 * X.var(axis=0).mean(), rel=2.0**-19)


@settings(max_examples=150, deadline=None)
@given(
    d=st.integers(1, 20),
    n=st.integers(1, 40),
    k=st.integers(1, 30),
    largest=st.sampled_from(LARGEST),
    tol=st.sampled_from(TOLS),
    spread=st.sampled_from([0.0, 1e-9, 1e-4, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_against_fractions(d: int, n: int, k: int, largest: float, tol: float, spread: float, seed: int) -> None:
    clustering = clustering_with(d, tol, largest, k)
    draws = np.random.default_rng(seed)
    middle = draws.uniform(-largest, largest, d)
    rows = np.clip(middle + spread * draws.uniform(-largest, largest, (n, d)), -largest, largest)
    check(clustering, FixedPoint(clustering.precision_bits).encode(rows))


@pytest.mark.parametrize("largest", LARGEST)
@pytest.mark.parametrize("tol", TOLS)
@pytest.mark.parametrize("d", [1, 2, 1000])
def test_rows_at_the_bounds(d: int, tol: float, largest: float) -> None:
    clustering = clustering_with(d, tol, largest)
    signs = np.array([[1.0] * d, [-1.0] * d, [1.0] * d])
    X = FixedPoint(clustering.precision_bits).encode(largest * signs)
    check(clustering, X)
    check(clustering, X[:1])  # no variance at all
    check(clustering, X[::2])


def test_many_rows() -> None:
    clustering = clustering_with(1, 1e-3)
    X = np.random.default_rng(1).integers(-(2**24), 2**24, (200_000, 1), endpoint=True)
    check(clustering, X)
    check(clustering, np.full((200_000, 1), -(2**24)))


@settings(max_examples=300)
@given(
    d=st.integers(1, 1000),
    k=st.integers(1, 1000),
    n=st.integers(1, 2**33),
    largest=st.floats(2.0**-30, 2.0**22),
    tol=st.floats(1e-300, 1.0),
)
@example(d=1, k=1, n=2**30, largest=1.0, tol=1.0)
@example(d=1, k=1, n=2**21, largest=2.0**22, tol=1.0)
@example(d=1, k=1, n=2**27, largest=1.0, tol=1.0)
@example(d=1000, k=1, n=1, largest=1.0, tol=5e-324)
def test_nothing_leaves_the_ring(d: int, k: int, n: int, largest: float, tol: float) -> None:
    try:
        clustering = clustering_with(d, tol, largest, k)
        tolerance = tolerance_of(clustering, n)
    except JobError:
        refused = True
    else:
        refused = False
    if refused:
        assert largest > 1000 or n > 2**24
        return
    reach = Fraction(1.02) * Fraction(largest) * 2**clustering.precision_bits + 1
    room = tolerance.largest
    # A mean of n rows is divided exactly where its bound and the number of rows leave room.
    assert bits_to_hold(2.0 * room + 2) + bits_to_hold(2.0 * 123 * n) <= 61
    reach *= 2**tolerance.mean_bits
    assert reach <= room, "a mean is no larger than the division allows"
    assert n * reach < 2**62, "the sums of the rows"
    norm = int(d * (reach / 2**tolerance.mean_bits - 1) ** 2) >> tolerance.shift
    assert norm <= room, "nor is a mean of shifted norms"
    assert n * room < 2**62, "the sum of the shifted norms"
    assert d * reach**2 < 2**62, "the squared mean row"
    largest_variance = room + tolerance.slack
    assert 0 <= tolerance.factor <= 2**20
    assert tolerance.factor_bits <= 62
    assert largest_variance * tolerance.factor < 2**62
    assert tolerance.scaled(norm) < 2**62


def test_no_room() -> None:
    with pytest.raises(JobError) as caught:
        Tolerance.of(clustering_with(1, 1e-4), 2**31)
    assert str(caught.value) == "tol: the ring has no room for the variance of 2,147,483,648 rows; use 0"
    assert Tolerance.of(clustering_with(1, 0.0), 2**31) is None
