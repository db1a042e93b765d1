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

import torch

from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.argmin import row_of_largest
from secure_kmeans.mpc.comparison import less_than
from secure_kmeans.mpc.crypten_adapter import Shared
from secure_kmeans.protocols.distances import scores, squared_norms
from secure_kmeans.public_coins import Coins, DrawGrid

Report = Callable[[int, int], None]


def random_rows(X: Shared, coins: Coins) -> Shared:
    """[SHK] step 1: the rows that the coins name. (r, k, d) shares. Rounds: 0."""
    return X[torch.from_numpy(coins.rows)]


def farthest(X: Shared, n_clusters: int, coins: Coins, report: Report) -> Shared:
    """A row that the coins name, then, again and again, the row farthest from all centroids so far.

    Parameters
    ----------
    X : (n, d) shares, f fractional bits
    n_clusters : int
    coins : Coins
    report : callable
        Told after each centroid how many there are.

    Returns
    -------
    (r, k, d) shares. A tie goes to the first row, as ``numpy.argmax`` breaks it.

    Rounds: for each centroid after the first two products, one selection of a minimum and one tournament.
    """
    centroid = X[torch.from_numpy(coins.rows[:, 0])]  # (r, d)          Algorithm 1, line 2
    norms = squared_norms(X)
    centroids, nearest = [centroid], None
    for number in range(2, n_clusters + 1):  #                          line 3
        distance = (norms + scores(X, centroid)).t()  # (r, n)          lines 5 and 6
        nearest = distance if nearest is None else _smaller(nearest, distance)
        centroid = row_of_largest(nearest, X)  #                        lines 7 and 8
        centroids.append(centroid)
        report(number, n_clusters)
    return _stack(centroids)


def k_means_plus_plus(
    X: Shared, X_coarse: Shared, grid: DrawGrid, n_clusters: int, coins: Coins, report: Report
) -> Shared:
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

    Returns
    -------
    (r, k, d) shares.

    Rounds: for each centroid after the first two products, one selection of a minimum, one comparison,
    one bit conversion and one product.
    """
    d = X.shape[1]
    both = crypten.cat([X, X_coarse], dim=1)
    chosen = both[torch.from_numpy(coins.rows[:, 0])]  # (r, 2 d)
    norms = squared_norms(X_coarse)
    centroids, nearest = [chosen[:, :d]], None
    for number in range(2, n_clusters + 1):
        distance = (norms + scores(X_coarse, chosen[:, d:])).t()
        nearest = distance if nearest is None else _smaller(nearest, distance)
        reached = nearest.share.cumsum(1)  # (r, n): D_0 + ... + D_i, local
        draws = torch.from_numpy(grid.round(coins.draws[:, number - 2])).unsqueeze(1)
        scaled = crypten.with_share(nearest, reached << grid.draw_bits)
        goal = crypten.with_share(nearest, reached[:, -1:] * draws)
        passed = crypten.bit_to_integer(less_than(goal, scaled)).share
        passed = torch.cat(
            [passed[:, :-1], crypten.from_public(torch.ones(len(draws), 1, dtype=torch.long)).share], dim=1
        )
        one_hot = torch.cat([passed[:, :1], passed.diff(dim=1)], dim=1)
        chosen = crypten.with_share(nearest, one_hot).matmul(both)
        centroids.append(chosen[:, :d])
        report(number, n_clusters)
    return _stack(centroids)


def _stack(centroids: list[Shared]) -> Shared:
    return crypten.cat([centroid.unsqueeze(1) for centroid in centroids], dim=1)


def _smaller(left: Shared, right: Shared) -> Shared:
    """Elementwise minimum; ``left`` at a tie. Rounds: one comparison, one bit conversion, one product."""
    return left + crypten.bit_to_integer(less_than(right, left)) * (right - left)
