"""Many signed integers in few large ones, such that sums of packed integers are the packed sums.

Each integer has a slot of its own in one of the plaintexts. A slot is as wide as the public bound of the sum over all
parties needs, so no sum carries into the next slot. A plaintext is the signed sum of its integers, each shifted to its
slot; a slot below 0 borrows from the one above, which :meth:`Packing.unpack` gives back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index

from secure_kmeans.errors import JobError, ProtocolError


@dataclass(frozen=True)
class Packing:
    """The slots of some integers.

    Attributes
    ----------
    bounds : tuple of int
        Of the absolute value of each integer's sum over all parties, and so of each party's integer.
    capacity_bits : int
        A packed plaintext, and every sum that is within the bounds, is less than 2^(capacity_bits - 1) in absolute
        value.
    slots : tuple of (int, int)
        For each integer, the number of its plaintext and the lowest bit of its slot.
    plaintexts : int
        How many there are.
    """

    bounds: tuple[int, ...]
    capacity_bits: int
    slots: tuple[tuple[int, int], ...]
    plaintexts: int

    @classmethod
    def of(cls, bounds: Sequence[int], capacity_bits: int) -> Packing:
        """Slots for integers with these bounds: the widest first, each in the first plaintext that has room for it.

        Raises
        ------
        JobError
            Where one does not fit into a plaintext by itself.
        """
        known = tuple(index(bound) for bound in bounds)
        assert all(bound >= 0 for bound in known), "a bound is below 0"
        widths = [width_of(bound) for bound in known]
        for number, width in enumerate(widths):
            if width > capacity_bits:
                raise JobError(
                    f"sum {number + 1} of {len(widths)} needs {width} bits, and a plaintext holds {capacity_bits}: "
                    "use a larger key, fewer bits of precision, or narrower bounds"
                )
        slots = [(0, 0)] * len(known)
        used: list[int] = []
        for number in sorted(range(len(known)), key=lambda each: (-widths[each], each)):
            width = widths[number]
            plaintext = next((each for each, bits in enumerate(used) if bits + width <= capacity_bits), len(used))
            if plaintext == len(used):
                used.append(0)
            slots[number] = plaintext, used[plaintext]
            used[plaintext] += width
        return cls(known, capacity_bits, tuple(slots), len(used))

    def pack(self, values: Sequence[int]) -> list[int]:
        """The plaintexts of one party's integers, each of which may be negative.

        Raises
        ------
        ValueError
            Where an integer is beyond its bound.
        """
        assert len(values) == len(self.bounds), f"{len(values)} integers for {len(self.bounds)} slots"
        packed = [0] * self.plaintexts
        for number, (value, bound, (plaintext, lowest)) in enumerate(zip(values, self.bounds, self.slots, strict=True)):
            exact = index(value)
            if abs(exact) > bound:
                raise ValueError(f"integer {number + 1} of {len(self.bounds)} is beyond its bound")
            packed[plaintext] += exact << lowest
        return packed

    def unpack(self, packed: Sequence[int]) -> list[int]:
        """The integers in plaintexts, or the sums in sums of plaintexts.

        Parameters
        ----------
        packed : sequence of int
            Signed, as many as ``plaintexts``.

        Raises
        ------
        ProtocolError
            Where a sum is beyond its bound: no parties that keep to the bounds add up to it.
        """
        assert len(packed) == self.plaintexts, f"{len(packed)} plaintexts of {self.plaintexts}"
        rest = [index(each) for each in packed]
        values = [0] * len(self.bounds)
        for number in sorted(range(len(self.bounds)), key=lambda each: self.slots[each]):
            plaintext, width = self.slots[number][0], width_of(self.bounds[number])
            value = signed_digit(rest[plaintext], width)
            if abs(value) > self.bounds[number]:
                raise ProtocolError(f"sum {number + 1} of {len(self.bounds)} is beyond its bound")
            rest[plaintext] = (rest[plaintext] - value) >> width
            values[number] = value
        if any(rest):
            raise ProtocolError("a packed sum is larger than all its slots together")
        return values


def width_of(bound: int) -> int:
    """Bits of a slot for the numbers from ``-bound`` to ``bound``; 0 bits for the bound 0."""
    return (2 * bound).bit_length()


def signed_digit(value: int, width: int) -> int:
    """The number from -2^(width-1) to 2^(width-1) - 1 that is ``value`` modulo 2^width; 0 where ``width`` is 0."""
    if width == 0:
        return 0
    half = 1 << (width - 1)
    return ((value + half) & ((1 << width) - 1)) - half
