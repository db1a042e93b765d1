"""The header of a table: whether it is one, which columns are chosen, and what messages call them.

A file without a header has its first row where the header is expected, and no message may show a row. So a name that
could be a value is never shown, and a header that looks like a row is refused. A column is *of values* where most of
its first cells are numbers, dates or times. The header looks like data where at least half of the names above columns
of values, and of the names that could be values themselves, could be values. Columns that are named one by one may be
called by numbers, such as years.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from secure_kmeans.errors import DataError
from secure_kmeans.words import counted, is_no_name, key, listed, may_be_value, shown

if TYPE_CHECKING:
    import pandas as pd

_CELLS: Final = 20
"""Cells of a column that are looked at."""
_FEWEST_NUMBERS: Final = 3
"""Names that count from 0 or 1 are no row of values where there are at least so many."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table that was just read.

    Attributes
    ----------
    source : str
        The file, or another name for messages.
    names : tuple of str
    of_values : tuple of bool
        Whether most of the first cells of each column are no text.
    written : tuple of bool
        Whether each name was text where it was read; a number was given by a program.
    has_first_line : bool
        Whether the names are the first line of a file.
    """

    source: str
    names: tuple[str, ...]
    of_values: tuple[bool, ...]
    written: tuple[bool, ...]
    has_first_line: bool

    @classmethod
    def of(cls, frame: pd.DataFrame, source: str, *, has_first_line: bool) -> Self:
        """The columns of a frame."""
        names = tuple(map(str, frame.columns))
        of_values = tuple(_is_of_values(frame.iloc[:, position]) for position in range(len(names)))
        return cls(source, names, of_values, tuple(isinstance(name, str) for name in frame.columns), has_first_line)

    @property
    def look_like_data(self) -> bool:
        """Whether the names may be the first row of values."""
        if self._are_counted():
            return False
        judged = [
            may_be_value(name) and written
            for name, of_values, written in zip(self.names, self.of_values, self.written, strict=True)
            if not is_no_name(name) and (of_values or may_be_value(name))
        ]
        return any(judged) and 2 * sum(judged) >= len(judged)

    def _are_counted(self) -> bool:
        """Whether the names count from 0 or 1, as pandas writes them where there are none; the first may be empty."""
        names = [*self.names[1:]] if self.names and not self.names[0].strip() else [*self.names]
        return len(names) >= _FEWEST_NUMBERS and any(
            names == [str(number) for number in range(first, first + len(names))] for first in (0, 1)
        )

    @property
    def are_certain(self) -> bool:
        """Whether the names are a header beyond doubt: one of them is text above a column of values."""
        return not self.look_like_data and any(
            of_values and not is_no_name(name) and not may_be_value(name)
            for name, of_values in zip(self.names, self.of_values, strict=True)
        )

    def choose(self, chosen: Sequence[str]) -> list[int]:
        """Positions of the chosen columns, from 0; of all of them where none is named.

        Raises
        ------
        DataError
            For an unknown, doubled or empty name, and for names that look like a row of data, unless each chosen
            column is named and no name could be the number of a column.
        """
        positions = [self._position_of(column) for column in chosen] if chosen else list(range(len(self.names)))
        by_name = {column for column in chosen if column in self.names}
        numbers = {column for column in by_name if self._is_number_of_column(column)}
        if self.look_like_data and (not chosen or numbers or len(by_name) < len(set(chosen))):
            raise DataError(f"{self.source}: {self._suspicion()}, or name each column with {key('columns')}")
        for position in positions:
            name = self.names[position]
            if not name.strip():
                raise DataError(
                    f"{self.source}: column {position + 1} has no name; choose the columns to cluster by, or name it"
                )
            if positions.count(position) > 1:
                raise DataError(f"{self.source}: {self.title(position, by_name)} is named twice; name each column once")
            if self.names.count(name) > 1:
                raise DataError(f"{self.source}: {self._doubled(name, by_name)}; rename them")
        return positions

    def title(self, position: int, known: Sequence[str] | set[str] = ()) -> str:
        """What a message calls a column: its name where this is no value beyond doubt, else its number from 1.

        Parameters
        ----------
        position : int
        known : names that the user wrote
        """
        name = self.names[position]
        if may_be_value(name) or not (self.are_certain or name in known):
            return f"column {position + 1}"
        return f'column "{shown(name)}"'

    def _position_of(self, column: str) -> int:
        if column in self.names:
            return self.names.index(column)
        if self._is_number_of_column(column):
            return int(column) - 1
        raise DataError(f'{self.source}: there is no column "{shown(column)}"; {self._described()}')

    def _is_number_of_column(self, column: str) -> bool:
        return column.isascii() and column.isdigit() and len(column) < 10 and 1 <= int(column) <= len(self.names)

    def _suspicion(self) -> str:
        if self.has_first_line:
            return "its first line looks like a row of data, not a header; add a header line"
        return "the names of its columns look like a row of data, not like a header; rename them"

    def _described(self) -> str:
        """The names for a message, unless they may be the values of the first row."""
        if self.look_like_data:
            return self._suspicion()
        if not self.are_certain or any(map(may_be_value, self.names)):
            return f"it has {counted(len(self.names), 'column')}, numbered from 1"
        return f"it has {listed(self.names)}, numbered from 1"

    def _doubled(self, name: str, known: set[str]) -> str:
        equal = [position for position, other in enumerate(self.names) if other == name]
        title = self.title(equal[0], known)
        if title.endswith('"'):
            return f"{len(equal)} columns are called {title.removeprefix('column ')}"
        numbers = ", ".join(str(position + 1) for position in equal)
        return f"the columns {numbers} have the same name"


def _is_of_values(column: pd.Series) -> bool:
    cells = column.dropna().head(_CELLS).tolist()
    texts = sum(isinstance(cell, str) and not may_be_value(cell) for cell in cells)
    return 2 * texts < len(cells)
