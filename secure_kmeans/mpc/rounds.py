"""Openings of shared values; several steps that run side by side share their rounds.

A step is a generator. It yields an :class:`Opening`, receives the opened value, and returns its result at the end.
:meth:`Rounds.together` runs several steps side by side.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np

from secure_kmeans.mpc.packing import RING_BYTES, add_packed, pack
from secure_kmeans.net.lines import Lines
from secure_kmeans.net.watch import Traffic

_DIRECT_BYTES: Final = 1 << 18
"""Up to this size every party sends its whole share to each other one.

Above it, with three parties or more, the share is split into P parts, and each party adds up one of them.
"""

T = TypeVar("T")


@dataclass(frozen=True)
class Opening:
    """A share that a step opens, to all parties or to one.

    Attributes
    ----------
    share : int64 array of additive shares, or uint64 array of XOR shares
    size : int
        Bytes of each number that are opened: the parties learn the value modulo 2^(8 size).
    to : int or None
        Rank of the only party that learns the value; the step receives zeros at the others.
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

    def execute(self, step: Step[T]) -> T:
        """Run one step, and return its result."""
        try:
            opening = next(step)
            while True:
                opening = step.send(self._opened_alone(opening))
        except StopIteration as end:
            result: T = end.value
            return result

    def together(self, *steps: Step[Any]) -> list[Any]:
        """Run steps side by side, and return their results."""
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

    def _opened_alone(self, opening: Opening) -> np.ndarray:
        """As :meth:`opened`. An opening of two parties to each other, the usual case, takes no detour."""
        if opening.to is not None or len(self._others) != 1:
            return self.opened([opening])[0]
        share, size, other = np.ascontiguousarray(opening.share), opening.size, self._others[0]
        outgoing = _encoded([share.reshape(-1)], [size])
        incoming = np.empty_like(outgoing)
        self._traffic.waited()
        self._traffic.sent(outgoing.nbytes)
        self._lines.exchange({other: outgoing}, {other: incoming})
        if size == RING_BYTES:
            received = incoming.view(share.dtype).reshape(opening.share.shape)
            combine = np.add if share.dtype == np.int64 else np.bitwise_xor
            total: np.ndarray = combine(opening.share, received, out=received)
            return total
        total = share.copy()
        add_packed(total.reshape(-1), incoming, size)
        return total.reshape(opening.share.shape)

    def opened(self, openings: Sequence[Opening]) -> list[np.ndarray]:
        """The values of all openings.

        Rounds: 1; with three parties or more 2, if a party's shares take more than 2^18 bytes and all parties learn
        all values. Bytes: a party sends its shares to each other party; in two rounds 2 / P of that.
        """
        shares = [np.ascontiguousarray(opening.share).reshape(-1) for opening in openings]
        sizes = [opening.size for opening in openings]
        if any(opening.to is not None for opening in openings):
            totals = self._to_some(shares, openings)
        elif len(self._parties) > 2 and sum(map(_bytes_of, shares, sizes)) > _DIRECT_BYTES:
            totals = self._in_parts(shares, sizes)
        else:
            outgoing = _encoded(shares, sizes)
            incoming = self._exchanged(dict.fromkeys(self._others, outgoing), outgoing.size)
            totals = _sums(shares, sizes, incoming.values())
        return [total.reshape(opening.share.shape) for total, opening in zip(totals, openings, strict=True)]

    def _to_some(self, shares: Sequence[np.ndarray], openings: Sequence[Opening]) -> list[np.ndarray]:
        """Send each party the shares of the values that it may learn, and no others."""

        def for_party(rank: int) -> tuple[list[np.ndarray], list[int]]:
            wanted = [number for number, opening in enumerate(openings) if opening.to in (None, rank)]
            return [shares[number] for number in wanted], [openings[number].size for number in wanted]

        outgoing = {party: _encoded(*for_party(self._parties.index(party))) for party in self._others}
        own, sizes = for_party(self._rank)
        sums = iter(_sums(own, sizes, self._exchanged(outgoing, sum(map(_bytes_of, own, sizes))).values()))
        return [
            next(sums) if opening.to in (None, self._rank) else np.zeros_like(share)
            for share, opening in zip(shares, openings, strict=True)
        ]

    def _in_parts(self, shares: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
        """Add up one part of every value, then exchange the sums with the other parties."""
        parts = {
            party: [np.array_split(share, len(self._parties))[rank] for share in shares]
            for rank, party in enumerate(self._parties)
        }
        own = parts.pop(self._parties[self._rank])
        outgoing = {party: _encoded(part, sizes) for party, part in parts.items()}
        sums = _sums(own, sizes, self._exchanged(outgoing, sum(map(_bytes_of, own, sizes))).values())
        lengths = {party: data.size for party, data in outgoing.items()}
        incoming = self._exchanged(dict.fromkeys(self._others, _encoded(sums, sizes)), lengths)
        sums_of = {
            party: _sums([np.zeros_like(part) for part in parts[party]], sizes, [data])
            for party, data in incoming.items()
        } | {self._parties[self._rank]: sums}
        return [np.concatenate(each) for each in zip(*(sums_of[party] for party in self._parties), strict=True)]

    def _exchanged(self, outgoing: dict[str, np.ndarray], lengths: int | dict[str, int]) -> dict[str, np.ndarray]:
        """Send bytes to every other party, and return those that each of them sent: one round."""
        length_from = lengths if isinstance(lengths, dict) else dict.fromkeys(self._others, lengths)
        incoming = {party: np.empty(length_from[party], dtype=np.uint8) for party in self._others}
        self._traffic.waited()
        self._traffic.sent(sum(data.nbytes for data in outgoing.values()))
        self._lines.exchange(outgoing, incoming)
        return incoming


def _bytes_of(numbers: np.ndarray, size: int) -> int:
    return numbers.size * size


def _encoded(shares: Sequence[np.ndarray], sizes: Sequence[int]) -> np.ndarray:
    """All arrays, one after the other; ``sizes`` are the bytes of a number in each array."""
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


def _sums(own: Sequence[np.ndarray], sizes: Sequence[int], incoming: Iterable[np.ndarray]) -> list[np.ndarray]:
    """The sum, or XOR, of this party's arrays and the encoded arrays of other parties."""
    totals = list(own)
    for data in incoming:
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
