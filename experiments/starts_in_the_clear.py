"""Random tables, and what runs from many starts disclose of them, computed in the clear, for the attack on sizes.

The loops are those of `secure_kmeans.plaintext`, which finds what a secure run finds. They are compiled here, because
an attack simulates millions of starts. A test compares them with the package's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numba
import numpy as np

from secure_kmeans.job import Init

ROWS: Final = 200
"""Of both parties together."""
ITERATIONS: Final = 20
UNITS: Final = 1 << 16
"""Fixed point units of one unit of a table."""
MALL: Final = Path(__file__).resolve().parent.parent / "data" / "mall_customers.csv"

Disclosed = Literal["sizes", "stops"]


# ------------------------------------------------------------------------------------------------------ the tables


def uniform(chance: np.random.Generator, columns: int) -> np.ndarray:
    """Whole numbers from 0 to 80, all equally likely."""
    return chance.integers(0, 81, (ROWS, columns))


def clustered(chance: np.random.Generator, columns: int) -> np.ndarray:
    """Whole numbers around four centres, of different weights and widths."""
    centres, widths = chance.uniform(8, 72, (4, columns)), chance.uniform(2, 6, 4)
    of = chance.choice(4, ROWS, p=chance.dirichlet(np.full(4, 3.0)))
    drawn = centres[of] + widths[of, None] * chance.normal(size=(ROWS, columns))
    return np.clip(np.rint(drawn), 0, 80).astype(np.int64)


def mall(chance: np.random.Generator, columns: int) -> np.ndarray:
    """The mall customers in a random order: ages, or annual incomes and spending scores."""
    table = np.loadtxt(MALL, delimiter=",", skiprows=1, usecols=(2,) if columns == 1 else (3, 4), ndmin=2)
    return chance.permutation(table.astype(np.int64))


@dataclass(frozen=True)
class Case:
    """A kind of table.

    Attributes
    ----------
    draw : callable
        Callback(generator, columns): (ROWS, columns) int64.
    columns, n_clusters : int
    own : int
        Rows of the attacker, which are the first ones.
    """

    draw: Callable[[np.random.Generator, int], np.ndarray]
    columns: int = 1
    n_clusters: int = 3
    own: int = ROWS // 2


CASES: Final = {
    "uniform": Case(uniform),
    "clustered": Case(clustered),
    "mall, ages": Case(mall),
    "mall, 2 columns": Case(mall, columns=2, n_clusters=5),
    "uniform, 2 columns": Case(uniform, columns=2),
    "clustered, 2 columns": Case(clustered, columns=2),
    "uniform, 40 own rows": Case(uniform, own=40),
    "uniform, 160 own rows": Case(uniform, own=160),
    "clustered, 40 own rows": Case(clustered, own=40),
    "clustered, 160 own rows": Case(clustered, own=160),
}


# --------------------------------------------------------------------------------------------- what a run discloses

_Loop = Callable[..., np.ndarray]


def _compiled(loop: _Loop) -> _Loop:
    try:
        compiled: Any = numba.njit(cache=True, nogil=True)(loop)
    except RuntimeError:  # there is no folder for the cache
        compiled = numba.njit(nogil=True)(loop)
    return compiled  # type: ignore[no-any-return]


@_compiled
def sizes_by_iteration(table: np.ndarray, starts: np.ndarray, iterations: int) -> np.ndarray:
    """The sizes that `secure_kmeans.plaintext.kmeans.lloyd` finds from each start, until no centroid moves.

    Parameters
    ----------
    table : (n, d) int64
        In units of the fixed point.
    starts : (n_starts, k, d) int64
    iterations : int

    Returns
    -------
    (n_starts, iterations, k) int64. After its last iteration a start's sizes are repeated.
    """
    (n, d), k = table.shape, starts.shape[1]
    found = np.zeros((len(starts), iterations, k), np.int64)
    for start in range(len(starts)):
        centroids = starts[start].copy()
        for iteration in range(iterations):
            sums, sizes = np.zeros((k, d), np.int64), np.zeros(k, np.int64)
            for row in range(n):
                nearest, least = 0, np.int64(1) << 62
                for j in range(k):
                    squared = np.int64(0)
                    for column in range(d):
                        squared += (table[row, column] - centroids[j, column]) ** 2
                    if squared < least:
                        nearest, least = j, squared
                sizes[nearest] += 1
                for column in range(d):
                    sums[nearest, column] += table[row, column]
            found[start, iteration] = sizes
            moved = False
            for j in range(k):
                for column in range(d if sizes[j] else 0):
                    mean = (sums[j, column] + sizes[j] // 2) // sizes[j]
                    moved |= mean != centroids[j, column]
                    centroids[j, column] = mean
            if not moved:
                found[start, iteration:] = sizes
                break
    return found


@_compiled
def _chosen(table: np.ndarray, first: np.ndarray, draws: np.ndarray, farthest: bool) -> np.ndarray:
    """Row numbers of each start: the first one, then the farthest each time, or as k-means++ draws them."""
    (n, d), k = table.shape, draws.shape[1] + 1
    rows = np.empty((len(first), k), np.int64)
    for start in range(len(first)):
        rows[start, 0] = first[start]
        nearest = np.full(n, np.inf)
        for j in range(1, k):
            last = rows[start, j - 1]
            for row in range(n):
                squared = 0.0
                for column in range(d):
                    squared += float(table[row, column] - table[last, column]) ** 2
                nearest[row] = min(nearest[row], squared)
            if farthest:
                rows[start, j] = nearest.argmax()
            else:
                reached = np.cumsum(nearest)
                rows[start, j] = min(n - 1, (reached <= reached[-1] * draws[start, j - 1]).sum())
    return rows


@dataclass(frozen=True)
class Coins:
    """Where starts begin.

    Attributes
    ----------
    rows : (n_starts, m) int64
        Row numbers: of all clusters with "random", else of the first cluster (m = 1).
    draws : (n_starts, n_clusters - 1) floats in [0, 1)
        For "k-means++" only.
    """

    rows: np.ndarray
    draws: np.ndarray

    @classmethod
    def tossed(cls, chance: np.random.Generator, init: Init, n_clusters: int, n_starts: int) -> "Coins":
        """Coins as the package draws them: with "random" different rows in a start, else different rows in all."""
        if init == "random":
            rows = chance.random((n_starts, ROWS)).argsort(axis=1)[:, :n_clusters].copy()
        else:
            rows = chance.permutation(ROWS)[:n_starts, None]
        return cls(rows, chance.random((n_starts, n_clusters - 1)))

    def start(self, number: int) -> "Coins":
        """The coins of one start."""
        return Coins(self.rows[number : number + 1], self.draws[number : number + 1])


def disclosed(table: np.ndarray, init: Init, coins: Coins, what: Disclosed) -> np.ndarray:
    """What a run discloses of each start: the parts of the rows that its clusters have, or when it stops.

    Returns
    -------
    (n_starts, ITERATIONS, n_clusters or 1) floats
    """
    rows = coins.rows if init == "random" else _chosen(table, coins.rows[:, 0], coins.draws, init == "farthest")
    sizes = sizes_by_iteration(table * UNITS, table[rows] * UNITS, ITERATIONS)
    if what == "sizes":
        return np.asarray(sizes / len(table))
    changes = (np.diff(sizes, axis=1) != 0).any(axis=2)
    goes_on = changes[:, ::-1].cumsum(axis=1)[:, ::-1] > 0
    return np.asarray(np.pad(goes_on, ((0, 0), (0, 1))).astype(float)[:, :, None])
