"""A job, run in the clear on all rows at once: what the secure run should find, to the last bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from secure_kmeans.fixed_point import FixedPoint
from secure_kmeans.job import Job
from secure_kmeans.plaintext.initialisation import initial_centroids
from secure_kmeans.plaintext.kmeans import KMeansRun, lloyd
from secure_kmeans.public_coins import Coins


def run_in_the_clear(job: Job, rows: np.ndarray, seed: int) -> list[KMeansRun]:
    """Every restart's run, in the order of the coins.

    Rows and centroids are rounded to the fixed point, as parties round them when they share them and when they
    divide; all else is exact. So the two runs see the same table and break the same ties, and what is
    rounded away (2^-25 of the range of the table, with 24 fractional bits) is all that sets either apart from a run in
    double precision.

    Parameters
    ----------
    job : Job
    rows : (n_samples, n_features) float64, original units
        Of all parties, in rank order.
    seed : int
        Of the public coins; ignored where the job gives the centroids.

    Returns
    -------
    list of KMeansRun, centroids and inertias in scaled units.
    """
    fixed_point = FixedPoint(job.precision_bits)
    X = fixed_point.encode(job.scaling.apply(rows))
    if job.centroids is not None:
        starts = fixed_point.encode(job.scaling.apply(np.array(job.centroids)))[None]
    else:
        coins = Coins.draw(seed, job.init, len(X), job.n_clusters, job.n_init)
        largest = job.scaling.largest
        starts = initial_centroids(X, job.init, job.n_clusters, coins, bits=job.precision_bits, largest=largest)
    tol = job.tol * fixed_point.scale**2
    return [_in_scaled_units(lloyd(X, start, max_iter=job.max_iter, tol=tol), fixed_point) for start in starts]


def _in_scaled_units(run: KMeansRun, fixed_point: FixedPoint) -> KMeansRun:
    return replace(
        run,
        centroids=fixed_point.decode(run.centroids),
        inertia=run.inertia / fixed_point.scale**2,
        centroids_by_iteration=[fixed_point.decode(start) for start in run.centroids_by_iteration],
    )
