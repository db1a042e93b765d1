"""Proposals: the job or the clustering that fits given tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import numpy as np

from secure_kmeans.errors import JobError
from secure_kmeans.job import Clustering, KMeansJob, Party, Scaling, ScalingMethod
from secure_kmeans.job.coins import DrawGrid
from secure_kmeans.job.fixed_point import choose_precision_bits
from secure_kmeans.protocols.kmeans_checks import check_digits
from secure_kmeans.protocols.shk.job import ShkJob
from secure_kmeans.protocols.smo07.job import Smo07Job
from secure_kmeans.protocols.svk.job import Align, ColumnsParty, SvkJob, joined_columns
from secure_kmeans.tables import Table, bounds_of, check_enough_rows, check_together
from secure_kmeans.words import counted, within

J = TypeVar("J", bound=KMeansJob)

Bounds = tuple[tuple[float, ...], tuple[float, ...]]
"""Lower and upper bounds of the columns."""


def party_names(number: int) -> tuple[str, ...]:
    """Names for parties that have none: party_0, party_1, ..."""
    return tuple(f"party_{rank}" for rank in range(number))


def propose_job(
    tables: Sequence[Table],
    n_clusters: int,
    *,
    parties: Sequence[str] = (),
    scaling: ScalingMethod | None = None,
    bounds: Bounds | None = None,
    centroids: np.ndarray | None = None,
    **keys: Any,
) -> ShkJob:
    """Propose the job that clusters these tables on secret shares.

    Whether every row lies within the bounds is checked by the protocol, not here.

    Parameters
    ----------
    tables : sequence of Table
        One for each party.
    n_clusters : int
    parties : sequence of str
        Their names; :func:`party_names` if empty.
    scaling : "uniform", "minmax" or "none", optional
    bounds : (lower, upper), optional
        As the parties agreed. Without it the tables' own bounds are taken, and the run's ledger says so.
    centroids : (n_clusters, n_features), optional
        Where to start, original units.
    **keys
        Further keys of :class:`~secure_kmeans.protocols.shk.job.ShkJob`.

    Raises
    ------
    DataError, JobError
    """
    keys |= {"scaling": scaling, "centroids": centroids}
    return ShkJob.of(**_keys_of_rows(tables, n_clusters, parties, bounds, keys))


def propose_smo07_job(
    tables: Sequence[Table],
    n_clusters: int,
    *,
    parties: Sequence[str] = (),
    scaling: ScalingMethod | None = None,
    bounds: Bounds | None = None,
    centroids: np.ndarray | None = None,
    **keys: Any,
) -> Smo07Job:
    """Propose the job that clusters these tables by SMO07; parameters and errors as :func:`propose_job`.

    ``keys`` are further keys of :class:`~secure_kmeans.protocols.smo07.job.Smo07Job`.
    """
    keys |= {"scaling": scaling, "centroids": centroids}
    return Smo07Job.of(**_keys_of_rows(tables, n_clusters, parties, bounds, keys))


def _keys_of_rows(
    tables: Sequence[Table], n_clusters: int, parties: Sequence[str], bounds: Bounds | None, keys: dict[str, Any]
) -> dict[str, Any]:
    """The keys of a job whose parties hold rows, and the further ones as plain numbers."""
    names = _checked_names(tables, parties)
    check_together(tables, n_clusters)
    clustering = _common_keys(_Extent.of_rows(tables), n_clusters, bounds, keys)
    return clustering | {"parties": Party.named(*names), "bounds_from_data": bounds is None}


def propose_columns_job(
    tables: Sequence[Table],
    n_clusters: int,
    *,
    parties: Sequence[str] = (),
    align: Align | None = None,
    identifiers: Sequence[str] = (),
    most_rows: int | None = None,
    scaling: ScalingMethod | None = None,
    bounds: Bounds | None = None,
    centroids: np.ndarray | None = None,
    **keys: Any,
) -> SvkJob:
    """Propose the job that clusters rows whose columns lie in several tables, on secret shares.

    Parameters
    ----------
    tables : sequence of Table
        One for each party, with its own columns.
    n_clusters, parties
        As for :func:`propose_job`.
    align : "psi", "order" or "none", optional
        The default of the job class if not given.
    identifiers : sequence of str
        The name of the column of identifiers in each table; empty where rows have none.
    most_rows : int, optional
        With "psi": the largest number of rows that a table may have. Without it, each table's own number is taken; the
        job then tells the parties how many rows each table has, so it is a rehearsal's.
    bounds : (lower, upper), optional
        Of all columns, in the order of the tables.
    scaling, centroids
        As for :func:`propose_job`.
    **keys
        Further keys of :class:`~secure_kmeans.protocols.svk.job.SvkJob`.

    Raises
    ------
    DataError, JobError
    """
    names = _checked_names(tables, parties)
    for table in tables:
        check_enough_rows(len(table), n_clusters, f"{table.source}: ")
    align = align or SvkJob.default_of("align")
    own_most = align == "psi" and most_rows is None
    identifier = identifiers[0] if len(set(identifiers)) == 1 else None  # of all tables
    own_ids = identifiers if identifiers and identifier is None else [None] * len(tables)
    held = tuple(
        ColumnsParty.of(name=name, columns=table.columns, id=own_id, most_rows=len(table) if own_most else None)
        for name, table, own_id in zip(names, tables, own_ids, strict=True)
    )
    extent = replace(_Extent.of_columns(tables), columns=joined_columns(held))
    keys |= {"scaling": scaling, "centroids": centroids}
    clustering = _common_keys(extent, n_clusters, bounds, keys)
    alignment = {"align": align, "id": identifier, "most_rows": most_rows}
    return SvkJob.of(parties=held, bounds_from_data=bounds is None, **alignment, **clustering)


def _checked_names(tables: Sequence[Table], parties: Sequence[str]) -> Sequence[str]:
    """The parties' names; refuses where they are not as many as the tables."""
    if not tables:
        raise JobError("there are no tables; give one for each party")
    if parties and len(parties) != len(tables):
        raise JobError(f"there are {counted(len(tables), 'table')} for {len(parties)} parties; give one for each")
    return parties or party_names(len(tables))


def propose_clustering(
    tables: Sequence[Table],
    n_clusters: int,
    *,
    scaling: ScalingMethod | None = None,
    bounds: Bounds | None = None,
    centroids: np.ndarray | None = None,
    **keys: Any,
) -> Clustering:
    """Propose the clustering of these tables in the clear; parameters and errors as :func:`propose_job`.

    ``keys`` are further keys of :class:`~secure_kmeans.job.Clustering`.
    """
    _checked_names(tables, ())
    check_together(tables, n_clusters)
    keys |= {"scaling": scaling, "centroids": centroids}
    return Clustering.of(**_common_keys(_Extent.of_rows(tables), n_clusters, bounds, keys))


def propose_prediction(fitted: J, session: str) -> J:
    """Propose the job that labels new rows by a model that the parties keep in shares.

    Parameters
    ----------
    fitted : KMeansJob
        The job that found the model.
    session : str
        Of its run, in hexadecimal.
    """
    return fitted.prediction(session)


@dataclass(frozen=True)
class _Extent:
    """What a proposal takes from tables.

    Attributes
    ----------
    columns : tuple of str
        All columns of the clustering.
    n_samples : int
        The largest number of rows that a run can have.
    lower, upper : tuple of float
        Smallest and largest value of each column.
    """

    columns: tuple[str, ...]
    n_samples: int
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    @classmethod
    def of_rows(cls, tables: Sequence[Table]) -> Self:
        """Of tables whose rows belong together."""
        lower, upper = bounds_of(tables)
        return cls(tables[0].columns, sum(map(len, tables)), lower, upper)

    @classmethod
    def of_columns(cls, tables: Sequence[Table]) -> Self:
        """Of tables whose columns belong together."""
        columns = tuple(column for table in tables for column in table.columns)
        lower, upper = (sum(each, ()) for each in zip(*(bounds_of([table]) for table in tables), strict=True))
        return cls(columns, min(map(len, tables)), lower, upper)


def _common_keys(extent: _Extent, n_clusters: int, bounds: Bounds | None, keys: dict[str, Any]) -> dict[str, Any]:
    """The keys of a clustering of these tables, and the further ones as plain numbers."""
    lower, upper = (extent.lower, extent.upper) if bounds is None else bounds
    columns, centroids = extent.columns, keys["centroids"]
    if len(lower) != len(columns):
        many = counted(len(lower), "column")
        raise JobError(
            f"scaling: there are bounds for {many}, but {len(columns)} to cluster by; give one pair for each"
        )
    try:
        agreed = Scaling.of(method=keys["scaling"] or Scaling.default_of("method"), lower=lower, upper=upper)
    except JobError as error:
        raise JobError(within("scaling", error.marked)) from None
    bits = choose_precision_bits(len(columns), n_clusters, agreed.largest)
    check_digits(agreed, bits, [Table("", columns, np.array([extent.lower, extent.upper]))])
    if keys.get("init") == "k-means++" and centroids is None:
        DrawGrid.fitting(extent.n_samples, len(columns), agreed.largest)  # refuses where it has no room
    return {key: _plain(value) for key, value in keys.items()} | {
        "columns": columns,
        "n_clusters": _plain(n_clusters),
        "scaling": agreed,
        "centroids": None if centroids is None else tuple(map(tuple, np.asarray(centroids, dtype=float).tolist())),
        "precision_bits": bits,
    }


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, which a job is made of."""
    return value.item() if isinstance(value, np.generic) else value
