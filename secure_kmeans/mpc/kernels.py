"""Loops over shares, compiled by Numba: bit planes and products in the ring.

A *bit plane* holds one bit of many numbers: bit b of word w belongs to number ``64 w + b``, so one operation on a word
works on 64 numbers. All integers wrap modulo 2^64, as in the ring. No function here sends anything or draws
randomness, and no loop or index depends on a share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numba
import numpy as np

WORD: Final = 64
_CHUNK: Final = 128
"""Words of a plane that a loop works on at a time, so that they stay in the processor's cache."""

Loop = TypeVar("Loop", bound=Callable[..., None])


def _compiled(signature: str) -> Callable[[Loop], Loop]:
    """Compile a loop for the given types.

    Numba keeps the result beside the source, so only the first import compiles, which takes some seconds. Where no
    folder can be written to, each process compiles in memory.
    """

    def compile_(loop: Loop) -> Loop:
        try:
            compiled: Any = numba.njit(signature, cache=True, nogil=True)(loop)
        except RuntimeError:  # there is no folder for the cache
            compiled = numba.njit(signature, nogil=True)(loop)
        return compiled

    return compile_


def words_for(count: int) -> int:
    """Words of a plane of ``count`` numbers."""
    return -(-count // WORD)


@_compiled("void(int64[:, ::1], int64, uint64[:, :, ::1])")
def to_planes(numbers: np.ndarray, bits: int, planes: np.ndarray) -> None:
    """Write the lowest bits of numbers as planes, by transpositions of 64 x 64 bits.

    Parameters
    ----------
    numbers : (rows, m) int64
    bits : int
        1 to 64.
    planes : (bits, rows, words) uint64, written
        Bits beyond m are 0.
    """
    rows, m = numbers.shape
    block = np.empty(64, np.uint64)
    for row in range(rows):
        for word in range(planes.shape[2]):
            start = word * 64
            size = min(64, m - start)
            for i in range(size):
                block[i] = np.uint64(numbers[row, start + i])
            for i in range(size, 64):
                block[i] = 0
            half = 32
            mask = np.uint64(0x00000000FFFFFFFF)
            while half:
                shift = np.uint64(half)
                for base in range(0, 64, 2 * half):
                    for i in range(base, base + half):
                        swapped = ((block[i] >> shift) ^ block[i + half]) & mask
                        block[i + half] ^= swapped
                        block[i] ^= swapped << shift
                half >>= 1
                mask ^= mask << np.uint64(half)
            for bit in range(bits):
                planes[bit, row, word] = block[bit]


@_compiled("void(uint64[:, :, ::1], int64[::1], int64[::1], uint64[:, :, ::1])")
def subtract_planes(planes: np.ndarray, left: np.ndarray, right: np.ndarray, differences: np.ndarray) -> None:
    """Write the planes of differences of numbers in planes, modulo 2^bits.

    Parameters
    ----------
    planes : (bits, numbers, words) uint64
    left, right : (pairs,) ints
        Minuend and subtrahend of each difference; -1, on the right, stands for the number 0.
    differences : (bits, pairs, words) uint64, written
        ``left - right``.
    """
    bits, _, words = planes.shape
    borrows = np.empty(_CHUNK, np.uint64)
    for pair in range(len(left)):
        if right[pair] < 0:
            differences[:, pair] = planes[:, left[pair]]
            continue
        for start in range(0, words, _CHUNK):
            end = min(words, start + _CHUNK)
            borrows[:] = 0
            for bit in range(bits):
                minuend, subtrahend = planes[bit, left[pair], start:end], planes[bit, right[pair], start:end]
                target = differences[bit, pair, start:end]
                for word in range(end - start):
                    a, b, c = minuend[word], subtrahend[word], borrows[word]
                    target[word] = a ^ b ^ c
                    borrows[word] = (~a & (b | c)) | (b & c)


@_compiled(
    "void(uint64[:, ::1], boolean, uint64[:, ::1], uint64[:, ::1], uint64[:, ::1], boolean, int64[:, ::1], "
    "int64[:, ::1], uint64[:, ::1])"
)
def evaluate(
    public: np.ndarray,
    complements: bool,
    masks: np.ndarray,
    products: np.ndarray,
    carried: np.ndarray,
    first: bool,
    steps: np.ndarray,
    terms: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write XOR shares of a stage's outputs; see :class:`~secure_kmeans.mpc.circuits.Stage`.

    An output is a sum of terms, each a product of public bits times one shared bit.

    Parameters
    ----------
    public : (a, words) uint64
        The same at all parties.
    complements : bool
        Whether the complements of the public bits follow them.
    masks, products, carried : (rows, words) uint64
        This party's shares; ``terms`` count the rows of all three, one after the other.
    first : bool
        Whether this party adds the terms without a shared bit.
    steps : (p, 2) ints
        Products of public bits, each of two earlier ones. 0 is the bit 1; the public bits follow, then the products.
    terms : (t, 3) ints
        Row of ``out``, product of public bits, row of the shares, where -1 stands for the bit 1.
    out : (o, words) uint64, written
    """
    a, words = public.shape
    publics = 1 + (2 * a if complements else a)
    multiples = np.empty((publics + len(steps), _CHUNK), np.uint64)
    multiples[0] = ~np.uint64(0)
    for start in range(0, words, _CHUNK):
        end = min(words, start + _CHUNK)
        size = end - start
        for i in range(a):
            multiples[1 + i, :size] = public[i, start:end]
            if complements:
                multiples[1 + a + i, :size] = ~public[i, start:end]
        for i in range(len(steps)):
            x, y, z = multiples[steps[i, 0]], multiples[steps[i, 1]], multiples[publics + i]
            for word in range(size):
                z[word] = x[word] & y[word]
        out[:, start:end] = 0
        for i in range(len(terms)):
            target, x, row = out[terms[i, 0], start:end], multiples[terms[i, 1]], terms[i, 2]
            if row < 0:
                if first:
                    for word in range(size):
                        target[word] ^= x[word]
                continue
            if row < len(masks):
                y = masks[row, start:end]
            elif row < len(masks) + len(products):
                y = products[row - len(masks), start:end]
            else:
                y = carried[row - len(masks) - len(products), start:end]
            for word in range(size):
                target[word] ^= x[word] & y[word]


@_compiled("void(uint64[:, ::1], int64[:, ::1], uint64[:, ::1])")
def multiply_planes(planes: np.ndarray, steps: np.ndarray, products: np.ndarray) -> None:
    """Write products of bits in planes.

    Parameters
    ----------
    planes : (a, words) uint64
    steps : (p, 2) ints
        As in :func:`evaluate`, where 0 is the first of ``planes`` and ``a`` the first step.
    products : (p, words) uint64, written
    """
    a, words = planes.shape
    for start in range(0, words, _CHUNK):
        end = min(words, start + _CHUNK)
        for i in range(len(steps)):
            left, right = steps[i]
            x = planes[left, start:end] if left < a else products[left - a, start:end]
            y = planes[right, start:end] if right < a else products[right - a, start:end]
            z = products[i, start:end]
            for word in range(end - start):
                z[word] = x[word] & y[word]


@_compiled("void(int64[:, ::1], int64[:, ::1], int64[:, ::1])")
def add_products(out: np.ndarray, coefficients: np.ndarray, columns: np.ndarray) -> None:
    """``out += coefficients @ columns``: (q, m) from (q, c) and (c, m), int64."""
    m = out.shape[1]
    for start in range(0, m, 2048):
        end = min(m, start + 2048)
        for row in range(out.shape[0]):
            target = out[row, start:end]
            for c in range(columns.shape[0]):
                factor = coefficients[row, c]
                column = columns[c, start:end]
                for i in range(end - start):
                    target[i] += factor * column[i]


@_compiled("void(int64[:, ::1], int64[:, ::1], int64[:, ::1])")
def add_dots(out: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """``out += left @ right.T``: (q, c) from (q, m) and (c, m), int64."""
    m = left.shape[1]
    for start in range(0, m, 2048):
        end = min(m, start + 2048)
        for row in range(left.shape[0]):
            x = left[row, start:end]
            for c in range(right.shape[0]):
                y = right[c, start:end]
                total = np.int64(0)
                for i in range(end - start):
                    total += x[i] * y[i]
                out[row, c] += total


@_compiled("void(uint64[:, ::1], int64[:, ::1], boolean, int64[:, ::1])")
def unmask_bits(opened: np.ndarray, masks: np.ndarray, first: bool, out: np.ndarray) -> None:
    """Write additive shares of bits x, from the public ``x XOR b`` and additive shares of the bits b.

    Parameters
    ----------
    opened : (rows, words) uint64, planes
    masks : (rows, m) int64
    first : bool
        Whether this party adds the terms without a shared bit.
    out : (rows, m) int64, written
    """
    rows, m = masks.shape
    for row in range(rows):
        for start in range(0, m, 64):
            word = opened[row, start // 64]
            for i in range(start, min(m, start + 64)):
                bit = np.int64((word >> np.uint64(i - start)) & np.uint64(1))
                out[row, i] = (np.int64(1) - bit - bit) * masks[row, i] + (bit if first else np.int64(0))


@_compiled("void(uint64[::1], int64[::1])")
def from_plane(plane: np.ndarray, bits: np.ndarray) -> None:
    """Write the first m bits of a plane, (words,) uint64, as (m,) int64."""
    for i in range(len(bits)):
        bits[i] = np.int64((plane[i // 64] >> np.uint64(i % 64)) & np.uint64(1))


@_compiled("void(int64[::1], int64[:, ::1], int64[:, ::1])")
def add_by_label(labels: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
    """Add each number to the sum of its row's label: labels and numbers that this party knows in the clear.

    Parameters
    ----------
    labels : (n,) int64, from 0 to below k
    columns : (d, n) int64
    out : (k, d) int64, added to
    """
    for c in range(columns.shape[0]):
        column = columns[c]
        for i in range(len(labels)):
            out[labels[i], c] += column[i]
