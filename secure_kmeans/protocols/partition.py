"""How the rows of a run are divided among the parties: each party holds some of the rows, or some of the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.mpc.sharing import Sharing


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
