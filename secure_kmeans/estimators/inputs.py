"""What users pass to an estimator, checked: arrays, frames, parties of rows, starts, bounds and seeds.

scikit-learn's own messages quote cells and print arrays. A message of this module names the parameter, the column and
the row, and holds no value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from secure_kmeans.app.proposal import Bounds
from secure_kmeans.errors import DataError, JobError, SecureKMeansError
from secure_kmeans.headers import Columns
from secure_kmeans.job import SEEDS
from secure_kmeans.tables import Table, table_from_frame
from secure_kmeans.words import column_title, may_be_value

PARAMETERS: Final[Mapping[str, str]] = {
    "centroids": "init",
    "seed": "random_state",
    "parties": "n_parties",
    "columns": "X",
    "scaling.method": "scaling",
    "scaling": "bounds",
    "disclose": "disclose_centroids",
    "disclose.labels": "disclose_labels",
    "id": "id_column",
    "most_rows": "",
    "precision_bits": "",
}
"""The parameter of an estimator for each key of a job that it names otherwise."""

_HARMLESS: Final = ("Found array with ", "X has ", "Sparse data was passed")
"""How those of scikit-learn's messages begin that hold neither a cell nor a name."""
_NAMES_DIFFER: Final = "The feature names should match"
_DATES: Final = {"date", "datetime", "datetime64", "period", "time", "timedelta", "timedelta64"}
_NO_NUMBER: Final = re.compile(r"argument must be a string or a real number, not '(\w+)'")


class CellError(DataError, TypeError):
    """A cell of a type that is neither a number nor text. scikit-learn's conventions ask for a TypeError."""


@contextmanager
def naming_parameters() -> Iterator[None]:
    """Let the errors of the package name the parameters of an estimator, not the keys of a job."""
    try:
        yield
    except SecureKMeansError as error:
        error.names = PARAMETERS
        raise


def validated(estimator: BaseEstimator, X: Any, source: str, *, reset: bool, fewest: int = 1) -> Table:
    """A table of finite numbers.

    Parameters
    ----------
    estimator : BaseEstimator
    X : array-like of shape (n_samples, n_features)
    source : str
        The name of X in messages.
    reset : bool
        Whether X is what the estimator is fitted to; if not, it has to have the same columns.
    fewest : int
        The least number of rows.

    Raises
    ------
    DataError
        Also a TypeError where a cell is neither a number nor text, or X is sparse.
    """
    _refuse_dates_and_names(X, source)
    try:
        if isinstance(X, np.ma.MaskedArray):
            X = np.ma.filled(X.astype(np.float64), np.nan)
        rows = validate_data(
            estimator, X, reset=reset, dtype=np.float64, ensure_all_finite=False, ensure_min_samples=fewest
        )
    except (TypeError, ValueError) as error:
        raise _without_values(error, X, source) from None
    names = tuple(getattr(estimator, "feature_names_in_", [f"x{number}" for number in range(rows.shape[1])]))
    return _checked(rows, names, source)


def _checked(rows: np.ndarray, names: tuple[str, ...], source: str) -> Table:
    """The rows as a table; refuses NaN, infinities and numbers that are too large."""
    for found, what in (
        (np.isnan(rows), "a value is missing (NaN); fill it in or leave the row out"),
        (np.isinf(rows), "the number is infinite (inf); correct it or leave the row out"),
    ):
        if found.any():
            row, position = np.argwhere(found)[0]
            raise DataError(f"{source}: {column_title(names, int(position))}, row {row + 1}: {what}")
    if not len(rows):
        return Table(source, names, rows)
    return table_from_frame(pd.DataFrame(rows, columns=list(names)), source=source)


def _refuse_dates_and_names(X: Any, source: str) -> None:
    """Refuse dates, which scikit-learn takes for numbers, columns that have one name, and names that may be a row."""
    if isinstance(X, pd.DataFrame):
        if Columns.of(X, source, has_first_line=False).look_like_data:
            raise DataError(f"{source}: the names of its columns look like a row of data, not a header; rename them")
        if not X.columns.is_unique:
            position = int(X.columns.duplicated().argmax())
            raise DataError(f"{source}: column {position + 1} has the name of an earlier one; rename it")
        if len({isinstance(name, str) for name in X.columns}) > 1:
            raise DataError(f"{source}: the names of some columns are text, those of others are not; rename them")
        for position, dtype in enumerate(X.dtypes):
            if _are_dates(dtype):
                raise _dates(source, column_title(tuple(map(str, X.columns)), position))
    elif _are_dates(getattr(X, "dtype", None)) or (isinstance(X, list | tuple) and _are_dates(_dtype_of(X))):
        raise _dates(source, "it")


def _dtype_of(X: Sequence[Any]) -> Any:
    try:
        return np.asarray(X).dtype
    except (TypeError, ValueError):  # rows that are not equally long
        return None


def _are_dates(dtype: Any) -> bool:
    return getattr(dtype, "kind", "") in {"m", "M"} or isinstance(dtype, pd.PeriodDtype)


def _dates(source: str, what: str) -> CellError:
    return CellError(f"{source}: {what} holds dates or times, not numbers; convert them, or leave them out")


def _without_values(error: Exception, X: Any, source: str) -> DataError:
    """The package's own error for one of scikit-learn's, whose text may hold a value."""
    text = str(error)
    if text.startswith("Complex data"):
        return DataError(f"{source}: Complex data not supported; give real numbers")
    kind = CellError if isinstance(error, TypeError) else DataError
    if text.startswith(_HARMLESS) or (text.startswith(_NAMES_DIFFER) and not _may_hold_values(X)):
        return kind(text if text.startswith("X ") and source == "X" else f"{source}: {text}")
    if text.startswith(_NAMES_DIFFER):
        return kind(
            f"{source}: its columns are not those of the fit, by name and in their order; name the same columns"
        )
    if found := _NO_NUMBER.search(text):
        return kind(
            f"{source}: a cell is of type {found[1]}, but an argument must be a string or a real number; convert the "
            "column, or leave it out"
        )
    return _found_in(X, source) or kind(f"{source}: this is no table of numbers, of shape (n_samples, n_features)")


def _found_in(X: Any, source: str) -> DataError | None:
    """Which cell of a table is no number."""
    try:
        if np.ndim(X) != 2:
            shape = "of shape (n_samples, n_features)"
            return DataError(f"{source}: a 2D table is needed, {shape}, not {np.ndim(X)}D. Reshape your data")
        frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X, dtype=object))
        if not isinstance(X, pd.DataFrame):
            frame.columns = pd.Index([f"x{number}" for number in range(frame.shape[1])])
        for position in range(frame.shape[1]):
            if pd.api.types.infer_dtype(frame.iloc[:, position]) in _DATES:
                return _dates(source, column_title(tuple(map(str, frame.columns)), position))
        table_from_frame(frame, source=source)
    except DataError as error:
        return error
    except (TypeError, ValueError):  # a table whose rows are not equally long
        return DataError(f"{source}: the rows of a table need equally many cells")
    return None


def _may_hold_values(X: Any) -> bool:
    """Whether the names of X's columns could be a row of it: a file that was read as if it had a header."""
    return any(may_be_value(str(name)) for name in getattr(X, "columns", ()))


def is_one_of(value: Any, *choices: str) -> bool:
    """Whether what a user gave, of any type, is one of these words."""
    return isinstance(value, str) and value in choices


def party_of_rows(groups: Any, n_samples: int) -> tuple[np.ndarray, int]:
    """The rank of the party of each row, and the number of parties.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
        A label of the party that holds the row. Parties are ranked by their labels in sorted order.
    n_samples : int

    Raises
    ------
    DataError
    """
    try:
        labels = pd.Series(list(groups), dtype=None)
        if np.ndim(groups) != 1:
            raise TypeError
        ranks, parties = pd.factorize(labels, sort=True)
    except (TypeError, ValueError):
        raise DataError("groups: one label of a party is needed for each row, of shape (n_samples,)") from None
    if len(ranks) != n_samples:
        raise DataError(f"groups: {len(ranks)} labels for {n_samples} rows; give one for each row")
    if (ranks < 0).any():
        raise DataError(f"groups: row {int((ranks < 0).argmax()) + 1} has no label; name its party")
    return ranks, len(parties)


def start_of(init: Any, n_clusters: Any, n_features: int, names: Sequence[str]) -> np.ndarray | None:
    """The centroids that a user gave as ``init``, (n_clusters, n_features); None where it is a name, or None.

    Parameters
    ----------
    init : anything
    n_clusters, n_features : int
    names : sequence of str
        Those that could have been given instead, for messages.

    Raises
    ------
    JobError
    """
    if init is None or isinstance(init, str):
        return None
    try:
        centroids = np.array(init, dtype=np.float64)
        if centroids.ndim != 2:
            raise TypeError
    except (TypeError, ValueError):
        listed = ", ".join(f'"{name}"' for name in names)
        raise JobError(f"init: it should be {listed} or an array of shape (n_clusters, n_features)") from None
    if centroids.shape != (n_clusters, n_features):
        raise JobError(
            f"init: an array of shape (n_clusters, n_features) = ({n_clusters}, {n_features}) is needed, not of shape "
            f"{centroids.shape}"
        )
    if not np.isfinite(centroids).all():
        raise JobError("init: every coordinate should be a finite number")
    return centroids


def seed_of(random_state: Any) -> int | None:
    """The seed of the public coins; None: the starts are drawn anew.

    Raises
    ------
    JobError
    """
    if random_state is None:
        return None
    if not isinstance(random_state, int | np.integer) or isinstance(random_state, bool):
        try:
            return int(check_random_state(random_state).randint(SEEDS, dtype=np.int64))
        except ValueError:
            raise JobError("random_state: it should be a whole number, a numpy.random.RandomState or None") from None
    if not 0 <= random_state < SEEDS:
        raise JobError(f"random_state: it should be a whole number from 0 to {SEEDS - 1}")
    return int(random_state)


def agreed_bounds(bounds: Any) -> Bounds | None:
    """The bounds that the parties agreed on; None: the tables' own.

    Raises
    ------
    JobError
    """
    if bounds is None:
        return None
    try:
        lower, upper = (tuple(map(float, side)) for side in bounds)
    except (TypeError, ValueError):
        raise JobError("bounds: two sequences are needed, the lower and the upper bound of every column") from None
    return lower, upper


def numbers_of(values: Any, parameter: str) -> tuple[float, ...] | None:
    """A sequence of numbers that a user gave, one for each column.

    Raises
    ------
    JobError
    """
    if values is None:
        return None
    try:
        return tuple(map(float, values))
    except (TypeError, ValueError):
        raise JobError(f"{parameter}: a sequence of numbers is needed, one for each column") from None
