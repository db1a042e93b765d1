"""How the rows of a run are divided among the parties: each party holds some of the rows, or some of the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from secure_kmeans.errors import ProtocolError
from secure_kmeans.job.ledger import Disclosure
from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.lookahead import ScheduleLine

_MOST_ROWS: Final = 1 << 40


class Partition(Protocol):
    """A division of (n, n_features) rows."""

    @property
    def n(self) -> int:
        """The number of rows of the run."""

    def enter(self, sharing: Sharing, own: np.ndarray, bits: int | None = None) -> Shared:
        """This party's part of the rows, float64, as (n, n_features) shares of all. Rounds: 0.

        ``bits`` are fractional bits, if not those of the fixed point.
        """

    def in_all_columns(self, own: np.ndarray) -> np.ndarray:
        """(..., columns of this party's part) as (..., n_features), with 0 in the columns of other parties."""


@dataclass(frozen=True)
class ByRows:
    """Each party holds some rows.

    Attributes
    ----------
    counts : sequence of int
        Every party's number of rows, in rank order.
    """

    counts: Sequence[int]

    @property
    def n(self) -> int:
        """The number of rows of the run."""
        return sum(self.counts)

    def enter(self, sharing: Sharing, own: np.ndarray, bits: int | None = None) -> Shared:
        """See :class:`Partition`."""
        return sharing.enter_rows(own, self.counts, bits)

    def in_all_columns(self, own: np.ndarray) -> np.ndarray:
        """See :class:`Partition`."""
        return own


@dataclass(frozen=True)
class ByColumns:
    """Each party holds some columns of all rows.

    Attributes
    ----------
    n : int
        The number of rows of the run.
    widths : sequence of int
        Every party's number of columns, in rank order.
    own : slice
        This party's columns; none at the dealer.
    """

    n: int
    widths: Sequence[int]
    own: slice

    def enter(self, sharing: Sharing, own: np.ndarray, bits: int | None = None) -> Shared:
        """See :class:`Partition`."""
        return sharing.enter_columns(own, self.widths, bits)

    def in_all_columns(self, own: np.ndarray) -> np.ndarray:
        """See :class:`Partition`."""
        padded = np.zeros((*own.shape[:-1], sum(self.widths)), dtype=own.dtype)
        padded[..., self.own] = own
        return padded


def row_counts(
    context: Context[Any], line: ScheduleLine, own: int, disclosures: Sequence[Disclosure], *, is_dealer: bool
) -> list[int]:
    """Every party's number of rows, which the shapes of the shares disclose. Rounds: 1.

    Parameters
    ----------
    context : Context
    line : ScheduleLine
    own : int
        This party's number; ignored at the dealer.
    disclosures : sequence of Disclosure
        To the parties and to the dealer.
    is_dealer : bool

    Raises
    ------
    ProtocolError
        At the dealer, for what is no list of numbers of rows.
    """
    if is_dealer:
        counts = line.hear()
        fits = isinstance(counts, list) and len(counts) == len(context.parties)
        if not fits or not all(type(count) is int and 0 <= count < _MOST_ROWS for count in counts):
            raise ProtocolError("the first party told the dealer something that is no number of rows")
    else:
        counts = [int(count[0]) for count in context.exchange(np.array([own], dtype=np.int64))]
        line.tell(counts)
    for disclosure in disclosures:
        context.ledger.record(disclosure)
    return list(counts)
