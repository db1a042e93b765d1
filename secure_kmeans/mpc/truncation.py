"""Division of shared numbers by powers of two.

``y + 2^62`` is positive and is opened under a mask r, ``z = y + 2^62 + r`` modulo 2^64. The provider gives shares of
``r >> s`` and of the top bit of r. As the number is below 2^63, the sum wrapped exactly where the top bit of r is 1 and
that of z is 0. So

    (y + 2^62) >> s = (z >> s) - (r >> s) + wrap 2^(64 - s) - [low(z) < low(r)]

for any number of parties and any shares. Without its last term the quotient is off by at most one unit; with it the
quotient is exact. (CrypTen's own truncation divides each share: its error is 2^(64 - s) units with probability
|y| / 2^64.)

Source: the masked truncation of Catrina and Saxena (2010), with the wrap of Escudero et al. (2020).
"""

from __future__ import annotations

import numpy as np

from secure_kmeans.mpc.circuits import comparison
from secure_kmeans.mpc.cleartext import low_planes_of, shifted, top_bit_of
from secure_kmeans.mpc.comparison import signs, to_integers
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.kernels import words_for
from secure_kmeans.mpc.rounds import Opening, Step

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
    parts = core.provider.shift_and_top(masks, bits)
    if not core.takes_part:
        return np.zeros(values.shape, dtype=np.int64)
    opened = yield Opening(values + core.public(np.full(values.shape, _SHIFT)) + masks)
    return _quotient(core, opened, parts, bits)


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
    masks = core.provider.uniform(m)
    parts = core.provider.shift_and_top(masks, bits)
    correlations = core.provider.low_bits(masks, circuit)
    if core.takes_part:
        opened = yield Opening(values + core.public(np.full(m, _SHIFT)) + masks)
        borrows = yield from signs(core, circuit, correlations, low_planes_of(opened, bits + 1))
        rough = _quotient(core, opened, parts, bits)
    else:
        borrows, rough = np.zeros((1, words_for(m)), dtype=np.uint64), np.zeros(m, dtype=np.int64)
    return np.asarray(rough - (yield from to_integers(core, borrows, m))[0])


def _quotient(core: Core, opened: np.ndarray, parts: tuple[np.ndarray, np.ndarray], bits: int) -> np.ndarray:
    """Shares of the quotient without its last term, from shares of the masks' quotients and top bits."""
    of_masks, tops = parts
    wraps = np.where(top_bit_of(opened), 0, tops)
    public = shifted(opened, bits) - (_SHIFT >> np.int64(bits))
    return np.asarray(core.public(public) - of_masks + (wraps << np.int64(64 - bits)))
