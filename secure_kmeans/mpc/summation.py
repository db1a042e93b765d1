"""The sum of one large integer of each party, modulo 2^256, disclosed without the integers.

Each two parties share a stream, from which they draw a mask of 256 bits; the one of lower rank adds it to its integer,
the other subtracts it. What a party shows is uniform to all others, unless all of them collude, and the masks cancel in
the sum. The modulus leaves room for a real number of any magnitude at full precision, which 64 bits do not.

Source: Bonawitz et al., "Practical secure aggregation for privacy-preserving machine learning" (2017), section 4.0.1,
without dropouts.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.rounds import Opening, Step

SUM_BITS: Final = 256
_LIMB_BITS: Final = 32
_LIMBS: Final = SUM_BITS // _LIMB_BITS


def sum_of_all(core: Core, own: int) -> Step[int]:
    """The sum of all parties' integers, from ``-2^255`` to below ``2^255``.

    Parameters
    ----------
    core : Core
    own : int
        This party's; ignored at a role that does not take part.

    Returns
    -------
    int; 0 at a role that does not take part. Rounds: 1. Bytes: 64 from a party.
    """
    if not core.takes_part:
        return 0
    masked = own
    for rank, stream in core.pairs.items():
        mask = int.from_bytes(stream.ring(SUM_BITS // 64).tobytes(), "little")
        masked += mask if core.rank < rank else -mask
    limbs = [(masked >> _LIMB_BITS * number) & ((1 << _LIMB_BITS) - 1) for number in range(_LIMBS)]
    opened = yield Opening(np.array(limbs, dtype=np.int64))
    total = sum(int(limb) << _LIMB_BITS * number for number, limb in enumerate(opened)) % (1 << SUM_BITS)
    return total - (1 << SUM_BITS) * (total >> SUM_BITS - 1)
