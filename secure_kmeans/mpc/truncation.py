"""Division of shared numbers by powers of two.

``y + 2^62`` is positive and is opened under a mask, ``z = y + 2^62 + r`` modulo 2^64. The dealer knows r, and deals
``r >> s`` and the top bit of r: as the number is below 2^63, z wrapped exactly where r's top bit is 1 and z's is 0. So

    (y + 2^62) >> s = (z >> s) - (r >> s) + wrap 2^(64 - s) - [low(z) < low(r)]

for any number of parties and any shares. Without its last term it is off by at most one unit, never by more; with it,
it is exact. (CrypTen's own truncation divides each share: its error is 2^(64 - s) units with probability |y| / 2^64.)

Source: the masked truncation of Catrina and Saxena (2010), with the wrap of Escudero et al. (2020).
"""

from __future__ import annotations

import numpy as np

from secure_kmeans.mpc.circuits import comparison
from secure_kmeans.mpc.comparison import Drawn, planes_of, signs, to_integers
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.kernels import words_for
from secure_kmeans.mpc.rounds import Opening, Step

_TOP = np.uint64(63)
_SHIFT = np.int64(1 << 62)


def truncate(core: Core, values: np.ndarray, bits: int) -> Step[np.ndarray]:
    """``values / 2^bits``, off by less than one unit.

    Parameters
    ----------
    values : int64 shares, |value| < 2^62
    bits : int
        1 to 62.

    Returns
    -------
    int64 shares of ``floor(value / 2^bits)`` or one more. Rounds: 1. Bytes: 8 for each number from a party, 16 from
    the dealer.
    """
    masks = core.provider.uniform(*values.shape)
    dealt = core.provider.dealt((2, *values.shape), lambda: _parts_of(masks, bits))
    if not core.acts:
        return np.zeros(values.shape, dtype=np.int64)
    opened = yield Opening(values + core.public(np.full(values.shape, _SHIFT)) + masks)
    return _quotient(core, opened, dealt, bits)


def shift_right(core: Core, values: np.ndarray, bits: int) -> Step[np.ndarray]:
    """``values >> bits``, exactly: the floor of the quotient. Rounds: 2 up to 4 bits, 3 up to 16, 4 above.

    Parameters
    ----------
    values : (m,) int64 shares, |value| < 2^62
    bits : int
        1 to 62.

    Returns
    -------
    (m,) int64 shares.
    """
    m = len(values)
    circuit = comparison(bits + 1)
    masks = core.provider.uniform(1, m)
    dealt = core.provider.dealt((2, 1, m), lambda: _parts_of(masks, bits))
    drawn = Drawn(core.provider, words_for(m), circuit.stages, circuit.leaves, lambda: _low_planes(masks, bits))
    if core.acts:
        opened = yield Opening(values[None] + core.public(np.full((1, m), _SHIFT)) + masks)
        borrows = yield from signs(core, circuit, drawn, _low_planes(opened, bits))
        rough = _quotient(core, opened, dealt, bits)[0]
    else:
        borrows, rough = np.zeros((1, words_for(m)), dtype=np.uint64), np.zeros(m, dtype=np.int64)
    return np.asarray(rough - (yield from to_integers(core, borrows, m))[0])


def _parts_of(masks: np.ndarray, bits: int) -> np.ndarray:
    """What the dealer deals of its masks: the quotients and the top bits."""
    unsigned = masks.view(np.uint64)
    return np.stack([unsigned >> np.uint64(bits), unsigned >> _TOP]).view(np.int64)


def _quotient(core: Core, opened: np.ndarray, dealt: np.ndarray, bits: int) -> np.ndarray:
    unsigned = opened.view(np.uint64)
    wraps = np.where(unsigned >> _TOP, 0, dealt[1])
    public = (unsigned >> np.uint64(bits)).view(np.int64) - (_SHIFT >> np.int64(bits))
    return np.asarray(core.public(public) - dealt[0] + (wraps << np.int64(64 - bits)))


def _low_planes(numbers: np.ndarray, bits: int) -> np.ndarray:
    """The low bits and a top one that is 0, as planes."""
    low = (numbers.view(np.uint64) & np.uint64((1 << bits) - 1)).view(np.int64)
    return planes_of(low, bits + 1)[:, 0]
