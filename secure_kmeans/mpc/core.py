"""What a protocol step may use at one role: correlated randomness, openings, and flags that tell the roles apart."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from secure_kmeans.crypto.prg import Prg
from secure_kmeans.mpc.dealer import DealingProvider, Key, ReceivingProvider
from secure_kmeans.mpc.provider import Provider
from secure_kmeans.mpc.rounds import Rounds, Step, T
from secure_kmeans.net.lines import Lines
from secure_kmeans.net.watch import Traffic

_PAIRS: Final = "masks that cancel in a sum"


class Core:
    """One role's side of all steps.

    Every role runs the same steps. A role that does not take part draws or deals what a step needs, opens nothing, and
    returns arrays of the right shapes; at the dealer these are 0. The dealer never takes part. A party does not while
    it is :meth:`drawing_only`.

    Parameters
    ----------
    lines : Lines
    key : Key
    parties : sequence of str
        Names in rank order.
    rank : int
        This role's; the dealer's is the number of parties.
    traffic : Traffic
    dealer : str
        Name of the dealer's role.
    has_dealer : bool
        Whether a dealer provides correlations. Without one there is no provider, only openings.

    Attributes
    ----------
    provider : Provider
    parties : int
    rank : int
    first : bool
        Whether this role adds public numbers to its share.
    is_dealer : bool
    has_dealer : bool
    takes_part : bool
        Whether this role holds shares and opens them.
    lines : Lines
    traffic : Traffic
    """

    provider: Provider

    def __init__(
        self,
        lines: Lines,
        key: Key,
        parties: Sequence[str],
        rank: int,
        traffic: Traffic,
        *,
        dealer: str = "dealer",
        has_dealer: bool = True,
    ) -> None:
        self.parties = len(parties)
        self.rank = rank
        self.first = rank == 0
        self.is_dealer = rank == len(parties)
        self.has_dealer = has_dealer
        self.takes_part = not self.is_dealer
        self.lines, self.traffic = lines, traffic
        self._key, self._names = key, tuple(parties)
        if self.is_dealer:
            self.provider = DealingProvider(lines, key, parties, traffic)
        elif has_dealer:
            self.provider = ReceivingProvider(lines, key, dealer, last=rank == len(parties) - 1)
        if self.takes_part:
            self._rounds = Rounds(lines, parties, rank, traffic)

    @cached_property
    def pairs(self) -> dict[int, Prg]:
        """A stream with each other party, by its rank, for masks that cancel in a sum; a party's alone."""
        others = [rank for rank in range(self.parties) if rank != self.rank]
        return {rank: Prg(self._key(self._names[rank], _PAIRS)) for rank in others}

    def execute(self, step: Step[T]) -> T:
        """Run one step and return its result."""
        return self._rounds.execute(step) if self.takes_part else _without_openings(step)

    def together(self, *steps: Step[Any]) -> list[Any]:
        """Run steps whose openings share their rounds, and return their results.

        The dealer runs the steps one after the other. All steps but the last must therefore draw all their
        correlations before their first opening.
        """
        if self.takes_part:
            return self._rounds.together(*steps)
        return [_without_openings(step) for step in steps]

    @contextlib.contextmanager
    def drawing_only(self) -> Iterator[None]:
        """Let a party draw the correlations of the steps inside the block, and open nothing."""
        took_part, self.takes_part = self.takes_part, False
        try:
            yield
        finally:
            self.takes_part = took_part

    def public(self, values: np.ndarray) -> np.ndarray:
        """This role's share of public numbers."""
        return values if self.first else np.zeros_like(values)


def _without_openings(step: Step[T]) -> T:
    """Run a step at a role that does not take part."""
    try:
        next(step)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("a role that does not take part has nothing to open")
