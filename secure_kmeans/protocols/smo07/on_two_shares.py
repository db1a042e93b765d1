"""The part of the mode "aggregate" that two parties compute on additive shares of totals, with a third one as dealer.

All shares are int64, modulo 2^64. Each step opens its result to the two parties, and values under masks.

**Bounds.** Let n be the rows of all parties, at most 2^24 - 1, and L the bound of a coordinate, below 2^31. A cluster's
count t is from 0 to n. Its sum T has ``|T| <= t L < 2^55`` and fits the ring. The quotient ``floor((T + t // 2) / t)``
is from -L to L: ``T >= -t L`` gives ``T + t // 2 >= -t L``, and ``T <= t L`` gives ``T + t // 2 < t (L + 1)``. Both
bounds are those of :func:`~secure_kmeans.mpc.division.divide_by_secret`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from secure_kmeans.job.fixed_point import LARGEST_COUNT_BITS
from secure_kmeans.mpc.argmin import argmin_one_hot
from secure_kmeans.mpc.comparison import less_than
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.division import divide_by_secret
from secure_kmeans.mpc.products import multiply
from secure_kmeans.mpc.rounds import Opening, Step
from secure_kmeans.mpc.truncation import shift_right

__all__ = ["Core", "first_smallest", "means", "sizes"]

COUNT_COMPARISON_BITS: Final = LARGEST_COUNT_BITS + 2
"""Of a difference of two counts, or of a count and 2^24, with its sign."""


def means(
    core: Core, sums: np.ndarray, counts: np.ndarray, otherwise: np.ndarray, largest: int, least: int
) -> Step[np.ndarray]:
    """Open ``floor((T + t // 2) / t)``, or ``otherwise`` where t is below ``least``.

    Parameters
    ----------
    sums : (q, d) shares
        T, |T| <= t ``largest``.
    counts : (q,) shares
        t, from 0 to below 2^24.
    otherwise : (q, d) int64, public
    largest : int
        Below 2^31.
    least : int
        At least 1.

    Returns
    -------
    (q, d) int64; zeros at the dealer. Rounds: 27, of which the division takes 26.
    """
    kept = core.public(otherwise)
    return (yield from _opened(core, (yield from divide_by_secret(core, sums, counts, kept, largest, least))))


def sizes(core: Core, counts: np.ndarray, least: int) -> Step[np.ndarray]:
    """Open each count t that is at least ``least``, and 0 in place of any other.

    Parameters
    ----------
    counts : (q,) shares
        t, from 0 to below 2^24.
    least : int
        At least 1.

    Returns
    -------
    (q,) int64; zeros at the dealer. Rounds: 1; where ``least`` is above 1, 6: a comparison takes 4, a product 1.
    """
    if least > 1:
        limits = core.public(np.full(len(counts), min(least, 1 << LARGEST_COUNT_BITS), dtype=np.int64))
        below = yield from less_than(core, counts, limits, COUNT_COMPARISON_BITS)
        counts = yield from multiply(core, core.public(np.ones(len(counts), dtype=np.int64)) - below, counts)
    return (yield from _opened(core, counts))


def first_smallest(core: Core, totals: np.ndarray, low_bits: int, bound: int) -> Step[np.ndarray]:
    """Open the number of the smallest of r totals; of equal ones, of the first.

    A total is ``high 2^low_bits + low``, and the two parts are shared. The carry of ``low`` moves to ``high``, which
    leaves ``low`` below 2^low_bits. The smallest ``high`` is found. Where ``high`` is larger, 2^low_bits is added to
    ``low``. The first smallest ``low`` is then that of the first smallest total.

    Parameters
    ----------
    totals : (r, 2) or (r, 1) shares
        ``high`` and ``low``, or ``low`` alone; ``low`` is from 0 to below 2^62.
    low_bits : int
        Up to 60.
    bound : int
        Of each total, below ``2^(low_bits + 61)``; below 2^61 where there is only ``low``.

    Returns
    -------
    (1,) int64; zeros at the dealer. Rounds: 1 more than an argmin takes. With two parts 11 more than two argmins: the
    exact shift takes 4, the product 1, the comparison 4, and the openings 2.
    """
    low, bits = np.ascontiguousarray(totals[:, -1:]), _bits_of_differences(bound)
    if totals.shape[1] == 2:
        high, high_bits = np.ascontiguousarray(totals[:, :1]), _bits_of_differences(bound >> low_bits)
        carry = (yield from shift_right(core, low[:, 0], low_bits))[:, None]
        high, low = high + carry, low - (carry << low_bits)
        chosen = yield from argmin_one_hot(core, high, high_bits)
        smallest = (yield from multiply(core, chosen, high)).sum(axis=0)
        larger = yield from less_than(core, np.broadcast_to(smallest, high.shape), high, high_bits)
        low, bits = low + (larger << low_bits), low_bits + 2
    chosen = yield from argmin_one_hot(core, low, bits)
    return (yield from _opened(core, np.arange(len(low)) @ chosen))


def _bits_of_differences(bound: int) -> int:
    """Bits of a difference of two integers from 0 to ``bound``, its sign included; at least 2."""
    return max(2, bound.bit_length() + 1)


def _opened(core: Core, shares: np.ndarray) -> Step[np.ndarray]:
    """The values of shares, opened to both parties; zeros at the dealer. Rounds: 1."""
    if not core.takes_part:
        return np.zeros_like(shares)
    return (yield Opening(shares))
