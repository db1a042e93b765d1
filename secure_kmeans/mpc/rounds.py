"""Openings: what several steps of a protocol open at the same time travels in one round.

A step is a generator: it yields an :class:`Opening`, is given the opened value, and returns its result in the end.
:meth:`Rounds.together` runs several of them side by side.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np

from secure_kmeans.mpc.dealer import Lines
from secure_kmeans.mpc.packing import RING_BYTES, add_packed, pack
from secure_kmeans.net.watch import Traffic

_DIRECT_BYTES: Final = 1 << 18
"""Up to here every party sends all it has to every other; above, with three parties or more, one of P parts to each."""

T = TypeVar("T")


@dataclass(frozen=True)
class Opening:
    """A share to be opened, to all parties or to one.

    Attributes
    ----------
    share : int64 array of additive shares, or uint64 array of XOR shares
    size : int
        Bytes of each number that are opened: the value is known modulo 2^(8 size).
    to : int or None
        Rank of the only party that learns it; the others are given zeros.
    """

    share: np.ndarray
    size: int = RING_BYTES
    to: int | None = None

    def __post_init__(self) -> None:
        assert self.share.dtype == np.int64 or self.size == RING_BYTES, "XOR shares are opened as whole words"


Step = Generator[Opening, np.ndarray, T]


class Rounds:
    """One party's openings.

    Parameters
    ----------
    lines : Lines
    parties : sequence of str
        In rank order.
    rank : int
    traffic : Traffic
    """

    def __init__(self, lines: Lines, parties: Sequence[str], rank: int, traffic: Traffic) -> None:
        self._lines, self._parties, self._rank, self._traffic = lines, tuple(parties), rank, traffic
        self._others = [party for party in self._parties if party != self._parties[rank]]

    def together(self, *steps: Step[Any]) -> list[Any]:
        """The results of steps that run side by side."""
        results: list[Any] = [None] * len(steps)
        answers: dict[int, np.ndarray | None] = dict.fromkeys(range(len(steps)))
        while answers:
            wanted: dict[int, Opening] = {}
            for number, answer in answers.items():
                try:
                    wanted[number] = next(steps[number]) if answer is None else steps[number].send(answer)
                except StopIteration as end:
                    results[number] = end.value
            answers = dict(zip(wanted, self.opened(list(wanted.values())), strict=True)) if wanted else {}
        return results

    def opened(self, openings: Sequence[Opening]) -> list[np.ndarray]:
        """The values of all openings.

        Rounds: 1, for three parties or more 2 where a party's shares take more than 2^18 bytes and all are for all.
        Bytes that a party sends: those of its shares to each other party, in the second case 2 / P of that.
        """
        shares = [np.ascontiguousarray(opening.share).reshape(-1) for opening in openings]
        sizes = [opening.size for opening in openings]
        if any(opening.to is not None for opening in openings):
            totals = self._to_some(shares, openings)
        elif len(self._parties) > 2 and sum(map(_bytes_of, shares, sizes)) > _DIRECT_BYTES:
            totals = self._in_parts(shares, sizes)
        else:
            outgoing = _encoded(shares, sizes)
            came = self._swapped(dict.fromkeys(self._others, outgoing), outgoing.size)
            totals = _sums(shares, sizes, came.values())
        return [total.reshape(opening.share.shape) for total, opening in zip(totals, openings, strict=True)]

    def _to_some(self, shares: Sequence[np.ndarray], openings: Sequence[Opening]) -> list[np.ndarray]:
        """Each party is sent what it may learn."""

        def for_party(rank: int) -> tuple[list[np.ndarray], list[int]]:
            wanted = [number for number, opening in enumerate(openings) if opening.to in (None, rank)]
            return [shares[number] for number in wanted], [openings[number].size for number in wanted]

        outgoing = {party: _encoded(*for_party(self._parties.index(party))) for party in self._others}
        own, sizes = for_party(self._rank)
        sums = iter(_sums(own, sizes, self._swapped(outgoing, sum(map(_bytes_of, own, sizes))).values()))
        return [
            next(sums) if opening.to in (None, self._rank) else np.zeros_like(share)
            for share, opening in zip(shares, openings, strict=True)
        ]

    def _in_parts(self, shares: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
        """Each party adds up one part of everything, then tells the others its sums."""
        parts = {
            party: [np.array_split(share, len(self._parties))[rank] for share in shares]
            for rank, party in enumerate(self._parties)
        }
        own = parts.pop(self._parties[self._rank])
        outgoing = {party: _encoded(part, sizes) for party, part in parts.items()}
        sums = _sums(own, sizes, self._swapped(outgoing, sum(map(_bytes_of, own, sizes))).values())
        told = dict.fromkeys(self._others, _encoded(sums, sizes))
        came = self._swapped(told, {party: data.size for party, data in outgoing.items()})
        of_all = {
            party: _sums([np.zeros_like(part) for part in parts[party]], sizes, [data]) for party, data in came.items()
        } | {self._parties[self._rank]: sums}
        return [np.concatenate(each) for each in zip(*(of_all[party] for party in self._parties), strict=True)]

    def _swapped(self, outgoing: dict[str, np.ndarray], lengths: int | dict[str, int]) -> dict[str, np.ndarray]:
        """One round: bytes to every other party and from every other party."""
        of = lengths if isinstance(lengths, dict) else dict.fromkeys(self._others, lengths)
        came = {party: np.empty(of[party], dtype=np.uint8) for party in self._others}
        self._traffic.waited()
        self._traffic.sent(sum(data.nbytes for data in outgoing.values()))
        self._lines.exchange(outgoing, came)
        return came


def _bytes_of(numbers: np.ndarray, size: int) -> int:
    return numbers.size * size


def _encoded(shares: Sequence[np.ndarray], sizes: Sequence[int]) -> np.ndarray:
    """Numbers, one array after the other, in so many bytes each."""
    if len(shares) == 1 and sizes[0] == RING_BYTES:
        return shares[0].view(np.uint8)
    data = np.empty(sum(map(_bytes_of, shares, sizes)), dtype=np.uint8)
    start = 0
    for share, size in zip(shares, sizes, strict=True):
        end = start + share.size * size
        if size == RING_BYTES:
            data[start:end] = share.view(np.uint8)
        else:
            pack(share, data[start:end], size)
        start = end
    return data


def _sums(own: Sequence[np.ndarray], sizes: Sequence[int], came: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Each array of this party's plus, or XOR, what the others have sent."""
    totals = list(own)
    for data in came:
        start = 0
        for number, (total, size) in enumerate(zip(totals, sizes, strict=True)):
            end = start + total.size * size
            part = data[start:end]
            if size < RING_BYTES:
                totals[number] = total.copy()
                add_packed(totals[number], part, size)
            elif total.dtype == np.int64:
                totals[number] = total + part.view(np.int64)
            else:
                totals[number] = total ^ part.view(np.uint64)
            start = end
    return totals
