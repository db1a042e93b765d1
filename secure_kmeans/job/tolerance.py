"""The stop rule's bound: a part of the mean variance of the columns, in integers that a run on shares can compute.

With |x_i|^2 the squared norm of row i and m the mean row, all in units of the fixed point, the sum of the columns'
variances is ``mean |x_i|^2 - |m|^2``. Squares are shifted by a few bits, so that their sum fits the ring. The run stops
when the squared movements of all centroids add up to at most ``tol`` times the variances' mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from secure_kmeans.errors import JobError
from secure_kmeans.job.clustering import Clustering
from secure_kmeans.job.fixed_point import bits_to_hold
from secure_kmeans.words import counted

_FACTOR_BITS: Final = 20
_ROOM: Final = 50
"""A mean by n rows is divided exactly as long as it is below ``2^(_ROOM - log2 n)``."""


@dataclass(frozen=True)
class Tolerance:
    """Public integers with which the bound is computed.

    Attributes
    ----------
    n_samples : int
    shift : int
        Bits that a squared norm loses.
    mean_bits : int
        Fractional bits of the mean row beyond those of the fixed point.
    slack : int
        Added to the variance, which rounding could make negative.
    factor, factor_bits : int
        The bound is ``(variance + slack) factor >> factor_bits``, or shifted to the left where the bits are negative.
    largest : int
        Bound of a shifted squared norm, and of a coordinate of the mean row.
    """

    n_samples: int
    shift: int
    mean_bits: int
    slack: int
    factor: int
    factor_bits: int
    largest: int

    @classmethod
    def of(cls, clustering: Clustering, n_samples: int) -> Tolerance | None:
        """The integers for n rows; None where the run stops only when no centroid moves.

        Raises
        ------
        JobError
            Where the ring has no room for so many rows.
        """
        if clustering.tol == 0:
            return None
        d, scale = len(clustering.columns), 2.0**clustering.precision_bits
        reach = 1.02 * clustering.scaling.largest * scale + 1
        norm = d * (reach - 1) ** 2
        room = min(_ROOM - bits_to_hold(float(n_samples)), 61 - _FACTOR_BITS - 2)
        if room < max(_FACTOR_BITS, bits_to_hold(reach)):  # the mean row is divided like the mean norm
            raise JobError(f"tol: the ring has no room for the variance of {counted(n_samples, 'row')}; use 0")
        shift = max(0, bits_to_hold(norm) - room)
        mean_bits = min(room - bits_to_hold(reach), (61 - bits_to_hold(d * reach**2)) // 2)
        slack = 2 + d + math.ceil(d * reach / 2.0 ** (shift + mean_bits))
        exact = clustering.tol / d * 2.0**shift
        factor_bits = min(_FACTOR_BITS - (math.frexp(exact)[1]), 62)
        return cls(n_samples, shift, mean_bits, slack, round(math.ldexp(exact, factor_bits)), factor_bits, 1 << room)

    def shifted_norms(self, X: np.ndarray) -> np.ndarray:
        """The squared norms of (n, d) rows in units of the fixed point, shifted, (n,) int64.

        Each column is shifted by itself, so that parties that hold columns can add up their parts.
        """
        shifted: np.ndarray = (X * X >> np.int64(self.shift)).sum(axis=1)
        return shifted

    def bound(self, X: np.ndarray) -> int:
        """The bound for (n_samples, d) rows in the clear, in units of the fixed point squared."""
        return self.bound_of(int(self.shifted_norms(X).sum()), X.sum(axis=0).tolist())

    def bound_of(self, norms: int, sums: Sequence[int]) -> int:
        """The same from the sum of the shifted norms, and from the sums of the columns."""
        n = self.n_samples
        mean_norm = (norms + n // 2) // n
        mean = [((total << self.mean_bits) + n // 2) // n for total in sums]
        variance = mean_norm - (sum(each * each for each in mean) >> self.shift + 2 * self.mean_bits)
        return self.scaled(variance)

    def scaled(self, variance: int) -> int:
        """The bound from the sum of the variances."""
        product = (variance + self.slack) * self.factor
        return product >> self.factor_bits if self.factor_bits >= 0 else product << -self.factor_bits
