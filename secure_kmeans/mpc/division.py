"""Exact division of shared integers by public ones.

Each party divides its own share (Mohassel and Zhang, SecureML, 2017, section 4.1); with three or more parties
CrypTen's correction for the wraps of the sum of shares is added (Knott et al., 2021, appendix B). What that leaves
is off by a few units, differently in every run; comparisons with the multiples of the divisor put it right.
"""

from __future__ import annotations

import torch

from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.comparison import less_than
from secure_kmeans.mpc.crypten_adapter import Shared


def floor_divide(values: Shared, divisor: torch.Tensor, largest: int) -> tuple[Shared, Shared]:
    """``values // divisor``, elementwise, as NumPy computes it for integers, and how many quotients are wrong.

    Parameters
    ----------
    values : additive shares, |value| < 2^62
    divisor : int64 tensor that broadcasts to the shape of ``values``, every entry from 1 to 2^40
    largest : int
        Bound of |quotient|, below ``2^63 / divisor``.

    Returns
    -------
    quotients : additive shares of the shape of ``values``
        Exact where none is astray.
    astray : additive shares of one integer
        How many quotients lie beyond ``largest``. Whoever uses the quotients reveals it, or adds it to what is
        revealed, and gives up where it is not 0.

    Notes
    -----
    A quotient goes astray, by about ``2^64 / divisor``, when the shares wrap on the other side of the ring: with
    probability ``|value| / 2^64``.

    Rounds: one comparison of 2 e + 2 numbers for each quotient, with e of :func:`largest_error`, one bit
    conversion; with three or more parties one more and an answer of the dealer.
    """
    assert bool((divisor >= 1).all())
    off = largest_error(crypten.parties())
    rough = crypten.divide_locally(values, divisor)
    rest = values - rough * divisor
    # The quotient is rough + m with -e <= m <= e, and m is the number of multiples s that the rest reaches, less e.
    steps = torch.arange(1 - off, off + 1).reshape(-1, *[1] * values.dim())
    multiples = crypten.from_public((steps * divisor).expand(2 * off, *values.shape).contiguous())
    bound = crypten.from_public(torch.full((1, *values.shape), largest + off))
    left = crypten.cat([rest.unsqueeze(0).expand(2 * off, *values.shape), rough.unsqueeze(0), bound])
    right = crypten.cat([multiples, -bound, rough.unsqueeze(0)])
    bits = crypten.bit_to_integer(less_than(left, right))
    quotients = rough - bits[:-2].sum(0) + crypten.from_public(torch.full(values.shape, off))
    return quotients, bits[-2:].sum()


def largest_error(parties: int) -> int:
    """Bound of the error of the division of shares alone, in units, where no wrap goes astray.

    Each of P shares is rounded towards zero: below P units. With three or more parties the correction is
    ``4 floor(2^62 / t)`` for each wrap instead of ``2^64 / t``, below 4 units, and the sum of P shares of either
    sign wraps at most P / 2 times.
    """
    return parties if parties == 2 else parties + 4 * (parties // 2)
