"""Proposals: the job or the clustering that fits given tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from secure_kmeans.errors import JobError
from secure_kmeans.job import Clustering, KMeansJob, Party, Scaling, ScalingMethod
from secure_kmeans.job.coins import DrawGrid
from secure_kmeans.job.fixed_point import choose_precision_bits
from secure_kmeans.protocols.kmeans_checks import check_digits
from secure_kmeans.protocols.shk.job import ShkJob
from secure_kmeans.tables import Table, bounds_of, check_together
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
    if parties and len(parties) != len(tables):
        raise JobError(f"there are {counted(len(tables), 'table')} for {len(parties)} parties; give one for each")
    clustering = _common_keys(tables, n_clusters, scaling, bounds, centroids, keys)
    names = Party.named(*(parties or party_names(len(tables))))
    return ShkJob.of(parties=names, bounds_from_data=bounds is None, **clustering)


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
    return Clustering.of(**_common_keys(tables, n_clusters, scaling, bounds, centroids, keys))


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


def _common_keys(
    tables: Sequence[Table],
    n_clusters: int,
    scaling: ScalingMethod | None,
    bounds: Bounds | None,
    centroids: np.ndarray | None,
    keys: dict[str, Any],
) -> dict[str, Any]:
    """The keys of a clustering of these tables, and the further ones as plain numbers."""
    if not tables:
        raise JobError("there are no tables; give one for each party")
    check_together(tables, n_clusters)
    lower, upper = bounds_of(tables) if bounds is None else bounds
    columns = tables[0].columns
    if len(lower) != len(columns):
        many = counted(len(lower), "column")
        raise JobError(
            f"scaling: there are bounds for {many}, but {len(columns)} to cluster by; give one pair for each"
        )
    try:
        agreed = Scaling.of(method=scaling or Scaling.default_of("method"), lower=lower, upper=upper)
    except JobError as error:
        raise JobError(within("scaling", error.marked)) from None
    bits = choose_precision_bits(len(columns), n_clusters, agreed.largest)
    check_digits(agreed, bits, tables)
    if keys.get("init") == "k-means++" and centroids is None:
        DrawGrid.fitting(sum(map(len, tables)), len(columns), agreed.largest)  # refuses where it has no room
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
