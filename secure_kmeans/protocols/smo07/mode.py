"""The seam between the k-means of SMO07 and the ways in which the parties' sums are added up and divided."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Limits:
    """Public bounds of the numbers of a run.

    Attributes
    ----------
    n : int
        Rows of all parties.
    largest : int
        Bound of |coordinate| of a row and of a centroid, in units of the fixed point; below 2^31.
    largest_by_column : int
        The same in the units of the final means, which each column has for itself; below 2^31.
    """

    n: int
    largest: int
    largest_by_column: int


class Mode(ABC):
    """How the parties' own numbers become numbers that all parties know.

    All parties call the same methods in the same order, with arguments of the same shapes. Only ``own`` arguments
    differ from party to party. What a method returns is known to all parties; what else it tells to whom, and its
    rounds, stand with each mode. The caller records what all parties learn in the ledger; a mode records what it tells
    the leader besides.

    Attributes
    ----------
    limits : Limits
    """

    limits: Limits

    def close(self) -> None:  # noqa: B027 -- most modes have nothing to end
        """End what runs beside the protocol."""

    @abstractmethod
    def totals(self, own: Sequence[int], bounds: Sequence[int]) -> list[int]:
        """The sums over all parties of some integers.

        Parameters
        ----------
        own : sequence of int
            This party's integers.
        bounds : sequence of int
            Bound of the absolute value of each sum, and of each party's integer; below 2^250.
        """

    @abstractmethod
    def means(
        self,
        own_sums: np.ndarray,
        own_counts: np.ndarray,
        otherwise: np.ndarray,
        *,
        largest: int,
        least: int,
        iteration: int | None,
    ) -> np.ndarray:
        """Quotients of the sums over all parties, rounded to the nearest integer, halves upwards.

        Parameters
        ----------
        own_sums : (q, d) int64
            Over this party's rows; each row adds at most ``largest`` in absolute value.
        own_counts : (q,) int64
            This party's rows in each of q clusters.
        otherwise : (q, d) int64, public
            Returned in place of a quotient where all parties together have fewer than ``least`` rows.
        largest : int
            ``limits.largest`` or ``limits.largest_by_column``.
        least : int
            At least 1.
        iteration : int or None
            Counted from 1; None at the end of the run.

        Returns
        -------
        (q, d) int64: ``floor((T + t // 2) / t)`` of the sums T and the counts t over all parties.
        """

    @abstractmethod
    def sizes(self, own_counts: np.ndarray, least: int) -> list[int | None]:
        """The counts over all parties, (q,); None in place of one below ``least``."""

    @abstractmethod
    def best(self, own_inertias: Sequence[int], bound: int) -> int:
        """The number of the start whose inertia over all parties is the smallest, or one whose inertia is as good.

        Parameters
        ----------
        own_inertias : sequence of int
            Of each start over this party's rows, from 0.
        bound : int
            Of each inertia over all parties.
        """
