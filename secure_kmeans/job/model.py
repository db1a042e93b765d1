"""The result of a k-means run: the part that is common to all parties, and a party's own part."""

from __future__ import annotations

from pydantic import Field

from secure_kmeans.job.result import Common, Own, Result


class KMeansModel(Common):
    """The part of a fit that all parties learn, in original units.

    Attributes
    ----------
    centroids : (n_clusters, n_features) lists of float
    sizes : n_clusters ints or None
        Rows of all parties in each cluster; None where the job hides them.
    inertia, mean_distance : float or None
        None where the job does not disclose them.
    n_iter : int
    converged : bool
        The stop rule ended the run, not ``max_iter``.
    best_restart : int
        Number of the start that was kept, from 0.
    seed : int or None
        Seed of the public coins; None where none were needed.
    sizes_by_iteration : list of n_clusters ints
        Of the best start; empty where the job hides them.
    """

    centroids: list[list[float]]
    sizes: list[int] | None
    inertia: float | None
    mean_distance: float | None
    n_iter: int
    converged: bool
    best_restart: int
    seed: int | None
    sizes_by_iteration: list[list[int]]


class KMeansOwn(Own):
    """The part that one party alone holds.

    Attributes
    ----------
    labels : list of int
        Of this party's rows, in the order of its table.
    seconds_by_iteration : list of float
    """

    labels: list[int]
    seconds_by_iteration: list[float] = Field(default_factory=list)


class KMeansResult(Result):
    """A party's result of a k-means run; ``common`` is None after a prediction."""

    common: KMeansModel | None
    own: KMeansOwn
