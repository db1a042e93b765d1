"""From tables at hand to the job that would be agreed on for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from secure_kmeans.data import Table, bounds_of, check_bounds, check_together
from secure_kmeans.errors import JobError
from secure_kmeans.fixed_point import choose_precision_bits
from secure_kmeans.job import PREDICT_MARGIN, Job, Scaling, ScalingMethod

Bounds = tuple[tuple[float, ...], tuple[float, ...]]
"""Lower and upper bounds of the columns."""


def party_names(number: int) -> tuple[str, ...]:
    """Names for parties that have none: party_0, party_1, ..."""
    return tuple(f"party_{rank}" for rank in range(number))


def plan_fit(
    tables: Sequence[Table],
    n_clusters: int,
    *,
    parties: Sequence[str] = (),
    scaling: ScalingMethod = "uniform",
    bounds: Bounds | None = None,
    centroids: np.ndarray | None = None,
    **options: Any,
) -> Job:
    """The job that clusters these tables.

    Parameters
    ----------
    tables : sequence of Table
        One for each party.
    n_clusters : int
    parties : sequence of str
        Their names; made up if empty.
    scaling : "uniform", "minmax" or "none"
    bounds : (lower, upper), optional
        What the parties agreed on. Without it the tables' own bounds are taken, and the run's ledger says so.
    centroids : (n_clusters, n_features), optional
        Where to start, original units.
    **options
        Further keys of :class:`~secure_kmeans.job.Job`.

    Raises
    ------
    DataError, JobError
    """
    check_together(tables, n_clusters)
    lower, upper = bounds_of(tables) if bounds is None else bounds
    columns = tables[0].columns
    if len(lower) != len(columns):
        raise JobError(f"there are bounds for {len(lower)} columns and {len(columns)} columns; give one pair for each")
    agreed = Scaling.of(method=scaling, lower=lower, upper=upper)
    for table in tables:
        check_bounds(table, agreed)
    return Job.of(
        parties=tuple(parties) or party_names(len(tables)),
        columns=columns,
        n_clusters=n_clusters,
        scaling=agreed,
        bounds_from_data=bounds is None,
        centroids=None if centroids is None else tuple(map(tuple, np.asarray(centroids, dtype=float).tolist())),
        precision_bits=choose_precision_bits(len(columns), n_clusters, agreed.largest),
        **options,
    )


def plan_predict(fitted: Job, centroids: np.ndarray) -> Job:
    """The job that labels new rows with the centroids, in original units, that ``fitted`` found."""
    bits = choose_precision_bits(len(fitted.columns), fitted.n_clusters, PREDICT_MARGIN * fitted.scaling.largest)
    return fitted.model_copy(
        update={
            "task": "predict",
            "centroids": tuple(map(tuple, centroids.tolist())),
            "bounds_from_data": False,
            "precision_bits": bits,
        }
    )
