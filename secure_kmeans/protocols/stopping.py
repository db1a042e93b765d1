"""The bound of the stop rule, computed on shares. Nothing is revealed.

:class:`~secure_kmeans.job.tolerance.Tolerance` says what is computed; the run in the clear computes the same integers.
"""

from __future__ import annotations

import numpy as np
import torch

from secure_kmeans.job import Clustering
from secure_kmeans.job.tolerance import Tolerance
from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.mpc.packing import RING_BYTES
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.protocols.partition import Partition


def movement_bound(sharing: Sharing, clustering: Clustering, own_rows: np.ndarray, partition: Partition) -> Shared:
    """The bound of the squared movements of all centroids, (1,), in units of the fixed point squared.

    Parameters
    ----------
    sharing : Sharing
    clustering : Clustering
    own_rows : float64
        This party's part of the rows, scaled.
    partition : Partition

    Rounds: 0 where ``tol`` is 0; else those of a division, a square and two shifts.
    """
    engine, n, d = sharing.engine, partition.n, len(clustering.columns)
    tolerance = Tolerance.of(clustering, n)
    if tolerance is None:
        return engine.public(np.zeros(1, dtype=np.int64))
    X = sharing.fixed_point.encode(own_rows)
    sums = partition.in_all_columns(X.sum(axis=0))
    own = np.append(sums, tolerance.shifted_norms(X).sum())  # integers below 2^53, which doubles hold exactly
    finer = torch.tensor([1 << tolerance.mean_bits] * d + [1])
    totals = sharing.enter_rows(own[None].astype(float), [1] * len(sharing.parties), bits=0).sum(0) * finer
    dividends = engine.execute(engine.divide(totals.reshape(1, 1, d + 1), RING_BYTES))
    means = engine.execute(engine.divided(dividends, np.full((1, 1), n), tolerance.largest, n)).reshape(d + 1)
    squared = engine.execute(engine.squares(means[:d])).sum(0).reshape(1)
    if shift := tolerance.shift + 2 * tolerance.mean_bits:
        squared = engine.execute(engine.shift_right(squared, shift))
    product = (means[d:] - squared + tolerance.slack) * tolerance.factor
    if tolerance.factor_bits > 0:
        bound: Shared = engine.execute(engine.shift_right(product, tolerance.factor_bits))
        return bound
    return product * (1 << -tolerance.factor_bits)
