"""Secret primes from the operating system's entropy."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from gmpy2 import gcd, is_prime, mpz, primorial

_TESTS: Final = 28
"""GMP's argument: the Baillie-PSW test, and 4 tests of Miller and Rabin to random bases.

For a candidate that nobody chose, the first test already errs with negligible probability.
"""

_FEW: Final = primorial(1 << 10)
_MANY: Final = primorial(1 << 16) // _FEW
"""The products of the primes below 2^10, and of those from there to 2^16: most candidates share a factor with one."""


def random_prime(bits: int, fits: Callable[[mpz], bool] | None = None) -> mpz:
    """A secret prime of ``bits`` bits that is 3 modulo 4, and whose two highest bits are set.

    Candidates are independent and uniform until one is prime and fits, so the result is uniform among such primes. The
    next prime after a random number would not be.

    Parameters
    ----------
    bits : int
    fits : callable, optional
        Callback(candidate): whether it may be the result. It is asked before the candidate is tested.
    """
    ends = (0b11 << (bits - 2)) | 0b11
    while True:
        candidate = mpz(secrets.randbits(bits) | ends)
        if (
            gcd(candidate, _FEW) in (1, candidate)
            and gcd(candidate, _MANY) in (1, candidate)
            and (fits is None or fits(candidate))
            and is_prime(candidate, _TESTS)
        ):
            return candidate


def are_fit(p: mpz, q: mpz) -> bool:
    """Whether two primes of equal length make a key: far apart, gcd(p - 1, q - 1) = 2, and p q coprime to phi(p q)."""
    far = abs(p - q).bit_length() > p.bit_length() - 100
    return bool(far and gcd(p - 1, q - 1) == 2 and gcd(p * q, (p - 1) * (q - 1)) == 1)
