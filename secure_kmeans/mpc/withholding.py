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

from secure_kmeans.job.fixed_point import bits_to_hold, common_multiple
from secure_kmeans.mpc.crypten_adapter import Shared, share_of, wrap
from secure_kmeans.mpc.engine import Engine
from secure_kmeans.mpc.rounds import Step


def sizes_below(engine: Engine, t: Shared, limits: range, n: int) -> Step[Shared]:
    """[t < limit] as integers, (limits, ...), for sizes t from 0 to n. Rounds: those of a comparison."""
    bits = bits_to_hold(float(max(n, limits[-1]) + 1)) + 2
    share = share_of(t)
    shape = (len(limits), *share.shape)
    each = np.array(limits, dtype=np.int64).reshape(-1, *[1] * share.ndim)
    left, right = np.broadcast_to(share, shape), np.broadcast_to(each, shape)
    return (yield from engine.less_than(wrap(left), engine.public(right.copy()), bits))


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
    multiple, r = common_multiple(least), T.size(0)
    smaller = share_of(below)
    # q = 1 - [t < m] + sum of L / s ([t < s + 1] - [t < s]): a sum of public multiples of the bits.
    quotients = np.array([0, *(multiple // size for size in range(1, least)), 1], dtype=np.int64)
    weights = (quotients[:-1] - quotients[1:]).reshape(-1, 1, 1)
    factors = (weights * smaller).sum(axis=0) + share_of(engine.public(np.ones(smaller.shape[1:], dtype=np.int64)))
    left = np.concatenate([share_of(T), share_of(C)])
    right = np.concatenate([factors, multiple * smaller[0]])[:, :, None]
    products = share_of((yield from engine.multiply(wrap(left), wrap(right))))
    return wrap(products[:r] + products[r:])
