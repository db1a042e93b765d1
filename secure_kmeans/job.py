"""The job: what all parties agree on before a run, and nothing that is secret.

A party's own secrets (where its table lies, its key) are never part of it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from secure_kmeans.errors import JobError

Init = Literal["farthest", "k-means++", "random"]
ScalingMethod = Literal["uniform", "minmax", "none"]
Numbers = tuple[float, ...]

SEEDS: Final = 2**53
"""Seeds lie below this, so that every reader of JSON keeps them whole."""

LARGEST_MAGNITUDE: Final = 2.0**53
"""Larger numbers have no unit digit left in double precision."""

MOST_PARTIES: Final = 10


class _Agreed(BaseModel):
    """Typed, frozen, unknown keys refused, no silent conversions."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def of(cls, **values: object) -> Self:
        """A checked instance.

        Raises
        ------
        JobError
            One line that names the key and what is wrong with it.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise JobError(explain(error)) from None


class Scaling(_Agreed):
    """How a table's units become numbers near 1 in the ring, and back.

    ``lower`` and ``upper`` bound every value of a column; the parties agree on them, because
    bounds taken from the data disclose two values of each column.

    - ``uniform``: ``(x - lower) / max(upper - lower)``. One factor for all columns, so the
      clusters are those of the table as it is.
    - ``minmax``: ``(x - lower) / (upper - lower)``. Every column weighs the same.
    - ``none``: ``x``. For tables that are scaled already.
    """

    method: ScalingMethod = "uniform"
    lower: Numbers
    upper: Numbers

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.lower) != len(self.upper) or not self.lower:
            raise ValueError("a scaling needs one lower and one upper bound for each column")
        for number, (low, high) in enumerate(zip(self.lower, self.upper, strict=True), start=1):
            if low > high:
                raise ValueError(f"column {number}: its lower bound is above its upper bound")
            if max(abs(low), abs(high)) > LARGEST_MAGNITUDE:
                raise ValueError(f"column {number}: its bounds are too large for the fixed point; use a larger unit")
        return self

    @property
    def units(self) -> np.ndarray:
        """Original units to one scaled unit, of shape (n_features,)."""
        ranges = np.subtract(self.upper, self.lower)
        if self.method == "none":
            return np.ones_like(ranges)
        if self.method == "uniform":
            ranges = np.full_like(ranges, ranges.max())
        return np.where(ranges > 0, ranges, 1.0)

    @property
    def offsets(self) -> np.ndarray:
        """What becomes 0, of shape (n_features,)."""
        return np.zeros(len(self.lower)) if self.method == "none" else np.array(self.lower)

    @property
    def largest(self) -> float:
        """Bound of |scaled value|."""
        if self.method != "none":
            return 1.0
        return float(max(np.abs(self.lower).max(), np.abs(self.upper).max()))

    @property
    def diagonal(self) -> float:
        """No two rows are farther apart, in original units; 1 where all rows must be equal."""
        return float(np.linalg.norm(np.subtract(self.upper, self.lower))) or 1.0

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Original to scaled units, (n, n_features) to the same shape."""
        scaled: np.ndarray = (rows - self.offsets) / self.units
        return scaled

    def invert(self, scaled: np.ndarray) -> np.ndarray:
        """Scaled to original units, (n, n_features) to the same shape."""
        rows: np.ndarray = scaled * self.units + self.offsets
        return rows


class Job(_Agreed):
    """One secure k-means run, as all its parties agree on it.

    Attributes
    ----------
    protocol : "shk" or "plaintext"
    engine : "crypten" for shk, "numpy" for plaintext
    task : "fit" or "predict"
        ``predict`` labels new rows with ``centroids``.
    parties : tuple of str
        Names in rank order; two to ten for a secure run.
    columns : tuple of str
        Names, the same in every table.
    n_clusters, n_init, max_iter, tol
        As in scikit-learn. ``tol`` bounds the sum of the squared movements of all centroids, in
        scaled units.
    init : "farthest", "k-means++" or "random"
        Ignored where ``centroids`` are given.
    seed : int or None
        Where the public coins come from; None: the parties toss them together.
    scaling : Scaling
    bounds_from_data : bool
        The bounds are the tables' own smallest and largest values: a disclosure.
    centroids : tuple of tuples or None
        Public centroids in original units: the start of a fit, within the bounds; the model of a predict.
    precision_bits : int
        Fractional bits of the fixed point.
    reveal_inertia, reveal_mean_distance : bool
        Whether these sums over all parties' rows are disclosed at the end.
    timeout : float
        Seconds after which a silent role counts as failed.
    """

    protocol: Literal["shk", "plaintext"] = "shk"
    engine: Literal["crypten", "numpy"] = "crypten"
    task: Literal["fit", "predict"] = "fit"
    parties: tuple[Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")], ...]
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    n_clusters: Annotated[int, Field(ge=1)]
    init: Init = "farthest"
    n_init: Annotated[int, Field(ge=1, le=1000)] = 1
    max_iter: Annotated[int, Field(ge=1)] = 100
    tol: Annotated[float, Field(ge=0)] = 1e-8
    seed: Annotated[int, Field(ge=0, lt=SEEDS)] | None = None
    scaling: Scaling
    bounds_from_data: bool = False
    centroids: tuple[Numbers, ...] | None = None
    precision_bits: Annotated[int, Field(ge=8, le=30)]
    reveal_inertia: bool = True
    reveal_mean_distance: bool = False
    timeout: Annotated[float, Field(gt=0)] = 60.0

    @model_validator(mode="after")
    def _check_parties(self) -> Self:
        if self.protocol == "shk" and not 2 <= len(self.parties) <= MOST_PARTIES:
            raise ValueError(f"a secure run takes 2 to {MOST_PARTIES} parties, not {len(self.parties)}")
        if (self.protocol == "shk") != (self.engine == "crypten"):
            raise ValueError(f'the engine "{self.engine}" does not compute "{self.protocol}"')
        if len({name.casefold() for name in self.parties}) != len(self.parties):
            raise ValueError("two parties have the same name")
        if self.protocol != "plaintext" and {"dealer", "all"} & {name.casefold() for name in self.parties}:
            raise ValueError('"dealer" and "all" are reserved, no party may be called so')
        return self

    @model_validator(mode="after")
    def _check_shapes(self) -> Self:
        d = len(self.columns)
        if len(set(self.columns)) != d or not all(self.columns):
            raise ValueError("every column needs a name of its own")
        if len(self.scaling.lower) != d:
            raise ValueError(f"bounds for {len(self.scaling.lower)} columns, but there are {d}")
        if self.centroids is None:
            if self.task == "predict":
                raise ValueError("a prediction needs centroids")
        elif [len(centroid) for centroid in self.centroids] != [d] * self.n_clusters:
            raise ValueError(f"centroids must have {self.n_clusters} rows of {d} numbers")
        elif self.task == "fit":
            self._check_start(np.array(self.centroids))
        return self

    def _check_start(self, centroids: np.ndarray) -> None:
        """Centroids beyond the bounds, give or take a rounding, could leave the ring."""
        slack = 0.01 * self.scaling.units
        outside = (centroids < self.scaling.lower - slack) | (centroids > self.scaling.upper + slack)
        if outside.any():
            number, column = np.argwhere(outside)[0]
            raise ValueError(f'centroid {number} lies outside the bounds of column "{self.columns[column]}"')


def explain(error: ValidationError) -> str:
    """The first finding of a validation, as one line, without the offending value."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
