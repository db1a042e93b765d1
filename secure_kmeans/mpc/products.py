"""Products of shared numbers (Beaver, 1991), and products with a matrix that never changes.

A product opens both factors under masks. The provider gives shares of the masks' product. The rows X of a run are a
factor in every iteration. They are opened under one mask, once, ``E = X - A``, and an iteration opens only the other
factor. That is safe because X never changes. Every other mask is used once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secure_kmeans.mpc import kernels
from secure_kmeans.mpc.cleartext import matrix_product
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.rounds import Opening, Step


def multiply(core: Core, left: np.ndarray, right: np.ndarray) -> Step[np.ndarray]:
    """Elementwise products, modulo 2^64, of shares whose shapes broadcast. Rounds: 1.

    Bytes: 8 for each element of both factors from a party, 8 for each product from the dealer.
    """
    a, b = core.provider.uniform(*left.shape), core.provider.uniform(*right.shape)
    c = core.provider.products(a, b)
    if not core.takes_part:
        return np.zeros_like(c)
    e, f = yield from _both(left - a, right - b)
    return e * b + a * f + c + core.public(e * f)


def matmul(core: Core, left: np.ndarray, right: np.ndarray) -> Step[np.ndarray]:
    """Matrix products (q, m) @ (m, c), modulo 2^64. Rounds: 1. Bytes: as :func:`multiply`."""
    a, b = core.provider.uniform(*left.shape), core.provider.uniform(*right.shape)
    c = core.provider.matrix_products(a, b)
    if not core.takes_part:
        return np.zeros_like(c)
    e, f = yield from _both(left - a, right - b)
    return matrix_product(e, b) + matrix_product(a + e if core.first else a, f) + c


def _both(left: np.ndarray, right: np.ndarray) -> Step[tuple[np.ndarray, np.ndarray]]:
    """Open two factors in one round."""
    opened = yield Opening(np.concatenate([left.reshape(-1), right.reshape(-1)]))
    return opened[: left.size].reshape(left.shape), opened[left.size :].reshape(right.shape)


def squares(core: Core, values: np.ndarray) -> Step[np.ndarray]:
    """Elementwise squares, modulo 2^64. Rounds: 1. Bytes: 8 for each element from a party and from the dealer."""
    a = core.provider.uniform(*values.shape)
    c = core.provider.squares(a)
    if not core.takes_part:
        return np.zeros_like(values)
    e = yield Opening(values - a)
    return 2 * e * a + c + core.public(e * e)


@dataclass(frozen=True)
class FixedMatrix:
    """The rows X of a run, one column after the other, under a mask A that all iterations use.

    Attributes
    ----------
    masks : (d, n) int64
        Handle of A.
    opened : (d, n) int64
        E = X - A, public among the parties; zeros at the dealer.
    """

    masks: np.ndarray
    opened: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(d, n)."""
        d, n = self.masks.shape
        return d, n

    def of_rows(self, where: slice) -> FixedMatrix:
        """Some of the rows, under their part of the mask."""
        if where == slice(0, self.masks.shape[1]):
            return self
        opened = self.opened[:, where]
        return FixedMatrix(
            np.ascontiguousarray(self.masks[:, where]),
            np.ascontiguousarray(opened) if opened.strides[1] else opened,
        )


def fixed(core: Core, rows: np.ndarray) -> Step[FixedMatrix]:
    """Open rows under the mask that all iterations use. Rounds: 1. Bytes: 8 for each number from a party.

    Parameters
    ----------
    rows : (n, d) int64 shares
    """
    columns = np.ascontiguousarray(rows.T)
    masks = core.provider.uniform(*columns.shape)
    if not core.takes_part:
        return FixedMatrix(masks, np.broadcast_to(np.int64(0), columns.shape))
    return FixedMatrix(masks, (yield Opening(columns - masks)))


@dataclass(frozen=True)
class MaskedCentroids:
    """Centroids C under a fresh mask B.

    Attributes
    ----------
    masks : (r, k, d) int64
        Handle of B.
    opened : (r, k, d) int64
        F = C - B, public among the parties; zeros at the dealer.
    norms : (r, k) int64
        Shares of |B|^2.
    """

    masks: np.ndarray
    opened: np.ndarray
    norms: np.ndarray

    def __getitem__(self, restarts: np.ndarray) -> MaskedCentroids:
        """The centroids of some restarts."""
        return MaskedCentroids(self.masks[restarts], self.opened[restarts], self.norms[restarts])


def masked(core: Core, centroids: np.ndarray) -> Step[MaskedCentroids]:
    """Open (r, k, d) shares of centroids under a fresh mask.

    Rounds: 1. Bytes: 8 for each number from a party, 8 for each centroid from the dealer.
    """
    masks = core.provider.uniform(*centroids.shape)
    norms = core.provider.sums_of_squares(masks, axes=[2])
    if not core.takes_part:
        return MaskedCentroids(masks, np.zeros_like(centroids), norms)
    return MaskedCentroids(masks, (yield Opening(centroids - masks)), norms)


def movement(core: Core, before: MaskedCentroids, now: MaskedCentroids) -> np.ndarray:
    """Shares of the sum of the squared movements of each restart's centroids, (r,). Rounds: 0.

    Bytes: 8 for each restart from the dealer.
    """
    masks = now.masks - before.masks
    norms = core.provider.sums_of_squares(masks, axes=[1, 2])
    moved = now.opened - before.opened
    public = core.public((moved * moved).sum(axis=(1, 2)))
    return np.asarray(norms + 2 * (moved * masks).sum(axis=(1, 2)) + public) * core.takes_part


def masked_scores(core: Core, X: FixedMatrix, C: MaskedCentroids) -> tuple[np.ndarray, np.ndarray]:
    """How much farther than centroid 0 each other centroid is from each row, under fresh masks.

    With ``s_j = |c_j|^2 - 2 x . c_j``, the squared distance less |x|^2, the numbers are ``s_j - s_0``. The product of
    the masks of X and C is a term of them. It becomes a part of the mask instead, so that no correlation has to be
    sent for it. Rounds: 0. Bytes: 0.

    Returns
    -------
    masks : (k - 1, r, n) int64
        Handle of uniform masks.
    masked : (k - 1, r, n) int64
        Shares of ``s_j - s_0 + mask``.
    """
    r, k, _ = C.masks.shape
    n = X.shape[1]
    B = _less_first(C.masks)
    masks, masked = core.provider.uniform_less_product(2 * B, X.masks)
    if core.takes_part:
        F = _less_first(C.opened)
        kernels.add_products(masked, -2 * F, X.masks)
        kernels.add_products(masked, -2 * (B + F) if core.first else -2 * B, X.opened)
    masks, masked = masks.reshape(k - 1, r, n), masked.reshape(k - 1, r, n)
    if core.takes_part:
        norms = _norms(core, C)
        masked += (norms[:, 1:] - norms[:, :1]).T[:, :, None]
    return masks, masked


def scores(core: Core, X: FixedMatrix, C: MaskedCentroids) -> np.ndarray:
    """``|c_j|^2 - 2 x . c_j``, which orders the centroids of a row as their distances do.

    Returns
    -------
    (k, r, n) int64 shares. Rounds: 0. Bytes: 8 for each score from the dealer.
    """
    r, k, _ = C.masks.shape
    n = X.shape[1]
    B = _by_candidate(C.masks)
    found = core.provider.matrix_products(-2 * B, X.masks)
    if not core.takes_part:
        return np.zeros((k, r, n), dtype=np.int64)
    F = _by_candidate(C.opened)
    kernels.add_products(found, -2 * F, X.masks)
    kernels.add_products(found, -2 * (B + F) if core.first else -2 * B, X.opened)
    found = found.reshape(k, r, n)
    found += _norms(core, C).T[:, :, None]
    return found


def _norms(core: Core, C: MaskedCentroids) -> np.ndarray:
    """(r, k) shares of |c_j|^2."""
    return np.asarray(C.norms + 2 * (C.opened * C.masks).sum(axis=2) + core.public((C.opened * C.opened).sum(axis=2)))


def _by_candidate(centroids: np.ndarray) -> np.ndarray:
    """(k r, d) from (r, k, d), contiguous."""
    return np.ascontiguousarray(centroids.transpose(1, 0, 2)).reshape(-1, centroids.shape[2])


def _less_first(centroids: np.ndarray) -> np.ndarray:
    """``c_j - c_0`` as ((k - 1) r, d) from (r, k, d)."""
    return _by_candidate(centroids[:, 1:] - centroids[:, :1])


def sums(core: Core, H: np.ndarray, X: FixedMatrix, size: int) -> Step[np.ndarray]:
    """H X: for each row of H the sum of the rows of X that it selects.

    Parameters
    ----------
    H : (q, n) int64 shares
    X : FixedMatrix
    size : int
        The result is valid modulo 2^(8 size).

    Returns
    -------
    (q, d) int64 shares. Rounds: 1. Bytes: ``size`` for each element of H from a party, 8 for each sum from the dealer.
    """
    masks = core.provider.uniform(*H.shape)
    total = core.provider.matrix_products(masks, X.masks.T)
    if not core.takes_part:
        return np.zeros_like(total)
    opened = yield Opening(H - masks, size)
    kernels.add_dots(total, opened, X.masks)
    kernels.add_dots(total, H, X.opened)
    return total
