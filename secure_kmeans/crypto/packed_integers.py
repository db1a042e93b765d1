"""Packing: many signed integers in few large ones, so that sums of the large ones hold the sums of the small ones.

An integer with ``|v| <= B`` takes a slot of ``w`` bits with ``B < 2^(w - 1)``. Slot i of a plaintext begins at bit
``o_i``, the sum of the widths before it, and the plaintext is ``sum v_i 2^(o_i)``: digits with signs, which carry into
each other. It is unpacked from the lowest slot: the digit is the one between ``-2^(w - 1)`` and ``2^(w - 1)`` that the
lowest w bits stand for, and is subtracted. B is the bound of a sum over all parties, so a sum of plaintexts is unpacked
like one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Packing:
    """Slots for some integers.

    Attributes
    ----------
    bounds : tuple of int
        Of the absolute value of each integer, and of each sum.
    parts : tuple of slice
        The positions of the integers in each plaintext.
    """

    bounds: tuple[int, ...]
    parts: tuple[slice, ...]

    @classmethod
    def of(cls, bounds: Sequence[int], capacity_bits: int) -> Self:
        """Fill plaintexts one after the other.

        Parameters
        ----------
        bounds : sequence of int
        capacity_bits : int
            The absolute value of a plaintext is below ``2^capacity_bits``: see
            :func:`~secure_kmeans.protocols.smo07.addition.room`.

        Raises
        ------
        ValueError
            Where an integer is too large for a plaintext of its own.
        """
        parts, start, used = [], 0, 0
        for position, bound in enumerate(bounds):
            width = _width(bound)
            if width - 1 > capacity_bits:
                raise ValueError(
                    f"a number of {bound.bit_length()} bits and a sign does not fit a plaintext of {capacity_bits} bits"
                )
            if used + width - 1 > capacity_bits:
                parts.append(slice(start, position))
                start, used = position, 0
            used += width
        if len(bounds) > start:
            parts.append(slice(start, len(bounds)))
        return cls(tuple(bounds), tuple(parts))

    @property
    def plaintexts(self) -> int:
        """The number of plaintexts."""
        return len(self.parts)

    def pack(self, values: Sequence[int]) -> list[int]:
        """The plaintexts of some integers.

        Raises
        ------
        ValueError
            Where an integer is beyond its bound.
        """
        self._check(values)
        packed = []
        for part in self.parts:
            total, offset = 0, 0
            for value, bound in zip(values[part], self.bounds[part], strict=True):
                total += value << offset
                offset += _width(bound)
            packed.append(total)
        return packed

    def unpack(self, plaintexts: Sequence[int]) -> list[int]:
        """The integers of some plaintexts, or their sums in a sum of plaintexts.

        Raises
        ------
        ValueError
            Where a plaintext is none of such integers.
        """
        values = []
        for part, packed in zip(self.parts, plaintexts, strict=True):
            rest = packed
            for bound in self.bounds[part]:
                width = _width(bound)
                digit = rest & ((1 << width) - 1)
                digit -= (digit >> width - 1) << width
                values.append(digit)
                rest = rest - digit >> width
            if rest:
                raise ValueError("a plaintext is larger than its slots")
        self._check(values)
        return values

    def _check(self, values: Sequence[int]) -> None:
        if any(abs(value) > bound for value, bound in zip(values, self.bounds, strict=True)):
            raise ValueError("a number is beyond its bound")


def _width(bound: int) -> int:
    return bound.bit_length() + 1
