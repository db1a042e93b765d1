"""Tables larger than memory: their rows stay in the file, which each pass reads once more, in chunks.

The table is the same, to the last bit, as one that is read whole, and the same files are refused. The first pass finds
how many rows there are and where they lie. Every later pass compares the rows with those of the first one by a digest,
so that nothing is computed from a file that has changed since.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from secure_kmeans.cells import Cells
from secure_kmeans.errors import DataError
from secure_kmeans.headers import Columns
from secure_kmeans.job.result import Progress, no_progress
from secure_kmeans.table_files import frames_in_chunks, head_of, is_parquet, rows_in_parquet
from secure_kmeans.tables import BLOCK_ROWS, Table, digest_of_shape
from secure_kmeans.words import printable

READING: Final = "reading"
"""The phase of a pass, for progress in rows."""
SAMPLE_ROWS: Final = 20_000
"""The most rows of a sample."""
_PROGRESS_SECONDS: Final = 1.0
"""Between two reports of a pass."""
_LOOKED_AT: Final = 1 << 16
"""Bytes of a CSV file by which its number of rows is estimated."""


@dataclass(frozen=True)
class ChunkedFile:
    """What is known of a table in a file after its first pass.

    Attributes
    ----------
    source : str
        What messages call the file.
    path : path
        Absolute.
    columns : tuple of str
        As they were chosen.
    positions : tuple of int
        Of these columns in the file, from 0.
    chunk_rows : int
        The most rows that are read at once.
    rows : int
    lower, upper : tuple of float
        Smallest and largest value of each column.
    digest : str
        As :attr:`~secure_kmeans.tables.Table.digest`, in hexadecimal.
    """

    source: str
    path: Path
    columns: tuple[str, ...]
    positions: tuple[int, ...]
    chunk_rows: int
    rows: int
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    digest: str


class ChunkedTable(Table):
    """A table whose rows are read from its file, in chunks, whenever :meth:`blocks` is called.

    Parameters
    ----------
    file : ChunkedFile
    progress : Progress, optional
        Called with the phase :data:`READING` and rows, now and then, during each pass.
    sample : (m, len(columns)), optional
        Some of the rows; needed for :attr:`sample`.
    """

    def __init__(self, file: ChunkedFile, progress: Progress = no_progress, sample: np.ndarray | None = None) -> None:
        values = {"source": file.source, "columns": file.columns, "first_row": 1, "ids": None}
        self.__dict__.update(values, file=file, _progress=progress, _sample=sample)

    IS_CHUNKED: ClassVar[bool] = True

    file: ChunkedFile
    _progress: Progress
    _sample: np.ndarray | None

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"ChunkedTable({self.source!r})"

    def __len__(self) -> int:
        return self.file.rows

    @property
    def rows(self) -> np.ndarray:
        """Nothing: the rows are never in memory all at once."""
        raise AssertionError("the rows of a table that is read in chunks are only in its blocks")

    @property
    def digest(self) -> bytes:
        """As that of the same rows in a :class:`~secure_kmeans.tables.Table`."""
        return bytes.fromhex(self.file.digest)

    @property
    def extent(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest value of each column, (len(columns),)."""
        return np.array(self.file.lower), np.array(self.file.upper)

    @property
    def sample(self) -> Table:
        """A table of up to :data:`SAMPLE_ROWS` rows, evenly spaced in the file."""
        assert self._sample is not None, "only the process that read the file first has a sample"
        return Table(self.source, self.columns, self._sample)

    def reporting_to(self, progress: Progress) -> ChunkedTable:
        """The same table with another progress callback."""
        return ChunkedTable(self.file, progress, self._sample)

    def blocks(self) -> Iterator[np.ndarray]:
        """As :meth:`~secure_kmeans.tables.Table.blocks`. Each call reads the file once more.

        Raises
        ------
        DataError
            Where the file cannot be read any more, or its rows are others than in the first pass. A pass has to be read
            to its end before its rows can be trusted: only there the digest is known.
        """
        digest = digest_of_shape(self.columns, len(self))
        for rows in self._chunks():
            digest.update(rows.data)
            for start in range(0, len(rows), BLOCK_ROWS):
                yield rows[start : start + BLOCK_ROWS]
        if digest.digest() != self.digest:
            raise self._changed()

    def with_digest(self) -> ChunkedTable:
        """The same table with its digest, which takes a pass."""
        digest = digest_of_shape(self.columns, len(self))
        for rows in self._chunks():
            digest.update(rows.data)
        return ChunkedTable(replace(self.file, digest=digest.hexdigest()), self._progress, self._sample)

    def _chunks(self) -> Iterator[np.ndarray]:
        """All rows as they are read; refuses what cannot be those of the first pass."""
        file, done, report = self.file, 0, _paced(self._progress)
        cells = [Cells("", self.source) for _ in self.columns]
        columns = dict(zip(file.positions, file.columns, strict=True))
        lower, upper = self.extent
        for rows in _chunks(file.path, file.chunk_rows, columns, cells, is_checked=True):
            done += len(rows)
            fits = done <= file.rows and all(each.are_numbers for each in cells)
            if not fits or (rows < lower).any() or (rows > upper).any():
                raise self._changed()
            yield rows
            report(done, file.rows)
        if done != file.rows:
            raise self._changed()

    def _changed(self) -> DataError:
        return DataError(
            f"{self.source}: its rows are no longer those that were read at first; let nobody change the file during a "
            "run, and start the run anew"
        )


def read_in_chunks(
    path: str | Path, columns: Sequence[str], chunk_rows: int, progress: Progress = no_progress
) -> ChunkedTable:
    """Read a CSV or Parquet file in chunks, and check it as :func:`~secure_kmeans.tables.read_table` does.

    A Parquet file is read once, a CSV file, which does not say how many rows it has, twice.

    Parameters
    ----------
    path : path
    columns : sequence of str
        Names, or numbers counted from 1 where no column has that name; if empty, all columns.
    chunk_rows : int
        The most rows that are in memory at once, at least 1.
    progress : Progress, optional
        The number of rows of a CSV file is an estimate in the first pass.

    Raises
    ------
    DataError
    """
    path = Path(path)
    source = printable(str(path))
    found = Columns.of(head_of(path), source, has_first_line=not is_parquet(path))
    positions = tuple(found.choose(columns))
    names = tuple(found.names[position] for position in positions)
    cells = [Cells(found.title(position, columns), source) for position in positions]
    first, report = _FirstPass(path, names, rows_in_parquet(path)), _paced(progress)
    for rows in _chunks(path, chunk_rows, dict(zip(positions, names, strict=True)), cells):
        first.take(rows)
        report(first.rows, max(first.rows, first.expected))
    for each in cells:
        each.check()
    if not first.rows:
        raise DataError(f"{source}: there are no rows below the header; a table needs at least one")
    return first.table(positions, chunk_rows, progress)


def _paced(progress: Progress) -> Callable[[int, int], None]:
    """Callback(done, total) for one pass, which reports now and then, and at the end."""
    due = time.monotonic() + _PROGRESS_SECONDS

    def report(done: int, total: int) -> None:
        nonlocal due
        if done >= total or time.monotonic() >= due:
            progress(READING, done, total)
            due = time.monotonic() + _PROGRESS_SECONDS

    return report


class _FirstPass:
    """What is found in a first pass."""

    def __init__(self, path: Path, columns: tuple[str, ...], in_parquet: int | None) -> None:
        self.path, self.columns = path, columns
        self.expected = _estimated_rows(path) if in_parquet is None else in_parquet
        self.rows, self.lower, self.upper = 0, np.full(len(columns), np.inf), np.full(len(columns), -np.inf)
        self._digest = None if in_parquet is None else digest_of_shape(columns, in_parquet)
        self._step, self._sample = 1, [np.empty((0, len(columns)))]

    def take(self, rows: np.ndarray) -> None:
        """Take the rows of the next chunk, (m, len(columns)) float64."""
        self.lower, self.upper = np.minimum(self.lower, rows.min(axis=0)), np.maximum(self.upper, rows.max(axis=0))
        if self._digest is not None:
            self._digest.update(rows.data)
        self._sample.append(rows[-self.rows % self._step :: self._step].copy())
        while sum(map(len, self._sample)) > SAMPLE_ROWS:
            self._sample, self._step = [np.concatenate(self._sample)[::2]], 2 * self._step
        self.rows += len(rows)

    def table(self, positions: tuple[int, ...], chunk_rows: int, progress: Progress) -> ChunkedTable:
        """The table that was found."""
        lower, upper = tuple(self.lower.tolist()), tuple(self.upper.tolist())
        digest = "" if self._digest is None else self._digest.hexdigest()
        file = ChunkedFile(
            printable(str(self.path)),
            self.path.absolute(),
            self.columns,
            positions,
            chunk_rows,
            self.rows,
            lower,
            upper,
            digest,
        )
        table = ChunkedTable(file, progress, np.concatenate(self._sample))
        return table if digest else table.with_digest()


def _estimated_rows(path: Path) -> int:
    """The number of lines of a file, if all are as long as the first ones."""
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    return path.stat().st_size * start.count(b"\n") // max(1, len(start))


def _chunks(
    path: Path, chunk_rows: int, columns: Mapping[int, str], cells: Sequence[Cells], *, is_checked: bool = False
) -> Iterator[np.ndarray]:
    """The chosen columns of a file in chunks, (m, len(columns)) float64, contiguous; ``cells`` note their faults."""
    with contextlib.closing(frames_in_chunks(path, chunk_rows, columns, is_checked=is_checked)) as frames:
        for frame in frames:
            if len(frame):
                values = [each.take(frame.iloc[:, number]) for number, each in enumerate(cells)]
                yield np.ascontiguousarray(np.column_stack(values))
