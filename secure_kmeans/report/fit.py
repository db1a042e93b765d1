"""The report of a fit, made of what one party knows of it, or all parties together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secure_kmeans.job import Clustering, KMeansJob
from secure_kmeans.job.model import ColumnsResult, KMeansModel, KMeansOwn
from secure_kmeans.job.result import Result
from secure_kmeans.report.in_the_clear import InTheClear
from secure_kmeans.report.remarks import remarks_on
from secure_kmeans.report.report import common_part
from secure_kmeans.report.sections import Centers, KMeansReport, KMeansSection


@dataclass(frozen=True)
class Known:
    """What is known of a fit's clusters and labels.

    Attributes
    ----------
    centers : (n_clusters, columns) lists of float, or None
        Original units; None, all of them or one, where they are not known.
    grid_centers : (n_clusters, columns) lists of int, or None
    labels : (n_samples,) ints, or None
        Of all rows; None where they are not known.
    columns : slice or None
        The positions of the columns of ``centers`` among the job's columns; None for all of them.
    """

    centers: Centers | None
    grid_centers: list[list[int] | None] | None
    labels: Sequence[int] | np.ndarray | None
    columns: slice | None = None


def report_of_fit(
    job: KMeansJob, results: Sequence[Result], known: Known, clear: InTheClear | None, names: Sequence[str] | None
) -> KMeansReport:
    """The report of a fit by a protocol.

    Parameters
    ----------
    job : KMeansJob
    results : sequence of Result
        Of one party, or of all parties in rank order; k-means results of a fit.
    known : Known
        By these results.
    clear : InTheClear or None
        The same run in the clear. It needs the results of all parties, and so all columns.
    names : sequence of str or None
        Of the clusters.
    """
    model = results[0].common
    assert isinstance(model, KMeansModel)
    seconds = own_of(results[0]).seconds_by_iteration
    columns = job.columns if known.columns is None else job.columns[known.columns]
    return KMeansReport(
        **common_part(job, results, columns, per_iteration_s=float(np.mean(seconds)) if seconds else None),
        result=section_of_fit(
            job,
            names,
            n_samples=rows_of_run(results[0]),
            columns=known.columns,
            cluster_centers=known.centers,
            grid_centers=known.grid_centers,
            tie_order=model.tie_order,
            withheld=model.withheld,
            counts=model.sizes,
            counts_by_iteration=model.sizes_by_iteration,
            inertia=model.inertia,
            mean_distance=model.mean_distance,
            n_iter=model.n_iter,
            converged=model.converged,
            seed=model.seed,
            best_restart=model.best_restart,
        ),
        plaintext=None if clear is None else clear.section,
        agreement=None if clear is None else clear.agreement_with(known.centers, known.labels),
    )


def section_of_fit(
    clustering: Clustering,
    names: Sequence[str] | None,
    *,
    n_samples: int,
    columns: slice | None = None,
    **found: Any,
) -> KMeansSection:
    """The section ``result`` of a fit.

    Parameters
    ----------
    clustering : Clustering
    names : sequence of str or None
        Of the clusters.
    n_samples : int
        Rows that were clustered.
    columns : slice, optional
        The positions of the columns of the centers among those of the clustering, where these are not all.
    **found
        The other keys of the section.
    """
    shifts = clustering.centroid_shifts(n_samples)
    by_all = found if columns is None else found | {"cluster_centers": None}  # different centers can have equal parts
    grid = None if shifts is None else clustering.scaling.units * 2.0 ** (shifts - clustering.precision_bits)
    return KMeansSection(
        centroid_grid=None if grid is None else grid[columns or slice(None)].tolist(),
        min_cluster_size=clustering.min_cluster_size,
        remarks=remarks_on(clustering, **by_all),
        cluster_names=None if names is None else list(names),
        n_clusters=clustering.n_clusters,
        init=clustering.init if clustering.centroids is None else "given",
        n_init=clustering.restarts,
        max_iter=clustering.max_iter,
        tol=clustering.tol,
        scaling=clustering.scaling,
        precision_bits=clustering.precision_bits,
        engine=getattr(clustering, "engine", None),
        mode=getattr(clustering, "mode", None),
        leader=getattr(clustering, "leader", None),
        **found,
    )


def own_of(result: Result) -> KMeansOwn:
    """The part of a k-means result that one party alone holds."""
    assert isinstance(result.own, KMeansOwn)
    return result.own


def rows_of_run(result: Result) -> int:
    """How many rows all parties together had in a run: where they hold columns, each of them has the same rows."""
    counts = list(result.n_samples.values())
    return counts[0] if isinstance(result, ColumnsResult) else sum(counts)
