"""GMV's MatDist (Algorithm 3) without its subtraction of every pair: distances as one matrix product.

``|x_i - c_j|^2 = |x_i|^2 + |c_j|^2 - 2 x_i . c_j``. Nothing is truncated: the results have 2 f fractional bits, so a
comparison of two of them is exact.
"""

from __future__ import annotations

from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.mpc.engine import Engine
from secure_kmeans.mpc.rounds import Step


def squared_norms(engine: Engine, X: Shared) -> Step[Shared]:
    """|x_i|^2 as (n,) shares, 2 f fractional bits, from (n, d) with f. Rounds: 1."""
    return (yield from engine.squares(X)).sum(1)


def squared_distances(engine: Engine, X: Shared, norms: Shared, C: Shared) -> Step[Shared]:
    """|x_i - c_j|^2 as (m, n) shares, 2 f fractional bits, from (n, d) and (m, d) with f. Rounds: 2."""
    products = yield from engine.matmul(X, C.t())
    return norms + ((yield from squared_norms(engine, C)).unsqueeze(1) - products.t() * 2)
