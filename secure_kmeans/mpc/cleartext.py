"""Functions of numbers that are in the clear: opened values at the parties, masks at the dealer.

A step usually needs the same function of an opened value and of its mask. Each of these functions therefore stands
once. No share is an argument of any of them, except of :func:`matrix_product`, which is linear in each factor.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from secure_kmeans.mpc import kernels
from secure_kmeans.mpc.circuits import pairs_of
from secure_kmeans.mpc.packing import RING_BYTES

DIGIT_BITS: Final = 4


def matrix_product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``left @ right`` modulo 2^64, for int64 (q, m) and (m, c)."""
    out = np.zeros((left.shape[0], right.shape[1]), dtype=np.int64)
    if left.shape[1] > right.shape[1]:
        kernels.add_dots(out, np.ascontiguousarray(left), np.ascontiguousarray(right.T))
    else:
        kernels.add_products(out, np.ascontiguousarray(left), np.ascontiguousarray(right))
    return out


def planes_of(numbers: np.ndarray, bits: int) -> np.ndarray:
    """(bits, words) uint64 planes of the lowest bits of (m,) int64 numbers."""
    return _planes_of_rows(numbers[None], bits)[:, 0]


def low_planes_of(numbers: np.ndarray, bits: int) -> np.ndarray:
    """(bits, words) uint64 planes: the lowest ``bits - 1`` bits of (m,) int64 numbers, and a top plane of zeros."""
    return planes_of(numbers & np.int64((1 << (bits - 1)) - 1), bits)


def difference_planes_of(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Planes of the differences of all pairs of k numbers, of which the first is 0.

    Parameters
    ----------
    numbers : (k - 1, m) int64
        All numbers but the first.
    bits : int

    Returns
    -------
    (bits, k (k - 1) / 2 words) uint64
        Planes of ``later - earlier`` modulo 2^bits; the pairs follow each other in the order of
        :func:`~secure_kmeans.mpc.circuits.pairs_of`.
    """
    earlier, later = pairs_of(len(numbers) + 1)
    planes = _planes_of_rows(numbers, bits)
    differences = np.empty((bits, len(later), planes.shape[2]), dtype=np.uint64)
    kernels.subtract_planes(planes, later - 1, earlier - 1, differences)
    return differences.reshape(bits, -1)


def _planes_of_rows(numbers: np.ndarray, bits: int) -> np.ndarray:
    """(bits, rows, words) uint64 planes of (rows, m) int64 numbers."""
    rows, m = numbers.shape
    planes = np.empty((bits, rows, kernels.words_for(m)), dtype=np.uint64)
    kernels.to_planes(numbers, bits, planes)
    return planes


def plane_of(truths: np.ndarray) -> np.ndarray:
    """(words,) uint64: the plane of (m,) truth values."""
    return planes_of(truths.astype(np.int64), 1)[0]


def bits_of(planes: np.ndarray, m: int) -> np.ndarray:
    """(rows, m) int64: the first m bits of each of (rows, words) uint64 planes."""
    bits = np.empty((len(planes), m), dtype=np.int64)
    for plane, row in zip(planes, bits, strict=True):
        kernels.from_plane(plane, row)
    return bits


def digits_of(numbers: np.ndarray, size: int) -> np.ndarray:
    """(2 size, ...) int64: the digits to base 16 of numbers modulo 2^(8 size), the lowest first."""
    shifts = np.arange(0, 8 * size, DIGIT_BITS).reshape(-1, *[1] * numbers.ndim)
    return (numbers >> shifts) & np.int64((1 << DIGIT_BITS) - 1)


def top_bit_of(numbers: np.ndarray, size: int = RING_BYTES) -> np.ndarray:
    """The highest of the lowest ``8 size`` bits of int64 numbers, as int64."""
    return (numbers >> np.int64(8 * size - 1)) & np.int64(1)


def shifted(numbers: np.ndarray, bits: int) -> np.ndarray:
    """``number >> bits``, where int64 numbers are read without sign, as int64."""
    return (numbers.view(np.uint64) >> np.uint64(bits)).view(np.int64)
