"""Rows whose columns several parties hold, each its own in the clear.

A party's part of a squared distance, over its own columns, is its share of the distance already: nothing is multiplied
on shares. A share must not be opened as it is, and it never is: the masks of a comparison are shares of their own,
which the party adds first. They do what a fresh sharing of 0 does, step 2 of GMV's Algorithm 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from secure_kmeans.mpc import argmin, comparison, kernels
from secure_kmeans.mpc.cleartext import bits_of, plane_of
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.crypten_adapter import Shared, is_bits, share_of, wrap
from secure_kmeans.mpc.rounds import Opening, Step
from secure_kmeans.mpc.rows import LABEL_BYTES, Assignment, blocks_of

_FEW_BYTES: Final = 2
"""Of the number of a centroid, where there are no more of them than these can tell apart."""


@dataclass(frozen=True)
class Columns:
    """One party's columns of the rows of a run.

    Attributes
    ----------
    core : Core
    own : (own columns, n) int64
        In the clear; at the dealer without columns.
    """

    core: Core
    own: np.ndarray

    def __len__(self) -> int:
        return self.own.shape[1]

    def label(self, C: np.ndarray, bits: int) -> Step[Assignment]:
        """Assign each row to the nearest of k centroids of each of r starts; ties go to the lowest index.

        Parameters
        ----------
        C : (r, k, own columns) int64
            This party's columns of the centroids, in the clear.
        bits : int
            The difference of two squared distances of a row fits ``bits`` bits, its sign included.

        Returns
        -------
        Assignment. Rounds: for each block those of :func:`~secure_kmeans.mpc.argmin.argmin_of_masked`. Bytes: those of
        the comparisons alone.
        """
        core, (r, k, _) = self.core, C.shape
        assigned = []
        for where in blocks_of(len(self), k, r):
            X = np.ascontiguousarray(self.own[:, where])
            m = r * X.shape[1]
            if argmin.compares_all_pairs(k, m, bits):
                masks = core.provider.uniform(k - 1, m)
                masked = masks
                if core.takes_part:
                    masked = own_scores(C, X) + masks
                assigned.append(wrap((yield from argmin.argmin_of_masked(core, masks, masked, bits))))
            else:
                scores = np.zeros((k, m), dtype=np.int64)
                if core.takes_part:
                    scores[1:] = own_scores(C, X)
                assigned.append(wrap((yield from argmin.argmin_one_hot(core, scores, bits))))
        return Assignment(tuple(assigned), k, r)


def own_scores(C: np.ndarray, X: np.ndarray) -> np.ndarray:
    """How much farther than centroid 0 each other centroid is from each row, squared, over some columns alone.

    Parameters
    ----------
    C : (r, k, columns) int64
    X : (columns, n) int64

    Returns
    -------
    (k - 1, r n) int64: ``|x - c_j|^2 - |x - c_0|^2``, in which ``|x|^2`` cancels.
    """
    r, k, d = C.shape
    n = X.shape[1]
    differences = np.ascontiguousarray((C[:, 1:] - C[:, :1]).transpose(1, 0, 2)).reshape(-1, d)
    norms = (C * C).sum(axis=2)
    found = np.empty(((k - 1) * r, n), dtype=np.int64)
    found[:] = (norms[:, 1:] - norms[:, :1]).T.reshape(-1, 1)
    kernels.add_products(found, -2 * differences, X)
    return found.reshape(k - 1, r * n)


def labels_in_the_clear(core: Core, H: Assignment, n: int) -> Step[np.ndarray]:
    """Open an assignment of n rows.

    Returns
    -------
    (r, n) int64 numbers of the rows' centroids; zeros at a role that does not take part.

    Rounds: 1; 2 where some blocks are bits and others are integers. Bytes: an eighth for each row and each centroid but
    the last, or 2 for each row, from a party; 4 with more than 65,536 centroids.
    """
    k, r = H.n_clusters, H.starts
    labels = np.zeros((r, n), dtype=np.int64)
    if not core.takes_part or k == 1:
        return labels
    slices = blocks_of(n, k, r)
    of_bits = [(where, block) for where, block in zip(slices, H.blocks, strict=True) if is_bits(block)]
    of_integers = [(where, block) for where, block in zip(slices, H.blocks, strict=True) if not is_bits(block)]
    if of_bits:
        opened = yield Opening(np.concatenate([share_of(block) for _, block in of_bits], axis=1))
        start = 0
        for where, block in of_bits:
            words = share_of(block).shape[1]
            bits = bits_of(np.ascontiguousarray(opened[:, start : start + words]), r * (where.stop - where.start))
            labels[:, where] = _numbers(bits).reshape(r, -1)
            start += words
    if of_integers:
        numbers = [(np.arange(k)[:, None] * share_of(block)).sum(axis=0) for _, block in of_integers]
        size = _FEW_BYTES if k <= 1 << 8 * _FEW_BYTES else LABEL_BYTES
        opened = yield Opening(np.concatenate(numbers), size)
        start = 0
        for where, _ in of_integers:
            m = r * (where.stop - where.start)
            part = opened[start : start + m] & np.int64((1 << 8 * size) - 1)
            labels[:, where] = part.reshape(r, -1)
            start += m
    return labels


def _numbers(one_hot: np.ndarray) -> np.ndarray:
    """The positions of the ones, (m,), in (k - 1, m) bits; k - 1 where there is none."""
    k = len(one_hot) + 1
    numbers = np.full(one_hot.shape[1], k - 1, dtype=np.int64)
    for number, bits in enumerate(one_hot):
        numbers -= (k - 1 - number) * bits
    return numbers


def moved_more(core: Core, before: np.ndarray, now: np.ndarray, limit: Shared, among: np.ndarray) -> Step[Shared]:
    """Bits, one word for each 64 starts: [sum of the squared movements > ``limit`` (1,)], 0 where not ``among``.

    Parameters
    ----------
    before, now : (r, k, own columns) int64
        This party's columns of the centroids. The squares of its own movements are its share of the sum.
    limit : (1,) encrypted tensor
    among : (r,) bool

    Rounds: those of a comparison.
    """
    moved = now - before
    spare = share_of(limit) - (moved * moved).sum(axis=(1, 2))
    bits = (yield from comparison.negative(core, spare, 64))[0]
    return wrap(bits & plane_of(among))
