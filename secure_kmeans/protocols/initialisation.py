"""Where the centroids of SHK start, computed on shares; nothing is revealed.

``farthest`` is Algorithm 1 of "Privacy Preserving Two Party K Means Clustering" (Kothari, Kaushik),
``k-means++`` the draw of Arthur and Vassilvitskii (2007), ``random`` step 1 of GMV's Algorithm 5. All
three take their randomness from public coins, and the plaintext's initialisations
(:mod:`secure_kmeans.plaintext.initialisation`) take the same rows from the same coins.

r restarts are computed side by side. Symbols: X the rows, C the centroids so far, D the squared distance
of each row to the nearest of them.

Differs from the paper: the distances stay squared, which changes no maximum.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from secure_kmeans.job import Job
from secure_kmeans.mpc.engine import Engine
from secure_kmeans.mpc.rounds import Step
from secure_kmeans.mpc.session import Session
from secure_kmeans.protocols.distances import bits_of_a_difference, squared_distances, squared_norms
from secure_kmeans.public_coins import Coins, DrawGrid

Report = Callable[[int, int], None]

_GROUPS_AT_ONCE = 1 << 17
"""Bounds the memory of a tournament's stage."""

_FEW = 4096
"""Up to so many candidates a stage of a tournament takes groups of 8, above groups of 4."""


def first_centroids(
    session: Session,
    job: Job,
    own_rows: np.ndarray,
    counts: list[int],
    X: np.ndarray,
    report: Callable[[str, int, int], None],
) -> tuple[int | None, np.ndarray]:
    """[SHK] step 1, for all restarts: the seed of the coins and the first centroids, (r, k, d) shares."""
    if job.centroids is not None:
        return None, session.from_public(job.scaling.apply(np.array(job.centroids)))[None]
    engine = session.engine
    seed = session.toss_coins() if job.seed is None else job.seed
    coins = Coins.draw(seed, job.init, sum(counts), job.n_clusters, job.n_init)

    def chosen(number: int, of: int) -> None:
        if engine.takes_part:
            report("initialisation", number, of)

    if job.init == "random":
        return seed, random_rows(X, coins)
    if job.init == "farthest":
        bits = bits_of_a_difference(job, job.precision_bits)
        return seed, engine.execute(farthest(engine, X, job.n_clusters, coins, bits, chosen))
    grid = DrawGrid.fitting(sum(counts), X.shape[1], job.scaling.largest)
    X_coarse = session.share_rows(session.fixed_point.on_grid(own_rows), counts, grid.row_bits)
    bits = bits_of_a_difference(job, grid.row_bits)
    step = k_means_plus_plus(engine, X, X_coarse, grid, job.n_clusters, coins, bits, chosen)
    return seed, engine.execute(step)


def random_rows(X: np.ndarray, coins: Coins) -> np.ndarray:
    """[SHK] step 1: the rows that the coins name. (r, k, d) shares. Rounds: 0."""
    return X[coins.rows]


def farthest(
    engine: Engine, X: np.ndarray, n_clusters: int, coins: Coins, bits: int, report: Report
) -> Step[np.ndarray]:
    """A row that the coins name, then, again and again, the row farthest from all centroids so far.

    Parameters
    ----------
    X : (n, d) shares, f fractional bits
    n_clusters : int
    coins : Coins
    bits : int
        That hold the difference of two squared distances.
    report : callable
        Told after each centroid how many there are.

    Returns
    -------
    (r, k, d) shares. A tie goes to the first row, as ``numpy.argmax`` breaks it.

    Rounds: 1 for the norms; for each centroid after the first 2 for the distances, from the third on a comparison and a
    product for the minimum, and a tournament.
    """
    centroid = X[coins.rows[:, 0]]  # (r, d)                            Algorithm 1, line 2
    norms = yield from squared_norms(engine, X)
    centroids, nearest = [centroid], None
    for number in range(2, n_clusters + 1):  #                          line 3
        distance = yield from squared_distances(engine, X, norms, centroid)  # (r, n)   lines 5 and 6
        nearest = distance if nearest is None else (yield from _smaller(engine, nearest, distance, bits))
        centroid = yield from row_of_largest(engine, nearest, X, bits)  #  lines 7 and 8
        centroids.append(centroid)
        report(number, n_clusters)
    return np.stack(centroids, axis=1)


def k_means_plus_plus(
    engine: Engine,
    X: np.ndarray,
    X_coarse: np.ndarray,
    grid: DrawGrid,
    n_clusters: int,
    coins: Coins,
    bits: int,
    report: Report,
) -> Step[np.ndarray]:
    """As :func:`farthest`, but the next row is drawn with probability proportional to D.

    A public draw u in [0, 1) picks the first row i with ``D_0 + ... + D_i > u (D_0 + ... + D_{n-1})``,
    found by one comparison for each row: the bits go from 0 to 1 once, their differences are the one-hot.
    Where all D are 0 the last row is taken.

    Parameters
    ----------
    X : (n, d) shares, f fractional bits
    X_coarse : (n, d) shares
        The same rows with ``grid.row_bits`` fractional bits, from which the distances are taken: with fewer
        bits, ``D`` times the draw fits the ring and nothing has to be truncated.
    grid : DrawGrid
    bits : int
        That hold the difference of two squared distances of coarse rows.

    Returns
    -------
    (r, k, d) shares.

    Rounds: 1 for the norms; for each centroid after the first 2 for the distances, from the third on a comparison and a
    product for the minimum, a comparison, and a product.
    """
    d = X.shape[1]
    both = np.concatenate([X, X_coarse], axis=1)
    chosen = both[coins.rows[:, 0]]  # (r, 2 d)
    norms = yield from squared_norms(engine, X_coarse)
    centroids, nearest = [chosen[:, :d]], None
    for number in range(2, n_clusters + 1):
        distance = yield from squared_distances(engine, X_coarse, norms, chosen[:, d:])
        nearest = distance if nearest is None else (yield from _smaller(engine, nearest, distance, bits))
        reached = nearest.cumsum(axis=1)  # (r, n): D_0 + ... + D_i, local
        draws = grid.round(coins.draws[:, number - 2])[:, None]
        passed = yield from engine.less_than(reached[:, -1:] * draws, reached << grid.draw_bits)
        passed[:, -1] = engine.public(np.ones(len(draws), dtype=np.int64))
        one_hot = np.concatenate([passed[:, :1], np.diff(passed, axis=1)], axis=1)
        chosen = yield from engine.matmul(one_hot, both)
        centroids.append(chosen[:, :d])
        report(number, n_clusters)
    return np.stack(centroids, axis=1)


def row_of_largest(engine: Engine, values: np.ndarray, rows: np.ndarray, bits: int) -> Step[np.ndarray]:
    """The row that belongs to the largest value; at a tie the first such row.

    Parameters
    ----------
    values : (r, n) shares
    rows : (n, d) shares
    bits : int
        That hold the difference of two values.

    Returns
    -------
    (r, d) shares. Neither the row's number nor its value is opened.

    Rounds: for each stage of the tournament those of an argmin and one product. A stage leaves one candidate in eight
    (of at most 4096) or one in four.
    """
    r, n = values.shape
    d = rows.shape[1]
    candidates = np.concatenate([values[:, :, None], np.broadcast_to(rows, (r, n, d))], axis=2)
    while (m := candidates.shape[1]) > 1:
        group = min(m, 8 if r * m <= _FEW else 4)
        if m % group:  # copies of the last one, which no tie prefers
            last = np.repeat(candidates[:, -1:], -m % group, axis=1)
            candidates = np.concatenate([candidates, last], axis=1)
        groups = candidates.reshape(-1, group, 1 + d)
        winners = []
        for start in range(0, len(groups), _GROUPS_AT_ONCE):
            block = groups[start : start + _GROUPS_AT_ONCE]
            best = yield from engine.argmin_one_hot(-block[..., 0].T, bits)
            winners.append((yield from engine.multiply(best.T[:, :, None], block)).sum(axis=1))
        candidates = np.concatenate(winners).reshape(r, -1, 1 + d)
    return candidates[:, 0, 1:]


def _smaller(engine: Engine, left: np.ndarray, right: np.ndarray, bits: int) -> Step[np.ndarray]:
    """Elementwise minimum; ``left`` at a tie. Rounds: those of a comparison, and one product."""
    return left + (yield from engine.multiply((yield from engine.less_than(right, left, bits)), right - left))
