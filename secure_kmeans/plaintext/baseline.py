"""A job, run in the clear on all rows at once: what the secure run should have found."""

from __future__ import annotations

import numpy as np

from secure_kmeans.fixed_point import FixedPoint
from secure_kmeans.job import Job
from secure_kmeans.plaintext.kmeans import KMeansRun, k_means


def run_in_the_clear(job: Job, rows: np.ndarray, seed: int) -> list[KMeansRun]:
    """Every restart's run in double precision.

    The rows are rounded to the fixed point's grid first, as parties do when they share them, so that a secure
    and a plaintext run see the same table and break the same ties.

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

    def on_grid(values: np.ndarray) -> np.ndarray:
        return FixedPoint(job.precision_bits).on_grid(job.scaling.apply(values))

    return k_means(
        on_grid(rows),
        job.n_clusters,
        init=job.init if job.centroids is None else on_grid(np.array(job.centroids)),
        n_init=job.n_init,
        max_iter=job.max_iter,
        tol=job.tol,
        seed=seed,
        largest=job.scaling.largest,
    )
