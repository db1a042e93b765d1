"""Paillier's homomorphic encryption: sums and multiples of numbers that stay encrypted. No network.

======  ===============================================================================================
N       the public modulus p q; p and q are primes of equal length, 3 modulo 4, with gcd(p - 1, q - 1) = 2
m       a plaintext modulo N; a signed number is below N/2 in absolute value
c       a ciphertext: (1 + N)^m s mod N^2, where the noise s is an N-th power of a unit
h, h_s  h = -x^2 mod N for a random unit x; h_s = h^N mod N^2 is part of the public key
======  ===============================================================================================

The noise of an encryption is made in one of two ways.

**Short exponent**, the default of :meth:`PublicKey.encrypt`: s = h_s^r with r uniform of half as many bits as N, as
Damgård, Jurik and Nielsen propose. It is safe under Paillier's assumption (decisional composite residuosity: N-th
powers modulo N^2 look like any units), which the textbook needs as well, and under the assumption that factoring N is
hard, which Paillier's implies. Under the second one, h^r for such an r cannot be told apart from h^r for an r of full
length (Goldreich and Rosen); under the first one, h_s looks like a random unit, whose powers of full length hide m.
It presumes that h_s was made as above. A key's owner who makes it otherwise exposes nothing but plaintexts under the
owner's own key, which the owner may read anyway.

**Textbook**: s = r^N with a uniform unit r. It needs Paillier's assumption alone, and hides also from the key's owner
how a ciphertext was made, if N is as above: a rerandomised ciphertext is, given its plaintext, independent of all
others. The short exponent does not promise that against an owner, who knows p and q. So the textbook's noise is the
default of :meth:`Ciphertext.rerandomised`. The owner encrypts by :meth:`PrivateKey.encrypt`, which draws the textbook's
noise in a third of the time.

A power with a secret exponent takes constant time: GMP's ``mpz_powm_sec`` computes it, which takes 1.4 times as long.
Remainders and inverses are GMP's usual ones. An exception is the table of
:mod:`~secure_kmeans.crypto.fixed_base`, which is used from :data:`TABLE_FROM` encryptions under a key on. Which of its
entries are read depends on an exponent that is used once. Another program on the same processor may observe that,
another role cannot. Multiplication by a constant takes the same time for constants of equal length and sign.

References: Paillier, "Public-key cryptosystems based on composite degree residuosity classes" (EUROCRYPT 1999);
Damgård, Jurik and Nielsen, "A generalization of Paillier's public-key system with applications to electronic voting"
(International Journal of Information Security 9, 2010); Goldreich and Rosen, "On the security of modular exponentiation
with application to the construction of pseudorandom generators" (Journal of Cryptology 16, 2003).
"""

from __future__ import annotations

import hashlib
import secrets
from functools import partial
from operator import index
from typing import Any, Final, NoReturn, Self

from gmpy2 import gcd, invert, is_prime, is_square, jacobi, mpz, powmod, powmod_sec

from secure_kmeans.crypto.fixed_base import FixedBase
from secure_kmeans.crypto.primes import are_fit, random_prime
from secure_kmeans.errors import ProtocolError

KEY_BITS: Final = (2048, 3072)
TABLE_FROM: Final = 3
"""Number of the encryption under a key that makes the table. It costs less than two encryptions without it."""

_PUBLIC_KEY: Final = b"secure_kmeans paillier public key 1\0"


class CiphertextError(ProtocolError):
    """A ciphertext that is malformed, or under another key."""


class PublicKeyError(ProtocolError):
    """A public key that is malformed."""


def public_key_bytes(bits: int) -> int:
    """Bytes of an encoded public key: N and h_s."""
    return 3 * _bytes(bits)


def ciphertext_bytes(bits: int) -> int:
    """Bytes of an encoded ciphertext: a number modulo N^2."""
    return _bytes(2 * bits)


class PublicKey:
    """A key to encrypt with.

    Attributes
    ----------
    n : int
        The modulus N.
    bits : int
        Of N.
    fingerprint : 32 bytes
        SHA-256 of the encoded key.
    capacity_bits : int
        Signed numbers of this many bits, sign included, are below N/2 in absolute value, and so is a sum of two.
    """

    def __init__(self, n: int, h_s: int) -> None:
        self._n = mpz(n)
        self._h_s = mpz(h_s)
        self._n2 = self._n * self._n
        self.n = int(n)
        self.bits = self.n.bit_length()
        self.capacity_bits = self.bits - 2
        self.fingerprint = hashlib.sha256(_PUBLIC_KEY + self.to_bytes()).digest()
        self._encryptions = 0
        self._table: FixedBase | None = None

    def __repr__(self) -> str:
        return f"PublicKey({self.bits} bits, {self.fingerprint.hex()[:16]})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.fingerprint == self.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    # ------------------------------------------------------------ as bytes

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of an encoded ciphertext."""
        return ciphertext_bytes(self.bits)

    def to_bytes(self) -> bytes:
        """N and h_s, big endian; see :func:`public_key_bytes`."""
        size = _bytes(self.bits)
        return self.n.to_bytes(size, "big") + int(self._h_s).to_bytes(2 * size, "big")

    @classmethod
    def from_bytes(cls, data: bytes, bits: int | None = None) -> Self:
        """The key that a peer sent.

        That h_s is an N-th power, and that N has two prime factors, only its owner knows.

        Parameters
        ----------
        data : bytes
        bits : int or None
            Of the modulus; one of :data:`KEY_BITS` where it is None.

        Raises
        ------
        PublicKeyError
        """
        sizes = {public_key_bytes(each): each for each in (KEY_BITS if bits is None else (bits,))}
        if len(data) not in sizes:
            expected = " or ".join(map(str, sizes))
            raise PublicKeyError(f"the public key has {len(data)} bytes, expected {expected}")
        bits = sizes[len(data)]
        size = _bytes(bits)
        n, h_s = mpz(int.from_bytes(data[:size], "big")), mpz(int.from_bytes(data[size:], "big"))
        if n.bit_length() != bits:
            raise PublicKeyError(f"the public key's modulus has {n.bit_length()} bits, expected {bits}")
        if n % 2 == 0:
            raise PublicKeyError("the public key's modulus is even")
        if n % 4 != 1:
            raise PublicKeyError("the public key's modulus is not a product of two primes that are 3 modulo 4")
        if is_prime(n) or is_square(n):
            raise PublicKeyError("the public key's modulus is not a product of two different primes")
        if not 1 < h_s < n * n - 1:
            raise PublicKeyError("the public key's base h_s is out of range")
        if gcd(h_s, n) != 1:
            raise PublicKeyError("the public key's base h_s is not coprime to the modulus")
        if jacobi(h_s, n) != 1:
            raise PublicKeyError("the public key's base h_s is not the negative of a square")
        return cls(int(n), int(h_s))

    def ciphertext(self, data: bytes) -> Ciphertext:
        """The ciphertext that a peer sent.

        The bytes do not say which key it is under: the message around them has to name the key, by its fingerprint.

        Raises
        ------
        CiphertextError
            Where it has the wrong length, is out of range or is not coprime to N.
        """
        if len(data) != self.ciphertext_bytes:
            raise CiphertextError(f"the ciphertext has {len(data)} bytes, expected {self.ciphertext_bytes}")
        value = mpz(int.from_bytes(data, "big"))
        if not 0 < value < self._n2:
            raise CiphertextError("the ciphertext is out of range: expected a number from 1 to N^2 - 1")
        if gcd(value, self._n) != 1:
            raise CiphertextError("the ciphertext is not coprime to N")
        return Ciphertext(self, value)

    # ---------------------------------------------------------- encryption

    def encrypt(self, m: int, *, textbook: bool = False) -> Ciphertext:
        """An encryption of a number.

        Parameters
        ----------
        m : int
            From 1 - N to N - 1. A number below 0 stands for itself modulo N.
        textbook : bool
            The noise is the textbook's; see the module.

        Raises
        ------
        ValueError
            Where ``m`` is out of range.
        """
        return self._seal(m, self._noise(textbook))

    def signed(self, m: int) -> int:
        """A number modulo N as the number of the smallest absolute value: those above N/2 are negative."""
        return signed(m, self.n)

    def _seal(self, m: int, noise: mpz) -> Ciphertext:
        exact = index(m)
        if not -self.n < exact < self.n:
            raise ValueError("a plaintext is out of range: expected a number from 1 - N to N - 1")
        return Ciphertext(self, (1 + exact * self._n) * noise % self._n2)

    def _noise(self, textbook: bool) -> mpz:
        """An encryption of 0, as a number."""
        if textbook:
            return self._power_of_unit(random_unit(self._n))
        return self._power_of_base(secrets.randbits(self.bits // 2))

    def _power_of_unit(self, r: mpz) -> mpz:
        return powmod(r, self._n, self._n2)

    def _power_of_base(self, r: int) -> mpz:
        self._encryptions += 1
        if self._table is None and self._encryptions >= TABLE_FROM:
            self._table = FixedBase(self._h_s, self._n2, self.bits // 2)
        return _secret_power(self._h_s, r, self._n2) if self._table is None else self._table.power(r)


class Ciphertext:
    """A number under a key.

    ``a + b`` is an encryption of the sum, where b is a ciphertext under the same key or a plaintext integer, and
    ``a * k`` of the product with a plaintext integer k; both modulo N. Neither has fresh noise: use
    :meth:`rerandomised` where a peer must not learn how the ciphertext was made.
    """

    __slots__ = ("_value", "key")

    def __init__(self, key: PublicKey, value: mpz) -> None:
        self.key = key
        self._value = value

    def __repr__(self) -> str:
        return f"Ciphertext(under {self.key!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ciphertext) and other.key == self.key and other._value == self._value

    def __hash__(self) -> int:
        return hash((self.key, self._value))

    def to_bytes(self) -> bytes:
        """The number, big endian; see :func:`ciphertext_bytes`."""
        return int(self._value).to_bytes(self.key.ciphertext_bytes, "big")

    def __add__(self, other: Ciphertext | int) -> Ciphertext:
        n2 = self.key._n2
        if not isinstance(other, Ciphertext):
            return Ciphertext(self.key, self._value * (1 + index(other) * self.key._n) % n2)
        if other.key != self.key:
            raise CiphertextError("the ciphertext is under another key")
        return Ciphertext(self.key, self._value * other._value % n2)

    __radd__ = __add__

    def __mul__(self, constant: int) -> Ciphertext:
        exponent = index(constant)
        if abs(exponent) >= self.key.n:
            exponent %= self.key.n
        base = invert(self._value, self.key._n2) if exponent < 0 else self._value
        return Ciphertext(self.key, _secret_power(base, abs(exponent), self.key._n2))

    __rmul__ = __mul__

    def rerandomised(self, *, textbook: bool = True) -> Ciphertext:
        """Another encryption of the same number. With the textbook's noise also its owner cannot link the two."""
        return Ciphertext(self.key, self._value * self.key._noise(textbook) % self.key._n2)


class PrivateKey:
    """A key to decrypt with. It is never encoded, pickled or shown.

    Attributes
    ----------
    public_key : PublicKey
    """

    def __init__(self, p: mpz, q: mpz, x: mpz) -> None:
        self._p, self._q = p, q
        self._p2, self._q2 = p * p, q * q
        self._q_inverse = invert(q, p)
        self._q2_inverse = invert(self._q2, self._p2)
        # With g = 1 + N, L_p(g^(p-1) mod p^2) = -q mod p, where L_p(u) = (u - 1) / p.
        self._h_p, self._h_q = invert(-q, p), invert(-p, q)
        n = p * q
        self.public_key = PublicKey(int(n), int(self._power_of_n(-x * x % n)))

    def __repr__(self) -> str:
        return f"PrivateKey(hidden, of {self.public_key!r})"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a private key cannot be pickled or copied")

    @classmethod
    def generate(cls, bits: int = KEY_BITS[0]) -> Self:
        """A new key, from the operating system's entropy.

        Parameters
        ----------
        bits : int
            One of :data:`KEY_BITS`.

        Raises
        ------
        ValueError
            Where it is another number.
        """
        if bits not in KEY_BITS:
            raise ValueError(f"bits={bits} must be one of {', '.join(map(str, KEY_BITS))}")
        p = random_prime(bits // 2)
        q = random_prime(bits // 2, partial(are_fit, p))
        return cls.of_primes(p, q)

    @classmethod
    def of_primes(cls, p: int, q: int, x: int | None = None) -> Self:
        """The key of two primes, which may be small: for tests.

        Parameters
        ----------
        p, q : int
            Different primes that are 3 modulo 4.
        x : int or None
            A unit modulo p q, whose square is -h; random where it is None.
        """
        p, q = mpz(p), mpz(q)
        n = p * q
        assert p != q
        assert p % 4 == q % 4 == 3
        assert gcd(n, (p - 1) * (q - 1)) == 1
        return cls(p, q, random_unit(n) if x is None else mpz(x))

    def decrypt(self, ciphertext: Ciphertext) -> int:
        """The number in a ciphertext, from 0 to N - 1; :meth:`PublicKey.signed` makes it a signed one.

        Raises
        ------
        CiphertextError
            Where it is under another key.
        """
        if ciphertext.key != self.public_key:
            raise CiphertextError("the ciphertext is under another key")
        value, p, q = ciphertext._value, self._p, self._q
        m_p = (powmod_sec(value, p - 1, self._p2) - 1) // p * self._h_p % p
        m_q = (powmod_sec(value, q - 1, self._q2) - 1) // q * self._h_q % q
        return int(m_q + q * ((m_p - m_q) * self._q_inverse % p))

    def encrypt(self, m: int) -> Ciphertext:
        """As :meth:`PublicKey.encrypt` with ``textbook``, in a third of the time."""
        # The N-th powers modulo p^2 are the p-th powers: r^p depends on r mod p alone, and takes p - 1 values.
        noise = self._joined(
            powmod_sec(random_unit(self._p), self._p, self._p2), powmod_sec(random_unit(self._q), self._q, self._q2)
        )
        return self.public_key._seal(m, noise)

    def _power_of_n(self, base: mpz) -> mpz:
        """A unit to the power of N, modulo N^2."""
        n = self._p * self._q
        return self._joined(
            powmod_sec(base, n % (self._p * (self._p - 1)), self._p2),
            powmod_sec(base, n % (self._q * (self._q - 1)), self._q2),
        )

    def _joined(self, at_p: mpz, at_q: mpz) -> mpz:
        """The number modulo N^2 with these remainders modulo p^2 and q^2."""
        return at_q + self._q2 * ((at_p - at_q) * self._q2_inverse % self._p2)


def signed(residue: int, n: int) -> int:
    """The number modulo n of the smallest absolute value, n odd: residues above n / 2 are negative."""
    rest = residue % n
    return rest - n if 2 * rest > n else rest


def random_unit(n: mpz) -> mpz:
    """A uniform unit modulo n, from the operating system's entropy."""
    while True:
        unit = mpz(secrets.randbelow(int(n)))
        if gcd(unit, n) == 1:
            return unit


def _secret_power(base: mpz, exponent: int, modulus: mpz) -> mpz:
    """A power whose exponent, 0 or more, is secret."""
    return powmod_sec(base, exponent, modulus) if exponent else mpz(1)


def _bytes(bits: int) -> int:
    return -(-bits // 8)
