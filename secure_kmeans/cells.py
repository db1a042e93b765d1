"""The cells of a column as numbers, and the cells that hold none.

An error names file, column, row and remedy, and never a value. pandas, slow to import, is imported where it is used.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np

from secure_kmeans.errors import DataError
from secure_kmeans.job import LARGEST_MAGNITUDE

if TYPE_CHECKING:
    import pandas as pd

_FAULTS: Final = (
    ("a value is missing", "fill it in or leave the row out"),
    ("this is text, not a number", "correct it, or choose other columns"),
    ("the number is infinite", "correct it or leave the row out"),
    ("the number is too large for the fixed point", "use a larger unit"),
)
"""What a cell may have instead of a number, and the remedy. The first that a column has is the one that is named."""


class Cells:
    """The cells of one column, which are taken all at once, or in several parts that follow each other.

    The faults are the same in both cases. A column that pandas reads as a whole has one type, its parts may have
    several; so truth values count as text, unless all parts hold truth values alone.

    Parameters
    ----------
    title : str
        What messages call the column.
    source : str
        The file, or another name for messages.
    """

    def __init__(self, title: str, source: str) -> None:
        self._title, self._source = title, source
        self._rows = 0
        self._first: list[int | None] = [None] * len(_FAULTS)
        self._has_no_numbers = True

    def take(self, column: pd.Series) -> np.ndarray:
        """Take the next cells; return their numbers, (n,) float64, NaN where a cell holds none."""
        values, is_unusable = _numbers(column)
        self._has_no_numbers &= is_unusable
        for number, found in enumerate(_faults(column, values)):
            if self._first[number] is None and found.any():
                self._first[number] = self._rows + int(found.argmax()) + 1
        self._rows += len(values)
        return values

    @property
    def are_numbers(self) -> bool:
        """Whether no fault was found so far."""
        return all(row is None for row in self._first)

    def check(self) -> None:
        """Refuse the cells that were taken, if one of them holds no number within bounds.

        Raises
        ------
        DataError
            Rows count from 1.
        """
        if self._has_no_numbers and self._rows:
            raise cell_error(
                self._source, self._title, 1, "this is not a number", "use 0 and 1, or choose other columns"
            )
        for row, (what, remedy) in zip(self._first, _FAULTS, strict=True):
            if row is not None:
                raise cell_error(self._source, self._title, row, what, remedy)


def cell_error(source: str, title: str, row: int, what: str, remedy: str) -> DataError:
    """An error of one cell; rows count from 1."""
    return DataError(f"{source}: {title}, row {row}: {what}; {remedy}")


def _numbers(column: pd.Series) -> tuple[np.ndarray, bool]:
    """The numbers of one column, (n,) float64, NaN where a cell holds none; whether its type is one of no numbers."""
    import pandas as pd

    types = pd.api.types
    if types.is_bool_dtype(column.dtype) or types.is_complex_dtype(column.dtype):
        return np.full(len(column), np.nan), True
    if types.is_numeric_dtype(column.dtype):
        numeric = column
    elif types.is_object_dtype(column.dtype) or types.is_string_dtype(column.dtype):
        numeric = pd.to_numeric(column.map(_number_or_none), errors="coerce")
    else:
        numeric = pd.Series(np.nan, index=column.index)
    return numeric.to_numpy(dtype=np.float64, na_value=np.nan), False


def _faults(column: pd.Series, values: np.ndarray) -> Iterator[np.ndarray]:
    """For each of :data:`_FAULTS` the cells that have it."""
    missing = np.asarray(column.isna())
    yield missing
    yield np.isnan(values) & ~missing
    yield np.isinf(values)
    yield np.abs(values) > LARGEST_MAGNITUDE


def _number_or_none(cell: object) -> object:
    """The cell if it may be a number, or text that may be one. pandas would take dates and truth values for numbers."""
    return cell if isinstance(cell, str | numbers.Real | Decimal) and not isinstance(cell, bool) else None
