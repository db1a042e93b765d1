"""The rows of a run as a value: entered once under one mask, labelled and summed any number of times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from secure_kmeans.mpc import argmin, comparison, products
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.crypten_adapter import Shared, is_bits, share_of, wrap
from secure_kmeans.mpc.kernels import WORD
from secure_kmeans.mpc.products import FixedMatrix, MaskedCentroids
from secure_kmeans.mpc.rounds import Step

LABEL_BYTES: Final = 4

COMPARISONS_AT_ONCE: Final = 1 << 20
"""Bounds the memory of a step: a comparison takes some 100 bytes while it is made."""


@dataclass(frozen=True)
class Assignment:
    """One-hot assignment of rows to the centroids of each of r starts.

    Attributes
    ----------
    blocks : tuple of encrypted tensors
        One for each block of m rows: bits in planes, (k - 1, words for r m), of all centroids but the last; or, of
        many centroids, integers, (k, r m).
    n_clusters : int
        k.
    starts : int
        r.
    """

    blocks: tuple[Shared, ...]
    n_clusters: int
    starts: int


@dataclass(frozen=True)
class Rows:
    """Rows X under the one mask that they keep for the whole run.

    The rows serve for any number of clusters and of starts. A step works on blocks of rows, whose size follows from
    these two numbers, so that its memory stays bounded.

    Attributes
    ----------
    core : Core
    matrix : FixedMatrix
        (d, n).
    totals : (d,) int64
        This role's share of the sum of all rows.
    """

    core: Core
    matrix: FixedMatrix
    totals: np.ndarray

    @classmethod
    def enter(cls, core: Core, X: Shared) -> Step[Rows]:
        """Open (n, d) rows under a mask that they keep. Rounds: 1. Bytes: 8 for each number from a party."""
        rows = share_of(X)
        return cls(core, (yield from products.fixed(core, rows)), rows.sum(axis=0))

    def __len__(self) -> int:
        return self.matrix.shape[1]

    def blocks(self, k: int, r: int) -> Iterator[FixedMatrix]:
        """The rows in blocks for labelling with k centroids of each of r starts."""
        for where in blocks_of(len(self), k, r):
            yield self.matrix.of_rows(where)

    def label(self, C: MaskedCentroids, bits: int) -> Step[Assignment]:
        """Assign each row to the nearest of k centroids of each of r starts; ties go to the lowest index.

        Parameters
        ----------
        C : MaskedCentroids
            (r, k, d).
        bits : int
            The difference of two scores of a row fits ``bits`` bits, its sign included.

        Returns
        -------
        Assignment. Rounds: for each block those of :func:`~secure_kmeans.mpc.argmin.argmin_of_masked`.
        """
        r, k, _ = C.masks.shape
        assigned = []
        for X in self.blocks(k, r):
            m = r * X.shape[1]
            if argmin.compares_all_pairs(k, m, bits):
                masks, masked = (part.reshape(k - 1, m) for part in products.masked_scores(self.core, X, C))
                planes = yield from argmin.argmin_of_masked(self.core, masks, masked, bits)
                assigned.append(wrap(planes))
            else:
                scores = products.scores(self.core, X, C).reshape(k, -1)
                assigned.append(wrap((yield from argmin.argmin_one_hot(self.core, scores, bits))))
        return Assignment(tuple(assigned), k, r)

    def sums(self, H: Assignment, size: int) -> Step[tuple[Shared, Shared]]:
        """Sums of the rows of each cluster, (r, k, d), and their counts, (r, k), modulo 2^(8 size).

        The last cluster has what is left of all rows. Rounds: for each block 1 for integers from bits, 1 for the sums.
        """
        sums, counts = [], []
        k, r = H.n_clusters - 1, H.starts
        for X, assigned in zip(self.blocks(H.n_clusters, r), H.blocks, strict=True):
            d, n = X.shape
            most = yield from _integers(self.core, assigned, r, n, size)  # (k - 1, r, rows of the block)
            sums.append((yield from products.sums(self.core, most.reshape(k * r, n), X, size)).reshape(k, r, d))
            counts.append(most.sum(axis=2))
        T, t = sum(sums[1:], sums[0]), sum(counts[1:], counts[0])
        rows = self.core.public(np.full(r, np.int64(len(self))))
        T = np.concatenate([T, (self.totals - T.sum(axis=0))[None]]).transpose(1, 0, 2)
        t = np.concatenate([t, (rows - t.sum(axis=0))[None]]).T
        return wrap(np.ascontiguousarray(T)), wrap(np.ascontiguousarray(t))

    def labels(self, H: Assignment) -> Step[tuple[Shared, Shared]]:
        """See :func:`labels_on_shares`."""
        return (yield from labels_on_shares(self.core, H, len(self)))


def labels_on_shares(core: Core, H: Assignment, n: int) -> Step[tuple[Shared, Shared]]:
    """Of one start: (n,) numbers of the rows' centroids and (k,) counts, modulo 2^(8 :data:`LABEL_BYTES`).

    Rounds: for each block 1 for integers from bits.
    """
    numbers, counts = [], []
    for where, assigned in zip(blocks_of(n, H.n_clusters, H.starts), H.blocks, strict=True):
        size = where.stop - where.start
        most = (yield from _integers(core, assigned, H.starts, size, LABEL_BYTES))[:, 0]
        last = core.public(np.ones(size, dtype=np.int64)) - most.sum(axis=0)
        one_hot = np.concatenate([most, last[None]])
        numbers.append((np.arange(len(one_hot))[:, None] * one_hot).sum(axis=0))
        counts.append(one_hot.sum(axis=1))
    return wrap(np.concatenate(numbers)), wrap(np.sum(counts, axis=0))


def _integers(core: Core, assigned: Shared, r: int, n: int, size: int) -> Step[np.ndarray]:
    """A block's assignment to all centroids but the last: (k - 1, r, n) int64 shares modulo 2^(8 size)."""
    share = share_of(assigned)
    if not is_bits(assigned):
        return share[:-1].reshape(len(share) - 1, r, n)
    integers = yield from comparison.to_integers(core, share, r * n, size)
    return integers.reshape(len(share), r, n)


def blocks_of(n: int, k: int, r: int) -> list[slice]:
    """The blocks of n rows for labelling with k centroids of each of r starts."""
    return slices(n, max(WORD, COMPARISONS_AT_ONCE // (r * pairs_of_candidates(k))))


def pairs_of_candidates(k: int) -> int:
    """Comparisons of a column of k candidates, or a little more."""
    return max(1, k * (k - 1) // 2) if k <= argmin.MANY else 2 * k


def slices(size: int, at_once: int) -> list[slice]:
    """Slices of at most ``at_once`` that cover ``size``; one empty slice where there is nothing."""
    return [slice(start, min(size, start + at_once)) for start in range(0, size, at_once)] or [slice(0, 0)]
