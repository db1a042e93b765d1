"""The result of a k-means run: the part that is common to all parties, and a party's own part."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from secure_kmeans.job.result import Common, Own, Result


class KMeansModel(Common):
    """The part of a fit that all parties learn, in original units.

    Clusters are in the order of their sizes, the largest first, then of their centroids, as far as these are known.

    Attributes
    ----------
    centroids : (n_clusters, n_features) lists of float, or None
        The mean of the rows that the cluster had in the last iteration: of its rows, where the centroids rest. An entry
        is None where the cluster is withheld; all is None where the job discloses no centroid.
    grid_centroids : (n_clusters, n_features) lists of int, or None
        The centroids on the grid of the fixed point, by which rows are labelled; None as in ``centroids``.
    tie_order : list of int
        A number for each cluster: a row that is equally near to several belongs to the one with the lowest number.
    withheld : list of int
        Clusters of fewer rows than ``min_cluster_size``, now or in the last iteration.
    sizes : n_clusters ints or None
        Rows of all parties in each cluster; an entry is None where the cluster is withheld. None where the job hides
        them.
    inertia, mean_distance : float or None
        Over the rows of the clusters that are not withheld. None where the job does not disclose them.
    n_iter : int
    converged : bool
        The stop rule ended the run, not ``max_iter``.
    best_restart : int
        Number of the start that was kept, from 0.
    seed : int or None
        Seed of the public coins; None where the starts were given, or are secret.
    sizes_by_iteration : list of n_clusters ints
        Of the best start; an entry is None where the cluster had fewer rows than ``min_cluster_size``. Empty where the
        job hides them.
    """

    centroids: list[list[float] | None] | None
    grid_centroids: list[list[int] | None] | None
    tie_order: list[int] = Field(default_factory=list)
    withheld: list[int]
    sizes: list[int | None] | None
    inertia: float | None
    mean_distance: float | None
    n_iter: int
    converged: bool
    best_restart: int
    seed: int | None
    sizes_by_iteration: list[list[int | None]]


def usual_order(sizes: Sequence[int | None] | None, centroids: Sequence[Sequence[float] | None] | None) -> list[int]:
    """The order of clusters that does not change from run to run: by size, the largest first, then by centroid.

    What is not known comes last and keeps its order.

    Returns
    -------
    Numbers of the clusters, in their new order.
    """
    k = len(sizes or centroids or ())

    def key(number: int) -> tuple[bool, int, tuple[float, ...]]:
        size = None if sizes is None else sizes[number]
        centroid = None if centroids is None else centroids[number]
        unknown = size is None and centroid is None
        return unknown, -(size or 0), tuple(centroid or ())

    return sorted(range(k), key=key)


class KMeansOwn(Own):
    """The part that one party alone holds.

    Attributes
    ----------
    labels : list of int
        Of this party's rows, in the order of its table. Empty where the table is read in chunks: then the labels follow
        from ``grid_centroids`` and ``tie_order``, and are written one block after the other.
    model_share : base64 text
        Where the parties do not know all grid centroids: for each cluster this party's share of its grid centroid, and
        its number in the ``tie_order``, int64, little-endian. Else empty. A share is uniformly random without the other
        parties' shares.
    seconds_by_iteration : list of float
    """

    labels: list[int]
    model_share: str = ""
    seconds_by_iteration: list[float] = Field(default_factory=list)


class KMeansResult(Result):
    """A party's result of a k-means run; ``common`` is None after a prediction."""

    common: KMeansModel | None
    own: KMeansOwn


class ColumnsOwn(KMeansOwn):
    """The part that one party alone holds where the parties hold columns.

    Attributes
    ----------
    rows : list of int
        The numbers, from 0, of the rows of its table that took part, in the order of the run, which is the same at all
        parties.
    labels : list of int
        Of these rows, in this order; empty where the party does not learn them.
    centroids : (n_clusters, own columns) lists of float, or None
        As :attr:`KMeansModel.centroids`, in the party's own columns; None where it learns none.
    grid_centroids : (n_clusters, own columns) lists of int, or None
        As :attr:`KMeansModel.grid_centroids`, in the party's own columns.
    """

    rows: list[int]
    centroids: list[list[float] | None] | None = None
    grid_centroids: list[list[int] | None] | None = None


class ColumnsResult(KMeansResult):
    """A party's result where the parties hold columns."""

    own: ColumnsOwn
