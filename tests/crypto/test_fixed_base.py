"""Powers by a table, against Python's own."""

import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from secure_kmeans.crypto.fixed_base import FixedBase

MODULUS = 2**89 - 1
BASE = 1234567890123456789


@pytest.mark.parametrize("bits", [1, 31, 32, 33, 100])
def test_the_smallest_and_the_largest_exponent(bits: int) -> None:
    table = FixedBase(mpz(BASE), mpz(MODULUS), bits)
    for exponent in (0, 1, 2**bits - 2, 2**bits - 1):
        assert table.power(exponent) == pow(BASE, exponent, MODULUS)


@pytest.fixture(scope="module")
def table() -> FixedBase:
    return FixedBase(mpz(BASE), mpz(MODULUS), 200)


@given(exponent=st.integers(0, 2**200 - 1))
def test_every_exponent(table: FixedBase, exponent: int) -> None:
    assert table.power(exponent) == pow(BASE, exponent, MODULUS)


@pytest.mark.parametrize("exponent", [-1, 2**200])
def test_an_exponent_out_of_range(table: FixedBase, exponent: int) -> None:
    with pytest.raises(AssertionError):
        table.power(exponent)
