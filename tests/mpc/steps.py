"""Every step of the core, and of the protocols' own, as a function of a core and (q, m) int64 shares."""

from collections.abc import Callable
from typing import Any

import numpy as np

from secure_kmeans.job.coins import DrawGrid, SecretCoins
from secure_kmeans.mpc import argmin, columns, comparison, division, products, truncation, withholding
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.crypten_adapter import Shared, share_of, wrap
from secure_kmeans.mpc.engine import SecureEngine
from secure_kmeans.mpc.rounds import Step
from secure_kmeans.protocols.starts import SecretStarts


def _sums(core: Core, v: np.ndarray) -> Step[Any]:
    X = yield from products.fixed(core, v.T)
    return (yield from products.sums(core, v, X, 5))


def _labels(core: Core, v: np.ndarray) -> Step[Any]:
    X = yield from products.fixed(core, v.T)
    C = yield from products.masked(core, v.T[:6].reshape(2, 3, -1))
    D = yield from products.masked(core, v.T[6:12].reshape(2, 3, -1))
    masks, masked = (part.reshape(2, -1) for part in products.masked_scores(core, X, C))
    planes = yield from argmin.argmin_of_masked(core, masks, masked, 40)
    return planes, products.scores(core, X, C), products.movement(core, C, D)


def _quotient(core: Core, v: np.ndarray) -> Step[Any]:
    waiting = yield from division.dividend(core, v, 5)
    return (yield from division.quotient(core, waiting, np.arange(1, len(v) + 1), 1000, 10**6))


def _divide_by_secret(core: Core, v: np.ndarray) -> Step[Any]:
    counts = v[:, 0] + core.public(np.full(len(v), 5))
    return (yield from division.divide_by_secret(core, v, counts, v, 1000))


def _of_protocols(step: Step[Shared]) -> Step[Any]:
    """The share of what a protocol's step on encrypted tensors returns."""
    return share_of((yield from step))


def secret_starts(starts: int, n: int, n_clusters: int = 2) -> SecretStarts:
    """One row a start, of n rows."""
    return SecretStarts(SecretCoins.draw(5, n, n_clusters, starts), starts, 1)


def _starting_rows(core: Core, v: np.ndarray) -> Step[Any]:
    n = v.shape[1]
    return _of_protocols(secret_starts(2, n).rows(SecureEngine(core), wrap(v.T.copy())))


def _draws(core: Core, v: np.ndarray) -> Step[Any]:
    totals, grid = wrap(v[:1].T.copy()), DrawGrid(12, 22)
    return _of_protocols(secret_starts(v.shape[1], 5).times_draws(SecureEngine(core), totals, 0, grid))


def _sizes_below(core: Core, v: np.ndarray) -> Step[Any]:
    return _of_protocols(withholding.sizes_below(SecureEngine(core), wrap(v[:3]), range(1, 3), 10_000))


def _dividends(core: Core, v: np.ndarray) -> Step[Any]:
    T, C = wrap(v[:2, :, None]), wrap(v[1:3, :, None])
    below = wrap(np.stack([v[:2], v[1:3]]))
    return _of_protocols(withholding.dividends(SecureEngine(core), T, C, below, 2))


def _label_own_columns(core: Core, v: np.ndarray) -> Step[Any]:
    """Two starts of three clusters; a role's share of v is its own columns of rows and centroids."""
    H = yield from columns.Columns(core, v).label(v.T[:6].reshape(2, 3, -1), 40)
    return share_of(H.blocks[0])


def _own_columns_moved_more(core: Core, v: np.ndarray) -> Step[Any]:
    """As many starts as there are numbers, of one cluster and one own column."""
    before, now = v.reshape(-1, 1, 1), v[::-1].reshape(-1, 1, 1)
    step = columns.moved_more(core, before, now, wrap(v[0, :1].copy()), np.ones(v.size, dtype=bool))
    return share_of((yield from step))


STEPS: dict[str, Callable[[Core, np.ndarray], Step[Any]]] = {
    "multiply": lambda core, v: products.multiply(core, v, v),
    "matmul": lambda core, v: products.matmul(core, v, v.T),
    "squares": products.squares,
    "sums": _sums,
    "labels": _labels,
    "label_own_columns": _label_own_columns,
    "own_columns_moved_more": _own_columns_moved_more,
    "less_than": lambda core, v: comparison.less_than(core, v, v, 40),
    "negative": lambda core, v: comparison.negative(core, v.reshape(-1), 17),
    "to_integers": lambda core, v: comparison.to_integers(core, v.view(np.uint64), 64 * v.shape[1], 3),
    "argmin": lambda core, v: argmin.argmin_one_hot(core, v[:6], 40),
    "tournament": lambda core, v: argmin.argmin_one_hot(core, v, 40),
    "truncate": lambda core, v: truncation.truncate(core, v, 20),
    "shift_right": lambda core, v: truncation.shift_right(core, v.reshape(-1), 20),
    "quotient": _quotient,
    "divide_by_secret": _divide_by_secret,
    "starting_rows": _starting_rows,
    "draws": _draws,
    "sizes_below": _sizes_below,
    "dividends": _dividends,
}
