"""Checks of tables against a clustering, common to all protocols for k-means and to the run in the clear.

Nothing is sent. A table that cannot be used is refused; what is only worth a thought is returned as advice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from secure_kmeans.errors import JobError
from secure_kmeans.job import Clustering, KMeansJob, Scaling
from secure_kmeans.job.coins import DrawGrid
from secure_kmeans.job.fixed_point import FixedPoint, largest_that_fits
from secure_kmeans.job.tolerance import Tolerance
from secure_kmeans.protocols.bounds import Bounds
from secure_kmeans.tables import Table, bounds_of, check_bounds, check_enough_rows, check_reach, check_together
from secure_kmeans.words import column_title, counted, key

FEWEST_STEPS: Final = 2**10
"""Rows that lie within fewer steps of the fixed point than this lose their digits."""

_MOST_TITLES: Final = 8


def check_fit(clustering: Clustering, table: Table) -> list[str]:
    """Check one party's table for a fit.

    Parameters
    ----------
    clustering : Clustering
    table : Table
        With the columns of the clustering.

    Returns
    -------
    Advice, one line each.

    Raises
    ------
    DataError
        For a row outside the bounds.
    """
    check_bounds(table, clustering.scaling)
    advice = advice_on_digits(clustering, [table])
    if len(table) < clustering.n_clusters:
        rows, clusters = counted(len(table), "row"), counted(clustering.n_clusters, "cluster")
        advice.append(f"{rows} for {clusters}: some cluster will hold none of them")
    return advice


def check_prediction(clustering: Clustering, table: Table) -> list[str]:
    """Check one party's new rows, of which there may be none; parameters as :func:`check_fit`.

    Raises
    ------
    DataError
        For a row too far outside the bounds for the fixed point.
    """
    shape = len(clustering.columns), clustering.n_clusters
    check_reach(table, clustering.scaling, largest_that_fits(clustering.precision_bits, *shape))
    return []


def check_columns(job: KMeansJob, table: Table, columns: slice) -> list[str]:
    """Check a party's table of some of the columns for a fit or for a prediction.

    Parameters
    ----------
    job : KMeansJob
    table : Table
        With these columns alone.
    columns : slice
        Their positions among those of the job.

    Returns
    -------
    Advice, one line each.

    Raises
    ------
    DataError
        For a row outside the bounds, or, of a prediction, too far outside.
    """
    scaling = job.scaling.of_columns(columns)
    if job.task == "predict":
        check_reach(table, scaling, largest_that_fits(job.precision_bits, len(job.columns), job.n_clusters))
        return []
    keys = {"columns": table.columns, "n_clusters": job.n_clusters, "precision_bits": job.precision_bits}
    return check_fit(Clustering.of(scaling=scaling, **keys), table)


def check_rows(clustering: Clustering, n_samples: int, *, hidden: bool = False) -> None:
    """Refuse a number of rows of all parties with which a fit cannot end, before anything of a row is disclosed.

    Parameters
    ----------
    clustering : Clustering
    n_samples : int
    hidden : bool
        Whether the cluster sizes stay secret.

    Raises
    ------
    DataError, JobError
    """
    check_enough_rows(n_samples, clustering.n_clusters)
    Bounds.of(clustering, n_samples, hidden=hidden)
    Tolerance.of(clustering, n_samples)
    if clustering.init == "k-means++" and clustering.centroids is None:
        DrawGrid.fitting(n_samples, len(clustering.columns), clustering.scaling.largest)


def check_all_tables(clustering: Clustering, tables: Sequence[Table], *, hidden: bool = False) -> None:
    """Refuse tables that cannot be clustered with each other; parameters and errors as :func:`check_rows`."""
    check_together(tables, clustering.n_clusters)
    check_rows(clustering, sum(map(len, tables)), hidden=hidden)
    check_digits(clustering.scaling, clustering.precision_bits, tables)


def check_digits(scaling: Scaling, precision_bits: int, tables: Sequence[Table]) -> None:
    """Refuse bounds so wide that the rows of all parties lose their digits.

    Raises
    ------
    JobError
    """
    if are_too_close(scaling, precision_bits, tables):
        raise JobError(
            "the rows lose their digits in the fixed point, so close are they; agree on narrower bounds "
            f'({key("scaling")}), or use another {key("scaling.method")} than "none"'
        )


def advice_on_digits(clustering: Clustering, tables: Sequence[Table]) -> list[str]:
    """Advice on columns that lose their digits in the fixed point, one line each."""
    advice = []
    if coarse := coarse_columns(clustering, tables):
        advice.append(
            f"columns that lose most of their values in the fixed point: {_titles(clustering.columns, coarse)}; an "
            "outlier does that: correct it or leave the row out; so does a column of far larger numbers: scaled by "
            '"minmax", every column weighs the same'
        )
    elif are_too_close(clustering.scaling, clustering.precision_bits, tables):
        advice.append("the rows lie so close to each other that they lose digits in the fixed point")
    return advice


def _titles(columns: Sequence[str], named: Sequence[str]) -> str:
    """At most eight columns for a message, by their names, or by their numbers where the names could be values."""
    titles = [column_title(columns, columns.index(name)) for name in named[:_MOST_TITLES]]
    more = f" and {len(named) - _MOST_TITLES} more" if len(named) > _MOST_TITLES else ""
    return ", ".join(title.removeprefix("column ").strip('"') for title in titles) + more


def coarse_columns(clustering: Clustering, tables: Sequence[Table]) -> list[str]:
    """The columns that keep fewer than half of their different values in the fixed point.

    The cause is an outlier far away or, with the scaling "uniform", another column of much larger numbers. In the
    second case the coarse column hardly counts for the distances anyway. Of a table that is read in chunks, some rows
    stand for all of them.
    """
    samples = [table.sample for table in tables]
    rows = np.concatenate([sample.rows for sample in samples])
    scaled = np.concatenate([sample.scaled(clustering.scaling) for sample in samples])
    encoded = FixedPoint(clustering.precision_bits).encode(scaled)
    kept = ((len(np.unique(before)), len(np.unique(after))) for before, after in zip(rows.T, encoded.T, strict=True))
    return [name for name, (before, after) in zip(clustering.columns, kept, strict=True) if 2 * after < before]


def are_too_close(scaling: Scaling, precision_bits: int, tables: Sequence[Table]) -> bool:
    """Whether all rows lie within fewer than :data:`FEWEST_STEPS` steps of the fixed point, and are not all equal."""
    filled = [table for table in tables if len(table)]
    if not filled:
        return False
    lower, upper = bounds_of(filled)
    steps = float((np.subtract(upper, lower) / scaling.units).max()) * 2**precision_bits
    return 0 < steps < FEWEST_STEPS
