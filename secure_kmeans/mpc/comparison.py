"""Which of two shared numbers is smaller, as a shared bit.

Source: the sign bit after an arithmetic to binary conversion, as in CrypTen (Knott et al., 2021,
section 4.2); the conversion adds the P parties' shares with a tree of parallel-prefix adders.
"""

from __future__ import annotations

from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import Shared


def less_than(left: Shared, right: Shared) -> Shared:
    """XOR shares of [left < right], elementwise, in the lowest bit of a word.

    Exact for every ``|left - right| < 2^63`` in ring units. Opens masked values only.

    Rounds: 7 ceil(log2 P) openings, as many answers of the dealer to the first party.
    """
    return crypten.sign_bits(left - right)


def less_or_equal(left: Shared, right: Shared) -> Shared:
    """Additive shares of the integer [left <= right], elementwise. As :func:`less_than`, one round more."""
    return 1 - crypten.bit_to_integer(less_than(right, left))
