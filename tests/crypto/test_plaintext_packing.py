"""Signed integers in plaintexts: at their bounds, beyond them, and as encrypted sums of several parties."""

from itertools import product
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secure_kmeans.crypto.paillier import PrivateKey
from secure_kmeans.crypto.plaintext_packing import Packing, signed_digit, width_of
from secure_kmeans.errors import JobError, ProtocolError

SMALL: Final = PrivateKey.of_primes(0xF0899D18DDD0A57A6D701F24B5D4FE4F, 0xC77DD5359FBF94A59BC16273C45B62F7)
many_bounds = st.lists(st.integers(0, 2**60), max_size=12)


def test_a_packing_by_hand() -> None:
    # 3 needs 3 bits, for -3 to 3; 100 needs 8 bits. The widest slot is the lowest.
    packing = Packing.of([3, 100], 11)
    assert (packing.slots, packing.plaintexts) == (((0, 8), (0, 0)), 1)
    assert packing.pack([-3, 7]) == [-3 * 256 + 7]
    assert packing.unpack([-3 * 256 + 7 + 256]) == [-2, 7]


@pytest.mark.parametrize(("bound", "width"), [(0, 0), (1, 2), (2, 3), (3, 3), (4, 4), (2**63 - 1, 64), (2**63, 65)])
def test_the_width_of_a_slot(bound: int, width: int) -> None:
    assert width_of(bound) == width


def test_a_signed_digit() -> None:
    assert [signed_digit(value, 3) for value in range(-4, 9)] == [-4, -3, -2, -1, 0, 1, 2, 3, -4, -3, -2, -1, 0]
    assert signed_digit(5, 0) == 0


@pytest.mark.parametrize(
    ("bounds", "capacity", "plaintexts"),
    [
        ([], 10, 0),
        ([0, 0], 10, 1),
        ([15, 15], 10, 1),
        ([15, 16], 10, 2),
        ([15, 15, 15], 10, 2),
        ([3, 63, 3, 63], 10, 2),  # in the order given it would be 3
        ([2**63 - 1] * 31, 2046, 1),
        ([2**63 - 1] * 32, 2046, 2),
    ],
)
def test_as_few_plaintexts_as_fit(bounds: list[int], capacity: int, plaintexts: int) -> None:
    assert Packing.of(bounds, capacity).plaintexts == plaintexts


def test_a_bound_that_does_not_fit() -> None:
    assert Packing.of([1, 511], 10).plaintexts == 2
    with pytest.raises(JobError) as refusal:
        Packing.of([1, 512], 10)
    assert str(refusal.value) == (
        "sum 2 of 2 needs 11 bits, and a plaintext holds 10: "
        "use a larger key, fewer bits of precision, or narrower bounds"
    )


@given(many_bounds, st.data())
def test_integers_within_their_bounds_return(bounds: list[int], data: st.DataObject) -> None:
    packing = Packing.of(bounds, 100)
    values = [data.draw(st.integers(-bound, bound)) for bound in bounds]
    packed = packing.pack(values)
    assert packing.unpack(packed) == values
    assert all(abs(each) < 2**99 for each in packed)


@given(many_bounds, st.integers(1, 20), st.data())
def test_sums_of_parties_within_the_bounds_return(bounds: list[int], parties: int, data: st.DataObject) -> None:
    packing = Packing.of([bound * parties for bound in bounds], 100)
    tables = [[data.draw(st.integers(-bound, bound)) for bound in bounds] for _ in range(parties)]
    totals = [sum(column) for column in zip(*map(packing.pack, tables), strict=True)]
    assert packing.unpack(totals) == [sum(column) for column in zip(*tables, strict=True)]


@pytest.mark.parametrize("signs", list(product((-1, 0, 1), repeat=4)))
def test_every_sign_at_every_bound(signs: tuple[int, ...]) -> None:
    bounds = [1, 127, 2**31, 2**64 - 1]
    packing = Packing.of(bounds, width_of(1) + width_of(127) + width_of(2**31) + width_of(2**64 - 1))
    assert packing.plaintexts == 1
    values = [sign * bound for sign, bound in zip(signs, bounds, strict=True)]
    assert packing.unpack(packing.pack(values)) == values


@pytest.mark.parametrize("sign", [1, -1])
def test_encrypted_sums_at_the_bound_of_every_slot(sign: int) -> None:
    public, parties = SMALL.public_key, 3
    bounds = [parties * (2**k - 1) for k in (1, 8, 31, 40, 63, 90)]
    packing = Packing.of(bounds, public.capacity_bits)
    own = [sign * bound // parties * (-1) ** number for number, bound in enumerate(bounds)]
    total = [public.encrypt(0) for _ in range(packing.plaintexts)]
    for _ in range(parties):
        total = [each + public.encrypt(m) for each, m in zip(total, packing.pack(own), strict=True)]
    packed = [public.signed(SMALL.decrypt(each)) for each in total]
    assert packing.unpack(packed) == [parties * value for value in own]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_plaintext_that_is_full_is_below_half_of_the_modulus(sign: int) -> None:
    public = SMALL.public_key
    bound = 2 ** (public.capacity_bits - 1) - 1
    packing = Packing.of([bound], public.capacity_bits)
    (packed,) = packing.pack([sign * bound])
    assert 2 * abs(packed) < public.n
    assert packing.unpack([public.signed(SMALL.decrypt(public.encrypt(packed)))]) == [sign * bound]


def test_numbers_of_numpy_are_integers() -> None:
    packing = Packing.of(list(np.array([2**40, 2**40])), 100)
    assert packing.pack(np.array([-(2**40), 5])) == [-(2**40) + 5 * 2**42]  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [[4, 0], [-4, 0], [0, 101], [0, -101]])
def test_an_integer_beyond_its_bound(values: list[int]) -> None:
    number = 1 if values[0] else 2
    with pytest.raises(ValueError, match=rf"^integer {number} of 2 is beyond its bound$"):
        Packing.of([3, 100], 11).pack(values)


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (101, "sum 2 of 2 is beyond its bound"),
        (-101, "sum 2 of 2 is beyond its bound"),
        (-4 * 256, "sum 1 of 2 is beyond its bound"),
        (8 * 256, "a packed sum is larger than all its slots together"),
        (-8 * 256, "a packed sum is larger than all its slots together"),
        (2**60, "a packed sum is larger than all its slots together"),
    ],
)
def test_a_packed_sum_out_of_range(packed: int, reason: str) -> None:
    with pytest.raises(ProtocolError) as refusal:
        Packing.of([3, 100], 11).unpack([packed])
    assert str(refusal.value) == reason
