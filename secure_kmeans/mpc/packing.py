"""Numbers in fewer than eight bytes: what is wanted modulo 2^(8 size) travels in ``size`` bytes each.

The lowest bytes of all numbers come first, four of each, then two, then one, as ``size`` needs them: each part is an
array that NumPy copies at full speed. Little-endian.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

RING_BYTES: Final = 8
_PARTS: Final[dict[int, Any]] = {4: np.dtype("<u4"), 2: np.dtype("<u2"), 1: np.dtype("<u1")}


def bytes_for(bits: int) -> int:
    """Bytes that hold so many bits."""
    return -(-bits // 8)


def _parts(count: int, size: int) -> Iterator[tuple[slice, int, Any]]:
    """For each part where it lies, which of a number's bytes it begins with, and its type."""
    start = offset = 0
    for width, kind in _PARTS.items():
        if size & width:
            yield slice(start, start + width * count), offset, kind
            start, offset = start + width * count, offset + width


def pack(numbers: np.ndarray, packed: np.ndarray, size: int) -> None:
    """The lowest bytes of (m,) int64 numbers as (m * size,) uint8, written; ``size`` from 1 to 7."""
    for where, offset, kind in _parts(numbers.size, size):
        packed[where].view(kind)[:] = numbers.view(kind)[offset // kind.itemsize :: RING_BYTES // kind.itemsize]


def add_packed(numbers: np.ndarray, packed: np.ndarray, size: int) -> None:
    """Add packed numbers to (m,) int64 ones, modulo 2^64."""
    for where, offset, kind in _parts(numbers.size, size):
        part = packed[where].view(kind).astype(np.int64)
        part <<= 8 * offset
        np.add(numbers, part, out=numbers)
