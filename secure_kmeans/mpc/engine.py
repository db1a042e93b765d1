"""What the protocols are computed with: steps on shares, by this package's own core or, for comparison, by CrypTen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from secure_kmeans.fixed_point import RING_BITS
from secure_kmeans.mpc import argmin, circuits, comparison, division, products, truncation
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.kernels import WORD
from secure_kmeans.mpc.rounds import Step

LABEL_BYTES: Final = 4

COMPARISONS_AT_ONCE: Final = 1 << 20
"""Bounds the memory of a step: a comparison takes some 100 bytes while it is made."""


@dataclass(frozen=True)
class Assignment:
    """One-hot assignment of rows to centroids, for each restart; only its engine looks into it.

    Attributes
    ----------
    blocks : list of arrays
        For each block of rows.
    restarts : int
    """

    blocks: list[np.ndarray]
    restarts: int


Centroids = Any
"""An engine's centroids of all restarts, ready for distances."""


class Engine(Protocol):
    """Steps on int64 shares. At a role that does not take part, only the result's shape is meaningful."""

    @property
    def takes_part(self) -> bool:
        """Whether this role holds shares: the dealer never does."""

    def execute(self, step: Step[Any]) -> Any:
        """Run one step and return its result."""

    def together(self, *steps: Step[Any]) -> list[Any]:
        """The results of steps whose openings share their rounds."""

    def public(self, values: np.ndarray) -> np.ndarray:
        """This role's share of public numbers."""

    def less_than(self, left: np.ndarray, right: np.ndarray, bits: int = 64) -> Step[np.ndarray]:
        """[left < right] as integers, for numbers whose difference has so many bits."""

    def argmin_one_hot(self, values: np.ndarray, bits: int = 64) -> Step[np.ndarray]:
        """(k, m) one-hot columns of the first smallest of (k, m)."""

    def multiply(self, left: np.ndarray, right: np.ndarray) -> Step[np.ndarray]:
        """Elementwise products."""

    def matmul(self, left: np.ndarray, right: np.ndarray) -> Step[np.ndarray]:
        """Products of matrices."""

    def squares(self, values: np.ndarray) -> Step[np.ndarray]:
        """Elementwise squares."""

    def shift_right(self, values: np.ndarray, bits: int) -> Step[np.ndarray]:
        """``values >> bits`` of (m,), |value| < 2^62, exactly."""

    def enter(self, rows: np.ndarray, r: int, k: int, bits: int) -> Step[None]:
        """Take (n, d) shares of the rows that :meth:`label` will label with k centroids of each of r restarts."""

    def centroids(self, C: np.ndarray) -> Step[Centroids]:
        """Make (r, k, d) shares ready for :meth:`label` and :meth:`moved_less`."""

    def label(self, C: Centroids, bits: int) -> Step[Assignment]:
        """The nearest of k centroids to each row; two scores differ by a number of so many bits."""

    def moved_more(self, before: Centroids, now: Centroids, limit: int) -> Step[np.ndarray]:
        """One word for each 64 restarts, XOR shares of [sum of the squared movements > ``limit``]."""

    def sums(self, H: Assignment, size: int) -> Step[tuple[np.ndarray, np.ndarray]]:
        """Sums of the rows of each cluster (r, k, d), and their counts (r, k), modulo 2^(8 size)."""

    def labels(self, H: Assignment) -> Step[tuple[np.ndarray, np.ndarray]]:
        """Of one restart: (n,) numbers of the rows' centroids and (k,) counts, modulo 2^(8 :data:`LABEL_BYTES`)."""

    def divide(self, T: np.ndarray, size: int) -> Step[Any]:
        """Get (q, d) dividends ready, |T| < 2^(8 size - 2), while their divisors are being revealed."""

    def divided(self, T: Any, divisors: np.ndarray, largest: int, most: int) -> Step[np.ndarray]:
        """``floor((T + t // 2) / t)`` for public t from 1 to ``most``."""

    def divided_by_secret(
        self, T: np.ndarray, counts: np.ndarray, otherwise: np.ndarray, largest: int
    ) -> Step[np.ndarray]:
        """The same for shared counts below 2^24; ``otherwise`` where a count is 0."""

    def hidden_anew(self, values: np.ndarray) -> Step[np.ndarray]:
        """The same values under fresh shares, which only all parties together can take apart."""


class SecureEngine:
    """This package's core; see :class:`Engine`."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.execute, self.together, self.public = core.execute, core.together, core.public
        self._blocks: list[products.FixedMatrix] = []
        self._totals = np.zeros(0, dtype=np.int64)

    @property
    def takes_part(self) -> bool:
        """Whether this role holds shares."""
        return self.core.takes_part

    def less_than(self, left: np.ndarray, right: np.ndarray, bits: int = 64) -> Step[np.ndarray]:
        """See :func:`~secure_kmeans.mpc.comparison.less_than`; many are compared in blocks."""
        left, right = np.broadcast_arrays(left, right)
        parts = []
        for where in _blocks(left.size, COMPARISONS_AT_ONCE):
            parts.append(
                (yield from comparison.less_than(self.core, left.reshape(-1)[where], right.reshape(-1)[where], bits))
            )
        return np.concatenate([*parts, np.zeros(0, dtype=np.int64)]).reshape(left.shape)

    def argmin_one_hot(self, values: np.ndarray, bits: int = 64) -> Step[np.ndarray]:
        """See :func:`~secure_kmeans.mpc.argmin.argmin_one_hot`; many columns are searched in blocks."""
        parts = []
        for where in _blocks(values.shape[1], max(WORD, COMPARISONS_AT_ONCE // _pairs(len(values)))):
            parts.append((yield from argmin.argmin_one_hot(self.core, values[:, where], bits)))
        return np.concatenate(parts, axis=1)

    def multiply(self, left: np.ndarray, right: np.ndarray) -> Step[np.ndarray]:
        """See :func:`~secure_kmeans.mpc.products.multiply`."""
        return (yield from products.multiply(self.core, left, right))

    def matmul(self, left: np.ndarray, right: np.ndarray) -> Step[np.ndarray]:
        """See :func:`~secure_kmeans.mpc.products.matmul`."""
        return (yield from products.matmul(self.core, left, right))

    def squares(self, values: np.ndarray) -> Step[np.ndarray]:
        """See :func:`~secure_kmeans.mpc.products.squares`."""
        return (yield from products.squares(self.core, values))

    def shift_right(self, values: np.ndarray, bits: int) -> Step[np.ndarray]:
        """See :func:`~secure_kmeans.mpc.truncation.shift_right`."""
        return (yield from truncation.shift_right(self.core, values, bits))

    def enter(self, rows: np.ndarray, r: int, k: int, bits: int) -> Step[None]:
        """Rows are kept in blocks, each under its fixed mask; the circuits are drawn up."""
        for width in (bits, RING_BITS):
            circuits.comparison(width)
        self._totals = rows.sum(axis=0)
        self._blocks = []
        for where in _blocks(len(rows), max(WORD, COMPARISONS_AT_ONCE // (r * _pairs(k)))):
            self._blocks.append((yield from products.fixed(self.core, rows[where])))

    def centroids(self, C: np.ndarray) -> Step[products.MaskedCentroids]:
        """See :func:`~secure_kmeans.mpc.products.masked`."""
        return (yield from products.masked(self.core, C))

    def label(self, C: products.MaskedCentroids, bits: int) -> Step[Assignment]:
        """For each block of m rows (k - 1, words for r m) planes, or, of many centroids, (k, r m) integers."""
        r, k, _ = C.masks.shape
        assigned = []
        for X in self._blocks:
            if argmin.compares_all_pairs(k, r * X.shape[1], bits):
                shape = k - 1, r * X.shape[1]
                masks, masked = (part.reshape(shape) for part in products.masked_scores(self.core, X, C))
                assigned.append((yield from argmin.argmin_of_masked(self.core, masks, masked, bits)))
            else:
                scores = products.scores(self.core, X, C).reshape(k, -1)
                assigned.append((yield from argmin.argmin_one_hot(self.core, scores, bits)))
        return Assignment(assigned, r)

    def moved_more(
        self, before: products.MaskedCentroids, now: products.MaskedCentroids, limit: int
    ) -> Step[np.ndarray]:
        """See :func:`~secure_kmeans.mpc.products.movement`."""
        moved = products.movement(self.core, before, now)
        spare = self.core.public(np.full(moved.shape, np.int64(limit))) - moved
        return (yield from comparison.negative(self.core, spare, RING_BITS))[0]

    def sums(self, H: Assignment, size: int) -> Step[tuple[np.ndarray, np.ndarray]]:
        """See :func:`~secure_kmeans.mpc.products.sums`; the last cluster has what is left."""
        sums, counts = [], []
        for X, assigned in zip(self._blocks, H.blocks, strict=True):
            most = yield from self._integers(assigned, H.restarts, X.shape[1], size)  # (k - 1, r, rows of the block)
            (d, n), (k, r) = X.shape, most.shape[:2]
            sums.append((yield from products.sums(self.core, most.reshape(k * r, n), X, size)).reshape(k, r, d))
            counts.append(most.sum(axis=2))
        T, t = sum(sums[1:], sums[0]), sum(counts[1:], counts[0])
        rows = self.core.public(np.full(t.shape[1], np.int64(sum(X.shape[1] for X in self._blocks))))
        T = np.concatenate([T, (self._totals - T.sum(axis=0))[None]]).transpose(1, 0, 2)
        t = np.concatenate([t, (rows - t.sum(axis=0))[None]]).T
        return np.ascontiguousarray(T), np.ascontiguousarray(t)

    def labels(self, H: Assignment) -> Step[tuple[np.ndarray, np.ndarray]]:
        """The sum of the numbers times the one-hot, and the sums of the one-hot."""
        numbers, counts = [], []
        for X, assigned in zip(self._blocks, H.blocks, strict=True):
            most = (yield from self._integers(assigned, H.restarts, X.shape[1], LABEL_BYTES))[:, 0]
            k, n = len(most) + 1, X.shape[1]
            last = self.core.public(np.ones(n, dtype=np.int64)) - most.sum(axis=0)
            one_hot = np.concatenate([most, last[None]])
            numbers.append((np.arange(k)[:, None] * one_hot).sum(axis=0))
            counts.append(one_hot.sum(axis=1))
        return np.concatenate(numbers), np.sum(counts, axis=0)

    def _integers(self, assigned: np.ndarray, r: int, rows: int, size: int) -> Step[np.ndarray]:
        """A block's assignment to all centroids but the last: (k - 1, r, rows) int64 shares modulo 2^(8 size)."""
        if assigned.dtype == np.int64:
            return assigned[:-1].reshape(len(assigned) - 1, r, rows)
        integers = yield from comparison.to_integers(self.core, assigned, r * rows, size)
        return integers.reshape(len(assigned), r, rows)

    def divide(self, T: np.ndarray, size: int) -> Step[division.Dividend]:
        """See :func:`~secure_kmeans.mpc.division.dividend`."""
        return (yield from division.dividend(self.core, T, size))

    def divided(self, T: division.Dividend, divisors: np.ndarray, largest: int, most: int) -> Step[np.ndarray]:
        """See :func:`~secure_kmeans.mpc.division.quotient`."""
        return (yield from division.quotient(self.core, T, divisors, largest, most))

    def divided_by_secret(
        self, T: np.ndarray, counts: np.ndarray, otherwise: np.ndarray, largest: int
    ) -> Step[np.ndarray]:
        """See :func:`~secure_kmeans.mpc.division.divide_by_secret`."""
        return (yield from division.divide_by_secret(self.core, T, counts, otherwise, largest))

    def hidden_anew(self, values: np.ndarray) -> Step[np.ndarray]:
        """Add the provider's shares of 0. Rounds: 0."""
        yield from ()
        return values + self.core.provider.shares_of_zero(*values.shape)


def _pairs(k: int) -> int:
    """Comparisons of a column of k candidates, or a little more."""
    return max(1, k * (k - 1) // 2) if k <= argmin.MANY else 2 * k


def _blocks(size: int, at_once: int) -> list[slice]:
    """All of ``size``, so much at once; one empty block where there is nothing."""
    return [slice(start, min(size, start + at_once)) for start in range(0, size, at_once)] or [slice(0, 0)]
