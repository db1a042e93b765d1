"""Starts at points that are no rows: drawn uniformly within the bounds, or spread around the mean of all rows.

All is computed with integers in units of the fixed point, so that every party finds the same points. "uniform" draws
each point within the bounds. "moments" draws many points, each coordinate uniformly from the mean of its column plus
and minus the square root of 3 standard deviations: the uniform distribution of that mean and variance, cut off at the
bounds. The start is what k-means finds of these points: it spreads evenly, so that fewer clusters begin close to each
other, or end without rows. It needs only the sums of the columns and of their squares, which show no row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from secure_kmeans.job import Clustering
from secure_kmeans.job.coins import point_draws
from secure_kmeans.job.fixed_point import FixedPoint, exact_sums
from secure_kmeans.plaintext.kmeans import lloyd

_WORD_BITS: Final = 64
_FEWEST_EACH: Final = 10
_MOST_EACH: Final = 50
_MOST_POINTS: Final = 20_000
"""Of "moments": so many points for each cluster, fewer where there are many clusters."""
_ITERATIONS: Final = 20
"""Of k-means on them."""


@dataclass(frozen=True)
class Moments:
    """Sums of some rows, in units of the fixed point.

    Attributes
    ----------
    n : int
        At least 1.
    sums : sequence of int
        Of each column.
    squares : sequence of int
        Of the squares of each column.
    """

    n: int
    sums: Sequence[int]
    squares: Sequence[int]

    @classmethod
    def of(cls, X: np.ndarray) -> Self:
        """The moments of (n, d) int64, |x| < 2^31."""
        return cls(len(X), exact_sums(X), exact_sums(X * X))

    def interval(self, column: int) -> tuple[int, int]:
        """The lowest and highest number within the square root of 3 standard deviations of a column's mean."""
        total, squares = self.sums[column], self.squares[column]
        mean = (total + self.n // 2) // self.n
        variance = (self.n * squares - total * total) // self.n**2
        reach = math.isqrt(3 * variance)
        return mean - reach, mean + reach


def points(clustering: Clustering, seed: int, moments: Moments | None) -> np.ndarray:
    """The first centroids of every start.

    Parameters
    ----------
    clustering : Clustering
    seed : int
        Of the public coins.
    moments : Moments or None
        Of the rows of all parties; None: the points are drawn within the bounds.

    Returns
    -------
    (n_init, n_clusters, n_features) int64, in units of the fixed point, within the bounds.
    """
    k, d = clustering.n_clusters, len(clustering.columns)
    bounds = np.array([clustering.scaling.lower, clustering.scaling.upper])
    lowest, highest = FixedPoint(clustering.precision_bits).encode(clustering.scaling.apply(bounds)).tolist()
    if moments is None:
        return _within(lowest, highest, point_draws(seed, clustering.n_init, k, d))
    for column in range(d):
        low, high = moments.interval(column)
        lowest[column], highest[column] = max(lowest[column], low), min(highest[column], high)
    count = k * max(_FEWEST_EACH, min(_MOST_EACH, _MOST_POINTS // k))
    drawn = _within(lowest, highest, point_draws(seed, clustering.n_init, count, d))
    return np.stack([lloyd(each, each[:k], max_iter=_ITERATIONS, tol=0).centroids for each in drawn])


def _within(lowest: Sequence[int], highest: Sequence[int], draws: np.ndarray) -> np.ndarray:
    """Uniform integers from ``lowest`` to ``highest`` of each column, int64 of the shape of the uint64 draws."""
    drawn = np.empty(draws.shape, dtype=np.int64)
    for column, (low, high) in enumerate(zip(lowest, highest, strict=True)):
        assert low <= high, "the mean of the rows lies within the bounds"
        words = draws[..., column].ravel().tolist()
        numbers = [low + (word * (high - low + 1) >> _WORD_BITS) for word in words]
        drawn[..., column] = np.array(numbers, dtype=np.int64).reshape(draws.shape[:-1])
    return drawn
