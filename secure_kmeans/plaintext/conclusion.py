"""What a secure run discloses at its end, computed in the clear: the counterpart of its conclusion on shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secure_kmeans.job import Clustering
from secure_kmeans.job.fixed_point import FixedPoint
from secure_kmeans.job.model import usual_order
from secure_kmeans.plaintext.kmeans import KMeansRun, nearest_centroids


@dataclass(frozen=True)
class PlainModel:
    """A model of all rows, in the usual order of its clusters.

    Attributes
    ----------
    centroids : list of lists of float, or None where a cluster is withheld
        Original units.
    grid_centroids : list of lists of int, or None where a cluster is withheld
        Units of the fixed point.
    tie_order : list of int
        A number for each cluster: a row that is equally near to several belongs to the one with the lowest number.
    sizes : list of int, or None where a cluster is withheld
    withheld : list of int
    labels : (n_samples,) int64
    sizes_by_iteration : list of lists of int, or None where a cluster was too small
    """

    centroids: list[list[float] | None]
    grid_centroids: list[list[int] | None]
    tie_order: list[int]
    sizes: list[int | None]
    withheld: list[int]
    labels: np.ndarray
    sizes_by_iteration: list[list[int | None]]


def conclude(
    clustering: Clustering,
    rows: np.ndarray,
    run: KMeansRun,
    *,
    order_by_centroid: bool = True,
    discloses_centroids: bool = True,
) -> PlainModel:
    """The model of a run of :func:`~secure_kmeans.plaintext.baseline.run_in_the_clear`.

    Parameters
    ----------
    clustering : Clustering
    rows : (n_samples, n_features) float64, original units
    run : KMeansRun
        Scaled units.
    order_by_centroid : bool
        Clusters of the same size are in the order of their centroids; else, where no party knows whole centroids, in
        the order in which the run began with them.
    discloses_centroids : bool
        Some party learns final centroids. Else they are not rounded, even where the sizes are hidden.
    """
    n, least, scaling = len(rows), clustering.withheld_below, clustering.scaling
    fixed_point = FixedPoint(clustering.precision_bits)
    X = fixed_point.encode(scaling.apply(rows))
    grid, labels = fixed_point.encode(run.centroids), run.labels
    averaged = np.array(run.sizes_by_iteration[-1])  # the rows of which the centroids are the means
    shifts = clustering.centroid_shifts(n)
    if shifts is None or not discloses_centroids:
        averaged_labels, _ = nearest_centroids(X, fixed_point.encode(run.centroids_by_iteration[-1]))
        centroids = _means_by_column(clustering, rows, averaged_labels, averaged, grid)
    else:
        grid = grid + (1 << shifts >> 1) >> shifts << shifts
        labels, _ = nearest_centroids(X, grid)
        centroids = scaling.invert(fixed_point.decode(grid))
    sizes = np.bincount(labels, minlength=len(grid))
    shown = np.minimum(sizes, averaged) >= least
    counted = shown & (sizes >= clustering.sizes_known_from)
    known_sizes = [int(size) if each else None for size, each in zip(sizes, counted, strict=True)]
    known = [centroid if each else None for centroid, each in zip(centroids.tolist(), shown, strict=True)]
    order = usual_order(None if clustering.sizes_are_hidden else known_sizes, known if order_by_centroid else None)
    order = order or list(range(len(grid)))  # nothing is known by which the clusters could be ordered
    return PlainModel(
        centroids=[known[number] for number in order],
        grid_centroids=[grid[number].tolist() if shown[number] else None for number in order],
        tie_order=order,
        sizes=[known_sizes[number] for number in order],
        withheld=np.flatnonzero(~shown[order]).tolist(),
        labels=np.argsort(order)[labels],
        sizes_by_iteration=[
            [found[number] if found[number] >= least or least == 1 else None for number in order]
            for found in run.sizes_by_iteration
        ],
    )


def _means_by_column(
    clustering: Clustering, rows: np.ndarray, labels: np.ndarray, sizes: np.ndarray, grid: np.ndarray
) -> np.ndarray:
    """The means of the rows of each cluster, encoded at each column's own precision, (k, d), original units.

    Where a cluster has too few rows to move, its centroid on the grid takes the place of the mean.
    """
    scaling, fixed_point = clustering.scaling.by_column, FixedPoint(clustering.mean_bits(len(rows)))
    sums = np.zeros((len(sizes), rows.shape[1]), dtype=np.int64)
    np.add.at(sums, labels, fixed_point.encode(scaling.apply(rows)))
    divisors = sizes.clip(1)[:, None]
    means = (sums + divisors // 2) // divisors
    means = np.where(sizes[:, None] >= clustering.fewest_to_move, means, grid_by_column(clustering, grid, len(rows)))
    return scaling.invert(fixed_point.decode(means))


def grid_by_column(clustering: Clustering, grid: np.ndarray, n_samples: int) -> np.ndarray:
    """Centroids on the grid, (k, d) int64, encoded like the final means: at each column's own precision."""
    centroids = clustering.scaling.invert(FixedPoint(clustering.precision_bits).decode(grid))
    fixed_point = FixedPoint(clustering.mean_bits(n_samples))
    return fixed_point.encode(clustering.scaling.by_column.apply(centroids))


def label_rows(
    clustering: Clustering,
    grid_centroids: Sequence[Sequence[int] | None],
    rows: np.ndarray,
    tie_order: Sequence[int] = (),
) -> np.ndarray:
    """The number of the nearest known centroid of each row, (n,) int64: of rows of the fit, the labels of the run.

    Parameters
    ----------
    clustering : Clustering
    grid_centroids : (n_clusters, n_features) ints, or None where a cluster is withheld
        As a run disclosed them; at least one is known.
    rows : (n, n_features) float64, original units
        Within reach of the fixed point; see :func:`~secure_kmeans.tables.check_reach`.
    tie_order : sequence of int, optional
        Of the run; without it a row that is equally near to several clusters belongs to the first.
    """
    known = [number for number, centroid in enumerate(grid_centroids) if centroid is not None]
    if tie_order:
        known.sort(key=tie_order.__getitem__)
    X = FixedPoint(clustering.precision_bits).encode(clustering.scaling.apply(rows))
    labels, _ = nearest_centroids(X, np.array([grid_centroids[number] for number in known], dtype=np.int64))
    numbers: np.ndarray = np.array(known, dtype=np.int64)[labels]
    return numbers
