"""Secret primes: their form, and that none is preferred."""

import pytest
from gmpy2 import is_prime, mpz

from secure_kmeans.crypto.primes import are_fit, random_prime


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


def test_a_prime_fits_where_it_has_to() -> None:
    drawn = {int(random_prime(8, lambda candidate: candidate % 5 == 1)) for _ in range(200)}
    assert drawn == {211, 251}


@pytest.mark.parametrize(
    ("p", "q", "fit"),
    [
        (0xF0899D18DDD0A57A6D701F24B5D4FE4F, 0xC77DD5359FBF94A59BC16273C45B62F7, True),
        (2**127 - 1, 2**127 + 2**20 - 1, False),  # too close
        (12 * 10**37 + 7, 24 * 10**37 + 7, False),  # 6 divides both less 1
        (11, 23, False),  # 11 divides 22
    ],
)
def test_primes_that_fit_each_other(p: int, q: int, fit: bool) -> None:
    assert are_fit(mpz(p), mpz(q)) is fit
