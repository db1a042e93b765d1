"""Fixed point in the ring: reals as integers of Z/2^64, and the bounds within which no number wraps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from secure_kmeans.errors import JobError
from secure_kmeans.words import counted, key

RING_BITS: Final = 64
MOST_PRECISION_BITS: Final = 24
LEAST_PRECISION_BITS: Final = 8
MOST_MEAN_BITS: Final = 40
LARGEST_COUNT_BITS: Final = 24
"""Secret counts lie below 2^24."""

_MOST_QUOTIENT_BITS: Final = 61
_SUM_ERROR: Final = 122
"""At most 16 pairs of digits, which differ by at most 15, times factors that are off by half a unit; the rest is 2."""


def bits_to_hold(bound: float) -> int:
    """Smallest b >= 0 with ``bound <= 2^b``."""
    fraction, exponent = math.frexp(bound)  # exact; a logarithm would round
    return max(0, exponent - (fraction == 0.5))


@dataclass(frozen=True)
class FixedPoint:
    """A fixed point: reals to ring elements and back.

    Parameters
    ----------
    bits : int
        Fractional bits f: the resolution is ``2^-f``.
    """

    bits: int

    @property
    def scale(self) -> int:
        """Ring units in 1.0."""
        return 1 << self.bits

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Nearest ring elements, as int64 of the same shape. Error: at most half a unit.

        Raises
        ------
        OverflowError
            Where a value is not finite or does not fit.
        """
        scaled = np.rint(np.asarray(values, dtype=np.float64) * self.scale)
        if not (np.abs(scaled) < 2.0 ** (RING_BITS - 2)).all():
            raise OverflowError(f"a value does not fit {self.bits} fractional bits")
        return scaled.astype(np.int64)

    def decode(self, ring: np.ndarray) -> np.ndarray:
        """Reals, as float64 of the same shape. Exact below 2^53 units."""
        reals: np.ndarray = np.asarray(ring, dtype=np.int64) / self.scale
        return reals

    def on_grid(self, values: np.ndarray) -> np.ndarray:
        """The values, rounded to multiples of ``2^-bits`` as they are in the ring."""
        return self.decode(self.encode(values))


def exact_sums(numbers: np.ndarray) -> list[int]:
    """The sums of the columns of (n, m) int64, which may exceed 64 bits; n is below 2^31."""
    high, low = numbers >> np.int64(32), numbers & np.int64(0xFFFFFFFF)
    return [
        (above << 32) + below for above, below in zip(high.sum(axis=0).tolist(), low.sum(axis=0).tolist(), strict=True)
    ]


def choose_precision_bits(n_features: int, n_clusters: int, largest: float) -> int:
    """The most fractional bits, up to 24, with which no sum of an iteration can wrap.

    Let |x| <= B, with d features and k clusters. The largest numbers that are compared are squared distances between
    rows, at most ``4 d B^2``, and the movement of all centroids, at most ``4 k d B^2``, both at 2f fractional bits. A
    comparison needs their differences below 2^62. (Columns scaled to 0 to 1 would not need the factor 4. It costs
    them one bit.)

    Parameters
    ----------
    n_features, n_clusters : int
    largest : float
        B, the bound of |scaled value|.

    Raises
    ------
    JobError
        Where not even 8 bits are left.
    """
    magnitude = bits_to_hold(4.0 * n_clusters * n_features * min(max(largest, 2.0**-20), 2.0**400) ** 2)
    bits = min(MOST_PRECISION_BITS, (RING_BITS - 2 - magnitude) // 2)
    if bits < LEAST_PRECISION_BITS:
        raise JobError(
            f"the bounds are too large for the fixed point with {counted(n_features, 'column')} and "
            f'{counted(n_clusters, "cluster")}; use {key("scaling.method")} "uniform" or "minmax"'
        )
    return bits


def division_bits(largest: int, most: int) -> int:
    """The least extra bits with which a scaled quotient is nearer to the true one than 1 / (2 t), for t <= ``most``.

    See :func:`~secure_kmeans.mpc.division.quotient`.

    Parameters
    ----------
    largest : int
        Bound of |quotient|.
    most : int

    Raises
    ------
    JobError
        Where the ring has no room for them.
    """
    extra = _division_bits(most)
    if bits_to_hold(2.0 * largest + 2) + extra > _MOST_QUOTIENT_BITS:
        rows = counted(most, "row")
        raise JobError(f"precision_bits: the ring has no room to divide sums of {rows} exactly; use fewer rows")
    return extra


def _division_bits(most: int) -> int:
    return bits_to_hold(2.0 * (_SUM_ERROR + 1) * most)


def common_multiple(least: int) -> int:
    """The least common multiple of 1, ..., m - 1, by which small clusters are divided where m is the least size."""
    return math.lcm(*range(1, least))


def mean_bits(n_samples: int) -> int:
    """The most fractional bits of the mean of up to n rows from 0 to 1, up to 40, that :func:`division_bits` allows."""
    return max(LEAST_PRECISION_BITS, min(MOST_MEAN_BITS, _MOST_QUOTIENT_BITS - 2 - _division_bits(n_samples)))


def largest_that_fits(bits: int, n_features: int, n_clusters: int) -> float:
    """The largest |scaled value|, up to rounding, for which :func:`choose_precision_bits` leaves this many bits."""
    return math.sqrt(2.0 ** (RING_BITS - 2 - 2 * bits) / (4.0 * n_clusters * n_features))
