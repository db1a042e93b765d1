"""CrypTen's randomness, drawn from :class:`secure_kmeans.crypto.prg.Prg` instead.

CrypTen draws every share and mask from MT19937 seeded with 32 effective bits. Here one AES-CTR stream for each
pair of roles takes the place of each of its generators; a generator of torch is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from secure_kmeans.crypto.prg import Prg, fresh_key
from secure_kmeans.mpc.crypten_adapter.original import comm, crypten


class Stream(Prg):
    """A :class:`Prg` in the place of the ``torch.Generator`` that CrypTen passes around."""

    device = torch.device("cpu")


def _size_of(size: Sequence[int] | int) -> torch.Size:
    return torch.Size([size] if isinstance(size, int) else size)


def _own(generator: Any) -> Any:
    """Where CrypTen names no generator it means randomness that this party alone knows."""
    return crypten.generators["local"].get(torch.device("cpu")) if generator is None else generator


def ring_element(size: Any, ring_size: int = 2**64, generator: Any = None, **_: Any) -> torch.Tensor:
    """Uniform elements of the ring, in the place of CrypTen's ``generate_random_ring_element``."""
    generator = _own(generator)
    if not isinstance(generator, Prg) or ring_size != 2**64:
        raise TypeError("shares and masks are drawn from a Prg, over the whole ring")
    shape = _size_of(size)
    return torch.from_numpy(generator.ring(shape.numel())).reshape(shape)


def kbit_element(size: Any, bitlength: int | None = None, generator: Any = None, **_: Any) -> torch.Tensor:
    """Uniform words of some bits, in the place of CrypTen's ``generate_kbit_random_tensor``."""
    if bitlength in (None, 64):
        return ring_element(size, generator=generator)
    generator = _own(generator)
    if not isinstance(generator, Prg):
        raise TypeError("shares and masks are drawn from a Prg")
    shape = _size_of(size)
    return torch.from_numpy(generator.bits(shape.numel(), int(bitlength or 64))).reshape(shape)


def set_up_zero_sharing() -> None:
    """One key with each neighbour in the ring of parties: CrypTen's zero-sharings come from these."""
    channel = comm.get()
    rank, parties = channel.get_rank(), channel.get_world_size()
    following = channel.key((rank + 1) % parties, f"zero-sharing from {rank}")
    preceding = channel.key((rank - 1) % parties, f"zero-sharing from {(rank - 1) % parties}")
    for name, key in (("next", following), ("prev", preceding), ("local", fresh_key())):
        crypten.generators[name] = {torch.device("cpu"): Stream(key)}
    crypten.generators["global"] = {}
