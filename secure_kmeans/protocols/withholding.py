"""Clusters of fewer rows than ``min_cluster_size``, whose sizes nobody learns, in public division.

A mean is a sum T divided by the number of rows t, which is public, so that the division is exact. The size of a small
cluster must not become public. Let m be the least size and L the least common multiple of 1, ..., m - 1. Comparisons of
t with 1, ..., m give shares of the factor

    q = L / t for 0 < t < m,   1 for t >= m,   0 for t = 0

and ``T q`` is divided by L where t < m, by t where t >= m. An empty cluster has ``T q = 0``; L times its old centroid
is added. Only [t < m] is opened, and t where it is at least m.
"""

from __future__ import annotations

import numpy as np

from secure_kmeans.job.fixed_point import bits_to_hold
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.mpc.engine import Engine
from secure_kmeans.mpc.rounds import Step
from secure_kmeans.protocols.bounds import common_multiple


def sizes_below(engine: Engine, t: Shared, limits: range, n: int) -> Step[Shared]:
    """[t < limit] as integers, (limits, ...), for sizes t from 0 to n. Rounds: those of a comparison."""
    bits = bits_to_hold(float(max(n, limits[-1]) + 1)) + 2
    each = np.array(limits, dtype=np.int64).reshape(-1, *[1] * t.dim())
    sizes = t.unsqueeze(0).expand(len(limits), *t.size())
    shape = tuple(sizes.size())
    return (yield from engine.less_than(sizes, engine.public(np.broadcast_to(each, shape).copy()), bits))


def dividends(engine: Engine, T: Shared, C: Shared, below: Shared, least: int) -> Step[Shared]:
    """The numbers to divide by L or t: ``T q``, and L times the old centroid of an empty cluster. Rounds: 1.

    Parameters
    ----------
    T, C : (r, k, d)
        Sums and old centroids.
    below : (m, r, k)
        [t < 1], ..., [t < m].
    least : int
        m, at least 2.
    """
    multiple = common_multiple(least)
    factors = 1 - below[least - 1]
    for size in range(1, least):
        factors = factors + (below[size] - below[size - 1]) * (multiple // size)
    left, right = crypten.cat([T, C]), crypten.cat([factors, below[0] * multiple]).unsqueeze(2)
    products = yield from engine.multiply(left, right)
    r = T.size(0)
    return products[:r] + products[r:]
