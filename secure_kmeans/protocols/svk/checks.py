"""Checks of the rows that the parties of SVK have. Nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping

from secure_kmeans.errors import DataError, MismatchError
from secure_kmeans.identifiers import normal_form
from secure_kmeans.protocols.svk.job import SvkJob
from secure_kmeans.tables import Table, few_common_rows
from secure_kmeans.words import counted


def fewest_common_rows(job: SvkJob) -> int:
    """The least number of common rows with which a run goes on; of fewer, not even the number is disclosed."""
    return 1 if job.task == "predict" else max(job.n_clusters, job.min_cluster_size)


def rows_in_common(job: SvkJob, tables: Mapping[str, Table]) -> int:
    """The number of rows that a run on these tables takes, all of which are on one machine.

    Raises
    ------
    DataError
        As the run would raise it.
    """
    if job.align != "psi":
        check_equal_counts({party: len(table) for party, table in tables.items()})
        return len(next(iter(tables.values())))
    held = [{normal_form(each) for each in table.ids or ()} for table in tables.values()]
    n = len(set.intersection(*held))
    if n < fewest_common_rows(job):
        raise DataError(f"{', '.join(tables)}: {few_common_rows(fewest_common_rows(job))}")
    return n


def check_equal_counts(counts: dict[str, int]) -> None:
    """Refuse tables of different numbers of rows, whose rows cannot be about the same entities in the same order.

    Raises
    ------
    MismatchError
    """
    first, *others = counts
    for other in others:
        if counts[other] != counts[first]:
            one, many = counted(counts[first], "row"), counted(counts[other], "row")
            raise MismatchError(
                f'"{first}" has {one} and "{other}" {many}: without align = "psi" all tables need the same rows in the '
                "same order"
            )
