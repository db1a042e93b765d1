"""Starts at points that are no rows: drawn uniformly within the bounds, or around the mean of all rows.

All is computed with integers in units of the fixed point, so that every party finds the same points. "moments" draws
each coordinate uniformly from the mean of its column plus and minus the square root of 3 standard deviations: the
uniform distribution of that mean and variance, cut off at the bounds. It needs only the sums of the columns and of
their squares, which show no row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from secure_kmeans.job import Clustering
from secure_kmeans.job.coins import point_draws
from secure_kmeans.job.fixed_point import FixedPoint, exact_sums

_WORD_BITS = 64


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
    d = len(clustering.columns)
    bounds = np.array([clustering.scaling.lower, clustering.scaling.upper])
    lowest, highest = FixedPoint(clustering.precision_bits).encode(clustering.scaling.apply(bounds)).tolist()
    draws = point_draws(seed, clustering.n_init, clustering.n_clusters, d)
    drawn = np.empty(draws.shape, dtype=np.int64)
    for column in range(d):
        low, high = lowest[column], highest[column]
        if moments is not None:
            own_low, own_high = moments.interval(column)
            low, high = max(low, own_low), min(high, own_high)
            assert low <= high, "the mean of the rows lies within the bounds"
        words = draws[:, :, column].ravel().tolist()
        numbers = [low + (word * (high - low + 1) >> _WORD_BITS) for word in words]
        drawn[:, :, column] = np.array(numbers, dtype=np.int64).reshape(draws.shape[:2])
    return drawn
