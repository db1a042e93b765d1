"""GMV's MatDist (Algorithm 3) without its subtraction of every pair: distances as one matrix product.

``|x_i - c_j|^2 = |x_i|^2 + |c_j|^2 - 2 x_i . c_j``. Nothing is truncated: the results have 2 f fractional bits, so a
comparison of two of them is exact.
"""

from __future__ import annotations

from typing import Final

from secure_kmeans.job import Clustering
from secure_kmeans.job.fixed_point import bits_to_hold
from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.mpc.engine import Engine
from secure_kmeans.mpc.rounds import Step

SLACK: Final = 0.02
"""Scaled units: centroids that a job gives may lie 0.01 beyond the bounds, and fixed point rounds."""


def squared_norms(engine: Engine, X: Shared) -> Step[Shared]:
    """|x_i|^2 as (n,) shares, 2 f fractional bits, from (n, d) with f. Rounds: 1."""
    return (yield from engine.squares(X)).sum(1)


def squared_distances(engine: Engine, X: Shared, norms: Shared, C: Shared) -> Step[Shared]:
    """|x_i - c_j|^2 as (m, n) shares, 2 f fractional bits, from (n, d) and (m, d) with f. Rounds: 2."""
    products = yield from engine.matmul(X, C.t())
    return norms + ((yield from squared_norms(engine, C)).unsqueeze(1) - products.t() * 2)


def bits_of_a_difference(clustering: Clustering, precision_bits: int) -> int:
    """Bits that hold the difference of two squared distances, from rows to rows or centroids, its sign included.

    In each of d columns a row is at most ``w + SLACK`` from a centroid, w the column's scaled width. A squared distance
    is at most ``d (w + SLACK)^2 2^(2 f)``, and no difference of two is larger.
    """
    width = clustering.scaling.width + SLACK
    return 1 + 2 * precision_bits + bits_to_hold(len(clustering.columns) * width**2)
