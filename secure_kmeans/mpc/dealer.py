"""Correlated randomness from a dealer: the party's side and the dealer's side of :class:`.provider.Provider`.

The dealer shares a key with every party. Dealer and party expand it into the same stream
(:class:`~secure_kmeans.crypto.prg.Prg`), so most shares are never sent:

- A mask is uniform. A party's share is the next piece of its stream. The dealer adds up the pieces of all parties.
- A function of masks is in shares, too. The shares of all parties but the last are the next pieces of their streams.
  The dealer sends the last party its share: the function's value less all other pieces.

The dealer runs the same steps as the parties, opens nothing, and its shares are 0. Where a party draws, the dealer
computes and sends. The order follows from public shapes alone, so the parties send no requests, and the dealer can
work ahead of them.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

import numpy as np

from secure_kmeans.crypto.prg import Prg
from secure_kmeans.mpc import cleartext, kernels
from secure_kmeans.mpc.circuits import Comparison, Stage, pairs_of
from secure_kmeans.mpc.packing import RING_BYTES, add_packed, pack
from secure_kmeans.mpc.provider import CircuitMasks, Provider, StageMasks
from secure_kmeans.net.lines import Lines
from secure_kmeans.net.watch import Traffic

_PURPOSE: Final = "correlated randomness"

Key = Callable[[str, str], bytes]
"""``key(peer, purpose)``: 32 bytes that only this role and ``peer`` know."""


class ReceivingProvider(Provider):
    """The party's side.

    Parameters
    ----------
    lines : Lines
    key : Key
    dealer : str
        Name of the dealer's role.
    last : bool
        Whether this is the last party.
    """

    def __init__(self, lines: Lines, key: Key, dealer: str, *, last: bool) -> None:
        self._lines, self._dealer, self._last = lines, dealer, last
        self._stream = Prg(key(dealer, _PURPOSE))

    def uniform(self, *shape: int) -> np.ndarray:
        return self._drawn(shape, np.int64)

    def uniform_planes(self, *shape: int) -> np.ndarray:
        return self._drawn(shape, np.uint64)

    def uniform_less_product(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        drawn = self._drawn((left.shape[0], right.shape[1]), np.int64)
        return drawn, drawn

    def one_hots(self, count: int, n: int) -> np.ndarray:
        return self._dealt((count, n))

    def products(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return self._dealt(np.broadcast_shapes(left.shape, right.shape))

    def matrix_products(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return self._dealt((left.shape[0], right.shape[1]))

    def squares(self, masks: np.ndarray) -> np.ndarray:
        return self._dealt(masks.shape)

    def sums_of_squares(self, masks: np.ndarray, axes: Sequence[int]) -> np.ndarray:
        return self._dealt([length for axis, length in enumerate(masks.shape) if axis not in axes])

    def shift_and_top(self, masks: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
        del bits
        dealt = self._dealt((2, *masks.shape))
        return dealt[0], dealt[1]

    def digits_and_top(self, masks: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        dealt = self._dealt((2 * size + 1, *masks.shape))
        return dealt[:-1], dealt[-1]

    def bits_as_integers(self, planes: np.ndarray, m: int, size: int = RING_BYTES) -> np.ndarray:
        return self._dealt((len(planes), m), size)

    def circuit(self, stages: tuple[Stage, ...], words: int) -> CircuitMasks:
        return self._circuit(stages, None, words)

    def bits(self, masks: np.ndarray, circuit: Comparison) -> CircuitMasks:
        return self._circuit(circuit.stages, circuit.leaves, kernels.words_for(len(masks)))

    def low_bits(self, masks: np.ndarray, circuit: Comparison) -> CircuitMasks:
        return self.bits(masks, circuit)

    def difference_bits(self, masks: np.ndarray, circuit: Comparison) -> CircuitMasks:
        k, m = len(masks) + 1, masks.shape[1]
        return self._circuit(circuit.stages, circuit.leaves, len(pairs_of(k)[0]) * kernels.words_for(m))

    def _circuit(self, stages: tuple[Stage, ...], leaves: Stage | None, words: int) -> CircuitMasks:
        layout = _layout(stages, leaves)
        masks = self._drawn((layout.opened, words), np.uint64)
        shape = layout.dealt, words
        dealt = self._received(shape, np.uint64) if self._last else self._drawn(shape, np.uint64)
        return layout.cut(stages, masks, dealt)

    def _dealt(self, shape: Sequence[int], size: int = RING_BYTES) -> np.ndarray:
        """Shares of numbers modulo 2^(8 size), which the dealer computes."""
        if not self._last:
            return self._drawn(shape, np.int64)
        if size == RING_BYTES:
            return self._received(shape, np.int64)
        packed = self._received((math.prod(shape) * size,), np.uint8)
        numbers = np.zeros(shape, dtype=np.int64)
        add_packed(numbers.reshape(-1), packed, size)
        return numbers

    def _drawn(self, shape: Sequence[int], kind: type) -> np.ndarray:
        drawn: np.ndarray = np.empty(shape, dtype=kind)
        self._stream.fill(drawn)
        return drawn

    def _received(self, shape: Sequence[int], kind: type) -> np.ndarray:
        target: np.ndarray = np.empty(shape, dtype=kind)
        if target.size:
            self._lines.receive(self._dealer, target.view(np.int64) if kind is np.uint64 else target)
        return target


class DealingProvider(Provider):
    """The dealer's side; it sees no share and no opened value.

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

    def uniform_less_product(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mask = self.uniform(left.shape[0], right.shape[1])
        kernels.add_products(mask, np.ascontiguousarray(left), np.ascontiguousarray(right))
        return mask, np.zeros(mask.shape, dtype=np.int64)

    def one_hots(self, count: int, n: int) -> np.ndarray:
        """The positions are drawn from the operating system: no stream that a party shares may decide them."""
        numbers = secrets.SystemRandom()
        positions = numbers.sample(range(n), count) if count <= n else [numbers.randrange(n) for _ in range(count)]
        vectors = np.zeros((count, n), dtype=np.int64)
        vectors[np.arange(count), positions] = 1
        return self._dealt(vectors)

    def products(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return self._dealt(left * right)

    def matrix_products(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return self._dealt(cleartext.matrix_product(left, right))

    def squares(self, masks: np.ndarray) -> np.ndarray:
        return self._dealt(masks * masks)

    def sums_of_squares(self, masks: np.ndarray, axes: Sequence[int]) -> np.ndarray:
        return self._dealt((masks * masks).sum(axis=tuple(axes)))

    def shift_and_top(self, masks: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
        dealt = self._dealt(np.stack([cleartext.shifted(masks, bits), cleartext.top_bit_of(masks)]))
        return dealt[0], dealt[1]

    def digits_and_top(self, masks: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        tops = cleartext.top_bit_of(masks, size)
        dealt = self._dealt(np.concatenate([cleartext.digits_of(masks, size), tops[None]]))
        return dealt[:-1], dealt[-1]

    def bits_as_integers(self, planes: np.ndarray, m: int, size: int = RING_BYTES) -> np.ndarray:
        return self._dealt(cleartext.bits_of(planes, m), size)

    def circuit(self, stages: tuple[Stage, ...], words: int) -> CircuitMasks:
        return self._circuit(stages, None, np.empty((0, words), dtype=np.uint64))

    def bits(self, masks: np.ndarray, circuit: Comparison) -> CircuitMasks:
        return self._circuit(circuit.stages, circuit.leaves, cleartext.planes_of(masks, circuit.bits))

    def low_bits(self, masks: np.ndarray, circuit: Comparison) -> CircuitMasks:
        return self._circuit(circuit.stages, circuit.leaves, cleartext.low_planes_of(masks, circuit.bits))

    def difference_bits(self, masks: np.ndarray, circuit: Comparison) -> CircuitMasks:
        return self._circuit(circuit.stages, circuit.leaves, cleartext.difference_planes_of(masks, circuit.bits))

    def _circuit(self, stages: tuple[Stage, ...], leaves: Stage | None, secret: np.ndarray) -> CircuitMasks:
        """Products of all stages' masks, and the planes of a secret with their products, sent in one message."""
        layout, (bits, words) = _layout(stages, leaves), secret.shape
        masks = self.uniform_planes(layout.opened, words)
        planes = np.empty((layout.dealt, words), dtype=np.uint64)
        if leaves is not None:
            planes[:bits] = secret
            kernels.multiply_planes(secret, leaves.mask_steps, planes[bits : bits + len(leaves.mask_steps)])
        for stage, own, where in zip(stages, layout.masks, layout.products, strict=True):
            kernels.multiply_planes(masks[own], stage.mask_steps, planes[where])
        drawn = self._combined(self._streams[:-1], np.empty_like(planes), np.bitwise_xor)
        self._send(np.bitwise_xor(planes, drawn, out=planes).view(np.int64))
        return layout.cut(stages, masks, _zeros(planes.shape))

    def _dealt(self, values: np.ndarray, size: int = RING_BYTES) -> np.ndarray:
        """Share numbers modulo 2^(8 size) among the parties; return the dealer's share, 0."""
        drawn = self._combined(self._streams[:-1], np.empty(values.shape, dtype=np.int64), np.add)
        missing = np.subtract(values, drawn, out=drawn)
        if size < RING_BYTES:
            packed = np.empty(missing.size * size, dtype=np.uint8)
            pack(missing.reshape(-1), packed, size)
            missing = packed
        self._send(missing)
        return np.zeros(values.shape, dtype=np.int64)

    @staticmethod
    def _combined(streams: Sequence[Prg], total: np.ndarray, combine: np.ufunc) -> np.ndarray:
        """The next pieces of some streams, combined; ``total`` is overwritten."""
        streams[0].fill(total)
        for stream in streams[1:]:
            drawn = np.empty_like(total)
            stream.fill(drawn)
            combine(total, drawn, out=total)
        return total

    def _send(self, numbers: np.ndarray) -> None:
        """Wait until earlier messages have left, so that the dealer is ahead by what the network holds; then send."""
        self._lines.flush()
        if numbers.size:
            self._lines.post(self._last, numbers)
            self._traffic.sent(numbers.nbytes)


_ZERO: Final = bytes(8)


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
    """Read-only uint64 zeros that take no memory; ``np.broadcast_to`` takes ten times as long."""
    return np.ndarray(shape, np.uint64, _ZERO, strides=(0,) * len(shape))


class _Layout(NamedTuple):
    """Position of each stage's masks and mask products among the rows that are drawn together."""

    opened: int
    dealt: int
    masks: list[slice]
    products: list[slice]

    def cut(self, stages: tuple[Stage, ...], masks: np.ndarray, dealt: np.ndarray) -> CircuitMasks:
        """Masks and dealt rows, one entry for each stage; the leaves' rows come first."""
        leaves = dealt[: self.products[0].start] if self.products else dealt
        parts = zip(stages, self.masks, self.products, strict=True)
        return CircuitMasks(leaves, [StageMasks(stage, masks[own], dealt[where]) for stage, own, where in parts])


@cache
def _layout(stages: tuple[Stage, ...], leaves: Stage | None) -> _Layout:
    opened = [len(stage.opened) for stage in stages]
    dealt = [0 if leaves is None else len(leaves.opened) + len(leaves.mask_steps)]
    dealt += [len(stage.mask_steps) for stage in stages]
    masks, products = ([slice(*edge) for edge in pairwise(accumulate(rows))] for rows in ([0, *opened], dealt))
    return _Layout(sum(opened), sum(dealt), masks, products)
