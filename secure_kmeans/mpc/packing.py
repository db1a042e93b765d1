"""Packed numbers: a number that is needed modulo 2^(8 size) is sent in ``size`` bytes.

A packed array has up to three parts. The first holds the lowest four bytes of every number, the next two bytes more,
the last one byte more; ``size`` decides which parts there are. NumPy copies each part at full speed. Little-endian.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

RING_BYTES: Final = 8
_PARTS: Final[dict[int, Any]] = {4: np.dtype("<u4"), 2: np.dtype("<u2"), 1: np.dtype("<u1")}


def bytes_for(bits: int) -> int:
    """The number of bytes that hold ``bits`` bits."""
    return -(-bits // 8)


def _parts(count: int, size: int) -> Iterator[tuple[slice, int, Any]]:
    """For each part its bytes in the packed array, the first byte of a number that it holds, and its type."""
    start = offset = 0
    for width, kind in _PARTS.items():
        if size & width:
            yield slice(start, start + width * count), offset, kind
            start, offset = start + width * count, offset + width


def pack(numbers: np.ndarray, packed: np.ndarray, size: int) -> None:
    """Write the lowest ``size`` bytes of (m,) int64 numbers into (m * size,) uint8; ``size`` is from 1 to 7."""
    for where, offset, kind in _parts(numbers.size, size):
        packed[where].view(kind)[:] = numbers.view(kind)[offset // kind.itemsize :: RING_BYTES // kind.itemsize]


def add_packed(numbers: np.ndarray, packed: np.ndarray, size: int) -> None:
    """Add packed numbers to (m,) int64 numbers, modulo 2^64."""
    for where, offset, kind in _parts(numbers.size, size):
        part = packed[where].view(kind).astype(np.int64)
        part <<= 8 * offset
        np.add(numbers, part, out=numbers)
