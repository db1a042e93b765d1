"""Secret primes: their form, and that none is preferred."""

import pytest
from gmpy2 import is_prime

from secure_kmeans.crypto.primes import random_prime


@pytest.mark.parametrize("bits", [8, 64, 129, 512])
def test_the_form_of_a_prime(bits: int) -> None:
    for _ in range(5):
        prime = random_prime(bits)
        assert is_prime(prime)
        assert (prime.bit_length(), prime >> (bits - 2), prime % 4) == (bits, 3, 3)


def test_all_primes_come_alike() -> None:
    drawn = [int(random_prime(8)) for _ in range(600)]
    assert set(drawn) == {199, 211, 223, 227, 239, 251}
    assert all(45 < drawn.count(each) < 155 for each in set(drawn))  # 100 on average, with a standard deviation of 9
