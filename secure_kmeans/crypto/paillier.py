"""Paillier's cryptosystem: ciphertexts whose product is a ciphertext of the sum.

Symbols: p, q primes and N = p q their product; a plaintext m is an integer modulo N; its ciphertext is
``(1 + m N) rho mod N^2`` with a random N-th power rho. Two ways to draw rho:

- **textbook** (Paillier 1999): ``rho = r^N`` with a uniform unit r. It hides the plaintext where N-th powers cannot be
  told from random units modulo N^2 (the decisional composite residuosity assumption, DCRA).
- **short exponent**, the default (Damgard, Jurik, Nielsen 2010, section 6): the public key has ``h_s = h^N mod N^2``
  with ``h = -x^2 mod N`` for a random x, and ``rho = h_s^a`` with a random exponent a of |N| / 2 bits. p and q are
  3 modulo 4 and gcd(p - 1, q - 1) = 2. A full-length exponent gives a uniform element of the group of h. One of half
  the length cannot be told from it where N cannot be factored (Goldreich, Rosen 2003). So this way needs DCRA and
  factoring, which DCRA implies. It takes half the time, and a sixth with a table of powers. h_s is the key owner's: an
  owner who chose a bad one could read what others encrypt to it, which it can anyway.

A ciphertext keeps its plaintext from all but the owner of the key. The owner also finds rho: where one party's power of
another's ciphertext shall say nothing about the exponent, a fresh encryption of 0 in the textbook's way is to be added.

Exponents that are secret are raised by GMP's ``powm_sec``, whose time and memory accesses do not depend on them. The
table is read at secret places; it protects against peers and the network, not against another program on the same
processor.

Sources: P. Paillier, "Public-key cryptosystems based on composite degree residuosity classes" (1999); I. Damgard, M.
Jurik, J. B. Nielsen, "A generalization of Paillier's public-key system with applications to electronic voting" (2010);
O. Goldreich, V. Rosen, "On the security of modular exponentiation with application to the construction of pseudorandom
generators" (2003).
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final, Self

import gmpy2
from gmpy2 import mpz

USUAL_BITS: Final = 2048
"""Of a modulus: a security of about 112 bits; 3072 bits give 128 (NIST SP 800-57, table 2)."""

LEAST_BITS: Final = 64
"""Of a modulus that is generated. A job takes 2048 or 3072; smaller ones are for tests."""

_PRIMALITY_ROUNDS: Final = 40
"""Of ``mpz_probab_prime_p``: the test of Baillie, Pomerance, Selfridge and Wagstaff, and 16 of Miller and Rabin."""

_SMALL_PRIMES: Final = gmpy2.primorial(2000)
"""Most candidates have a factor in common with it, which is found in the time of one division."""

_WINDOW_BITS: Final = 6
_TABLE_FROM: Final = 24
"""The number of a key's encryption from which on a table of powers has paid for itself."""


class CiphertextError(ValueError):
    """A ciphertext, or a public key, that cannot be one. The message is a phrase that says why."""


class Ciphertext:
    """An encrypted integer modulo N. ``+`` and ``*`` compute on it without the secret key.

    ``a + b`` encrypts the sum of two ciphertexts under the same key, or of a ciphertext and an integer; ``a * k`` the
    product with an integer, negative ones too. The result of ``*`` is no fresh ciphertext: see :meth:`rerandomised`.

    Attributes
    ----------
    key : PublicKey
    value : mpz
        From 1 to N^2 - 1, coprime to N.
    """

    __slots__ = ("key", "value")

    def __init__(self, key: PublicKey, value: mpz) -> None:
        self.key, self.value = key, value

    def __add__(self, other: Ciphertext | int) -> Ciphertext:
        """A ciphertext of the sum.

        Raises
        ------
        CiphertextError
            For a ciphertext under another key.
        """
        key = self.key
        if isinstance(other, int):
            return Ciphertext(key, self.value * key.trivial(other) % key.n_squared)
        if other.key.fingerprint != key.fingerprint:
            raise CiphertextError("it is under another key")
        return Ciphertext(key, self.value * other.value % key.n_squared)

    def __mul__(self, factor: int) -> Ciphertext:
        """A ciphertext of the product with an integer, which may be secret."""
        key, factor = self.key, factor % int(self.key.n)
        base = self.value
        if 2 * factor > key.n:  # a small negative factor
            base, factor = gmpy2.invert(base, key.n_squared), int(key.n) - factor
        power = gmpy2.powmod_sec(base, factor, key.n_squared) if factor else mpz(1)
        return Ciphertext(key, power)

    def rerandomised(self, *, textbook: bool = False) -> Ciphertext:
        """A fresh ciphertext of the same number: all are equally likely."""
        return self + self.key.encrypt(0, textbook=textbook)

    def to_bytes(self) -> bytes:
        """``key.ciphertext_bytes`` bytes, the highest first."""
        return int(self.value).to_bytes(self.key.ciphertext_bytes, "big")

    def __repr__(self) -> str:
        return f"<Ciphertext under {self.key!r}>"


class PublicKey:
    """A public key.

    Parameters
    ----------
    n : int
        N.
    h_s : int
        The N-th power of which short exponents are taken, a unit modulo N^2.

    Attributes
    ----------
    n, n_squared, h_s : mpz
    bits : int
        Of N.
    ciphertext_bytes : int
        Bytes of a ciphertext: 512 with 2048 bits.
    fingerprint : 32 bytes
        SHA-256 of the key.
    """

    def __init__(self, n: int, h_s: int) -> None:
        self.n, self.h_s = mpz(n), mpz(h_s)
        self.n_squared = self.n**2
        self.bits = self.n.bit_length()
        self.ciphertext_bytes = -(-2 * self.bits // 8)
        self.fingerprint = hashlib.sha256(self.to_bytes()).digest()
        self._encryptions = 0
        self._table: list[list[mpz]] = []

    def encrypt(self, m: int, *, textbook: bool = False) -> Ciphertext:
        """Encrypt an integer modulo N; negative ones too, see :func:`signed`.

        Parameters
        ----------
        m : int
        textbook : bool
            Draw the random part as a power of a uniform unit; see the module.
        """
        if textbook:
            return self.encrypt_with_unit(m, random_unit(int(self.n)))
        exponent = secrets.randbits(self.bits // 2)
        self._encryptions += 1
        if self._encryptions == _TABLE_FROM:
            self._table = _powers(self.h_s, self.bits // 2, self.n_squared)
        if self._table:
            rho = _from_table(self._table, exponent, self.n_squared)
        else:
            rho = gmpy2.powmod_sec(self.h_s, exponent, self.n_squared) if exponent else mpz(1)
        return Ciphertext(self, self.trivial(m) * rho % self.n_squared)

    def encrypt_with_unit(self, m: int, r: int) -> Ciphertext:
        """The textbook's ciphertext with a given unit r, for known answers. Everybody who knows r can decrypt."""
        return Ciphertext(self, self.trivial(m) * gmpy2.powmod_sec(r, self.n, self.n_squared) % self.n_squared)

    def trivial(self, m: int) -> mpz:
        """``(1 + N)^m mod N^2``: a ciphertext of m that hides nothing."""
        return (1 + m % self.n * self.n) % self.n_squared

    def ciphertext(self, data: bytes) -> Ciphertext:
        """Read a ciphertext under this key.

        Raises
        ------
        CiphertextError
            Where its length is wrong, or it is out of range, or not coprime to N.
        """
        if len(data) != self.ciphertext_bytes:
            raise CiphertextError(f"it has {len(data)} bytes, where a ciphertext has {self.ciphertext_bytes}")
        value = mpz(int.from_bytes(data, "big"))
        if not 0 < value < self.n_squared:
            raise CiphertextError("it is out of range: a ciphertext is above 0 and below N^2")
        if gmpy2.gcd(value, self.n) != 1:
            raise CiphertextError("it is not coprime to N")
        return Ciphertext(self, value)

    def to_bytes(self) -> bytes:
        """N, then h_s of twice as many bytes; the highest first."""
        size = -(-self.bits // 8)
        return int(self.n).to_bytes(size, "big") + int(self.h_s).to_bytes(2 * size, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a public key.

        Raises
        ------
        CiphertextError
            Where it cannot be one. Whether N is a product of two primes cannot be seen.
        """
        size, rest = divmod(len(data), 3)
        if rest or not size:
            raise CiphertextError("its length is not that of a key")
        n, h_s = (mpz(int.from_bytes(part, "big")) for part in (data[:size], data[size:]))
        if -(-n.bit_length() // 8) != size:
            raise CiphertextError("N has fewer bytes than its length says")
        if n % 2 == 0 or gmpy2.is_prime(n) or gmpy2.is_square(n):
            raise CiphertextError("N is no product of two different odd primes")
        if not 1 < h_s < n**2 or gmpy2.gcd(h_s, n) != 1:
            raise CiphertextError("h_s is no unit modulo N^2")
        return cls(int(n), int(h_s))

    def __repr__(self) -> str:
        return f"<PublicKey of {self.bits} bits, {self.fingerprint.hex()[:16]}>"


class PrivateKey:
    """A key pair. Nothing of it is ever shown or sent but its ``public_key``.

    Parameters
    ----------
    p, q : int
        Primes of equal length, 3 modulo 4, with gcd(p - 1, q - 1) = 2.
    x : int, optional
        A unit modulo N from which the short exponents' base is made; random if not given.

    Attributes
    ----------
    public_key : PublicKey
    p, q : mpz
        Secret.
    """

    def __init__(self, p: int, q: int, x: int | None = None) -> None:
        self.p, self.q = mpz(p), mpz(q)
        n = self.p * self.q
        assert self.p % 4 == self.q % 4 == 3, "p and q are 3 modulo 4"
        assert gmpy2.gcd(n, (self.p - 1) * (self.q - 1)) == 1, "N has an inverse modulo phi(N)"
        self._p_squared, self._q_squared = self.p**2, self.q**2
        self._q_inverse, self._q2_inverse = gmpy2.invert(q, p), gmpy2.invert(self._q_squared, self._p_squared)
        # L_p((1 + N)^(p - 1) mod p^2) = -q modulo p; the factor is its inverse
        self._p_factor, self._q_factor = gmpy2.invert(-self.q, p), gmpy2.invert(-self.p, q)
        base = -(mpz(random_unit(int(n)) if x is None else x) ** 2) % n
        self.public_key = PublicKey(int(n), int(self._nth_power(base, n)))

    @classmethod
    def generate(cls, bits: int = USUAL_BITS) -> Self:
        """Draw a key from the operating system's entropy.

        Parameters
        ----------
        bits : int
            Of N; even.
        """
        assert bits >= LEAST_BITS, "a key of so few bits is none"
        assert bits % 2 == 0, "both primes have half of the bits"
        p = _random_prime(bits // 2)
        while True:
            q = _random_prime(bits // 2)
            far_apart = abs(p - q).bit_length() > bits // 2 - 100 or bits < 512
            if p != q and far_apart and gmpy2.gcd(p - 1, q - 1) == 2 and gmpy2.gcd(p * q, (p - 1) * (q - 1)) == 1:
                return cls(int(p), int(q))

    def decrypt(self, ciphertext: Ciphertext) -> int:
        """The plaintext, from 0 to N - 1; see :func:`signed` for negative ones.

        Raises
        ------
        CiphertextError
            For a ciphertext under another key.
        """
        if ciphertext.key.fingerprint != self.public_key.fingerprint:
            raise CiphertextError("it is under another key")
        p, q, c = self.p, self.q, ciphertext.value
        m_p = (gmpy2.powmod_sec(c, p - 1, self._p_squared) - 1) // p * self._p_factor % p
        m_q = (gmpy2.powmod_sec(c, q - 1, self._q_squared) - 1) // q * self._q_factor % q
        return int(m_q + q * ((m_p - m_q) * self._q_inverse % p))

    def _nth_power(self, base: mpz, n: mpz) -> mpz:
        """``base^N mod N^2``, by the powers modulo p^2 and q^2."""
        by_p = gmpy2.powmod_sec(base, n % (self.p * (self.p - 1)), self._p_squared)
        by_q = gmpy2.powmod_sec(base, n % (self.q * (self.q - 1)), self._q_squared)
        return by_q + self._q_squared * ((by_p - by_q) * self._q2_inverse % self._p_squared)

    def __repr__(self) -> str:
        return f"<PrivateKey of {self.public_key!r}>"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled: it stays in the process that made it")


def signed(residue: int, n: int) -> int:
    """The integer between -n / 2 and n / 2 that a residue modulo n, n odd, stands for."""
    return residue if residue <= n // 2 else residue - n


def random_unit(n: int) -> int:
    """A uniform number below n that has an inverse modulo n, from the operating system's entropy."""
    while True:
        unit = secrets.randbelow(n)
        if gmpy2.gcd(unit, n) == 1:
            return unit


def _random_prime(bits: int) -> mpz:
    """A uniform prime among those that are 3 modulo 4 and whose two highest bits are set."""
    while True:
        candidate = mpz(secrets.randbits(bits) | 3 << (bits - 2) | 3)
        if gmpy2.gcd(candidate, _SMALL_PRIMES) in (1, candidate) and gmpy2.is_prime(candidate, _PRIMALITY_ROUNDS):
            return candidate


def _powers(base: mpz, bits: int, modulus: mpz) -> list[list[mpz]]:
    """For each window of an exponent the base to the power of each of its values."""
    table = []
    for _ in range(-(-bits // _WINDOW_BITS)):
        window = [mpz(1)]
        for _ in range((1 << _WINDOW_BITS) - 1):
            window.append(window[-1] * base % modulus)
        table.append(window)
        base = window[-1] * base % modulus
    return table


def _from_table(table: list[list[mpz]], exponent: int, modulus: mpz) -> mpz:
    """The power of the table's base: one product for each window."""
    power = mpz(1)
    for window in table:
        power = power * window[exponent & ((1 << _WINDOW_BITS) - 1)] % modulus
        exponent >>= _WINDOW_BITS
    return power
