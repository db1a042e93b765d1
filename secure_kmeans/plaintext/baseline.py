"""A job, run in the clear on all rows at once: what the secure run should have found."""

from __future__ import annotations

from typing import Any

import numpy as np

from secure_kmeans.fixed_point import FixedPoint
from secure_kmeans.job import Init, Job, Scaling
from secure_kmeans.plaintext.kmeans import KMeansRun, k_means


def cluster_in_the_clear(
    rows: np.ndarray,
    n_clusters: int,
    scaling: Scaling,
    precision_bits: int,
    *,
    init: Init | np.ndarray,
    **options: Any,
) -> list[KMeansRun]:
    """Every restart's run on scaled rows.

    The rows are rounded to the fixed point's grid first, as parties do when they share them, so that a secure
    and a plaintext run see the same table and break the same ties.

    Parameters
    ----------
    rows : (n_samples, n_features) float64, original units
    n_clusters : int
    scaling : Scaling
    precision_bits : int
    init : an initialisation, or (n_clusters, n_features) centroids in original units
    **options
        Of :func:`~secure_kmeans.plaintext.kmeans.k_means`.

    Returns
    -------
    list of KMeansRun, centroids and inertias in scaled units.
    """
    grid = FixedPoint(precision_bits)
    start = grid.on_grid(scaling.apply(init)) if isinstance(init, np.ndarray) else init
    return k_means(grid.on_grid(scaling.apply(rows)), n_clusters, init=start, largest=scaling.largest, **options)


def run_in_the_clear(job: Job, rows: np.ndarray, seed: int) -> list[KMeansRun]:
    """A job's restarts, on the rows of all parties in rank order; ``seed`` is that of the public coins."""
    return cluster_in_the_clear(
        rows,
        job.n_clusters,
        job.scaling,
        job.precision_bits,
        init=job.init if job.centroids is None else np.array(job.centroids),
        n_init=job.n_init,
        max_iter=job.max_iter,
        tol=job.tol,
        seed=seed,
    )
