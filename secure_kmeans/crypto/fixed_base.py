"""Powers of one base, by a table that is made once.

The method is the comb of Lim and Lee ("More flexible exponentiation with precomputation", CRYPTO 1994). The bits of an
exponent are written as :data:`TEETH` rows of equal length, one below the other. A column of that array selects one
entry of a table. Each row is cut into :data:`TABLES` parts, with a table each, which share their squarings.
"""

from __future__ import annotations

from typing import Final

from gmpy2 import mpz, powmod

TEETH: Final = 8
TABLES: Final = 4


class FixedBase:
    """A base with its table.

    The table has ``4 * 256`` numbers below the modulus. A power takes an eighth of the exponent's bits in
    multiplications, and a quarter of that in squarings.

    Parameters
    ----------
    base, modulus : int
    exponent_bits : int
        Of the largest exponent.
    """

    def __init__(self, base: mpz, modulus: mpz, exponent_bits: int) -> None:
        self._modulus = modulus
        self._exponent_bits = exponent_bits
        self._part = -(-exponent_bits // (TEETH * TABLES))
        shift = mpz(1) << self._part
        shifted = [base % modulus]
        for _ in range(TEETH * TABLES - 1):
            shifted.append(powmod(shifted[-1], shift, modulus))
        self._tables = [self._products(shifted[number::TABLES]) for number in range(TABLES)]

    def _products(self, teeth: list[mpz]) -> list[mpz]:
        """The product of each subset of the teeth, at the index whose bits are the subset."""
        products = [mpz(1)]
        for tooth in teeth:
            products += [product * tooth % self._modulus for product in products]
        return products

    def power(self, exponent: int) -> mpz:
        """The base to the power of an exponent.

        Parameters
        ----------
        exponent : int
            From 0, of at most ``exponent_bits`` bits.
        """
        assert exponent >= 0
        assert exponent.bit_length() <= self._exponent_bits
        row = self._part * TABLES
        # The exponent's bits as text, lowest bit first; column c of the array is every row-th letter from c on.
        bits = format(exponent, f"0{row * TEETH}b")
        columns = [int(bits[row - 1 - column :: row], 2) for column in range(row)]
        result = mpz(1)
        for step in range(self._part - 1, -1, -1):
            result = result * result % self._modulus
            for number, table in enumerate(self._tables):
                result = result * table[columns[number * self._part + step]] % self._modulus
        return result
