"""CrypTen's randomness, drawn from :class:`secure_kmeans.crypto.prg.Prg` instead.

CrypTen draws every share and mask from MT19937 seeded with 32 effective bits. Here each generator that two roles hold
is an AES-CTR stream under a key that only these two know. A generator of torch is an error, and so is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from secure_kmeans.crypto.prg import Prg
from secure_kmeans.mpc.crypten_adapter.original import comm, crypten


class Stream(Prg):
    """A :class:`Prg` in the place of the ``torch.Generator`` that CrypTen passes around."""

    device = torch.device("cpu")


def _checked(generator: Any, size: Sequence[int] | int) -> tuple[Prg, torch.Size]:
    if not isinstance(generator, Prg):
        raise TypeError("shares and masks are drawn from a Prg")
    return generator, torch.Size([size] if isinstance(size, int) else size)


def ring_element(size: Any, ring_size: int = 2**64, generator: Any = None, **_: Any) -> torch.Tensor:
    """Uniform elements of the ring, in the place of CrypTen's ``generate_random_ring_element``."""
    generator, shape = _checked(generator, size)
    if ring_size != 2**64:
        raise TypeError("shares and masks are drawn from a Prg, over the whole ring")
    return torch.from_numpy(generator.ring(shape.numel())).reshape(shape)


def kbit_element(size: Any, bitlength: int | None = None, generator: Any = None, **_: Any) -> torch.Tensor:
    """Uniform words of some bits, in the place of CrypTen's ``generate_kbit_random_tensor``."""
    if bitlength in (None, 64):
        return ring_element(size, generator=generator)
    generator, shape = _checked(generator, size)
    return torch.from_numpy(generator.bits(shape.numel(), int(bitlength or 64))).reshape(shape)


def set_up_zero_sharing() -> None:
    """One key with each neighbour in the ring of parties: CrypTen's zero-sharings are expanded from these two."""
    channel = comm.get()
    rank, parties = channel.get_rank(), channel.get_world_size()
    following = channel.key((rank + 1) % parties, f"zero-sharing from {rank}")
    preceding = channel.key((rank - 1) % parties, f"zero-sharing from {(rank - 1) % parties}")
    channel.zero_sharing = {"next": Stream(following), "prev": Stream(preceding)}


class _StreamOfThisRole:
    """In the place of CrypTen's generators of one name, by device: the stream of the role that asks."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getitem__(self, device: torch.device) -> Prg:
        if device != Stream.device:
            raise TypeError("shares are drawn on the processor")
        stream: Prg = comm.get().zero_sharing[self._name]
        return stream


def install_zero_sharing() -> None:
    """Make CrypTen's zero-sharings take the streams of the role that asks."""
    for name in ("next", "prev"):
        crypten.generators[name] = _StreamOfThisRole(name)
