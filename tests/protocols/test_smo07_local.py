"""A party's own part of an iteration against plain NumPy, in one block and in several."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from secure_kmeans.job.fixed_point import FixedPoint
from secure_kmeans.job.tolerance import Tolerance
from secure_kmeans.plaintext.kmeans import nearest_centroids
from secure_kmeans.plaintext.points import Moments
from secure_kmeans.protocols.smo07 import Smo07Job
from secure_kmeans.protocols.smo07.local import OwnRows, add_by_label
from secure_kmeans.tables import Table
from tests.protocols.leading import job_for


class Blocked(Table):
    """A table in blocks of seven rows."""

    def blocks(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self.rows), 7):
            yield self.rows[start : start + 7]


def own_rows(rows: np.ndarray, job: Smo07Job) -> tuple[OwnRows, np.ndarray]:
    """The rows in blocks, and all of them in units of the fixed point."""
    X = FixedPoint(job.precision_bits).encode(job.scaling.apply(rows))
    return OwnRows(job, Blocked("rows", job.columns, rows)), X


def starts_of(X: np.ndarray, restarts: int, k: int) -> np.ndarray:
    generator = np.random.default_rng(len(X))
    return np.stack([X[generator.integers(0, len(X), k)] for _ in range(restarts)])


@given(
    rows=arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=st.integers(-9, 9)),
    k=st.integers(1, 5),
)
def test_sums_labels_and_inertias(rows: np.ndarray, k: int) -> None:
    own, X = own_rows(rows, job_for(rows, 3, k))
    C = starts_of(X, 2, k)
    sums, sizes = own.sums(C)
    inertias = own.inertias(C)
    for start, centroids in enumerate(C):
        labels, squared = nearest_centroids(X, centroids)
        assert np.concatenate(list(own.labels(centroids))).tolist() == labels.tolist()
        assert sizes[start].tolist() == np.bincount(labels, minlength=k).tolist()
        assert sums[start].tolist() == [X[labels == number].sum(axis=0).tolist() for number in range(k)]
        assert inertias[start] == sum(squared.tolist())


def test_moments_and_norms() -> None:
    rows = np.random.default_rng(1).normal(size=(30, 3)) * 50
    job = job_for(rows, 3, 4, tol=1e-4)
    own, X = own_rows(rows, job)
    tolerance = Tolerance.of(job, 30)
    assert tolerance is not None
    moments, norms = own.moments(tolerance)
    assert moments == Moments.of(X)
    assert tolerance.bound_of(norms, moments.sums) == tolerance.bound(X)
    assert own.moments(None) == (moments, 0)


def test_inertias_beyond_64_bits() -> None:
    """8,000 rows at a squared distance of 2^57 units."""
    block = np.zeros((8000, 2))
    block[::2] = 1.0
    job = job_for(block, 3, 1, precision_bits=28)
    own, _ = own_rows(block, job)
    far = FixedPoint(28).encode(np.array([[[-1.0, -1.0]]]))
    assert own.inertias(far) == [4000 * (2 << 56) + 4000 * (8 << 56)]
    assert own.inertias(far)[0] > 2**63


def test_sums_by_column() -> None:
    rows = np.random.default_rng(1).random((30, 2)) * [1000, 0.001]
    job = job_for(rows, 3, 3)
    own, X = own_rows(rows, job)
    sums, sizes = own.sums_by_column(X[:3], 20)
    labels, _ = nearest_centroids(X, X[:3])
    encoded = FixedPoint(20).encode(job.scaling.by_column.apply(rows))
    assert sizes.tolist() == np.bincount(labels).tolist()
    assert sums.tolist() == [encoded[labels == number].sum(axis=0).tolist() for number in range(3)]


def test_a_block_of_the_largest_numbers_is_added_up_exactly() -> None:
    """2^21 rows of 2^31 - 1: their sum is below 2^53, where doubles end to be exact."""
    block = np.full((1, 1 << 21), (1 << 31) - 1, dtype=np.int64)
    block[0, ::3] = 2**31 - 2
    sums, sizes = np.zeros((2, 1), dtype=np.int64), np.zeros(2, dtype=np.int64)
    labels = np.arange(1 << 21) % 2
    add_by_label(block, labels, sums, sizes)
    assert sums[:, 0].tolist() == [int(block[0, labels == number].sum()) for number in (0, 1)]
    assert sizes.tolist() == [1 << 20, 1 << 20]


def test_the_rows_are_not_shown() -> None:
    rows = np.full((3, 1), 1234.5)
    own, _ = own_rows(rows, job_for(rows, 3, 1))
    assert "1234" not in repr(own)


@pytest.mark.parametrize("n", [0, 1])
def test_few_rows(n: int) -> None:
    rows = np.arange(4.0).reshape(4, 1)
    job = job_for(rows, 3, 2)
    own = OwnRows(job, Table("rows", job.columns, rows[:n]))
    sums, sizes = own.sums(np.zeros((1, 2, 1), dtype=np.int64))
    assert (sums.sum(), sizes.sum()) == (0, n)
