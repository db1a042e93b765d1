"""A loop whose batch shrinks, and a dealer that runs the loop up to two turns ahead of the parties.

A loop works on a batch of members, such as the starts of a k-means. Members stop one after another, and the parties
learn which. The dealer has to know how many there are, since the shapes of what it deals follow from that. So the first
party announces after each turn which members go on. The dealer does not wait for the announcement: what it deals for a
turn is for the members that went on two turns before. A member that has stopped since is computed with, and its results
are dropped. When all members have stopped, the parties draw what has been dealt ahead, and open nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from secure_kmeans.errors import ProtocolError
from secure_kmeans.net.mesh import Mesh

TURNS_AHEAD: Final = 2


class ScheduleLine:
    """Messages from the first party on which the dealer's schedule depends. Their content is public to the parties.

    Parameters
    ----------
    mesh : Mesh
    first : str
        Name of the first party.
    dealer : str
    in_use : bool
        Whether the dealer runs the same steps as the parties. If not, nothing is sent.
    """

    def __init__(self, mesh: Mesh, first: str, dealer: str, *, in_use: bool) -> None:
        self._mesh, self._first, self._dealer, self._in_use = mesh, first, dealer, in_use

    def tell(self, value: Any) -> None:
        """Send plain values to the dealer, at the first party; do nothing at any other role."""
        if self._in_use and self._mesh.me == self._first:
            self._mesh.traffic.sent(self._mesh.post_object(self._dealer, value))

    def hear(self) -> Any:
        """Receive plain values from the first party, at the dealer."""
        return self._mesh.receive_object(self._first)


class Lookahead:
    """The batches of a loop, the same at all roles.

    Parameters
    ----------
    line : ScheduleLine
    is_dealer, has_dealer : bool
        Whether this role is the dealer, and whether the dealer runs the same steps.
    turns : int
        The most turns of the loop.
    flag : bool, optional
        What the first turns are for, in a loop that has two kinds of turns. A turn is of the kind that was announced
        two turns before, like its batch. Without it nothing is announced but the batch.

    Attributes
    ----------
    flag : bool
        Of the turn whose batch was given last.
    """

    def __init__(
        self, line: ScheduleLine, *, is_dealer: bool, has_dealer: bool, turns: int, flag: bool | None = None
    ) -> None:
        self._line, self._is_dealer, self._has_dealer = line, is_dealer, has_dealer
        self._turns, self._turn = turns, 0
        self._flagged = flag is not None
        self.flag = bool(flag)
        self._known: list[tuple[np.ndarray, bool]] = []

    def batches(self, running: Callable[[], np.ndarray]) -> Iterator[np.ndarray]:
        """The batch of each turn, until no member goes on or the turns are used up.

        Parameters
        ----------
        running : callable
            The members that go on, as far as this role knows: ascending ints. The dealer's own answer never changes.
        """
        self._known = [(running(), self.flag)] * TURNS_AHEAD  # for each turn, the members for which it is dealt
        for turn in range(self._turns):
            self._turn = turn
            if self._is_dealer and turn >= TURNS_AHEAD:
                self._hear()
            batch, self.flag = self._known[turn]
            if not self._has_dealer:
                batch = running()
            if not batch.size:
                break
            yield batch
        while self._is_dealer and len(self._known) < self._turns + TURNS_AHEAD and self._known[-1][0].size:
            self._hear()

    def announce(self, running: np.ndarray, *, passed: bool, flag: bool = False) -> None:
        """Tell the dealer which members go on after this turn, unless the parties have ``passed`` over it."""
        if not self._is_dealer:
            self._known.append((running, flag))
            if not passed:
                self._line.tell([running.tolist(), flag] if self._flagged else running.tolist())

    def is_last(self, running: np.ndarray) -> bool:
        """Whether no turn follows."""
        return self._turn == self._turns - 1 or not (self._has_dealer or running.size)

    def _hear(self) -> None:
        told, flag = self._line.hear(), False
        if self._flagged:
            if not isinstance(told, list) or len(told) != 2 or not isinstance(told[1], bool):
                raise ProtocolError("the first party told the dealer something that is no kind of turn")
            told, flag = told
        self._known.append((members_among(told, self._known[-1][0]), flag))


def members_among(told: Any, known: np.ndarray) -> np.ndarray:
    """The members that go on, from the first party's message: some of those that the dealer knows.

    Raises
    ------
    ProtocolError
        For anything else.
    """
    if not isinstance(told, list) or not set(map(repr, told)) <= set(map(repr, known.tolist())):
        raise ProtocolError("the first party told the dealer something that is no list of restarts")
    return np.array(sorted(told), dtype=np.int64)
