"""Division of shared integers by public ones.

Each party divides its own share (Mohassel and Zhang, SecureML, 2017, section 4.1); with three or more
parties CrypTen's correction for the wraps of the sum of shares is added (Knott et al., 2021, appendix B).
"""

from __future__ import annotations

import torch

from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import Shared


def divide_by_public(values: Shared, divisor: torch.Tensor) -> Shared:
    """``values / divisor``, elementwise, to within :func:`largest_error` units.

    Parameters
    ----------
    values : additive shares, |value| < 2^62
    divisor : int64 tensor that broadcasts to the shape of ``values``, every entry >= 1

    Returns
    -------
    Additive shares of the shape of ``values``.

    Notes
    -----
    It fails, by about ``2^64 / divisor``, with probability ``|value| / 2^64``: when the shares wrap
    on the other side of the ring. A failed centroid lies far outside the bounds that the parties agreed
    on, and the protocol that divides checks for that.

    Rounds: 0 for two parties; 1 and an answer of the dealer for more.
    """
    assert bool((divisor >= 1).all())
    return crypten.divide_locally(values, divisor)


def largest_error(parties: int) -> int:
    """Bound of ``|divide_by_public(x, t) - x / t|`` in ring units, where no wrap goes astray.

    Each of P shares is rounded towards zero: below P units. With three or more parties the correction
    is ``4 floor(2^62 / t)`` for each wrap instead of ``2^64 / t``, below 4 units, and the shares of P
    parties wrap at most P - 1 times.
    """
    return parties if parties == 2 else parties + 4 * (parties - 1)
