"""The identifiers of a table's rows: text that says whose row it is.

They are compared after Unicode's NFC, and otherwise letter by letter, so ``007`` and ``7`` differ. Blanks around an
identifier, which nobody sees, are refused. An error names rows, counted from 1, and never an identifier.
"""

from __future__ import annotations

import json
import math
import numbers
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from secure_kmeans.errors import DataError


def normal_form(identifier: str) -> str:
    """What identifiers are compared by: Unicode NFC."""
    return unicodedata.normalize("NFC", identifier)


def checked_identifiers(cells: Sequence[object], source: str, title: str) -> tuple[str, ...]:
    """The identifiers in the cells of a column: text as it stands, and whole numbers as their digits.

    Parameters
    ----------
    cells : sequence
        One for each row.
    source, title : str
        The file and the column, for messages.

    Raises
    ------
    DataError
        For an empty cell, a cell that is neither text nor a whole number, blanks around an identifier, and two rows
        with the same identifier.
    """
    rows: dict[str, int] = {}
    found = []
    for row, cell in enumerate(cells, start=1):
        identifier = _text_of(cell)
        remark = _remark(cell) if identifier is None else _remark_on_text(identifier)
        if remark is not None:
            raise DataError(f"{source}: {title}, row {row}: {remark}")
        assert identifier is not None
        earlier = rows.setdefault(normal_form(identifier), row)
        if earlier != row:
            raise DataError(
                f"{source}: {title}, rows {earlier} and {row}: the identifiers are the same; leave one of the rows "
                "out, or correct it"
            )
        found.append(identifier)
    return tuple(found)


def save_identifiers(path: str | Path, ids: Sequence[str]) -> None:
    """Save identifiers to a new file that only its owner may read.

    Raises
    ------
    FileExistsError
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        json.dump(list(ids), file)


def load_identifiers(path: str | Path) -> tuple[str, ...]:
    """Load identifiers that :func:`save_identifiers` saved."""
    ids = json.loads(Path(path).read_text(encoding="ascii"))
    assert isinstance(ids, list)
    assert all(isinstance(identifier, str) for identifier in ids)
    return tuple(ids)


def _text_of(cell: object) -> str | None:
    """The identifier in a cell; None where the cell holds none."""
    if isinstance(cell, str):
        return cell or None
    if isinstance(cell, numbers.Integral) and not isinstance(cell, bool):
        return str(int(cell))
    return None


def _remark(cell: object) -> str:
    """What is wrong with a cell that holds no identifier, and the remedy."""
    # pandas' own missing values are told by their types' names: pandas takes long to import.
    is_pandas = type(cell).__name__ in ("NAType", "NaTType")
    if isinstance(cell, str | None) or is_pandas or (isinstance(cell, float) and math.isnan(cell)):
        return "the identifier is missing; fill it in or leave the row out"
    return "this is neither text nor a whole number; save the column of identifiers as text"


def _remark_on_text(identifier: str) -> str | None:
    """What is wrong with an identifier, and the remedy; None where nothing is."""
    if identifier != identifier.strip():
        return "there are blanks before or after the identifier; remove them"
    if not identifier.isascii() and any("\ud800" <= letter <= "\udfff" for letter in identifier):
        return "the identifier is no text in Unicode; correct it"
    return None
