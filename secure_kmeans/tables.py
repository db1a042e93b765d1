"""A party's table: read it, choose its columns, refuse what cannot be clustered.

An error names file, column, row and remedy, and never a value. Rows are counted from 1, the first below the header;
blank lines of a file do not count.
pandas and PyArrow, slow to import, are imported where a file is read: checked rows can be saved and loaded without
them.
"""

from __future__ import annotations

import hashlib
import lzma
import numbers
import os
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from secure_kmeans.errors import DataError
from secure_kmeans.headers import Columns
from secure_kmeans.job import LARGEST_MAGNITUDE, Scaling
from secure_kmeans.words import column_title, counted, listed, may_be_value, printable

if TYPE_CHECKING:
    import pandas as pd

_PARQUET_SUFFIXES: Final = {".parquet", ".pq"}

_UNREADABLE: Final = (OSError, EOFError, ValueError, zipfile.BadZipFile, lzma.LZMAError, zlib.error)
"""What pandas raises, besides PyArrow's exceptions, for garbage in a format or compression that it reads."""


@dataclass(frozen=True)
class Table:
    """Rows that can be clustered. They are not changed once the table is made.

    Attributes
    ----------
    source : str
        The file, or another name for messages.
    columns : tuple of str
    rows : (n, len(columns)) float64, finite
        In original units.
    first_row : int
        The number of the first row in its source, for messages.
    ids : tuple of str, or None
        The identifier of each row, as it stands in the source; no two are equal after Unicode's NFC. None where no
        column of identifiers was named.
    """

    source: str
    columns: tuple[str, ...]
    rows: np.ndarray
    first_row: int = 1
    ids: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of columns, shape and rows. A state to resume from is bound to it."""
        digest = hashlib.sha256(repr((self.columns, self.rows.shape)).encode())
        if self.rows.size:
            digest.update(np.ascontiguousarray(self.rows).data)
        return digest.digest()

    def scaled(self, scaling: Scaling) -> np.ndarray:
        """The rows in scaled units, (n, len(columns)). They are scaled once; nobody may write into them."""
        known: tuple[Scaling, np.ndarray] | None = self.__dict__.get("_scaled")
        if known is None or known[0] != scaling:
            known = scaling, scaling.apply(self.rows)
            self.__dict__["_scaled"] = known
        return known[1]

    def save_rows(self, path: str | Path) -> None:
        """Save the rows to a new file that only its owner may read, for :func:`load_rows`.

        Raises
        ------
        FileExistsError
        """
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            np.save(file, self.rows, allow_pickle=False)


def load_rows(path: str | Path, columns: Sequence[str], source: str, first_row: int = 1) -> Table:
    """Load a table that :meth:`Table.save_rows` saved: the rows are neither parsed nor checked again.

    Parameters
    ----------
    path : path
    columns : sequence of str
    source : str
    first_row : int
        See :class:`Table`.
    """
    rows = np.load(path, allow_pickle=False)
    assert rows.dtype == np.float64
    assert rows.ndim == 2
    assert rows.shape[1] == len(columns)
    return Table(source, tuple(columns), rows, first_row)


def read_table(path: str | Path, columns: Sequence[str] = ()) -> Table:
    """Read a CSV or Parquet file.

    Parameters
    ----------
    path : path
        ``.parquet`` and ``.pq`` are read as Parquet, all else as CSV with a header.
    columns : sequence of str
        Names, or numbers counted from 1 where no column has that name; all columns if empty.

    Raises
    ------
    DataError
    """
    path = Path(path)
    frame = _read(path)
    return _table_of(frame, Columns.of(frame, printable(str(path)), has_first_line=not _is_parquet(path)), columns)


def table_from_frame(frame: pd.DataFrame, columns: Sequence[str] = (), *, source: str) -> Table:
    """Choose columns of a frame and check every number in them.

    Raises
    ------
    DataError
        For an unknown or doubled column, names that look like a row of data, no rows, and a cell that is empty, text,
        infinite or above :data:`LARGEST_MAGNITUDE`.
    """
    return _table_of(frame, Columns.of(frame, source, is_file=False), columns)


def _table_of(frame: pd.DataFrame, found: Columns, chosen: Sequence[str]) -> Table:
    positions = found.choose(chosen)
    if frame.empty:
        raise DataError(f"{found.source}: there are no rows below the header; a table needs at least one")
    values = [_numbers(frame.iloc[:, position], found.title(position, chosen), found.source) for position in positions]
    return Table(found.source, tuple(found.names[position] for position in positions), np.column_stack(values))


def split_table(table: Table, parties: int) -> list[Table]:
    """Cut a table into one slice of consecutive rows for each party, as even as possible.

    Raises
    ------
    DataError
        Where there are fewer rows than parties.
    """
    if len(table) < parties:
        rows = counted(len(table), "row does", "rows do")
        raise DataError(f"{table.source}: {rows} not suffice for {parties} parties; use fewer parties")
    slices = np.array_split(np.arange(len(table)), parties)
    return [
        Table(table.source, table.columns, table.rows[own[0] : own[-1] + 1], table.first_row + int(own[0]))
        for own in slices
    ]


def check_together(tables: Sequence[Table], n_clusters: int) -> None:
    """Refuse tables that cannot be clustered with each other.

    Raises
    ------
    DataError
        Where their columns differ or they have fewer rows than clusters.
    """
    first, *others = tables
    for other in others:
        if other.columns != first.columns:
            what = _difference(other, first)
            raise DataError(f"{other.source}: {what} {first.source}; name the same columns for all tables")
    sources = ", ".join(dict.fromkeys(table.source for table in tables))
    check_enough_rows(sum(len(table) for table in tables), n_clusters, f"{sources}: ")


def _difference(other: Table, first: Table) -> str:
    """How the columns of two tables differ; no name is shown that could be a value."""
    if any(map(may_be_value, (*other.columns, *first.columns))):
        if len(other.columns) != len(first.columns):
            return f"{counted(len(other.columns), 'column')}, not {len(first.columns)} as"
        differing = (
            number
            for number, (own, others) in enumerate(zip(other.columns, first.columns, strict=True), start=1)
            if own != others
        )
        return f"column {next(differing)} has another name than in"
    return f"columns {listed(other.columns)} differ from {listed(first.columns)} of"


def check_enough_rows(rows: int, n_clusters: int, source: str = "") -> None:
    """Refuse fewer rows than clusters.

    Raises
    ------
    DataError
    """
    if rows < n_clusters:
        few, many = counted(rows, "row does", "rows do"), counted(n_clusters, "cluster")
        raise DataError(f"{source}{few} not suffice for {many}; use fewer clusters")


def check_bounds(table: Table, scaling: Scaling) -> None:
    """Refuse a row outside the bounds that the parties agreed on.

    Raises
    ------
    DataError
    """
    outside = (table.rows < np.array(scaling.lower)) | (table.rows > np.array(scaling.upper))
    if outside.any():
        raise _error_in_table(
            table,
            np.argwhere(outside)[0],
            "the number is outside the agreed bounds, too large or too small for the fixed point",
            "agree on wider bounds, or correct it",
        )


def check_reach(table: Table, scaling: Scaling, reach: float) -> None:
    """Refuse a new row too far outside the bounds of a fitted model.

    Parameters
    ----------
    table : Table
    scaling : Scaling
    reach : float
        The largest |scaled value| that fits the ring.

    Raises
    ------
    DataError
    """
    beyond = np.abs(table.scaled(scaling)) > reach
    if beyond.any():
        what = "the number is too far outside the bounds that the model was fitted with"
        raise _error_in_table(table, np.argwhere(beyond)[0], what, "correct it or leave the row out")


def bounds_of(tables: Sequence[Table]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Smallest and largest value of each column over all tables. Parties that use them as bounds disclose them."""
    lower = np.min([table.rows.min(axis=0) for table in tables], axis=0)
    upper = np.max([table.rows.max(axis=0) for table in tables], axis=0)
    return tuple(lower.tolist()), tuple(upper.tolist())


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    shown = printable(str(path))
    if path.is_dir():
        raise DataError(f"{shown}: this is a folder; name a CSV or Parquet file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            if _is_parquet(path):
                return _with_index(pd.read_parquet(path), shown)
            return _read_csv(path)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{shown}: there is no such file") from None
    except PermissionError:
        raise DataError(f"{shown}: you may not read this file; change its permissions") from None
    except UnicodeDecodeError:
        raise DataError(f"{shown}: this is not text in UTF-8; save it as a UTF-8 CSV or as Parquet") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{shown}: the file is empty; it needs a header and rows") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning):
        raise DataError(
            f"{shown}: this is not a table with as many cells in every row as in its header; "
            "save it as CSV with commas, or as Parquet"
        ) from None
    except (*_UNREADABLE, pa.ArrowException):
        raise DataError(f"{shown}: the file cannot be read as a table; save it as CSV or Parquet") from None


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in _PARQUET_SUFFIXES


def _with_index(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The frame with each level of its index that has a name as a column, the first ones."""
    levels = [
        (str(name), frame.index.get_level_values(number))
        for number, name in enumerate(frame.index.names)
        if name is not None and str(name).strip()
    ]
    names = [name for name, _ in levels]
    if len(set(names)) < len(names) or set(names) & set(map(str, frame.columns)):
        raise DataError(f"{source}: a level of its index has the name of another column; rename it")
    found = frame.reset_index(drop=True)
    for position, (name, cells) in enumerate(levels):
        found.insert(position, name, cells)
    return found


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    options: dict[str, Any] = {"skipinitialspace": True, "encoding": "utf-8-sig"}
    first = pd.read_csv(path, header=None, dtype=str, keep_default_na=False, nrows=1, **options)
    header = [str(name).strip() for name in first.iloc[0]]
    if len(header) > 1:
        rows: pd.DataFrame = pd.read_csv(path, low_memory=False, index_col=False, **options)
        rows.columns = pd.Index(header)
        return rows
    if ";" in header[0] or "\t" in header[0]:
        raise DataError(f"{printable(str(path))}: the columns are not separated by commas; save it as CSV with commas")
    # In a table of one column a blank line is a missing value, unless only blank lines follow.
    lines: pd.DataFrame = pd.read_csv(path, header=None, names=header, dtype=str, skip_blank_lines=False, **options)
    written = lines.index[lines[header[0]].notna()]
    return lines.loc[written[0] + 1 : written[-1]].reset_index(drop=True)


def _numbers(column: pd.Series, title: str, source: str) -> np.ndarray:
    """The numbers of one column, (n,) float64; refuses a cell that holds none."""
    import pandas as pd

    types = pd.api.types
    if types.is_bool_dtype(column.dtype) or types.is_complex_dtype(column.dtype):
        raise _cell_error(source, title, 1, "this is not a number", "use 0 and 1, or choose other columns")
    if types.is_numeric_dtype(column.dtype):
        numeric = column
    elif types.is_object_dtype(column.dtype) or types.is_string_dtype(column.dtype):
        numeric = pd.to_numeric(column.map(_number_or_none), errors="coerce")
    else:
        numeric = pd.Series(np.nan, index=column.index)
    values = numeric.to_numpy(dtype=np.float64, na_value=np.nan)
    missing = np.asarray(column.isna())
    for found, what, remedy in (
        (missing, "a value is missing", "fill it in or leave the row out"),
        (np.isnan(values) & ~missing, "this is text, not a number", "correct it, or choose other columns"),
        (np.isinf(values), "the number is infinite", "correct it or leave the row out"),
        (np.abs(values) > LARGEST_MAGNITUDE, "the number is too large for the fixed point", "use a larger unit"),
    ):
        if found.any():
            raise _cell_error(source, title, int(found.argmax()) + 1, what, remedy)
    return values


def _number_or_none(cell: object) -> object:
    """The cell if it may be a number, or text that may be one. pandas would take dates and truth values for numbers."""
    return cell if isinstance(cell, str | numbers.Real | Decimal) and not isinstance(cell, bool) else None


def _cell_error(source: str, title: str, row: int, what: str, remedy: str) -> DataError:
    """An error of one cell; rows count from 1."""
    return DataError(f"{source}: {title}, row {row}: {what}; {remedy}")


def _error_in_table(table: Table, cell: np.ndarray, what: str, remedy: str) -> DataError:
    """An error of the cell (row, column) of a table, both from 0."""
    row, position = map(int, cell)
    return _cell_error(table.source, column_title(table.columns, position), table.first_row + row, what, remedy)
