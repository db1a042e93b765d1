"""Which of two shared numbers is smaller, as shared bits.

The difference x is opened under a mask that the dealer knows, ``z = x + r`` modulo 2^bits. Its sign is
``top(z) XOR top(r) XOR [low(z) < low(r)]``, a comparison of a public number with one that the dealer knows, which
:func:`~secure_kmeans.mpc.circuits.comparison` evaluates on bit planes. Exact; nothing is leaked, z is uniform.

Source of the pieces: the masked comparison of Damgaard et al. (2006) and its dealer's form in Escudero et al.,
"Improved primitives for MPC over mixed arithmetic-binary circuits" (2020); the blocks by :mod:`.circuits`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from secure_kmeans.mpc import kernels
from secure_kmeans.mpc.circuits import Comparison, Stage, comparison
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.dealer import Provider
from secure_kmeans.mpc.packing import bytes_for
from secure_kmeans.mpc.rounds import Opening, Step


class _Layout(NamedTuple):
    """Where a circuit's masks and mask products lie among the rows that are drawn together."""

    opened: int
    dealt: int
    masks: list[slice]
    products: list[slice]


@cache
def _layout(stages: tuple[Stage, ...], leaves: Stage | None) -> _Layout:
    opened = [len(stage.opened) for stage in stages]
    dealt = [0 if leaves is None else len(leaves.opened) + len(leaves.mask_steps)]
    dealt += [len(stage.mask_steps) for stage in stages]
    masks, products = ([slice(*edge) for edge in pairwise(accumulate(rows))] for rows in ([0, *opened], dealt))
    return _Layout(sum(opened), sum(dealt), masks, products)


class Drawn:
    """What the dealer deals for a circuit.

    Parameters
    ----------
    provider : Provider
    words : int
        Of a plane.
    stages : tuple of Stage
    leaves : Stage, optional
        A first stage, whose masks are the secret.
    secret : callable, optional
        At the dealer: the planes of the secret.

    Attributes
    ----------
    leaves : (bits + products, words) uint64
        Shares of the secret and of its products; nothing where there are no leaves.
    stages : list of (Stage, masks, products)
    """

    def __init__(
        self,
        provider: Provider,
        words: int,
        stages: tuple[Stage, ...],
        leaves: Stage | None = None,
        secret: Callable[[], np.ndarray] | None = None,
    ) -> None:
        layout = _layout(stages, leaves)
        masks = provider.uniform_planes(layout.opened, words)

        def products() -> np.ndarray:
            out = np.empty((layout.dealt, words), dtype=np.uint64)
            if leaves is not None and secret is not None:
                bits = len(leaves.opened)
                out[:bits] = planes = secret()
                kernels.multiply_planes(planes, leaves.mask_steps, out[bits : bits + len(leaves.mask_steps)])
            for stage, own, where in zip(stages, layout.masks, layout.products, strict=True):
                kernels.multiply_planes(masks[own], stage.mask_steps, out[where])
            return out

        dealt = provider.dealt_planes((layout.dealt, words), products)
        self.leaves = dealt[: layout.products[0].start] if layout.products else dealt
        self.stages = [
            (stage, masks[own], dealt[where])
            for stage, own, where in zip(stages, layout.masks, layout.products, strict=True)
        ]


def evaluated(core: Core, drawn: Drawn, planes: np.ndarray) -> Step[np.ndarray]:
    """XOR shares of a circuit's outputs, (outputs, words) uint64, from those of its inputs. Rounds: the stages'."""
    for stage, masks, products in drawn.stages:
        hidden = planes[stage.opened]
        hidden ^= masks
        opened = yield Opening(hidden)
        carried = planes[stage.carried]
        planes = np.empty((stage.outputs, opened.shape[1]), dtype=np.uint64)
        kernels.evaluate(
            opened, stage.complements, masks, products, carried, core.first, stage.steps, stage.terms, planes
        )
    return planes


def signs(core: Core, circuit: Comparison, drawn: Drawn, public: np.ndarray) -> Step[np.ndarray]:
    """XOR shares of the signs of ``public - secret``.

    Parameters
    ----------
    public : (bits, words) uint64 planes, overwritten

    Returns
    -------
    (1, words) uint64 planes. Rounds: those of the circuit's stages.
    """
    np.invert(public[:-1], out=public[:-1])
    leaves = circuit.leaves
    planes = np.empty((leaves.outputs, public.shape[1]), dtype=np.uint64)
    none = planes[:0]
    kernels.evaluate(public, False, none, drawn.leaves, none, core.first, leaves.steps, leaves.terms, planes)
    return (yield from evaluated(core, drawn, planes))


def planes_of(numbers: np.ndarray, bits: int) -> np.ndarray:
    """(bits, rows, words) uint64 planes of (rows, m) int64 numbers."""
    rows, m = numbers.shape
    planes = np.empty((bits, rows, kernels.words_for(m)), dtype=np.uint64)
    kernels.to_planes(numbers, bits, planes)
    return planes


def negative(core: Core, values: np.ndarray, bits: int) -> Step[np.ndarray]:
    """XOR shares of [x < 0] for each of some numbers.

    Parameters
    ----------
    values : (m,) int64 shares
        ``-2^(bits - 1) <= x < 2^(bits - 1)``.
    bits : int
        2 to 64.

    Returns
    -------
    (1, words) uint64 planes. Rounds: 1, and 0, 1 or 2 for the circuit, up to 5, 17 or 64 bits.
    """
    m = len(values)
    circuit = comparison(bits)
    masked = core.provider.uniform(1, m)
    words = kernels.words_for(m)
    drawn = Drawn(core.provider, words, circuit.stages, circuit.leaves, lambda: planes_of(masked, bits)[:, 0])
    if not core.acts:
        return np.zeros((1, words), dtype=np.uint64)
    masked += values
    opened = yield Opening(masked, bytes_for(bits))
    return (yield from signs(core, circuit, drawn, planes_of(opened, bits)[:, 0]))


def to_integers(core: Core, planes: np.ndarray, m: int, size: int = 8) -> Step[np.ndarray]:
    """Additive shares, modulo 2^(8 size), of bits in planes.

    Parameters
    ----------
    planes : (rows, words) uint64 XOR shares
    m : int
        Bits of a row.

    Returns
    -------
    (rows, m) int64 shares. Rounds: 1. Bytes: 8 for each word from a party, ``size`` for each bit from the dealer.
    """
    rows = len(planes)
    masks = core.provider.uniform_planes(*planes.shape)

    def bits() -> np.ndarray:
        numbers = np.empty((rows, m), dtype=np.int64)
        for row in range(rows):
            kernels.from_plane(masks[row], numbers[row])
        return numbers

    shares = core.provider.dealt((rows, m), bits, size)
    if not core.acts:
        return np.zeros((rows, m), dtype=np.int64)
    opened = yield Opening(planes ^ masks)
    integers = np.empty((rows, m), dtype=np.int64)
    kernels.unmask_bits(opened, shares, core.first, integers)
    return integers


def less_than(core: Core, left: np.ndarray, right: np.ndarray, bits: int = 64) -> Step[np.ndarray]:
    """Additive shares of the integers [left < right], elementwise.

    Parameters
    ----------
    left, right : int64 shares of one shape
        Their difference needs at most ``bits`` bits, its sign included.

    Returns
    -------
    int64 shares of that shape. Rounds: 1 more than :func:`negative`.
    """
    difference = left - right
    planes = yield from negative(core, difference.reshape(-1), bits)
    integers = yield from to_integers(core, planes, difference.size)
    return integers.reshape(difference.shape)
