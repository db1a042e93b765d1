"""Sketches of tables: in how many rows do two tables differ, without the rows of the earlier one.

A sketch holds keyed hashes of single rows, and nothing else of them. Of a small table it holds the hashes of all rows,
and the answer is exact. Of a large one it holds the smallest hashes only (a bottom-k sketch: Cohen, 1997), and the
answer is an estimate.

Rows count as often as they occur. Their order does not count, and neither does the order of the columns.
"""

from __future__ import annotations

import base64
import hashlib
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from secure_kmeans.tables import Table

MOST_HASHES: Final = 4096
"""Hashes of one sketch: the most rows of a table that is compared exactly."""
_HASH_BYTES: Final = 8
_FEW: Final = 20
_FEW_PART: Final = 100


@dataclass(frozen=True)
class Sketch:
    """What is kept of a table's rows.

    Attributes
    ----------
    rows : int
        Number of rows.
    digest : str
        Of the hashes of all rows, in hexadecimal: equal where the rows are.
    hashes : array of uint64
        The smallest hashes, ascending and without repetition, at most :data:`MOST_HASHES`.
    """

    rows: int
    digest: str
    hashes: np.ndarray

    @classmethod
    def of(cls, table: Table, key: bytes) -> Sketch:
        """Sketch a table.

        Parameters
        ----------
        table : Table
        key : bytes
            At most 64. Sketches under different keys cannot be compared.
        """
        hashes = _hashes_of(table, key)
        hashes.sort()
        digest = hashlib.blake2b(hashes.data, key=key, digest_size=16).hexdigest()
        return cls(len(table), digest, hashes[:MOST_HASHES].copy())

    def encoded(self) -> str:
        """The hashes in base64."""
        return base64.b64encode(self.hashes.astype("<u8").tobytes()).decode("ascii")

    @classmethod
    def decoded(cls, rows: int, digest: str, hashes: str) -> Sketch:
        """A sketch whose hashes :meth:`encoded` returned.

        Raises
        ------
        ValueError
        """
        numbers = np.frombuffer(base64.b64decode(hashes, validate=True), dtype="<u8").astype(np.uint64)
        if len(numbers) != min(rows, MOST_HASHES):
            raise ValueError("the number of hashes does not fit the number of rows")
        return cls(rows, digest, numbers)

    @property
    def is_whole(self) -> bool:
        """Whether it holds the hash of every row."""
        return len(self.hashes) == self.rows


@dataclass(frozen=True)
class Difference:
    """In how many rows two tables differ: a row that was changed, added or left out counts once.

    Attributes
    ----------
    rows : int
        The number, or the estimate.
    most : int
        The most that it is likely to be; ``rows`` where the number is exact.
    """

    rows: int
    most: int

    @property
    def is_exact(self) -> bool:
        """Whether ``rows`` is no estimate."""
        return self.rows == self.most


def difference(one: Sketch, other: Sketch) -> Difference:
    """In how many rows two tables differ, by their sketches under one key."""
    if one.digest == other.digest:
        return Difference(0, 0)
    larger, fewest = max(one.rows, other.rows), max(1, abs(one.rows - other.rows))
    if (one.is_whole and other.is_whole) or not (one.rows and other.rows):
        rows = larger - len(np.intersect1d(one.hashes, other.hashes, assume_unique=True))
        return Difference(rows, rows)
    # The smallest hashes of both tables together are a random sample of the different rows in them.
    size = min(len(one.hashes), len(other.hashes))
    sample = np.union1d(one.hashes, other.hashes)[:size]
    missing = size - len(np.intersect1d(sample, np.intersect1d(one.hashes, other.hashes)))
    estimate, most = (_rows_that_differ(one.rows, other.rows, part) for part in (missing / size, _most(missing, size)))
    return Difference(max(fewest, round(estimate)), max(fewest + 1, math.ceil(most)))


def _most(missing: int, size: int) -> float:
    """The largest part of all rows that is likely, given how many of a sample are in one table alone.

    Three standard deviations of a Poisson number; 3 of a sample that has none are less likely than 1 in 20.
    """
    return min(1.0, (missing + 3 + 3 * math.sqrt(missing)) / size)


def _rows_that_differ(one: int, other: int, apart: float) -> float:
    """The rows in which two tables differ, if this part of their different rows is in one of them alone.

    With c rows in common there are ``one + other - c`` different rows, and ``one + other - 2 c`` in one table alone.
    """
    common = (one + other) * (1 - apart) / (2 - apart)
    return max(one, other) - min(common, one, other)


def are_few(found: Difference, one: Sketch, other: Sketch) -> bool:
    """Whether tables differ in so few rows that the results of both say much of these rows.

    Few are up to 20 rows, or up to a hundredth of the larger table, but never more than half of it.
    """
    larger = max(one.rows, other.rows)
    return 0 < found.rows <= min(larger // 2, max(_FEW, larger // _FEW_PART))


def _hashes_of(table: Table, key: bytes) -> np.ndarray:
    """The hash of each row, uint64, all different: the second of two equal rows has another hash than the first.

    They take 8 bytes a row, also of a table that is read in chunks.
    """
    order = np.argsort(table.columns, kind="stable")
    hashes, done = np.empty(len(table), dtype=np.uint64), 0
    for rows in table.blocks():
        hashes[done : done + len(rows)] = _hashes_of_rows(np.ascontiguousarray(rows[:, order]), key)
        done += len(rows)
    hashes.sort()
    repeated = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
    occurrence, last = 0, -1
    for position in map(int, repeated):
        occurrence, last = occurrence + 1 if position == last + 1 else 1, position
        again = hashes[position].tobytes() + occurrence.to_bytes(8, "little")
        hashes[position] = int.from_bytes(hashlib.blake2b(again, key=key, digest_size=_HASH_BYTES).digest(), "little")
    return hashes


def _hashes_of_rows(rows: np.ndarray, key: bytes) -> np.ndarray:
    data = (rows + 0.0).tobytes()  # there is one zero, not two
    width = rows.shape[1] * rows.itemsize
    digests = (
        hashlib.blake2b(data[start : start + width], key=key, digest_size=_HASH_BYTES).digest()
        for start in range(0, len(data), width)
    )
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
