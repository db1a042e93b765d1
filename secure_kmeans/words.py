"""Words of messages: plurals, numbers, names from files, and the names of keys as a user knows them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

_OPEN, _CLOSE = "\ue000", "\ue001"
_MARKED: Final = re.compile(f"{_OPEN}([a-z0-9_.]+){_CLOSE}")
_MARKED_LEAD: Final = re.compile(f"{_OPEN}([a-z0-9_.]+){_CLOSE}: ")
_LEAD: Final = re.compile(r"\A([a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*): ")
_LONGEST_NAME: Final = 60
_MOST_NAMES: Final = 8

_NUMBER: Final = r"[+-]?(?:(?:\d[\d,.' \u00a0\u202f]*|\.\d+)(?:[eE][+-]?\d+)?)"
_UNIT: Final = r"\s*(?:%|[^\w\s]|[A-Za-z]{1,3})?"
_VALUES: Final = (
    rf"[^\w\s+-]?\s*{_NUMBER}{_UNIT}",
    r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}(?:[T ]\S+)?(?:\.\d+)?",
    r"\d{1,2}:\d{2}(?::\d{2})?\S*(?:\s?[AaPp][Mm])?",
    r"0[xX][0-9A-Fa-f]+",
    r"[+-]?inf(?:inity)?",
)
_VALUE: Final = re.compile("|".join(f"(?:{each})" for each in _VALUES).replace(r"\1", "[-/.]"))
_NO_NAME: Final = re.compile(r"|nan|na|n/a|none|null|\?|-|unnamed: \d+(?:_level_\d+)?", re.IGNORECASE)


def counted(number: float, noun: str, plural: str = "") -> str:
    """A number and its noun: "1 row", "1,000 rows", "0.5 seconds"."""
    digits = f"{number:,}" if isinstance(number, int) else f"{number:,.6g}"
    return f"{digits} {noun if number == 1 else plural or noun + 's'}"


def figure(value: float) -> str:
    """A number with three decimals, or with four significant digits where these would show too little or too much."""
    if value == 0:
        return "0"
    return f"{value:,.3f}" if 0.1 <= abs(value) < 1e15 else f"{value:.4g}"


def figures(values: Sequence[float]) -> list[str]:
    """Numbers of one column, with as many decimals as tell them apart: two, or more where they lie close together."""
    largest = max((abs(value) for value in values), default=0.0)
    if not largest:
        return ["0.00"] * len(values)
    spread = max(values) - min(values) or largest
    decimals = max(2, 2 - math.floor(math.log10(spread)))
    if largest >= 1e9 or decimals > 9:
        digits = min(17, max(4, math.ceil(math.log10(largest / spread)) + 3))
        return [f"{value:.{digits}g}" for value in values]
    return [f"{value:,.{decimals}f}" for value in values]


def printable(text: str) -> str:
    """The text with every character escaped that could move the cursor, change colours or hide others."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def shown(name: str, most: int = _LONGEST_NAME) -> str:
    """A name from a file as a message shows it: :func:`printable`, and cut."""
    escaped = printable(name[: most + 1])
    return escaped if len(escaped) <= most else escaped[: most - 1] + "…"


def listed(names: Sequence[str]) -> str:
    """Names for a message: at most eight, in quotation marks."""
    first = ", ".join(f'"{shown(name)}"' for name in names[:_MOST_NAMES])
    return f"{first} and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else first


def may_be_value(name: str) -> bool:
    """Whether the name of a column could be a cell instead: a number, also with a unit, a date or a time."""
    return _VALUE.fullmatch(name.strip()) is not None


def is_no_name(name: str) -> bool:
    """Whether the name of a column is empty, or stands for a missing value."""
    return _NO_NAME.fullmatch(name.strip()) is not None


def column_title(columns: Sequence[str], position: int) -> str:
    """A column for a message: by its name, or by its number where the name could be a value of the table."""
    if may_be_value(columns[position]):
        return f"column {position + 1} of {len(columns)}"
    return f'column "{shown(columns[position])}"'


def key(name: str) -> str:
    """Mark the name of a key in a message, so that :func:`named` can replace it by what the user wrote.

    Parameters
    ----------
    name : str
        Of a key of a job file, with the tables that it lies in, such as ``scaling.lower``; or of a parameter of a
        command, such as ``table``.
    """
    return f"{_OPEN}{name}{_CLOSE}"


def with_marked_lead(text: str) -> str:
    """A message whose leading ``key: ``, if it has one, is marked."""
    return _LEAD.sub(lambda found: f"{key(found[1])}: ", text)


def within(table: str, text: str) -> str:
    """A message about a value that lies in a table of the job, with the key of this table."""
    leading = _MARKED_LEAD.match(text)
    if leading is None:
        return f"{key(table)}: {text}"
    return f"{key(f'{table}.{leading[1]}')}: {text[leading.end() :]}"


def named(text: str, names: Mapping[str, str] | None = None) -> str:
    """A message without marks.

    Parameters
    ----------
    text : str
    names : mapping, optional
        What the user calls each key, and "" for a key that the user cannot give: where this leads the message, it is
        left out. The longest leading part of a key that is in the mapping counts, so ``scaling`` stands for
        ``scaling.lower``, too. A key that is not in the mapping keeps its name.
    """
    names = names or {}
    leading = _MARKED_LEAD.match(text)
    if leading is not None and _name_of(leading[1], names) == "":
        text = text[leading.end() :]
    return _MARKED.sub(lambda found: _name_of(found[1], names) or found[1], text)


def _name_of(marked: str, names: Mapping[str, str]) -> str | None:
    parts = marked.split(".")
    for number in range(len(parts), 0, -1):
        if (name := names.get(".".join(parts[:number]))) is not None:
            return name
    return None
