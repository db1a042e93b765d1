"""The report of a k-means run of any protocol, and the files beside it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from secure_kmeans.job import Clustering, KMeansJob
from secure_kmeans.job.model import ColumnsResult, KMeansModel
from secure_kmeans.job.result import Result
from secure_kmeans.plaintext.conclusion import label_rows
from secure_kmeans.report.columns import labels_by_table, picture_of_columns
from secure_kmeans.report.fit import Known, own_of, report_of_fit, rows_of_run, section_of_fit
from secure_kmeans.report.folder import ResultsFolder
from secure_kmeans.report.in_the_clear import InTheClear
from secure_kmeans.report.plots import (
    ClustersPicture,
    ElbowPoint,
    Panel,
    draw_clusters,
    draw_convergence,
    draw_elbow,
    panel_title,
)
from secure_kmeans.report.report import JobPart, Report, Timing, common_part
from secure_kmeans.report.sections import KMeansReport, PredictionReport, PredictionSection, centers_array
from secure_kmeans.tables import Table
from secure_kmeans.version import VERSION

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
    labels = None if clear is None else np.concatenate([own_of(result).labels for result in results])
    return report_of_fit(job, results, Known(model.centroids, model.grid_centroids, labels), clear, names)


def report_of_prediction(job: KMeansJob, results: Sequence[Result]) -> PredictionReport:
    """The report of a prediction by a protocol.

    Parameters
    ----------
    job : KMeansJob
    results : sequence of Result
        Of one party, or of all parties in rank order.
    """
    section = PredictionSection(n_labels=rows_of_run(results[0]))
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
        result=section_of_fit(
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


def write_kmeans(
    folder: ResultsFolder,
    report: Report,
    results: Sequence[Result],
    tables: Mapping[str, Table],
    clear: InTheClear | None = None,
) -> None:
    """Write the report, labels and, of a fit, centroids and pictures. A picture that fails is logged and left out.

    Of a table that is read in chunks the labels are written while its file is read once more, and the picture shows a
    sample of its rows.

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
    by_columns = [result for result in results if isinstance(result, ColumnsResult)]
    labels: Mapping[str, Iterable[int | None]]
    if by_columns:
        labels = labels_by_table(tables, by_columns)
    elif results:
        labels = {result.role: _labels_of(report, result, tables[result.role]) for result in results}
    else:
        assert clear is not None
        labels = clear.labels
    folder.write_report(report)
    folder.write_labels(labels)
    if isinstance(report, KMeansReport):
        _write_centroids(folder, report)
        draw = picture_of_columns if by_columns else _picture_of_rows
        _draw(folder, report, draw(report, results, tables, clear))


def _labels_of(report: Report, result: Result, table: Table, *, of_sample: bool = False) -> Iterable[int]:
    """The labels of the rows of a party's table, or of its sample.

    Where the table is read in chunks, the labels follow from the centroids, and are found while the rows are read.
    """
    if not table.IS_CHUNKED:
        return own_of(result).labels
    assert isinstance(report, KMeansReport)
    found = report.result
    assert found.grid_centers is not None, "a protocol that reads a table in chunks discloses the centroids"
    keys = {"columns": tuple(report.columns), "scaling": found.scaling, "precision_bits": found.precision_bits}
    label = partial(label_rows, Clustering.of(n_clusters=found.n_clusters, **keys), found.grid_centers)
    blocks = (table.sample if of_sample else table).blocks()
    return (each for rows in blocks for each in label(rows, found.tie_order).tolist())


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


def _picture_of_rows(
    report: KMeansReport, results: Sequence[Result], tables: Mapping[str, Table], clear: InTheClear | None
) -> ClustersPicture:
    """What a picture of the clusters shows: the encrypted run, the one in the clear, or both, side by side."""
    panels, shape = [], (report.result.n_clusters, len(report.columns))
    if results:
        title, counts, whose = f"Encrypted, {len(report.parties)} parties", report.result.counts, ""
        own = [_labels_of(report, result, tables[result.role], of_sample=True) for result in results]
        joined = np.concatenate([[*labels] for labels in own]).astype(int)
        if len(results) < len(report.parties):
            role = results[0].role
            title, counts, whose = f"Own rows of {role}, clusters of all", None, ""
            if not tables[role].IS_CHUNKED:
                counts, whose = np.bincount(joined, minlength=shape[0]).tolist(), role
        else:
            title = panel_title(title, report.result.inertia)
        panels.append(Panel(title, centers_array(report.result.cluster_centers, *shape), joined, counts, whose))
    if clear is not None:
        title = panel_title("Plaintext, same start" if panels else "Plaintext", clear.section.inertia)
        centers = centers_array(clear.section.cluster_centers, *shape)
        panels.append(Panel(title, centers, clear.model.labels, clear.section.counts))
    parties = [result.role for result in results] or list(tables)
    return ClustersPicture(
        panels=panels,
        rows=[tables[party].sample.rows for party in parties],
        parties=parties,
        columns=report.columns,
        units=report.result.scaling.units,
    )


def _draw(folder: ResultsFolder, report: KMeansReport, picture: ClustersPicture | None) -> None:
    drawings: dict[str, Callable[[Path], None]] = {"convergence.png": partial(draw_convergence, report=report)}
    if picture is None:
        folder.forget("clusters.png")
        log.info("clusters.png is left out: neither labels nor centroids are disclosed here")
    else:
        names = report.result.cluster_names
        drawings = {"clusters.png": partial(draw_clusters, names=names, **vars(picture))} | drawings
    for name, draw in drawings.items():
        try:
            draw(folder.aside / name)
        except Exception as error:  # a picture must not cost a result; the error's text may hold a value
            (folder.aside / name).unlink(missing_ok=True)
            log.warning("%s could not be drawn: %s", name, type(error).__name__)
