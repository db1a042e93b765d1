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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from secure_kmeans.errors import DataError
from secure_kmeans.words import printable

if TYPE_CHECKING:
    import pandas as pd

_PARQUET_SUFFIXES: Final = {".parquet", ".pq"}

_UNREADABLE: Final = (OSError, EOFError, ValueError, zipfile.BadZipFile, lzma.LZMAError, zlib.error)
"""What pandas raises, besides PyArrow's exceptions, for garbage in a format or compression that it reads."""

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
    if ";" in header[0] or "\t" in header[0]:
        raise DataError(f"{printable(str(path))}: the columns are not separated by commas; save it as CSV with commas")
    # In a table of one column a blank line is a missing value, unless only blank lines follow.
    lines: pd.DataFrame = pd.read_csv(path, header=None, names=header, dtype=str, skip_blank_lines=False, **_CSV)
    written = lines.index[lines[header[0]].notna()]
    return lines.loc[written[0] + 1 : written[-1]].reset_index(drop=True)
