"""Tables of the terminal. Where one does not fit, its rows are printed one below the other: no number is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Group
from rich.markup import escape
from rich.table import Table as Grid
from rich.text import Text

from secure_kmeans.words import printable

_GAP: Final = 3
_LEAST_TEXT: Final = 20
"""Characters that a column of text needs, unless its cells are shorter."""
_SHORTEST_NAME: Final = 4
_LONGEST_WORD: Final = 32
"""Longer words are folded."""


def plain(text: str) -> str:
    """Text for the console as it is: without markup, and with control characters escaped."""
    return escape(printable(text))


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
    is_number : bool
        Its cells are never folded, and stand to the right.
    """

    name: str
    is_number: bool = False


def fitted(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> Grid | Group:
    """A table with a title, in ``width`` characters; its rows one below the other where it is too wide.

    Parameters
    ----------
    title : str
    columns : sequence of Column
    rows : sequence of rows
        Cells as they are: control characters are escaped here. A row may end early.
    width : int
    """
    shown = [[printable(cell) for cell in row] + [""] * (len(columns) - len(row)) for row in rows]
    names = [printable(column.name) for column in columns]
    cells = [[row[number] for row in shown] for number in range(len(columns))]
    room = width - 2 - _GAP * (len(columns) - 1)
    widest = [_widest(own) for own in cells]
    whole = [max(_widest([name]), own) for name, own in zip(names, widest, strict=True)]
    folded = [max(_widest(name.split()), own) for name, own in zip(names, widest, strict=True)]
    least = [_LEAST_TEXT if not each.is_number else 0 for each in columns]
    texts = [
        min(own, max(short, min(_LONGEST_WORD, _widest_word(each))))
        for own, short, each in zip(whole, least, cells, strict=True)
    ]
    for numbers in (whole, folded):
        needed = [
            number if column.is_number else text for column, number, text in zip(columns, numbers, texts, strict=True)
        ]
        if sum(needed) <= room:
            return _grid(title, columns, names, shown, numbers)
    return _one_below_the_other(title, names, shown, width)


def _widest(texts: Sequence[str]) -> int:
    return max(map(cell_len, texts), default=0)


def _widest_word(texts: Sequence[str]) -> int:
    return _widest([word for text in texts for word in text.split()])


def _grid(
    title: str, columns: Sequence[Column], names: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]
) -> Grid:
    grid = Grid(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column, name, width in zip(columns, names, widths, strict=True):
        if column.is_number:
            grid.add_column(Text(name), justify="right", width=width)
        else:
            grid.add_column(Text(name))
    for row in rows:
        grid.add_row(*map(Text, row))
    return grid


def _one_below_the_other(title: str, names: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Group:
    """Each row as lines of name and cell."""
    values = Grid.grid(padding=(0, 2))
    cells = [cell for row in rows for cell in row]
    beside_words = min(width // 2, width - 2 - _widest_word(cells))
    values.add_column(max_width=max(_SHORTEST_NAME, beside_words, width - 2 - _widest(cells)))
    values.add_column(overflow="fold")
    for row in rows:
        for name, cell in zip(names, row, strict=True):
            if cell:
                values.add_row(Text(name), Text(cell))
        values.add_row("", "")
    return Group(Text(title, style="bold"), "", values)
