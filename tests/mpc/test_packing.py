from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from secure_kmeans.mpc.packing import add_packed, pack

NUMBERS = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20)
EDGES = [edge + step for bits in range(0, 64, 8) for edge in (1 << bits, -(1 << bits)) for step in (-1, 0, 1)]


@given(NUMBERS, NUMBERS, st.integers(1, 7))
@example(EDGES, EDGES[::-1], 1)
@example(EDGES, EDGES[::-1], 5)
@example(EDGES, EDGES[::-1], 7)
@example([], [], 3)
def test_packed_numbers_add_up_modulo_their_size(left: Any, right: Any, size: int) -> None:
    numbers = np.array(left, dtype=np.int64)
    totals = np.resize(np.array([*right, 0], dtype=np.int64), numbers.shape)
    expected = [(a + b) % 256**size for a, b in zip(numbers.tolist(), totals.tolist(), strict=True)]
    packed = np.empty(len(left) * size, dtype=np.uint8)
    pack(numbers, packed, size)
    add_packed(totals, packed, size)
    assert [total % 256**size for total in totals.tolist()] == expected


@pytest.mark.parametrize("size", range(1, 8))
def test_every_byte_of_the_packed_is_written_and_read(size: int) -> None:
    numbers = np.array([0x0102030405060708, -2])
    packed = np.full(2 * size, 99, dtype=np.uint8)
    pack(numbers, packed, size)
    least = [[8, 7, 6, 5, 4, 3, 2][:size], [254, 255, 255, 255, 255, 255, 255][:size]]
    assert sorted(packed.tolist()) == sorted(least[0] + least[1])
    for place in range(2 * size):
        changed = packed.copy()
        changed[place] ^= 1
        found = np.zeros(2, dtype=np.int64)
        add_packed(found, changed, size)
        assert (found != numbers % 256**size).sum() == 1


def test_layout_by_hand() -> None:
    packed = np.empty(14, dtype=np.uint8)
    pack(np.array([0x0102030405060708, -2]), packed, 7)
    assert packed.tolist() == [8, 7, 6, 5, 254, 255, 255, 255, 4, 3, 255, 255, 2, 255]


def test_what_is_added_to_keeps_its_higher_bytes() -> None:
    totals = np.array([2**40 + 5])
    add_packed(totals, np.array([255, 255], dtype=np.uint8), 2)
    assert totals.tolist() == [2**40 + 5 + 65535]
