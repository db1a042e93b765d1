"""Exact division of shared integers, by public counts and by secret counts.

By public counts: the dividend T is opened under a mask, and the provider gives shares of the mask's digits. Once the
divisor t is known, each party adds up its shares of the digits times ``2^(4 l) / t``, rounded to g more bits than the
quotient has. The sum is nearer to T / t than 1 / (2 t). Half of 1 / t is added, and an exact shift gives the floor. No
reciprocal of t is ever multiplied with T, so no digit is lost however large a count is.

By secret counts: t is scaled to [1, 2) by comparisons with the powers of two. Newton's iteration finds the reciprocal.
The quotient is off by a few units; comparisons of the remainder with multiples of t correct it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from secure_kmeans.job.fixed_point import LARGEST_COUNT_BITS, RING_BITS, bits_to_hold, division_bits
from secure_kmeans.mpc.cleartext import DIGIT_BITS, digits_of, top_bit_of
from secure_kmeans.mpc.comparison import less_than
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.products import multiply
from secure_kmeans.mpc.rounds import Opening, Step
from secure_kmeans.mpc.truncation import shift_right, truncate

_RECIPROCAL_BITS: Final = 29


@dataclass(frozen=True)
class Dividend:
    """Dividends T, opened under masks before their divisors are known.

    Attributes
    ----------
    opened : (q, d) int64
        ``T + 2^(bits - 2) + mask`` modulo 2^bits.
    digits : (bits / 4, q, d) int64 shares
        The masks' digits to base 16, the lowest first.
    tops : (q, d) int64 shares
        The masks' highest bits.
    size : int
        bits / 8.
    """

    opened: np.ndarray
    digits: np.ndarray
    tops: np.ndarray
    size: int


def dividend(core: Core, values: np.ndarray, size: int) -> Step[Dividend]:
    """Open dividends under masks.

    Parameters
    ----------
    values : (q, d) int64 shares modulo 2^(8 size), |value| < 2^(8 size - 2)
    size : int
        1 to 8.

    Returns
    -------
    Dividend. Rounds: 1. Bytes: ``size`` for each number from a party, ``16 size + 8`` from the dealer.
    """
    masks = core.provider.uniform(*values.shape)
    digits, tops = core.provider.digits_and_top(masks, size)
    if not core.takes_part:
        return Dividend(np.zeros(values.shape, dtype=np.int64), digits, tops, size)
    shift = core.public(np.full(values.shape, np.int64(1 << (8 * size - 2))))
    return Dividend((yield Opening(values + masks + shift, size)), digits, tops, size)


def quotient(core: Core, of: Dividend, divisors: np.ndarray, largest: int, most: int) -> Step[np.ndarray]:
    """``floor((T + t // 2) / t)``: the quotient, rounded to the nearest integer, halves upwards.

    Parameters
    ----------
    of : Dividend
        T, (q, d).
    divisors : (q,) int64, public
        t, from 1 to ``most``.
    largest : int
        Bound of |quotient|.
    most : int

    Returns
    -------
    (q, d) int64 shares, exact. Rounds: those of :func:`~secure_kmeans.mpc.truncation.shift_right` by g bits: 3 for
    ``most`` up to 266, 4 above.

    Raises
    ------
    JobError
        Where the ring has no room for a quotient of this size by a count of this size.
    """
    extra = division_bits(largest, most)
    bits = 8 * of.size
    scaled = np.zeros(of.opened.shape, dtype=np.int64)
    if core.takes_part:
        t = [int(divisor) for divisor in divisors]
        powers = [1 << (DIGIT_BITS * digit + extra) for digit in range(len(of.digits))]
        factors = _in_ring([_rounded(power, each) for power in powers for each in t]).reshape(-1, len(t), 1)
        offsets = [
            (((largest * each + each // 2 - (1 << (bits - 2))) << (extra + 1)) + (1 << extra)) // (2 * each)
            for each in t
        ]
        wraps = np.where(top_bit_of(of.opened, of.size), 0, of.tops)
        scaled += core.public(np.broadcast_to(_in_ring(offsets)[:, None], scaled.shape))
        scaled += wraps * _in_ring([_rounded(1 << (bits + extra), each) for each in t])[:, None]
        scaled += ((core.public(digits_of(of.opened, of.size)) - of.digits) * factors).sum(axis=0)
    floors = yield from shift_right(core, scaled.reshape(-1), extra)
    return floors.reshape(scaled.shape) - core.public(np.full(scaled.shape, largest))


def _rounded(dividend: int, divisor: int) -> int:
    """The nearest integer to the quotient, halves upwards."""
    return (2 * dividend + divisor) // (2 * divisor)


def _in_ring(numbers: list[int]) -> np.ndarray:
    """Integers modulo 2^64 as int64."""
    return np.array([number % (1 << RING_BITS) for number in numbers], dtype=np.uint64).view(np.int64)


def divide_by_secret(
    core: Core, sums: np.ndarray, counts: np.ndarray, otherwise: np.ndarray, largest: int, least: int = 1
) -> Step[np.ndarray]:
    """``floor((T + t // 2) / t)`` for secret t; ``otherwise`` where t is below ``least``.

    Parameters
    ----------
    sums : (q, d) int64 shares
        T, |T| <= t ``largest``.
    counts : (q,) int64 shares
        t, from 0 to below 2^24.
    otherwise : (q, d) int64 shares
    largest : int
        Bound of |quotient|, below 2^31.
    least : int
        At least 1. One above 1 takes q comparisons more, in the same rounds.

    Returns
    -------
    (q, d) int64 shares, exact.

    Notes
    -----
    With t scaled to u in [1, 2), 24 fractional bits, the first guess ``1.41 - 15/32 u`` of 1/u is off by at most 6.1 %;
    three of Newton's steps leave 2^-32, their roundings 2^-27 in all. Multiplied with T the quotient is off by less
    than ``e`` units: its own 2^-26 part, one unit of each rounding and the final floor. The remainder shows how far.

    Rounds: 4 to scale, 1, 12 for the reciprocal, 3, 1 for the remainder, 4 to compare it, 1: 26.
    """
    bits = LARGEST_COUNT_BITS
    limits = np.array([1 << bit for bit in range(bits)] + [min(least, 1 << bits)] * (least > 1), dtype=np.int64)
    shape = len(limits), len(counts)
    each = core.public(np.broadcast_to(limits[:, None], shape))
    reached = core.public(np.ones(shape, dtype=np.int64)) - (
        yield from less_than(core, np.broadcast_to(counts, shape), each, bits + 2)
    )
    enough = reached[-1 if least > 1 else 0]
    # 2^(24 - floor(log2 t)): every power of two that t has reached, from the second on, halves it.
    scale = core.public(np.full(len(counts), np.int64(1 << bits))) - (
        reached[1:bits] << np.arange(bits - 1, 0, -1)[:, None]
    ).sum(0)
    factors = np.concatenate([counts[:, None], sums], axis=1)
    scaled = yield from multiply(core, factors, scale[:, None])
    u, dividends = scaled[:, 0], scaled[:, 1:]
    one = core.public(np.full(len(counts), np.int64(1 << _RECIPROCAL_BITS)))
    y = core.public(np.full(len(counts), np.int64(round(1.41 * 2**_RECIPROCAL_BITS)))) - 15 * u
    for _ in range(3):
        product = yield from truncate(core, (yield from multiply(core, u, y)), bits)
        y = yield from truncate(core, (yield from multiply(core, y, 2 * one - product)), _RECIPROCAL_BITS)
    spare = max(1, bits_to_hold(largest) + bits + 1 - 31)
    rough = yield from truncate(core, dividends, spare)
    rough = yield from multiply(core, rough, y[:, None])
    rough = yield from truncate(core, rough, bits + _RECIPROCAL_BITS - spare)
    off = math.ceil(largest * 2.0**-25) + 3
    # 2 T + t = 2 t (rough + m) + rest, and m + off is the number of multiples of 2 t that the remainder reaches.
    back = yield from multiply(core, rough, counts[:, None])
    remainder = 2 * (sums - back) + counts[:, None]
    steps = np.arange(1 - off, off + 1).reshape(-1, 1, 1)
    multiples = np.broadcast_to(2 * steps * counts[:, None], (2 * off, *sums.shape))
    width = bits + 2 + bits_to_hold(2.0 * off + 2)
    short = yield from less_than(core, np.broadcast_to(remainder, multiples.shape), multiples, width)
    exact = rough + core.public(np.full(sums.shape, off)) - short.sum(axis=0)
    chosen = yield from multiply(core, enough[:, None], exact - otherwise)
    return otherwise + chosen
