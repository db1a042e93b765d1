"""Products of shared numbers (Beaver, 1991), and products with a matrix that never changes.

A product opens both factors under masks, of whose product the dealer deals shares. The rows X of a run are
factors of every iteration: they are opened under one mask, once, ``E = X - A``, and an iteration opens only what they
are multiplied with. That is safe because X never changes; every other mask is used once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secure_kmeans.mpc import kernels
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.rounds import Opening, Step


def multiply(core: Core, left: np.ndarray, right: np.ndarray) -> Step[np.ndarray]:
    """Elementwise products, modulo 2^64, of shares whose shapes broadcast. Rounds: 1.

    Bytes: 8 for each element of both factors from a party, 8 for each product from the dealer.
    """
    shape = np.broadcast_shapes(left.shape, right.shape)
    a, b = core.provider.uniform(*left.shape), core.provider.uniform(*right.shape)
    c = core.provider.dealt(shape, lambda: a * b)
    if not core.acts:
        return np.zeros(shape, dtype=np.int64)
    e, f = yield from _both(left - a, right - b)
    return e * b + a * f + c + core.public(e * f)


def matmul(core: Core, left: np.ndarray, right: np.ndarray) -> Step[np.ndarray]:
    """Matrix products (q, m) @ (m, c), modulo 2^64. Rounds: 1. Bytes: as :func:`multiply`."""
    shape = left.shape[0], right.shape[1]
    a, b = core.provider.uniform(*left.shape), core.provider.uniform(*right.shape)
    c = core.provider.dealt(shape, lambda: product(a, b))
    if not core.acts:
        return np.zeros(shape, dtype=np.int64)
    e, f = yield from _both(left - a, right - b)
    return product(e, b) + product(a + e if core.first else a, f) + c


def _both(left: np.ndarray, right: np.ndarray) -> Step[tuple[np.ndarray, np.ndarray]]:
    """Open two factors in one round."""
    opened = yield Opening(np.concatenate([left.reshape(-1), right.reshape(-1)]))
    return opened[: left.size].reshape(left.shape), opened[left.size :].reshape(right.shape)


def squares(core: Core, values: np.ndarray) -> Step[np.ndarray]:
    """Elementwise squares, modulo 2^64. Rounds: 1. Bytes: 8 for each element from a party and from the dealer."""
    a = core.provider.uniform(*values.shape)
    c = core.provider.dealt(values.shape, lambda: a * a)
    if not core.acts:
        return np.zeros_like(values)
    e = yield Opening(values - a)
    return 2 * e * a + c + core.public(e * e)


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``left @ right`` modulo 2^64, for int64 (q, m) and (m, c)."""
    out = np.zeros((left.shape[0], right.shape[1]), dtype=np.int64)
    if left.shape[1] > right.shape[1]:
        kernels.add_dots(out, np.ascontiguousarray(left), np.ascontiguousarray(right.T))
    else:
        kernels.add_products(out, np.ascontiguousarray(left), np.ascontiguousarray(right))
    return out


@dataclass(frozen=True)
class FixedMatrix:
    """The rows of a run, under the one mask A that they keep.

    Attributes
    ----------
    masks : (d, n) int64
        This role's share of A, a column of the rows after the other; the dealer's is A itself.
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


def fixed(core: Core, rows: np.ndarray) -> Step[FixedMatrix]:
    """Open rows under a mask for good. Rounds: 1. Bytes: 8 for each number from a party.

    Parameters
    ----------
    rows : (n, d) int64 shares
    """
    columns = np.ascontiguousarray(rows.T)
    masks = core.provider.uniform(*columns.shape)
    if not core.acts:
        return FixedMatrix(masks, np.broadcast_to(np.int64(0), columns.shape))
    return FixedMatrix(masks, (yield Opening(columns - masks)))


@dataclass(frozen=True)
class MaskedCentroids:
    """Centroids C under a fresh mask B.

    Attributes
    ----------
    masks : (r, k, d) int64
        This role's share of B; the dealer's is B itself.
    opened : (r, k, d) int64
        F = C - B.
    norms : (r, k) int64
        Shares of |B|^2, dealt.
    """

    masks: np.ndarray
    opened: np.ndarray
    norms: np.ndarray

    def __getitem__(self, restarts: np.ndarray) -> MaskedCentroids:
        """Those of some restarts."""
        return MaskedCentroids(self.masks[restarts], self.opened[restarts], self.norms[restarts])


def masked(core: Core, centroids: np.ndarray) -> Step[MaskedCentroids]:
    """Open (r, k, d) shares of centroids under a fresh mask.

    Rounds: 1. Bytes: 8 for each number from a party, 8 for each centroid from the dealer.
    """
    masks = core.provider.uniform(*centroids.shape)
    norms = core.provider.dealt(centroids.shape[:2], lambda: (masks * masks).sum(axis=2))
    if not core.acts:
        return MaskedCentroids(masks, np.zeros_like(centroids), norms)
    return MaskedCentroids(masks, (yield Opening(centroids - masks)), norms)


def movement(core: Core, before: MaskedCentroids, now: MaskedCentroids) -> np.ndarray:
    """Shares of the squared movements of all centroids of each restart, (r,), from what was opened. Rounds: 0.

    Bytes: 8 for each restart from the dealer.
    """
    masks = now.masks - before.masks
    dealt = core.provider.dealt(masks.shape[:1], lambda: (masks * masks).sum(axis=(1, 2)))
    moved = now.opened - before.opened
    public = core.public((moved * moved).sum(axis=(1, 2)))
    return np.asarray(dealt + 2 * (moved * masks).sum(axis=(1, 2)) + public) * core.acts


def masked_scores(core: Core, X: FixedMatrix, C: MaskedCentroids) -> np.ndarray:
    """How much farther than centroid 0 each other one is from each row, plus masks that the dealer knows.

    With ``s_j = |c_j|^2 - 2 x . c_j``, the squared distance less |x|^2, these are ``s_j - s_0 + mask``, where the mask
    is uniform. The product of the masks of X and C is part of it, so that nothing needs to be dealt.

    Returns
    -------
    (k - 1, r, n) int64: a party's share of the masked numbers, or, at the dealer, the masks. Rounds: 0. Bytes: 0.
    """
    r, k, _ = C.masks.shape
    n = X.shape[1]
    masked = core.provider.uniform(k - 1, r, n)
    if not core.acts and not core.deals:
        return masked
    flat = masked.reshape((k - 1) * r, n)
    B = _less_first(C.masks)
    if core.deals:
        kernels.add_products(flat, 2 * B, X.masks)
        return masked
    F = _less_first(C.opened)
    kernels.add_products(flat, -2 * F, X.masks)
    kernels.add_products(flat, -2 * (B + F) if core.first else -2 * B, X.opened)
    norms = _norms(core, C)
    masked += (norms[:, 1:] - norms[:, :1]).T[:, :, None]
    return masked


def scores(core: Core, X: FixedMatrix, C: MaskedCentroids) -> np.ndarray:
    """``|c_j|^2 - 2 x . c_j``: what orders the centroids of a row as the distance does.

    Returns
    -------
    (k, r, n) int64 shares. Rounds: 0. Bytes: 8 for each score from the dealer.
    """
    r, k, _ = C.masks.shape
    n = X.shape[1]

    def products() -> np.ndarray:
        out = np.zeros((k * r, n), dtype=np.int64)
        kernels.add_products(out, -2 * _by_candidate(C.masks), X.masks)
        return out.reshape(k, r, n)

    dealt = core.provider.dealt((k, r, n), products)
    if not core.acts:
        return np.zeros((k, r, n), dtype=np.int64)
    found = dealt.copy()
    flat = found.reshape(k * r, n)
    kernels.add_products(flat, -2 * _by_candidate(C.opened), X.masks)
    kernels.add_products(flat, -2 * _by_candidate(C.masks + core.public(C.opened)), X.opened)
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
    """H X, for each row of H the sum of the rows of X that it selects.

    Parameters
    ----------
    H : (q, n) int64 shares
    X : FixedMatrix
    size : int
        The sums are wanted modulo 2^(8 size).

    Returns
    -------
    (q, d) int64 shares. Rounds: 1. Bytes: ``size`` for each element of H from a party, 8 for each sum from the dealer.
    """
    shape = H.shape[0], X.shape[0]
    masks = core.provider.uniform(*H.shape)

    def products() -> np.ndarray:
        out = np.zeros(shape, dtype=np.int64)
        kernels.add_dots(out, masks, X.masks)
        return out

    total = core.provider.dealt(shape, products)
    if not core.acts:
        return np.zeros(shape, dtype=np.int64)
    opened = yield Opening(H - masks, size)
    total = total.copy()
    kernels.add_dots(total, opened, X.masks)
    kernels.add_dots(total, H, X.opened)
    return total
