"""GMV's MatDist (Algorithm 3) without its subtraction of every pair: distances as one matrix product.

``|x_i - c_j|^2 = |x_i|^2 + |c_j|^2 - 2 x_i . c_j``. What is left after ``|x_i|^2``, the score, orders the
centroids of a row as the distance does. Nothing is truncated: the results have 2 f fractional bits, so a
comparison of two of them is exact.
"""

from __future__ import annotations

from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import Shared


def squared_norms(X: Shared) -> Shared:
    """|x_i|^2 as (n, 1) shares, 2 f fractional bits, from (n, d) with f. Rounds: 1."""
    return crypten.squares(X).sum(1).unsqueeze(1)


def scores(X: Shared, C: Shared) -> Shared:
    """|c_j|^2 - 2 x_i . c_j as (n, m) shares, 2 f fractional bits, from (n, d) and (m, d) with f. Rounds: 2."""
    return squared_norms(C).t() - X.matmul(C.t()) * 2
