"""A party's table: read it, choose its columns, refuse what cannot be clustered.

An error names file, column, row and remedy, and never a value. Rows are counted from 1, the first below the header;
blank lines of a file do not count.
pandas, slow to import, is imported where a file is read: checked rows can be saved and loaded without it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from secure_kmeans.cells import Cells, cell_error
from secure_kmeans.errors import DataError
from secure_kmeans.headers import Columns
from secure_kmeans.identifiers import checked_identifiers
from secure_kmeans.job import Scaling
from secure_kmeans.table_files import identifier_cells, is_parquet, read_frame
from secure_kmeans.words import column_title, counted, key, listed, may_be_value, printable

if TYPE_CHECKING:
    import pandas as pd


BLOCK_ROWS: Final = 1 << 16
"""Rows of a block: small enough for a processor's cache, and for exact sums in double precision."""


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

    IS_CHUNKED: ClassVar[bool] = False
    """Whether the rows stay in their file, so that only ``blocks`` and ``sample`` have them."""

    source: str
    columns: tuple[str, ...]
    rows: np.ndarray
    first_row: int = 1
    ids: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def extent(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest value of each column, (len(columns),). There is at least one row."""
        return self.rows.min(axis=0), self.rows.max(axis=0)

    @property
    def sample(self) -> Table:
        """A table of some of the rows, for advice and pictures: of all of them, where they are in memory."""
        return self

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of columns, shape, rows and identifiers. A state to resume from is bound to it."""
        digest = digest_of_shape(self.columns, len(self.rows))
        if self.rows.size:
            digest.update(np.ascontiguousarray(self.rows).data)
        if self.ids is not None:
            digest.update(b"identifiers" + repr(self.ids).encode())
        return digest.digest()

    def scaled(self, scaling: Scaling) -> np.ndarray:
        """The rows in scaled units, (n, len(columns)). They are scaled once; nobody may write into them."""
        known: tuple[Scaling, np.ndarray] | None = self.__dict__.get("_scaled")
        if known is None or known[0] != scaling:
            known = scaling, scaling.apply(self.rows)
            self.__dict__["_scaled"] = known
        return known[1]

    def blocks(self) -> Iterator[np.ndarray]:
        """The rows in order, (m, len(columns)), in blocks of up to :data:`BLOCK_ROWS`."""
        for start in range(0, len(self.rows), BLOCK_ROWS):
            yield self.rows[start : start + BLOCK_ROWS]

    def save_rows(self, path: str | Path) -> None:
        """Save the rows to a new file that only its owner may read, for :func:`load_rows`.

        Raises
        ------
        FileExistsError
        """
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            np.save(file, self.rows, allow_pickle=False)


def digest_of_shape(columns: tuple[str, ...], n: int) -> hashlib._Hash:
    """The digest of a table before its rows, which follow as float64, row by row."""
    return hashlib.sha256(repr((columns, (n, len(columns)))).encode())


def load_rows(
    path: str | Path, columns: Sequence[str], source: str, first_row: int = 1, ids: tuple[str, ...] | None = None
) -> Table:
    """Load a table that :meth:`Table.save_rows` saved: the rows are neither parsed nor checked again.

    Parameters
    ----------
    path : path
    columns : sequence of str
    source : str
    first_row : int
    ids : tuple of str or None
        See :class:`Table`.
    """
    rows = np.load(path, allow_pickle=False)
    assert rows.dtype == np.float64
    assert rows.ndim == 2
    assert rows.shape[1] == len(columns)
    assert ids is None or len(ids) == len(rows)
    return Table(source, tuple(columns), rows, first_row, ids)


def read_table(path: str | Path, columns: Sequence[str] = (), identifier: str | None = None) -> Table:
    """Read a CSV or Parquet file.

    Parameters
    ----------
    path : path
        ``.parquet`` and ``.pq`` are read as Parquet, all else as CSV with a header.
    columns : sequence of str
        Names, or numbers counted from 1 where no column has that name; if empty, all columns but the identifiers.
    identifier : str, optional
        Name or number of the column of identifiers. They are text, exactly as it stands in the file.

    Raises
    ------
    DataError
    """
    path = Path(path)
    frame = read_frame(path)
    found = Columns.of(frame, printable(str(path)), has_first_line=not is_parquet(path))
    position = _identifier_position(found, identifier)
    cells = None if position is None else identifier_cells(path, frame, position)
    return _table_of(frame, found, columns, position, cells)


def table_from_frame(
    frame: pd.DataFrame, columns: Sequence[str] = (), *, source: str, identifier: str | None = None
) -> Table:
    """Choose columns of a frame and check every number in them.

    Raises
    ------
    DataError
        For an unknown or doubled column, names that look like a row of data, no rows, and a cell that is empty, text,
        infinite or above :data:`~secure_kmeans.job.LARGEST_MAGNITUDE`; and for the identifiers that
        :func:`~secure_kmeans.identifiers.checked_identifiers` refuses.
    """
    found = Columns.of(frame, source, is_file=False)
    position = _identifier_position(found, identifier)
    return _table_of(
        frame, found, columns, position, None if position is None else frame.iloc[:, position].astype(object).tolist()
    )


def _identifier_position(found: Columns, identifier: str | None) -> int | None:
    return None if identifier is None else found.choose([identifier])[0]


def _table_of(
    frame: pd.DataFrame,
    found: Columns,
    chosen: Sequence[str],
    identifier: int | None = None,
    cells: Sequence[object] | None = None,
) -> Table:
    """The table of the chosen columns; ``cells`` are those of the column ``identifier``."""
    positions = found.choose(chosen)
    if identifier in positions:
        if chosen:
            title = found.title(positions[positions.index(identifier)], chosen)
            raise DataError(f"{found.source}: {title} holds the identifiers; leave it out of the columns to cluster by")
        positions.remove(identifier)
        if not positions:
            raise DataError(f"{found.source}: there is no column besides the identifiers; add one to cluster by")
    if frame.empty:
        raise DataError(f"{found.source}: there are no rows below the header; a table needs at least one")
    values = [_checked(frame.iloc[:, position], found.title(position, chosen), found.source) for position in positions]
    ids = None
    if identifier is not None and cells is not None:
        ids = checked_identifiers(cells, found.source, found.title(identifier))
    names = tuple(found.names[position] for position in positions)
    return Table(found.source, names, np.column_stack(values), ids=ids)


def _checked(column: pd.Series, title: str, source: str) -> np.ndarray:
    cells = Cells(title, source)
    values = cells.take(column)
    cells.check()
    return values


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
    parts = [slice(int(own[0]), int(own[-1]) + 1) for own in slices]
    return [
        Table(
            table.source,
            table.columns,
            table.rows[own],
            table.first_row + own.start,
            None if table.ids is None else table.ids[own],
        )
        for own in parts
    ]


def split_columns(table: Table, parties: int) -> list[Table]:
    """Cut a table into consecutive columns for each party, as evenly as possible; each part has all rows.

    Raises
    ------
    DataError
        Where there are fewer columns than parties.
    """
    if len(table.columns) < parties:
        columns = counted(len(table.columns), "column does", "columns do")
        raise DataError(
            f"{table.source}: {columns} not suffice for {parties} parties; choose more columns, or fewer parties"
        )
    return [
        Table(
            table.source,
            tuple(table.columns[position] for position in own),
            np.ascontiguousarray(table.rows[:, own]),
            table.first_row,
            table.ids,
        )
        for own in np.array_split(np.arange(len(table.columns)), parties)
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


def few_common_rows(fewest: int) -> str:
    """The message about tables with fewer rows in common than these."""
    return (
        f"the tables have fewer than {counted(fewest, 'row')} in common, the least for this job: check that all of "
        f"them name the same entities, and write their identifiers ({key('id')}) in the same way"
    )


def check_bounds(table: Table, scaling: Scaling) -> None:
    """Refuse a row outside the bounds that the parties agreed on.

    Raises
    ------
    DataError
    """
    lower, upper = np.array(scaling.lower), np.array(scaling.upper)
    if not len(table) or (np.all(table.extent[0] >= lower) and np.all(table.extent[1] <= upper)):
        return
    before = 0
    for rows in table.blocks():
        outside = (rows < lower) | (rows > upper)
        if outside.any():
            row, position = np.argwhere(outside)[0]
            raise _error_in_table(
                table,
                (before + row, position),
                "the number is outside the agreed bounds, too large or too small for the fixed point",
                "agree on wider bounds, or correct it",
            )
        before += len(rows)


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
        raise _error_in_table(table, tuple(np.argwhere(beyond)[0]), what, "correct it or leave the row out")


def bounds_of(tables: Sequence[Table]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Smallest and largest value of each column over all tables. Parties that use them as bounds disclose them."""
    lower = np.min([table.extent[0] for table in tables], axis=0)
    upper = np.max([table.extent[1] for table in tables], axis=0)
    return tuple(lower.tolist()), tuple(upper.tolist())


def _error_in_table(table: Table, cell: tuple[int, ...], what: str, remedy: str) -> DataError:
    """An error of the cell (row, column) of a table, both from 0."""
    row, position = map(int, cell)
    return cell_error(table.source, column_title(table.columns, position), table.first_row + row, what, remedy)
