"""CrypTen's encrypted tensors as holders of integer shares, and the steps on them that CrypTen has no method for.

A tensor here has ``precision=0``: its numbers are integers to CrypTen. The fixed point is this package's, so that
CrypTen never truncates a product, which it does with a chance of an error of 2^32 units. On such tensors CrypTen's own
methods are exact and local: ``+``, ``-``, ``neg``, ``sum``, indexing, ``reshape``, ``t``, ``transpose``, ``unbind``,
:func:`cat`, :func:`stack`, and ``*`` and ``matmul`` with public integer tensors. They work at the dealer, too, whose
shares are 0.

A public operand must be a ``torch.Tensor`` of int64, to the right of the operator, or an int. ``+=`` and other in-place
methods overwrite the array that was wrapped.

Microseconds for 1,000 words, one thread; in brackets with CrypTen as it is published:

=====================================  ============
:func:`wrap`                           0.7  (25)
:func:`share_of`                       0.2  (4)
tensor + tensor, tensor - tensor       6    (59)
tensor + public, tensor * public       10   (62)
``-tensor``, ``tensor * 2``            5    (53)
``sum``, ``reshape``, ``transpose``    4    (52)
``tensor[index]``                      3    (34)
:func:`cat`, :func:`stack` of two      14   (106)
``tensor.shape``                       1    (5)
=====================================  ============

Most of the difference is in four changes, see :func:`install_tensors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch

from secure_kmeans.mpc.crypten_adapter.original import (
    AutogradContext,
    CrypTensor,
    FixedPointEncoder,
    Ptype,
    arithmetic_primitives,
    beaver,
    binary_primitives,
    comm,
    crypten,
)
from secure_kmeans.mpc.crypten_adapter.original import MPCTensor as Shared

arithmetic: Final = Ptype.arithmetic
"""Additive shares over Z/2^64, arrays of int64."""
binary: Final = Ptype.binary
"""XOR shares of words of 64 bits, arrays of uint64."""

_INTEGERS: Final = FixedPointEncoder(precision_bits=0)
_get: Final = object.__getattribute__  # CrypTen's own lookup takes ten times as long


class _WrappedArray:
    """A share that is a NumPy array. The torch tensor in the same memory is made when CrypTen first asks for it."""

    array: np.ndarray
    tensor_of_array: torch.Tensor | None = None

    def __getattr__(self, name: str) -> torch.Tensor:
        if name != "_tensor":
            raise AttributeError(name)
        self._tensor = self.tensor_of_array = torch.from_numpy(self.array.view(np.int64))
        return self._tensor


class _WrappedNumbers(_WrappedArray, arithmetic_primitives.ArithmeticSharedTensor):  # type: ignore[misc]
    """Additive shares."""


class _WrappedBits(_WrappedArray, binary_primitives.BinarySharedTensor):  # type: ignore[misc]
    """XOR shares."""


def wrap(share: np.ndarray) -> Shared:
    """An encrypted tensor whose share at this role is ``share``.

    Parameters
    ----------
    share : array of int64 for additive shares, of uint64 for XOR shares
        Not copied, unless it is read-only. Negative strides, which torch does not know, are a ValueError.
    """
    flags = share.flags
    if not flags.writeable:
        share = share.copy()
    elif not flags.c_contiguous:
        torch.from_numpy(share.view(np.int64))  # raises the error
    is_number = share.dtype == np.int64
    assert is_number or share.dtype == np.uint64
    primitive: Any = object.__new__(_WrappedNumbers if is_number else _WrappedBits)
    primitive.array = share
    primitive.encoder = _INTEGERS
    return _around(primitive, arithmetic if is_number else binary)


def is_bits(tensor: Shared) -> bool:
    """Whether the tensor holds XOR shares of words of bits, not additive shares of numbers."""
    return _get(tensor, "ptype") is binary


def share_of(tensor: Shared) -> np.ndarray:
    """This role's share: int64, or uint64 where the tensor is binary. No copy.

    Contiguous where the tensor's share is; after ``+ public`` with broadcasting it may repeat elements in memory.
    """
    primitive = _get(tensor, "_tensor")
    known: dict[str, Any] = primitive.__dict__
    array: np.ndarray | None = known.get("array")
    if array is not None and known.get("_tensor") is known.get("tensor_of_array"):  # CrypTen has not replaced it
        return array
    array = primitive._tensor.numpy()
    return array if _get(tensor, "ptype") is arithmetic else array.view(np.uint64)


def _tensor(share: torch.Tensor, ptype: Any = arithmetic) -> Shared:
    """An encrypted tensor around a torch tensor."""
    primitive = object.__new__(ptype.to_tensor())
    primitive._tensor = share
    primitive.encoder = _INTEGERS
    return _around(primitive, ptype)


def _around(primitive: Any, ptype: Any) -> Shared:
    """An encrypted tensor with all attributes that CrypTen's constructors set."""
    tensor: Shared = object.__new__(Shared)
    _initialise(tensor)
    tensor._tensor = primitive
    tensor.ptype = ptype
    return tensor


def _initialise(tensor: Shared) -> None:
    """Set what ``CrypTensor.__init__`` sets, without the look-up of a method."""
    tensor.requires_grad = False
    tensor.grad = tensor.grad_fn = None
    tensor.grad_expected = tensor.grad_received = 0
    tensor.children = []
    tensor.ctx = AutogradContext()


def share(values: torch.Tensor | None, owner: int, shape: Sequence[int]) -> Shared:
    """Share integers that one party knows. Rounds: 0.

    The parties expand a sharing of zero, and the owner adds its values.

    Parameters
    ----------
    values : int64 tensor of ``shape`` at the owner, None elsewhere
    owner : int
    shape : sequence of int
    """
    channel = comm.get()
    if channel.get_rank() == channel.get_ttp_rank():
        return _tensor(torch.zeros(*shape, dtype=torch.long))
    if values is None:
        values = torch.zeros(*shape, dtype=torch.long)
    assert tuple(values.shape) == tuple(shape)
    assert values.dtype == torch.long
    return Shared(values, src=owner, precision=0)


def from_public(values: torch.Tensor) -> Shared:
    """Integers that all roles know, as shares: the value at the first party, 0 elsewhere. Rounds: 0."""
    return _tensor(values.clone() if comm.get().get_rank() == 0 else torch.zeros_like(values))


def cat(tensors: Sequence[Shared], dim: int = 0) -> Shared:
    """CrypTen's ``cat``."""
    return crypten.cat(list(tensors), dim=dim)


def stack(tensors: Sequence[Shared], dim: int = 0) -> Shared:
    """CrypTen's ``stack``."""
    return crypten.stack(list(tensors), dim=dim)


def sign_bits(values: Shared) -> Shared:
    """XOR shares of [x < 0], in the lowest bit of each word; all other bits are 0.

    Rounds and bytes: those of CrypTen's conversion, one adder of 7 rounds for each doubling of P.
    """
    bits = values.to(binary)
    return _tensor((bits.share >> (torch.iinfo(torch.long).bits - 1)) & 1, binary)


def bits_and(left: Shared, right: Shared) -> Shared:
    """Bitwise AND of XOR-shared words. Rounds: 1."""
    result = left.shallow_copy()
    result._tensor = left._tensor & right._tensor
    return result


def bits_xor_public(bits: Shared, public: torch.Tensor) -> Shared:
    """Bitwise XOR of XOR-shared words with public ones. Rounds: 0."""
    result = bits.shallow_copy()
    result._tensor = bits._tensor ^ public
    return result


def bit_to_integer(bits: Shared) -> Shared:
    """Additive shares of the lowest bit of XOR-shared words. Rounds: 1."""
    return bits.to(arithmetic, precision=0, bits=1)


def squares(values: Shared) -> Shared:
    """Elementwise squares. Rounds: 1, with one opened number for each element where a product has two.

    CrypTen's ``square`` would divide by a scale of 1, which costs three parties or more another round.
    """
    result = values.shallow_copy()
    result._tensor = beaver.square(values._tensor)
    return result


def divide_locally(values: Shared, divisor: torch.Tensor) -> Shared:
    """Quotient of additive shares by public integers, towards zero; see :mod:`secure_kmeans.mpc.crypten_engine`."""
    return values.div(divisor)


def install_tensors() -> None:
    """Make CrypTen's methods cheap, and possible at the dealer.

    - Every method builds its result from ``MPCTensor([])``, for which CrypTen draws and encodes a sharing of no
      elements. It is left empty until the method fills it.
    - Gradients, which nothing here needs, are not recorded.
    - An attribute that a tensor has is returned at once. CrypTen would first look for a gradient of the attribute, and
      for a setting that validates results. Both are switched off. CrypTen still looks up attributes that a tensor does
      not have, and in-place methods.

    The fourth change, to the settings, is in the package's ``_install``.
    """
    constructor, look_up = Shared.__init__, CrypTensor.__getattribute__

    def construct(self: Any, tensor: Any, ptype: Any = arithmetic, *args: Any, **kwargs: Any) -> None:
        if isinstance(tensor, list) and not tensor:
            _initialise(self)
            self._tensor, self.ptype = None, ptype
        else:
            constructor(self, tensor, ptype, *args, **kwargs)

    def attribute(self: Any, name: str) -> Any:
        if name[-1] != "_" or name[:2] == "__":
            try:
                return _get(self, name)
            except AttributeError:
                pass
        return look_up(self, name)

    Shared.__init__, CrypTensor.__getattribute__ = construct, attribute
    crypten.set_grad_enabled(False)
