"""The baseline for tests that have no job at hand."""

import numpy as np

from secure_kmeans.job import Job, Party, Scaling
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.kmeans import KMeansRun


def cluster_in_the_clear(
    rows: np.ndarray,
    n_clusters: int,
    scaling: Scaling,
    precision_bits: int,
    *,
    init,
    seed: int = 0,
    n_init: int = 1,
    **options,
) -> list[KMeansRun]:
    """All restarts of a plaintext job on these rows."""
    given = isinstance(init, np.ndarray)
    job = Job.of(
        protocol="plaintext",
        engine="numpy",
        parties=Party.named("all"),
        columns=tuple(f"x{number}" for number in range(rows.shape[1])),
        n_clusters=n_clusters,
        scaling=scaling,
        precision_bits=precision_bits,
        init="farthest" if given else init,
        n_init=n_init,
        centroids=tuple(map(tuple, init.tolist())) if given else None,
        **options,
    )
    return run_in_the_clear(job, rows, seed)
