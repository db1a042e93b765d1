"""What is special in the report of a k-means run whose parties hold columns about the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np

from secure_kmeans.errors import ProtocolError
from secure_kmeans.identifiers import normal_form
from secure_kmeans.job import KMeansJob
from secure_kmeans.job.model import ColumnsOwn, ColumnsResult, KMeansModel
from secure_kmeans.job.result import Result
from secure_kmeans.report.fit import Known, report_of_fit
from secure_kmeans.report.in_the_clear import InTheClear
from secure_kmeans.report.plots import ClustersPicture, Panel, panel_title
from secure_kmeans.report.report import Report
from secure_kmeans.report.sections import KMeansReport, centers_array
from secure_kmeans.tables import Table

ALL_PARTIES = "all parties"
"""The owner of joined rows, in a picture."""


class DisclosesCentroids(Protocol):
    """Who learns the final centroids."""

    @property
    def centroids(self) -> str:
        """Each party in its "own" columns, "all" parties all of them, or "nobody"."""


@runtime_checkable
class HoldsColumns(Protocol):
    """What the job of such a run has besides the keys of every k-means job."""

    @property
    def align(self) -> str:
        """How rows of the same entities find each other: "psi", "order" or "none"."""

    @property
    def disclose(self) -> DisclosesCentroids:
        """What is disclosed of the model."""

    @property
    def labels_to(self) -> str | tuple[str, ...]:
        """Who learns the final labels: "all", "nobody", or some of the parties."""

    def columns_of(self, party: str) -> slice:
        """The positions of a party's columns among all columns."""


# ---------------------------------------------------------------------- rows and labels


def joined_rows(tables: Mapping[str, Table], results: Sequence[ColumnsResult]) -> np.ndarray:
    """The parties' columns side by side, in the order of the parties.

    Parameters
    ----------
    tables : mapping of party to Table
    results : sequence of ColumnsResult
        Of all parties, in rank order.

    Returns
    -------
    (n, all columns) float64, original units; the rows in the order of the run.

    Raises
    ------
    ProtocolError
        Where the rows were not aligned: the parties name different numbers of rows, or rows that a table does not
        have; or, where all tables have identifiers, a row has not the same one at all parties, or is not joined
        though all parties have it.
    """
    first, numbers = results[0], [np.array(result.own.rows, dtype=np.int64) for result in results]
    for result, own in zip(results, numbers, strict=True):
        if len(own) != len(numbers[0]):
            raise _misaligned(f'"{first.role}" has {len(numbers[0])} common rows, "{result.role}" {len(own)}')
        if len(np.unique(own)) != len(own) or not np.isin(own, np.arange(len(tables[result.role]))).all():
            raise _misaligned(f'the rows of "{result.role}" are not different rows of its table')
    _check_identifiers(tables, results)
    return np.concatenate([tables[result.role].rows[own] for result, own in zip(results, numbers, strict=True)], axis=1)


def _check_identifiers(tables: Mapping[str, Table], results: Sequence[ColumnsResult]) -> None:
    """Refuse joined rows whose identifiers differ, or that are not all rows that the tables share."""
    shared: set[str] | None = None
    joined: dict[str, list[str]] = {}
    for result in results:
        identifiers = tables[result.role].ids
        if identifiers is None:
            return
        normal = [normal_form(identifier) for identifier in identifiers]
        shared = set(normal) if shared is None else shared & set(normal)
        joined[result.role] = [normal[number] for number in result.own.rows]
    first, *others = joined
    for party in others:
        if joined[party] != joined[first]:
            raise _misaligned(f'rows of "{first}" and "{party}" that were joined have different identifiers')
    if set(joined[first]) != shared:
        raise _misaligned("not all rows whose identifiers all tables have were joined")


def _misaligned(what: str) -> ProtocolError:
    return ProtocolError(f"the rows of the parties were not aligned: {what}; there is no result")


def labels_of_run(results: Sequence[ColumnsResult]) -> list[int] | None:
    """The labels in the order of the run, by a party that learned them; None where none of these parties did.

    Raises
    ------
    ProtocolError
        Where two parties learned different labels.
    """
    learned = [result for result in results if _knows_labels(result.own)]
    for result in learned:
        if result.own.labels != learned[0].own.labels:
            raise ProtocolError(
                f'"{learned[0].role}" and "{result.role}" learned different labels of the same rows; there is no result'
            )
    return learned[0].own.labels if learned else None


def labels_by_table(tables: Mapping[str, Table], results: Sequence[ColumnsResult]) -> dict[str, list[int | None]]:
    """The labels of the rows of a party's table, in its order, for each party that learned them.

    A label is None where not all parties have the row.
    """
    return {
        result.role: _spread(result.own.labels, result.own.rows, len(tables[result.role]))
        for result in results
        if _knows_labels(result.own)
    }


def _knows_labels(own: ColumnsOwn) -> bool:
    assert len(own.labels) in (0, len(own.rows))
    return len(own.labels) == len(own.rows)


def _spread(labels: Sequence[int], numbers: Sequence[int], rows: int) -> list[int | None]:
    spread: list[int | None] = [None] * rows
    for number, label in zip(numbers, labels, strict=True):
        spread[number] = label
    return spread


# --------------------------------------------------------------------------- the report


def in_the_clear_of_columns(
    job: KMeansJob, tables: Mapping[str, Table], results: Sequence[ColumnsResult]
) -> InTheClear | None:
    """The run in the clear on the joined rows, from the same start as the best one on shares.

    Its only table is that of the joined rows. None after a prediction, and where the start is secret.

    Parameters
    ----------
    job : KMeansJob
    tables : mapping of party to Table
        In rank order.
    results : sequence of ColumnsResult
        Of all parties, in rank order.

    Raises
    ------
    ProtocolError
        See :func:`joined_rows`. The alignment is also checked where the start is secret.
    """
    rows, model = joined_rows(tables, results), results[0].common
    if model is None or (model.seed is None and job.centroids is None):
        return None
    joined = {ALL_PARTIES: Table(ALL_PARTIES, job.columns, rows)}
    whole = model.centroids is not None
    return InTheClear.of(
        job,
        joined,
        model.seed or 0,
        model.best_restart,
        order_by_centroid=whole,
        discloses_centroids=whole or results[0].own.centroids is not None,
    )


def report_of_columns(
    job: KMeansJob,
    results: Sequence[ColumnsResult],
    clear: InTheClear | None = None,
    names: Sequence[str] | None = None,
) -> KMeansReport:
    """The report of a fit whose parties hold columns.

    Its centers are in all columns where all parties know these, and in the results of all parties; else in the
    columns of the one party.

    Parameters
    ----------
    job : KMeansJob
        It is a :class:`HoldsColumns`, too.
    results : sequence of ColumnsResult
        Of one party, or of all parties in rank order.
    clear : InTheClear, optional
        See :func:`in_the_clear_of_columns`. It needs the results of all parties.
    names : sequence of str, optional
        Of the clusters.

    Raises
    ------
    ProtocolError
        See :func:`labels_of_run`.
    """
    return report_of_fit(job, results, _known(job, results), clear, names)


def _known(job: KMeansJob, results: Sequence[ColumnsResult]) -> Known:
    assert isinstance(job, HoldsColumns)
    model, labels = results[0].common, labels_of_run(results)
    assert isinstance(model, KMeansModel)
    if model.centroids is not None:
        return Known(model.centroids, model.grid_centroids, labels)
    owns = [result.own for result in results]
    centers = _side_by_side([own.centroids for own in owns])
    grid_centers = _side_by_side([own.grid_centroids for own in owns])
    if centers is None or len(results) > 1:
        return Known(centers, grid_centers, labels)
    return Known(centers, grid_centers, labels, job.columns_of(results[0].role))


def _side_by_side(parts: Sequence[Sequence[list[Any] | None] | None]) -> list[list[Any] | None] | None:
    """The parties' columns of each center; None where one of them does not know it."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    joined: list[list[Any] | None] = []
    for centers in zip(*known, strict=True):
        own = [center for center in centers if center is not None]
        joined.append([number for center in own for number in center] if len(own) == len(parts) else None)
    return joined


def columns_by_party(report: Report) -> dict[str, list[str]]:
    """The columns that each party holds, as the job names them; empty where the parties hold rows."""
    job = report.job.model_dump()
    names = iter(job.get("columns", ()))
    parties = [party for party in job.get("parties", ()) if "columns" in party]
    return {party["name"]: list(islice(names, len(party["columns"]))) for party in parties}


# -------------------------------------------------------------------------- the picture


def picture_of_columns(
    report: KMeansReport,
    results: Sequence[Result],
    tables: Mapping[str, Table],
    clear: InTheClear | None,
) -> ClustersPicture | None:
    """What a picture of the clusters shows: the joined rows of all parties, or one party's columns.

    None where neither labels nor centroids are known.

    Parameters
    ----------
    report : KMeansReport
        Of :func:`report_of_columns`, of the same results.
    results : sequence of ColumnsResult
    tables : mapping of party to Table
        Of the parties in ``results``.
    clear : InTheClear or None
    """
    known = [result for result in results if isinstance(result, ColumnsResult)]
    held, party = columns_by_party(report), known[0].role
    columns = [column for own in held.values() for column in own]
    positions = np.arange(len(columns))
    labels, result = labels_of_run(known), report.result
    whole = len(known) == len(report.parties)
    if whole:
        rows, owner = joined_rows(tables, known), ALL_PARTIES
        title = panel_title(f"Encrypted, {len(known)} parties", result.inertia)
    else:
        rows, owner = tables[party].rows[np.array(known[0].own.rows, dtype=np.int64)], party
        positions = np.array([columns.index(column) for column in held[party]])
        title = f"Own columns of {party}, " + ("labels hidden" if labels is None else "clusters of all columns")
    centers = centers_array(result.cluster_centers, result.n_clusters, len(report.columns))
    if len(report.columns) == len(columns):
        centers = centers[:, positions]
    panels = []
    if labels is not None or not np.isnan(centers).all():
        panels.append(Panel(title, centers, None if labels is None else np.array(labels, dtype=int), result.counts))
    if clear is not None:
        expected = centers_array(clear.section.cluster_centers, result.n_clusters, len(columns))
        title = panel_title("Plaintext, same start", clear.section.inertia)
        counts = None if result.counts is None else clear.section.counts
        panels.append(Panel(title, expected, clear.model.labels, counts))
    if not panels:
        return None
    return ClustersPicture(
        panels=panels,
        rows=[rows],
        parties=[owner],
        columns=[columns[position] for position in positions],
        units=result.scaling.units[positions],
    )
