"""Public bounds of a clustering's numbers in the ring. They follow from the job and the number of rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from secure_kmeans.errors import JobError
from secure_kmeans.job import Clustering
from secure_kmeans.job.fixed_point import LARGEST_COUNT_BITS, bits_to_hold, common_multiple, division_bits
from secure_kmeans.mpc.packing import RING_BYTES, bytes_for

SLACK: Final = 0.02
"""Scaled units: centroids that a job gives may lie 0.01 beyond the bounds, and fixed point rounds."""


def bits_of_a_difference(clustering: Clustering, precision_bits: int) -> int:
    """Bits that hold the difference of two squared distances, from rows to rows or centroids, its sign included.

    In each of d columns a row is at most ``w + SLACK`` from a centroid, w the column's scaled width. A squared distance
    is at most ``d (w + SLACK)^2 2^(2 f)``, and no difference of two is larger.
    """
    width = clustering.scaling.width + SLACK
    return 1 + 2 * precision_bits + bits_to_hold(len(clustering.columns) * width**2)


@dataclass(frozen=True)
class Bounds:
    """Public bounds of a clustering's numbers in the ring, which decide how many bits travel.

    Attributes
    ----------
    score_bits : int
        The difference of two scores of a row fits these bits, its sign included.
    largest : int
        Bound of a coordinate of a centroid.
    most : int
        Bound of a divisor.
    sum_bytes : int
        Sums and sizes are needed modulo 2^(8 sum_bytes).
    """

    score_bits: int
    largest: int
    most: int
    sum_bytes: int

    @classmethod
    def of(cls, clustering: Clustering, n: int, *, hidden: bool) -> Bounds:
        """The bounds for n rows.

        Raises
        ------
        JobError
            Where the ring has no room for so many rows.
        """
        largest = math.ceil(1.02 * clustering.scaling.largest * (1 << clustering.precision_bits))
        most = n if hidden else max(n, common_multiple(clustering.min_cluster_size))
        if hidden and bits_to_hold(float(n) + 1) > LARGEST_COUNT_BITS:
            raise JobError(f"hide_counts: at most {(1 << LARGEST_COUNT_BITS) - 1:,} rows can be counted in secret")
        if not hidden:
            division_bits(largest, most)
        return cls(
            score_bits=bits_of_a_difference(clustering, clustering.precision_bits),
            largest=largest,
            most=most,
            sum_bytes=min(RING_BYTES, bytes_for(bits_to_hold(float(most) * largest) + 2)),
        )
