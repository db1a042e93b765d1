"""The files of tables: read as frames, and their columns of identifiers as text.

pandas and PyArrow, slow to import, are imported where a file is read.
"""

from __future__ import annotations

import contextlib
import itertools
import lzma
import warnings
import zipfile
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from secure_kmeans.errors import DataError
from secure_kmeans.words import printable

if TYPE_CHECKING:
    import pandas as pd

_PARQUET_SUFFIXES: Final = {".parquet", ".pq"}

_UNREADABLE: Final = (OSError, EOFError, ValueError, zipfile.BadZipFile, lzma.LZMAError, zlib.error)
"""What pandas raises, besides PyArrow's exceptions, for garbage in a format or compression that it reads."""

_HEAD_ROWS: Final = 1000
"""Rows by which a header is judged where a file is read in chunks."""
_BUFFER_BYTES: Final = 1 << 20
"""Of a column of a Parquet file that is read in chunks."""

_CSV: Final[dict[str, Any]] = {"skipinitialspace": True, "encoding": "utf-8-sig"}


def is_parquet(path: Path) -> bool:
    """Whether a file is read as Parquet."""
    return path.suffix.lower() in _PARQUET_SUFFIXES


def read_frame(path: Path) -> pd.DataFrame:
    """Read a CSV or Parquet file with all its columns.

    Raises
    ------
    DataError
    """
    import pandas as pd

    with _reading(path):
        return _with_index(pd.read_parquet(path), printable(str(path))) if is_parquet(path) else _read_csv(path)


def names_of_columns(path: Path) -> tuple[str, ...]:
    """Read the names in the header of a CSV or Parquet file alone.

    Raises
    ------
    DataError
    """
    import pyarrow.parquet as pq

    with _reading(path):
        return tuple(pq.read_schema(path).names) if is_parquet(path) else tuple(_header(path))


def head_of(path: Path) -> pd.DataFrame:
    """Read the first rows of a CSV or Parquet file, with all its columns, by which a header is judged.

    Raises
    ------
    DataError
    """
    with contextlib.closing(frames_in_chunks(path, _HEAD_ROWS)) as frames:
        return next(frames)


def frames_in_chunks(
    path: Path, chunk_rows: int, columns: Mapping[int, str] | None = None, *, is_checked: bool = False
) -> Generator[pd.DataFrame, None, None]:
    """Read a CSV or Parquet file in chunks, as :func:`read_frame` reads it whole; a table without rows is one chunk.

    CSV is read by pandas, as it is where a file is read whole: PyArrow's reader takes other texts for numbers and for
    missing values. Parquet is read by PyArrow's ``ParquetFile``, a few pages at a time: a scanner of its datasets reads
    whole row groups ahead, and a file may have a single one.

    Parameters
    ----------
    path : path
    chunk_rows : int
        The most rows of a chunk.
    columns : mapping of int to str, optional
        Positions and names of the columns to read, in the order of the chunks' columns; all if not given.
    is_checked : bool
        Whether an earlier reading found as many cells in every row as in the header. It reads all columns of a CSV
        file; a checked one is read faster.

    Raises
    ------
    DataError
    """
    with _reading(path):
        if is_parquet(path):
            frames = _parquet_chunks(path, chunk_rows, columns)
        else:
            frames = _csv_chunks(path, chunk_rows, columns, is_checked=is_checked)
    found, empty = False, None
    with contextlib.closing(frames):
        while True:
            with _reading(path):
                frame = next(frames, None)
            if frame is None:
                break
            if len(frame):
                found = True
                yield frame
            else:
                empty = frame
    if not found:
        assert empty is not None
        yield empty


def rows_in_parquet(path: Path) -> int | None:
    """The number of rows that a Parquet file names; None of a CSV file, which names none.

    Raises
    ------
    DataError
    """
    import pyarrow.parquet as pq

    if not is_parquet(path):
        return None
    with _reading(path):
        return int(pq.read_metadata(path).num_rows)


def identifier_cells(path: Path, frame: pd.DataFrame, position: int) -> Sequence[object]:
    """Read the cells of one column of a file once more: text exactly as it stands, and no number as a float.

    Parameters
    ----------
    path : path
    frame : DataFrame
        What :func:`read_frame` returned.
    position : int
        Of the column in the frame.

    Raises
    ------
    DataError
    """
    with _reading(path):
        if is_parquet(path):
            return _parquet_cells(path, frame, position)
        if frame.shape[1] == 1:  # its blank lines are missing values, which a further reading would skip
            return frame.iloc[:, 0].tolist()
        return _csv_cells(path, len(frame), position)


def _parquet_cells(path: Path, frame: pd.DataFrame, position: int) -> list[object]:
    """A column's cells. pandas alone would make floats of whole numbers with an empty cell among them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = str(frame.columns[position])
    if pq.read_schema(path).names.count(name) != 1:  # a level of the index that is kept as its bounds alone
        return frame.iloc[:, position].tolist()
    column = pq.read_table(path, columns=[name]).column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    cells: list[object] = column.to_pylist()
    return cells


def _csv_cells(path: Path, rows: int, position: int) -> list[str]:
    """A column's cells with their leading blanks.

    Only a reading that skips them finds the columns where a quotation mark stands after a blank; so there are two.
    """
    import pandas as pd

    options: dict[str, Any] = _CSV | {"usecols": [position], "dtype": str, "na_filter": False, "index_col": False}
    cells: list[str] = pd.read_csv(path, **options).iloc[:, 0].tolist()
    with_blanks: list[str] = pd.read_csv(path, **options | {"skipinitialspace": False}).iloc[:, 0].tolist()
    assert len(cells) == rows
    for row, (cell, with_blank) in enumerate(itertools.zip_longest(cells, with_blanks), start=1):
        if cell != with_blank and (cell is None or with_blank is None or with_blank.lstrip(" ") != cell):
            raise DataError(
                f"{printable(str(path))}: row {row}: a quotation mark stands after a blank; remove the blanks that "
                "follow commas"
            )
    return with_blanks


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what pandas and PyArrow raise while they read a file into a DataError."""
    import pandas as pd
    import pyarrow as pa

    shown = printable(str(path))
    if path.is_dir():
        raise DataError(f"{shown}: this is a folder; name a CSV or Parquet file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
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


def _header(path: Path) -> list[str]:
    import pandas as pd

    first = pd.read_csv(path, header=None, dtype=str, keep_default_na=False, nrows=1, **_CSV)
    return [str(name).strip() for name in first.iloc[0]]


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    header = _header(path)
    if len(header) > 1:
        rows: pd.DataFrame = pd.read_csv(path, low_memory=False, index_col=False, **_CSV)
        rows.columns = pd.Index(header)
        return rows
    _refuse_other_separators(path, header)
    # In a table of one column a blank line is a missing value, unless only blank lines follow.
    lines: pd.DataFrame = pd.read_csv(path, **_LINES, names=header)
    written = lines.index[lines[header[0]].notna()]
    return lines.loc[written[0] + 1 : written[-1]].reset_index(drop=True)


_LINES: Final[dict[str, Any]] = _CSV | {"header": None, "dtype": str, "skip_blank_lines": False}
"""How a table of one column is read, with its header and its blank lines."""


def _csv_chunks(
    path: Path, chunk_rows: int, columns: Mapping[int, str] | None, *, is_checked: bool
) -> Generator[pd.DataFrame, None, None]:
    import pandas as pd

    header = _header(path)
    if len(header) == 1:
        yield from _line_chunks(path, chunk_rows, header)
        return
    read = sorted(columns) if is_checked and columns is not None else list(range(len(header)))
    # With columns of its own choice pandas no longer refuses a row with more cells than the header.
    options = _CSV | ({"usecols": read} if is_checked else {})
    with pd.read_csv(path, chunksize=chunk_rows, index_col=False, low_memory=False, **options) as reader:
        for frame in reader:
            frame.columns = pd.Index([header[position] for position in read])
            yield frame if columns is None else frame.iloc[:, [read.index(position) for position in columns]]


def _line_chunks(path: Path, chunk_rows: int, header: list[str]) -> Generator[pd.DataFrame, None, None]:
    """Chunks of a table of one column; blank lines are kept back until a line follows that is none."""
    import pandas as pd

    _refuse_other_separators(path, header)
    has_header, blank = False, 0
    with pd.read_csv(path, chunksize=chunk_rows, names=header, **_LINES) as reader:
        for frame in reader:
            yield frame.iloc[:0]
            written = np.flatnonzero(frame[header[0]].notna())
            first = 0 if has_header else int(written[0]) + 1 if len(written) else len(frame)
            last = int(written[-1]) + 1 if len(written) else 0
            if first < last:
                for start in range(0, blank, chunk_rows):
                    yield pd.DataFrame({header[0]: [None] * min(chunk_rows, blank - start)}, dtype=object)
                yield frame.iloc[first:last]
                blank = 0
            blank += len(frame) - max(first, last)
            has_header |= len(written) > 0


def _refuse_other_separators(path: Path, header: list[str]) -> None:
    if ";" in header[0] or "\t" in header[0]:
        raise DataError(f"{printable(str(path))}: the columns are not separated by commas; save it as CSV with commas")


def _parquet_chunks(
    path: Path, chunk_rows: int, columns: Mapping[int, str] | None
) -> Generator[pd.DataFrame, None, None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = printable(str(path))
    with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
        schema = file.schema_arrow
        index = (schema.pandas_metadata or {}).get("index_columns", [])
        if any(isinstance(level, dict) and level.get("name") is not None for level in index):
            raise DataError(
                f"{source}: its index has a name, but no cells; make it a column, or save it without the name"
            )
        named = None if columns is None else list(columns.values())
        if named is not None and any(schema.names.count(name) != 1 for name in named):
            raise DataError(f"{source}: a column that was chosen is none of the file's own; read the file whole")
        yield _with_index(schema.empty_table().to_pandas(), source)
        for batch in file.iter_batches(chunk_rows, columns=named, use_threads=False):
            frame = _with_index(pa.Table.from_batches([batch]).to_pandas(), source)
            frame.columns = frame.columns.map(str)
            yield frame if named is None else frame[named]
