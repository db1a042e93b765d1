"""CrypTen's encrypted tensors, and the steps on them that the rest of the package is made of.

All are integers to CrypTen (``precision=0``): the fixed point is ours, so CrypTen never truncates a product, which
it does with a chance of an error of 2^32 units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from secure_kmeans.mpc.crypten_adapter.communicator import RoleCommunicator
from secure_kmeans.mpc.crypten_adapter.original import MPCTensor, Ptype, beaver, comm

Shared = Any
"""A CrypTen encrypted tensor (``MPCTensor``) of integers: additive shares over Z/2^64, or XOR shares of bits."""


def share(values: torch.Tensor | None, owner: int, shape: Sequence[int]) -> Shared:
    """Enter integers that one party knows.

    No message: the parties expand a zero-sharing, and the owner adds its values.

    Parameters
    ----------
    values : int64 tensor of ``shape``, at the owner; None elsewhere
    owner : int
    shape : sequence of int
    """
    if values is None:
        values = torch.zeros(*shape, dtype=torch.long)
    assert tuple(values.shape) == tuple(shape)
    assert values.dtype == torch.long
    return MPCTensor(values, src=owner, precision=0)


def parties() -> int:
    """How many parties share."""
    return int(comm.get().get_world_size())


def from_public(values: torch.Tensor) -> Shared:
    """Integers that all parties know, as shares: the first party's is the value, all others are 0."""
    own = values if comm.get().get_rank() == 0 else torch.zeros_like(values)
    return MPCTensor.from_shares(own.clone(), precision=0)


def with_share(like: Shared, own: torch.Tensor) -> Shared:
    """A tensor of the same kind whose share at this party is ``own``: for local linear steps."""
    return MPCTensor.from_shares(own, precision=0, ptype=like.ptype)


def from_share(own: torch.Tensor) -> Shared:
    """Integers of which this party's additive share is given."""
    return MPCTensor.from_shares(own, precision=0)


def stack(tensors: Sequence[Shared]) -> Shared:
    """Shared tensors of one shape as one, along a new first axis, locally."""
    return with_share(tensors[0], torch.stack([tensor.share for tensor in tensors]))


def unstack(tensor: Shared) -> list[Shared]:
    """The parts of :func:`stack`."""
    return [with_share(tensor, part) for part in tensor.share]


def cat(tensors: Sequence[Shared], dim: int = 0) -> Shared:
    """Concatenate shared tensors, locally."""
    return with_share(tensors[0], torch.cat([tensor.share for tensor in tensors], dim=dim))


def sign_bits(values: Shared) -> Shared:
    """XOR shares of [x < 0], in the lowest bit of each word; all other bits are 0.

    Rounds and bytes: those of CrypTen's conversion, one adder of 7 rounds for each doubling of P.
    """
    bits = values.to(Ptype.binary)
    return with_share(bits, (bits.share >> (torch.iinfo(torch.long).bits - 1)) & 1)


def bits_and(left: Shared, right: Shared) -> Shared:
    """Bitwise AND of XOR-shared words. Rounds: 1."""
    result = left.shallow_copy()
    result._tensor = left._tensor & right._tensor
    return result


def bits_xor_public(bits: Shared, public: torch.Tensor) -> Shared:
    """Bitwise XOR of XOR-shared words with public ones, locally."""
    return with_share(bits, bits.share ^ public if comm.get().get_rank() == 0 else bits.share.clone())


def bit_to_integer(bits: Shared) -> Shared:
    """Additive shares of the lowest bit of XOR-shared words. Rounds: 1."""
    return bits.to(Ptype.arithmetic, precision=0, bits=1)


def squares(values: Shared) -> Shared:
    """Elementwise squares. Rounds: 1, with one opened number for each element where a product has two."""
    result = values.shallow_copy()
    result._tensor = beaver.square(values._tensor)
    return result


def divide_locally(values: Shared, divisor: torch.Tensor) -> Shared:
    """Quotient of additive shares by public integers, towards zero; see :mod:`secure_kmeans.mpc.crypten_engine`."""
    return values.div(divisor)


def channel() -> RoleCommunicator:
    """This role's communicator."""
    found: RoleCommunicator = comm.get()
    return found


def exchange(own: torch.Tensor) -> torch.Tensor:
    """Every party's public tensor, of shape (parties, ...). Rounds: 1."""
    return torch.stack(comm.get().all_gather(own))
