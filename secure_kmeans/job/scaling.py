"""Scaling: a table's units to numbers near 1, and back."""

from __future__ import annotations

from typing import Final, Literal, Self

import numpy as np
from pydantic import model_validator

from secure_kmeans.job.agreed import Agreed, Numbers

ScalingMethod = Literal["uniform", "minmax", "none"]

LARGEST_MAGNITUDE: Final = 2.0**53
"""The largest |number| of a table. In double precision larger ones have no unit digit."""


class Scaling(Agreed):
    """The map from a table's units to numbers near 1 in the ring, and back.

    - ``uniform``: ``(x - lower) / max(upper - lower)``. One factor for all columns: the clusters are those of the
      table as it is.
    - ``minmax``: ``(x - lower) / (upper - lower)``. Every column weighs the same.
    - ``none``: ``x``. For tables that are scaled already.

    Attributes
    ----------
    method : "uniform", "minmax" or "none"
    lower, upper : n_features numbers
        Bounds of every value of a column. The parties agree on them: bounds taken from the data would disclose two
        values of each column.
    """

    method: ScalingMethod = "uniform"
    lower: Numbers
    upper: Numbers

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.lower) != len(self.upper) or not self.lower:
            raise ValueError("there must be one lower and one upper bound for each column")
        for number, (low, high) in enumerate(zip(self.lower, self.upper, strict=True), start=1):
            if low > high:
                raise ValueError(f"column {number}: its lower bound is above its upper bound")
            if max(abs(low), abs(high)) > LARGEST_MAGNITUDE:
                raise ValueError(f"column {number}: its bounds are too large for the fixed point; use a larger unit")
        return self

    @property
    def units(self) -> np.ndarray:
        """Original units in one scaled unit, of shape (n_features,)."""
        ranges = np.subtract(self.upper, self.lower)
        if self.method == "none":
            return np.ones_like(ranges)
        if self.method == "uniform":
            ranges = np.full_like(ranges, ranges.max())
        return np.where(ranges > 0, ranges, 1.0)

    @property
    def offsets(self) -> np.ndarray:
        """The values that become 0, of shape (n_features,)."""
        return np.zeros(len(self.lower)) if self.method == "none" else np.array(self.lower)

    @property
    def largest(self) -> float:
        """Bound of |scaled value|."""
        if self.method != "none":
            return 1.0
        return float(max(np.abs(self.lower).max(), np.abs(self.upper).max()))

    @property
    def width(self) -> float:
        """Bound of the difference of two scaled values of a column."""
        return float((np.subtract(self.upper, self.lower) / self.units).max())

    @property
    def diagonal(self) -> float:
        """The largest distance of two rows within the bounds, in original units; 1 where all rows must be equal."""
        return float(np.linalg.norm(np.subtract(self.upper, self.lower))) or 1.0

    @property
    def by_column(self) -> Scaling:
        """The map of each column to 0 to 1 by its own bounds, in which final means are computed."""
        return Scaling.of(method="minmax", lower=self.lower, upper=self.upper)

    def of_columns(self, columns: slice) -> Scaling:
        """The same map of some of the columns alone. With "uniform" its factor stays that of all columns."""
        lower, upper = self.lower[columns], self.upper[columns]
        if self.method != "uniform":
            return Scaling.of(method=self.method, lower=lower, upper=upper)
        return _UniformColumns.of(method="uniform", lower=lower, upper=upper, unit=float(self.units[0]))

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Original to scaled units, (n, n_features) to the same shape."""
        scaled: np.ndarray = (rows - self.offsets) / self.units
        return scaled

    def invert(self, scaled: np.ndarray) -> np.ndarray:
        """Scaled to original units, (n, n_features) to the same shape."""
        rows: np.ndarray = scaled * self.units + self.offsets
        return rows


class _UniformColumns(Scaling):
    """The map "uniform" of some of its columns.

    Attributes
    ----------
    unit : float
        Original units in one scaled unit.
    """

    unit: float

    @property
    def units(self) -> np.ndarray:
        """Original units in one scaled unit, of shape (n_features,)."""
        return np.full(len(self.lower), self.unit)
