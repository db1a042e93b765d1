"""Which of two shared numbers is smaller, as shared bits.

The difference x is opened under a mask r, ``z = x + r`` modulo 2^bits. Its sign is
``top(z) XOR top(r) XOR [low(z) < low(r)]``: a comparison of a public number with a mask, whose bits the provider
shares. :func:`~secure_kmeans.mpc.circuits.comparison` gives its circuit, on bit planes. The result is exact. The
opened z is uniform and says nothing about x.

Sources: the masked comparison of Damgaard et al. (2006), in the form for a dealer of Escudero et al., "Improved
primitives for MPC over mixed arithmetic-binary circuits" (2020); for the blocks see :mod:`.circuits`.
"""

from __future__ import annotations

import numpy as np

from secure_kmeans.mpc import kernels
from secure_kmeans.mpc.circuits import Comparison, comparison
from secure_kmeans.mpc.cleartext import planes_of
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.packing import RING_BYTES, bytes_for
from secure_kmeans.mpc.provider import CircuitMasks
from secure_kmeans.mpc.rounds import Opening, Step


def evaluated(core: Core, correlations: CircuitMasks, planes: np.ndarray) -> Step[np.ndarray]:
    """XOR shares of a circuit's outputs.

    Parameters
    ----------
    correlations : CircuitMasks
    planes : (rows, words) uint64
        XOR shares of the first stage's inputs.

    Returns
    -------
    (outputs, words) uint64 planes. Rounds: the number of stages. Bytes: 8 for each word of each opened row from a
    party.
    """
    for stage, masks, products in correlations.stages:
        hidden = planes[stage.opened]
        hidden ^= masks
        opened = yield Opening(hidden)
        carried = planes[stage.carried]
        planes = np.empty((stage.outputs, opened.shape[1]), dtype=np.uint64)
        kernels.evaluate(
            opened, stage.complements, masks, products, carried, core.first, stage.steps, stage.terms, planes
        )
    return planes


def signs(core: Core, circuit: Comparison, correlations: CircuitMasks, public: np.ndarray) -> Step[np.ndarray]:
    """XOR shares of the signs of ``public - mask``.

    Parameters
    ----------
    circuit : Comparison
    correlations : CircuitMasks
        Their leaves are the bits of the masks.
    public : (bits, words) uint64 planes, overwritten

    Returns
    -------
    (1, words) uint64 planes. Rounds: the number of the circuit's stages.
    """
    np.invert(public[:-1], out=public[:-1])
    leaves = circuit.leaves
    planes = np.empty((leaves.outputs, public.shape[1]), dtype=np.uint64)
    none = planes[:0]
    kernels.evaluate(public, False, none, correlations.leaves, none, core.first, leaves.steps, leaves.terms, planes)
    return (yield from evaluated(core, correlations, planes))


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
    (1, words) uint64 planes. Rounds: 1, and for the circuit none up to 5 bits, 1 up to 17, 2 above.
    """
    circuit = comparison(bits)
    masks = core.provider.uniform(len(values))
    correlations = core.provider.bits(masks, circuit)
    if not core.takes_part:
        return np.zeros((1, kernels.words_for(len(values))), dtype=np.uint64)
    opened = yield Opening(values + masks, bytes_for(bits))
    return (yield from signs(core, circuit, correlations, planes_of(opened, bits)))


def to_integers(core: Core, planes: np.ndarray, m: int, size: int = RING_BYTES) -> Step[np.ndarray]:
    """Additive shares, modulo 2^(8 size), of bits in planes.

    Parameters
    ----------
    planes : (rows, words) uint64 XOR shares
    m : int
        Bits of a row.
    size : int

    Returns
    -------
    (rows, m) int64 shares. Rounds: 1. Bytes: 8 for each word from a party, ``size`` for each bit from the dealer.
    """
    masks = core.provider.uniform_planes(*planes.shape)
    mask_bits = core.provider.bits_as_integers(masks, m, size)
    if not core.takes_part:
        return np.zeros_like(mask_bits)
    opened = yield Opening(planes ^ masks)
    integers = np.empty_like(mask_bits)
    kernels.unmask_bits(opened, mask_bits, core.first, integers)
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
