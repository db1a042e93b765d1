"""From tables at hand to the job that would be agreed on for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np

from secure_kmeans.data import Table, bounds_of, check_bounds, check_reach, check_together
from secure_kmeans.errors import JobError
from secure_kmeans.fixed_point import LEAST_PRECISION_BITS, FixedPoint, choose_precision_bits, largest_that_fits
from secure_kmeans.job import Job, Party, Scaling, ScalingMethod
from secure_kmeans.public_coins import DrawGrid

_PREDICT_MARGIN: Final = 64.0
"""New rows may lie this many times the bounds away, as long as the fixed point has room for it."""

_FEWEST_STEPS: Final = 2**10
"""Tables that fill fewer steps of the fixed point than this would lose their digits."""

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
    protocol: Literal["shk", "plaintext"] = "shk",
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
    protocol : "shk" or "plaintext"
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
    if not tables:
        raise JobError("there are no tables; give one for each party")
    if parties and len(parties) != len(tables):
        raise JobError(f"there are {len(tables)} tables for {len(parties)} parties; give one for each")
    check_together(tables, n_clusters)
    lower, upper = bounds_of(tables) if bounds is None else bounds
    columns = tables[0].columns
    if len(lower) != len(columns):
        raise JobError(f"there are bounds for {len(lower)} columns and {len(columns)} columns; give one pair for each")
    agreed = Scaling.of(method=scaling, lower=lower, upper=upper)
    for table in tables:
        check_bounds(table, agreed)
    bits = choose_precision_bits(len(columns), n_clusters, agreed.largest)
    _check_width(tables, agreed, bits)
    if options.get("init") == "k-means++" and centroids is None:
        DrawGrid.fitting(sum(map(len, tables)), len(columns), agreed.largest)  # refuses where it has no room
    return Job.of(
        protocol=protocol,
        parties=Party.named(*(parties or party_names(len(tables)))),
        columns=columns,
        n_clusters=_plain(n_clusters),
        scaling=agreed,
        bounds_from_data=bounds is None,
        centroids=None if centroids is None else tuple(map(tuple, np.asarray(centroids, dtype=float).tolist())),
        precision_bits=bits,
        **({"engine": "numpy"} if protocol == "plaintext" else {}),
        **{key: _plain(value) for key, value in options.items()},
    )


def _check_width(tables: Sequence[Table], agreed: Scaling, bits: int) -> None:
    lower, upper = bounds_of(tables)
    steps = (np.subtract(upper, lower) / agreed.units).max() * 2**bits
    if 0 < steps < _FEWEST_STEPS:
        raise JobError(
            "the rows lose their digits in the fixed point, so close are they; agree on narrower bounds, or do not use "
            'the scaling "none"'
        )


def coarse_columns(job: Job, tables: Sequence[Table]) -> list[str]:
    """Columns that keep fewer than half of their different values in the fixed point.

    An outlier far away does that, or, with the scaling "uniform", another column of much larger numbers: then such a
    column hardly counts for the distances anyway.
    """
    rows = np.concatenate([table.rows for table in tables])
    encoded = FixedPoint(job.precision_bits).encode(job.scaling.apply(rows))
    kept = ((len(np.unique(before)), len(np.unique(after))) for before, after in zip(rows.T, encoded.T, strict=True))
    return [name for name, (before, after) in zip(job.columns, kept, strict=True) if 2 * after < before]


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, which a job is made of."""
    return value.item() if isinstance(value, np.generic) else value


def plan_predict(fitted: Job, centroids: np.ndarray, tables: Sequence[Table] = ()) -> Job:
    """The job that labels new rows with the centroids, in original units, that ``fitted`` found.

    Raises
    ------
    DataError
        For a row of ``tables`` too far outside the bounds.
    """
    shape = len(fitted.columns), fitted.n_clusters
    widest = max(
        fitted.scaling.largest,
        min(_PREDICT_MARGIN * fitted.scaling.largest, largest_that_fits(LEAST_PRECISION_BITS, *shape)),
    )
    bits = choose_precision_bits(*shape, widest)
    for table in tables:
        check_reach(table, fitted.scaling, largest_that_fits(bits, *shape))
    return fitted.model_copy(
        update={
            "task": "predict",
            "centroids": tuple(map(tuple, centroids.tolist())),
            "bounds_from_data": False,
            "precision_bits": bits,
        }
    )
