"""Secret primes from the operating system's entropy."""

from __future__ import annotations

import secrets
from typing import Final

from gmpy2 import gcd, is_prime, mpz

_TESTS: Final = 28
"""GMP's argument: trial division, the Baillie-PSW test, then 4 tests of Miller and Rabin to random bases.

For a candidate that nobody chose, the first test already errs with negligible probability.
"""


def random_prime(bits: int) -> mpz:
    """A secret prime of ``bits`` bits that is 3 modulo 4, and whose two highest bits are set.

    Candidates are independent and uniform until one is prime, so the prime is uniform, too. The next prime after a
    random number would not be. A sieve of many candidates at once was no faster when measured: half of the time goes
    into the first test of the candidates without small factors.
    """
    ends = (0b11 << (bits - 2)) | 0b11
    while True:
        candidate = mpz(secrets.randbits(bits) | ends)
        if is_prime(candidate, _TESTS):
            return candidate


def are_fit(p: mpz, q: mpz) -> bool:
    """Whether two primes of equal length make a key: far apart, gcd(p - 1, q - 1) = 2, and p q coprime to phi(p q)."""
    far = abs(p - q).bit_length() > p.bit_length() - 100
    return bool(far and gcd(p - 1, q - 1) == 2 and gcd(p * q, (p - 1) * (q - 1)) == 1)
