"""Correlated randomness: what the dealer deals, and how a party comes by its part.

The dealer shares a key with every party. Both expand it into the same stream (:class:`~secure_kmeans.crypto.prg.Prg`),
so that most of what is dealt never travels:

- *uniform* numbers are whatever the streams hold: a party's share is its own stream, the dealer knows the sum;
- numbers that are *dealt*, because they depend on uniform ones, are the streams of all parties but the last, and the
  last party is sent what is missing to the sum.

The dealer walks through the same protocol as the parties, with empty hands: its shares are 0, an opening tells it
nothing, and wherever a party draws its part it computes and sends. Its schedule follows from public shapes alone, so
nobody asks it for anything, and it works ahead of the parties.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np

from secure_kmeans.crypto.prg import Prg
from secure_kmeans.job import DEALER
from secure_kmeans.mpc.packing import RING_BYTES, add_packed, pack
from secure_kmeans.net.watch import Traffic

_PURPOSE: Final = "correlated randomness"


class Lines(Protocol):
    """What carries arrays between two roles; :class:`~secure_kmeans.net.mesh.Mesh` says more."""

    def post(self, peer: str, numbers: np.ndarray) -> None:
        """Begin to send."""

    def receive(self, peer: str, target: np.ndarray) -> None:
        """Wait for numbers of the shape and type of ``target``."""

    def exchange(self, outgoing: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        """Send and receive at once."""

    def flush(self) -> None:
        """Wait until all that was posted has left."""

    def post_object(self, peer: str, value: Any) -> int:
        """Begin to send plain values; return their bytes."""

    def receive_object(self, peer: str) -> Any:
        """Wait for plain values."""


Key = Callable[[str, str], bytes]
"""32 bytes that this role and another one alone know, given its name and a purpose."""


class Provider(ABC):
    """Hands out correlated randomness. All roles call the same methods, with the same shapes, in the same order."""

    @abstractmethod
    def uniform(self, *shape: int) -> np.ndarray:
        """Uniform numbers: int64 shares; the dealer's are the numbers themselves. Bytes: 0."""

    @abstractmethod
    def uniform_planes(self, *shape: int) -> np.ndarray:
        """Uniform bits, 64 a word: uint64 XOR shares; the dealer's are the bits themselves. Bytes: 0."""

    @abstractmethod
    def dealt(self, shape: Sequence[int], values: Callable[[], np.ndarray], size: int = RING_BYTES) -> np.ndarray:
        """Numbers that the dealer computes: int64 shares modulo 2^(8 size); the dealer's are 0.

        Bytes: ``size`` for each number, from the dealer to the last party.
        """

    @abstractmethod
    def dealt_planes(self, shape: Sequence[int], planes: Callable[[], np.ndarray]) -> np.ndarray:
        """Bits that the dealer computes: uint64 XOR shares; the dealer's are 0.

        Bytes: 8 for each word, from the dealer to the last party.
        """


class Receiver(Provider):
    """A party's side.

    Parameters
    ----------
    lines : Lines
    key : Key
    last : bool
        Whether this is the last party.
    """

    def __init__(self, lines: Lines, key: Key, *, last: bool) -> None:
        self._lines, self._last = lines, last
        self._stream = Prg(key(DEALER, _PURPOSE))

    def uniform(self, *shape: int) -> np.ndarray:
        return self._drawn(shape, np.int64)

    def uniform_planes(self, *shape: int) -> np.ndarray:
        return self._drawn(shape, np.uint64)

    def _drawn(self, shape: Sequence[int], kind: type) -> np.ndarray:
        drawn: np.ndarray = np.empty(shape, dtype=kind)
        self._stream.fill(drawn)
        return drawn

    def dealt(self, shape: Sequence[int], values: Callable[[], np.ndarray], size: int = RING_BYTES) -> np.ndarray:
        del values
        if not self._last:
            return self._drawn(shape, np.int64)
        if size == RING_BYTES:
            return self._received(shape, np.int64)
        packed = self._received((math.prod(shape) * size,), np.uint8)
        numbers = np.zeros(shape, dtype=np.int64)
        add_packed(numbers.reshape(-1), packed, size)
        return numbers

    def dealt_planes(self, shape: Sequence[int], planes: Callable[[], np.ndarray]) -> np.ndarray:
        del planes
        return self._received(shape, np.uint64) if self._last else self._drawn(shape, np.uint64)

    def _received(self, shape: Sequence[int], kind: type) -> np.ndarray:
        target: np.ndarray = np.empty(shape, dtype=kind)
        if target.size:
            self._lines.receive(DEALER, target.view(np.int64) if kind is np.uint64 else target)
        return target


class Dealer(Provider):
    """The dealer's side: it sees no share and no opened value.

    Parameters
    ----------
    lines : Lines
    key : Key
    parties : sequence of str
        In rank order.
    traffic : Traffic
    """

    def __init__(self, lines: Lines, key: Key, parties: Sequence[str], traffic: Traffic) -> None:
        self._lines, self._last, self._traffic = lines, parties[-1], traffic
        self._streams = [Prg(key(party, _PURPOSE)) for party in parties]

    def uniform(self, *shape: int) -> np.ndarray:
        return self._combined(self._streams, np.empty(shape, dtype=np.int64), np.add)

    def uniform_planes(self, *shape: int) -> np.ndarray:
        return self._combined(self._streams, np.empty(shape, dtype=np.uint64), np.bitwise_xor)

    @staticmethod
    def _combined(streams: Sequence[Prg], total: np.ndarray, combine: np.ufunc) -> np.ndarray:
        streams[0].fill(total)
        for stream in streams[1:]:
            drawn = np.empty_like(total)
            stream.fill(drawn)
            combine(total, drawn, out=total)
        return total

    def dealt(self, shape: Sequence[int], values: Callable[[], np.ndarray], size: int = RING_BYTES) -> np.ndarray:
        drawn = self._combined(self._streams[:-1], np.empty(shape, dtype=np.int64), np.add)
        missing = np.subtract(values(), drawn, out=drawn)
        if size < RING_BYTES:
            packed = np.empty(missing.size * size, dtype=np.uint8)
            pack(missing.reshape(-1), packed, size)
            missing = packed
        self._send(missing)
        return _nothing(shape, np.int64)

    def dealt_planes(self, shape: Sequence[int], planes: Callable[[], np.ndarray]) -> np.ndarray:
        drawn = self._combined(self._streams[:-1], np.empty(shape, dtype=np.uint64), np.bitwise_xor)
        self._send(np.bitwise_xor(drawn, planes(), out=drawn).view(np.int64))
        return _nothing(shape, np.uint64)

    def _send(self, numbers: np.ndarray) -> None:
        """What was sent before has left first: the dealer is ahead by no more than the network holds."""
        self._lines.flush()
        if numbers.size:
            self._lines.post(self._last, numbers)
            self._traffic.sent(numbers.nbytes)


def _nothing(shape: Sequence[int], kind: type) -> np.ndarray:
    """Zeros, which take no memory as long as nobody looks at them."""
    return np.zeros(tuple(shape), dtype=kind)
