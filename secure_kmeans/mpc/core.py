"""One role's hands: its randomness, its openings, and whether it takes part at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from secure_kmeans.mpc.dealer import Dealer, Key, Lines, Provider, Receiver
from secure_kmeans.mpc.rounds import Rounds, Step, T
from secure_kmeans.net.watch import Traffic


class Core:
    """What the steps of the secure protocols are made with.

    Every role runs the same steps. One that does not act (the dealer, always; a party, while it passes over what the
    dealer has dealt in vain) draws or deals what belongs to a step, opens nothing, and returns something of the
    right shapes, at the dealer zeros.

    Attributes
    ----------
    provider : Provider
    parties : int
    rank : int
    has_dealer : bool
        Whether a dealer walks along; without one a core opens, and is dealt nothing.
    first : bool
        Whether this role adds what is public to its share.
    deals : bool
        Whether this is the dealer.
    acts : bool
    """

    def __init__(
        self, lines: Lines, key: Key, parties: Sequence[str], rank: int, traffic: Traffic, *, deals: bool = True
    ) -> None:
        self.parties = len(parties)
        self.rank = rank
        self.first = rank == 0
        self.deals = rank == len(parties)
        self.acts = not self.deals
        self.has_dealer = deals
        self.lines, self.traffic = lines, traffic
        self.provider: Provider
        if self.deals:
            self.provider = Dealer(lines, key, parties, traffic)
        else:
            self.provider = Receiver(lines, key, last=rank == len(parties) - 1)
            self._rounds = Rounds(lines, parties, rank, traffic)

    def run(self, step: Step[T]) -> T:
        """The result of one step."""
        result: T = self.together(step)[0]
        return result

    def together(self, *steps: Step[Any]) -> list[Any]:
        """The results of steps whose openings share their rounds.

        The dealer walks through one after the other: all but the last have to draw whatever is dealt to them before
        they open anything.
        """
        if self.acts:
            return self._rounds.together(*steps)
        return [_walked_through(step) for step in steps]

    @contextlib.contextmanager
    def passing_over(self) -> Iterator[None]:
        """While this lasts a party only draws what the dealer deals."""
        acted, self.acts = self.acts, False
        try:
            yield
        finally:
            self.acts = acted

    def public(self, values: np.ndarray) -> np.ndarray:
        """This role's share of public numbers."""
        return values if self.first else np.zeros_like(values)


def _walked_through(step: Step[T]) -> T:
    try:
        next(step)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("a role that does not act has nothing to open")
