"""Secret primes from the operating system's entropy."""

from __future__ import annotations

import secrets
from typing import Final

from gmpy2 import is_prime, mpz

_TESTS: Final = 32
"""GMP's argument: the Baillie-PSW test, and 8 tests of Miller and Rabin to random bases."""


def random_prime(bits: int) -> mpz:
    """A secret prime of ``bits`` bits that is 3 modulo 4, and whose two highest bits are set.

    Candidates are independent and uniform, until one is prime: so the prime is uniform, too.
    """
    ends = (0b11 << (bits - 2)) | 0b11
    while True:
        candidate = mpz(secrets.randbits(bits) | ends)
        if is_prime(candidate, _TESTS):
            return candidate
