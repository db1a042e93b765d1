"""The report of a k-means run of any protocol, and the files beside it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Self

import numpy as np

from secure_kmeans.job import Clustering, KMeansJob
from secure_kmeans.job.model import KMeansModel, KMeansOwn
from secure_kmeans.job.result import Result
from secure_kmeans.plaintext.baseline import run_on_scaled
from secure_kmeans.plaintext.conclusion import PlainModel, conclude
from secure_kmeans.plaintext.kmeans import KMeansRun, lloyd, nearest_centroids, number_of_best
from secure_kmeans.plaintext.losses import inertia, mean_distance_terms
from secure_kmeans.plaintext.metrics import Agreement
from secure_kmeans.report.folder import ResultsFolder
from secure_kmeans.report.plots import ElbowPoint, Panel, draw_clusters, draw_convergence, draw_elbow
from secure_kmeans.report.remarks import remarks_on
from secure_kmeans.report.report import JobPart, Report, Timing, common_part
from secure_kmeans.report.sections import (
    AgreementSection,
    KMeansReport,
    KMeansSection,
    PlaintextSection,
    PredictionReport,
    PredictionSection,
    centers_array,
)
from secure_kmeans.tables import Table
from secure_kmeans.version import VERSION
from secure_kmeans.words import figure

__all__ = [
    "ElbowPoint",
    "InTheClear",
    "KMeansReport",
    "PredictionReport",
    "draw_elbow",
    "report_in_the_clear",
    "report_of_kmeans",
    "report_of_prediction",
    "write_kmeans",
]

log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class InTheClear:
    """A run in the clear on the rows of all parties, and its figures.

    Attributes
    ----------
    clustering : Clustering
    tables : mapping of party to Table
        In rank order.
    seed : int or None
        Of the public coins; None where the centroids are given.
    restart : int
        Number of the start whose run this is.
    run : KMeansRun
        Scaled units.
    model : PlainModel
        What a secure run from the same start discloses.
    section : PlaintextSection
        Original units.
    """

    clustering: Clustering
    tables: Mapping[str, Table]
    seed: int | None
    restart: int
    run: KMeansRun
    model: PlainModel
    section: PlaintextSection

    @classmethod
    def of(
        cls, clustering: Clustering, tables: Mapping[str, Table], seed: int | None, restart: int | None = None
    ) -> Self:
        """Run every start and keep one.

        Parameters
        ----------
        clustering : Clustering
        tables : mapping of party to Table
            In rank order.
        seed : int or None
            Of the public coins; needed unless the centroids are given.
        restart : int, optional
            Number of the start to keep; the best if not given.
        """
        assert seed is not None or clustering.centroids is not None
        rows = np.concatenate([table.rows for table in tables.values()])
        scaled = np.concatenate([table.scaled(clustering.scaling) for table in tables.values()])
        runs = run_on_scaled(clustering, scaled, seed or 0)
        kept = number_of_best(runs) if restart is None else restart
        model = conclude(clustering, rows, runs[kept])
        section = _section_of_run(clustering, rows, scaled, runs[kept], model)
        seed = None if clustering.centroids is not None else seed
        return cls(clustering, tables, seed, kept, runs[kept], model, section)

    @property
    def labels(self) -> dict[str, list[int]]:
        """The labels of each party's rows."""
        ends = np.cumsum([len(table) for table in self.tables.values()])[:-1]
        return {party: own.tolist() for party, own in zip(self.tables, np.split(self.model.labels, ends), strict=True)}


def _section_of_run(
    clustering: Clustering, rows: np.ndarray, scaled: np.ndarray, run: KMeansRun, model: PlainModel
) -> PlaintextSection:
    """The figures of a run in the clear, original units.

    Parameters
    ----------
    clustering : Clustering
    rows, scaled : (n_samples, n_features)
        The same rows in original and in scaled units.
    run : KMeansRun
    model : PlainModel
        Of the run.
    """
    invert = clustering.scaling.invert
    start = run.centroids_by_iteration[0]
    tol = clustering.tol * float(scaled.var(axis=0).mean())
    unrounded = lloyd(scaled, start, max_iter=clustering.max_iter, tol=tol)
    shown = (unrounded.sizes >= clustering.min_cluster_size)[:, None]
    return PlaintextSection(
        cluster_centers=model.centroids,
        withheld=model.withheld,
        counts=model.sizes,
        inertia=inertia(rows, model.labels, model.centroids),
        inertia_in_double_precision=inertia(
            rows, unrounded.labels, np.where(shown, invert(unrounded.centroids), np.nan)
        ),
        mean_distance=mean_distance_terms(rows, model.labels, model.centroids, model.sizes),
        n_iter=run.n_iter,
        converged=run.converged,
        counts_by_iteration=model.sizes_by_iteration,
        inertia_by_iteration=[
            inertia(rows, nearest_centroids(scaled, earlier)[0], invert(earlier))
            for earlier in run.centroids_by_iteration
        ],
    )


def report_of_kmeans(
    job: KMeansJob, results: Sequence[Result], clear: InTheClear | None = None, names: Sequence[str] | None = None
) -> KMeansReport:
    """The report of a fit by a protocol.

    Parameters
    ----------
    job : KMeansJob
    results : sequence of Result
        Of one party, or of all parties in rank order; k-means results of a fit.
    clear : InTheClear, optional
        The same run in the clear: of the start that the results name. It needs the results of all parties.
    names : sequence of str, optional
        Of the clusters.
    """
    model = results[0].common
    assert isinstance(model, KMeansModel)
    seconds = _own_of(results[0]).seconds_by_iteration
    return KMeansReport(
        **common_part(job, results, job.columns, per_iteration_s=float(np.mean(seconds)) if seconds else None),
        result=_section_of_fit(
            job,
            names,
            n_samples=sum(results[0].n_samples.values()),
            cluster_centers=model.centroids,
            grid_centers=model.grid_centroids,
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
        agreement=None if clear is None else _agreement(job, model, results, clear),
    )


def report_of_prediction(job: KMeansJob, results: Sequence[Result]) -> PredictionReport:
    """The report of a prediction by a protocol.

    Parameters
    ----------
    job : KMeansJob
    results : sequence of Result
        Of one party, or of all parties in rank order.
    """
    section = PredictionSection(n_labels=sum(results[0].n_samples.values()))
    return PredictionReport(**common_part(job, results, job.columns), result=section)


def report_in_the_clear(
    clear: InTheClear, *, started: datetime, total_s: float, names: Sequence[str] | None = None
) -> KMeansReport:
    """The report of a run in the clear alone. Nobody is protected, so nothing is sent or disclosed.

    Parameters
    ----------
    clear : InTheClear
    started : datetime
        With a time zone.
    total_s : float
    names : sequence of str, optional
        Of the clusters.
    """
    found = clear.section.model_dump(exclude={"inertia_by_iteration", "inertia_in_double_precision"})
    return KMeansReport(
        program=VERSION,
        protocol=None,
        session=None,
        job=JobPart.of(clear.clustering),
        started=started,
        ended=started + timedelta(seconds=total_s),
        roles=[],
        n_samples={party: len(table) for party, table in clear.tables.items()},
        table_digests={party: table.digest.hex() for party, table in clear.tables.items()},
        columns=list(clear.clustering.columns),
        result=_section_of_fit(
            clear.clustering,
            names,
            n_samples=sum(map(len, clear.tables.values())),
            grid_centers=clear.model.grid_centroids,
            tie_order=clear.model.tie_order,
            seed=clear.seed,
            best_restart=clear.restart,
            **found,
        ),
        plaintext=None,
        agreement=None,
        timing=Timing(total_s=total_s, per_iteration_s=total_s / clear.run.n_iter),
        communication={},
        ledger=[],
    )


def _section_of_fit(
    clustering: Clustering, names: Sequence[str] | None, *, n_samples: int, **found: Any
) -> KMeansSection:
    shifts = clustering.centroid_shifts(n_samples)
    grid = None if shifts is None else clustering.scaling.units * 2.0 ** (shifts - clustering.precision_bits)
    return KMeansSection(
        centroid_grid=None if grid is None else grid.tolist(),
        min_cluster_size=clustering.min_cluster_size,
        remarks=remarks_on(clustering, **found),
        cluster_names=None if names is None else list(names),
        n_clusters=clustering.n_clusters,
        init=clustering.init if clustering.centroids is None else "given",
        n_init=clustering.restarts,
        max_iter=clustering.max_iter,
        tol=clustering.tol,
        scaling=clustering.scaling,
        precision_bits=clustering.precision_bits,
        engine=getattr(clustering, "engine", None),
        **found,
    )


def _agreement(
    clustering: Clustering, model: KMeansModel, results: Sequence[Result], clear: InTheClear
) -> AgreementSection:
    labels = np.concatenate([_own_of(result).labels for result in results]).astype(int)
    shape = clustering.n_clusters, len(clustering.columns)
    found, expected = (
        clustering.scaling.apply(centers_array(centroids, *shape))
        for centroids in (model.centroids, clear.model.centroids)
    )
    agreement = Agreement.between(found, labels, expected, clear.model.labels)
    return AgreementSection(**vars(agreement))


def _own_of(result: Result) -> KMeansOwn:
    assert isinstance(result.own, KMeansOwn)
    return result.own


def write_kmeans(
    folder: ResultsFolder,
    report: Report,
    results: Sequence[Result],
    tables: Mapping[str, Table],
    clear: InTheClear | None = None,
) -> None:
    """Write the report, labels and, of a fit, centroids and pictures. A picture that fails is logged and left out.

    Parameters
    ----------
    folder : ResultsFolder
    report : KMeansReport or PredictionReport
    results : sequence of Result
        Of one party, or of all parties in rank order; empty for a run in the clear alone.
    tables : mapping of party to Table
        Of the parties in ``results``, or in ``clear``.
    clear : InTheClear, optional
    """
    labels = {result.role: _own_of(result).labels for result in results}
    if not results:
        assert clear is not None
        labels = clear.labels
    folder.write_report(report)
    folder.write_labels(labels)
    if isinstance(report, KMeansReport):
        _write_centroids(folder, report)
        _draw(folder, report, labels, tables, _panels(report, labels, None if not results else results[0], clear))


def _write_centroids(folder: ResultsFolder, report: KMeansReport) -> None:
    result = report.result
    names = result.cluster_names or [""] * result.n_clusters
    sizes = ["" if size is None else size for size in result.counts or [None] * result.n_clusters]
    sizes = ["withheld" if number in result.withheld else size for number, size in enumerate(sizes)]
    blank: list[Any] = [""] * len(report.columns)
    centers = [center or blank for center in result.cluster_centers or [None] * result.n_clusters]
    clusters = zip(names, sizes, centers, strict=True)
    folder.write_csv(
        "centroids.csv",
        ["cluster", "name", "size", *report.columns],
        ([number, name, size, *center] for number, (name, size, center) in enumerate(clusters)),
    )


def _panels(
    report: KMeansReport, labels: Mapping[str, Sequence[int]], first: Result | None, clear: InTheClear | None
) -> list[Panel]:
    """The clusterings of the picture: the encrypted one, the one in the clear, or both."""
    panels, shape = [], (report.result.n_clusters, len(report.columns))
    if first is not None:
        title, counts, whose = f"Encrypted, {len(report.parties)} parties", report.result.counts, ""
        joined = np.concatenate(list(labels.values())).astype(int)
        if len(labels) < len(report.parties):
            title, whose = f"Own rows of {first.role}, clusters of all", first.role
            counts = np.bincount(joined, minlength=shape[0]).tolist()
        else:
            title = _title_of(title, report.result.inertia)
        panels.append(Panel(title, centers_array(report.result.cluster_centers, *shape), joined, counts, whose))
    if clear is not None:
        who = "Plaintext, same start" if panels else "Plaintext"
        title = _title_of(who, clear.section.inertia)
        centers = centers_array(clear.section.cluster_centers, *shape)
        panels.append(Panel(title, centers, clear.model.labels, clear.section.counts))
    return panels


def _title_of(who: str, loss: float | None) -> str:
    return who if loss is None else f"{who}: inertia {figure(loss)}"


def _draw(
    folder: ResultsFolder,
    report: KMeansReport,
    labels: Mapping[str, Sequence[int]],
    tables: Mapping[str, Table],
    panels: Sequence[Panel],
) -> None:
    clusters = partial(
        draw_clusters,
        panels=panels,
        rows=[tables[party].rows for party in labels],
        parties=list(labels),
        columns=report.columns,
        names=report.result.cluster_names,
        units=report.result.scaling.units,
    )
    for name, draw in (("clusters.png", clusters), ("convergence.png", partial(draw_convergence, report=report))):
        try:
            draw(folder.aside / name)
        except Exception as error:  # a picture must not cost a result; the error's text may hold a value
            (folder.aside / name).unlink(missing_ok=True)
            log.warning("%s could not be drawn: %s", name, type(error).__name__)
