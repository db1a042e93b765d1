"""A clustering, run in the clear on all rows at once: what a secure run should find, to the last bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from secure_kmeans.job import Clustering
from secure_kmeans.job.clustering import POINT_INITS
from secure_kmeans.job.coins import Coins
from secure_kmeans.job.fixed_point import FixedPoint
from secure_kmeans.job.tolerance import Tolerance
from secure_kmeans.plaintext.initialisation import initial_centroids
from secure_kmeans.plaintext.kmeans import KMeansRun, lloyd
from secure_kmeans.plaintext.points import Moments, points


def run_in_the_clear(clustering: Clustering, rows: np.ndarray, seed: int) -> list[KMeansRun]:
    """Run every restart, in the order of the coins.

    Rows and centroids are rounded to the fixed point, as parties round them when they share them and when they
    divide. All else is exact. So both runs see the same table and break the same ties. What sets either apart from a
    run in double precision is the rounding alone: ``2^-25`` of the range of the table with 24 fractional bits.
    :func:`~secure_kmeans.plaintext.conclusion.conclude` makes of a run what a secure run discloses.

    Parameters
    ----------
    clustering : Clustering
        The job of a protocol for k-means is one.
    rows : (n_samples, n_features) float64, original units
        Of all parties, in rank order.
    seed : int
        Of the public coins; ignored where the centroids are given.

    Returns
    -------
    list of KMeansRun, centroids and inertias in scaled units.
    """
    return run_on_scaled(clustering, clustering.scaling.apply(rows), seed)


def run_on_scaled(clustering: Clustering, scaled: np.ndarray, seed: int) -> list[KMeansRun]:
    """The same as :func:`run_in_the_clear`, of rows that are scaled already."""
    fixed_point = FixedPoint(clustering.precision_bits)
    X = fixed_point.encode(scaled)
    if clustering.centroids is not None:
        starts = fixed_point.encode(clustering.scaling.apply(np.array(clustering.centroids)))[None]
    elif clustering.init in POINT_INITS:
        moments = Moments.of(X) if clustering.init == "moments" else None
        starts = points(clustering, seed, moments)
    else:
        coins = Coins.draw(seed, clustering.init, len(X), clustering.n_clusters, clustering.n_init)
        starts = initial_centroids(
            X,
            clustering.init,
            clustering.n_clusters,
            coins,
            bits=clustering.precision_bits,
            largest=clustering.scaling.largest,
        )
    tolerance = Tolerance.of(clustering, len(X))
    tol = 0 if tolerance is None else tolerance.bound(X)
    runs = [lloyd(X, start, max_iter=clustering.max_iter, tol=tol, least=clustering.fewest_to_move) for start in starts]
    return [_in_scaled_units(run, fixed_point) for run in runs]


def _in_scaled_units(run: KMeansRun, fixed_point: FixedPoint) -> KMeansRun:
    return replace(
        run,
        centroids=fixed_point.decode(run.centroids),
        inertia=run.inertia / fixed_point.scale**2,
        centroids_by_iteration=[fixed_point.decode(start) for start in run.centroids_by_iteration],
    )
