"""Random tables, and what runs on them disclose in each iteration, for the attack on the centroids of every iteration.

All is computed in the clear: the secure run finds the same numbers, to the last bit.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from secure_kmeans.job import Party, Scaling
from secure_kmeans.job.fixed_point import FixedPoint, choose_precision_bits
from secure_kmeans.job.tolerance import Tolerance
from secure_kmeans.plaintext.kmeans import lloyd, nearest_centroids, number_of_best
from secure_kmeans.plaintext.points import Moments, points
from secure_kmeans.protocols.smo07 import Smo07Job

MALL: Final = Path(__file__).resolve().parent.parent / "data" / "mall_customers.csv"


# ------------------------------------------------------------------------------------------------------ the tables


def uniform(chance: np.random.Generator, n: int, columns: int) -> np.ndarray:
    """Whole numbers from 0 to 100, all equally likely."""
    return chance.integers(0, 101, (n, columns))


def prices(chance: np.random.Generator, n: int, columns: int) -> np.ndarray:
    """Whole numbers from 0 to 10,000, all equally likely."""
    return chance.integers(0, 10_001, (n, columns))


def mall(chance: np.random.Generator, n: int, columns: int) -> np.ndarray:
    """Of the mall customers, in a random order: annual incomes and spending scores, or the incomes alone."""
    table = np.loadtxt(MALL, delimiter=",", skiprows=1, usecols=(3, 4)[:columns], ndmin=2).astype(np.int64)
    return chance.permutation(table)[:n]


@dataclass(frozen=True)
class Case:
    """A kind of table of whole numbers, and the job that clusters it.

    Attributes
    ----------
    columns, parties, rows : int
        Rows of each party. The attacker is the first one.
    n_clusters, n_init, min_cluster_size, max_iter : int
    tol : float
    init : "moments" or "uniform"
        With "uniform" the totals of the columns are not disclosed.
    draw : callable
        Callback(generator, rows of all, columns): (rows of all, columns) int64.
    lower, upper : int
        Bounds of every column.
    """

    columns: int = 2
    parties: int = 3
    rows: int = 50
    n_clusters: int = 5
    n_init: int = 5
    min_cluster_size: int = 5
    max_iter: int = 100
    tol: float = 0.0
    init: Literal["moments", "uniform"] = "moments"
    draw: Callable[[np.random.Generator, int, int], np.ndarray] = uniform
    lower: int = 0
    upper: int = 100

    def job(self) -> Smo07Job:
        """The job of this run."""
        d = self.columns
        return Smo07Job.of(
            parties=Party.named(*(f"party_{number}" for number in range(self.parties))),
            columns=tuple(f"column {number}" for number in range(d)),
            n_clusters=self.n_clusters,
            n_init=self.n_init,
            min_cluster_size=self.min_cluster_size,
            max_iter=self.max_iter,
            tol=self.tol,
            init=self.init,
            scaling=Scaling(method="uniform", lower=(self.lower,) * d, upper=(self.upper,) * d),
            precision_bits=choose_precision_bits(d, self.n_clusters, 1.0),
            accept_two_parties=self.parties == 2,
        )


BASE: Final = "5 starts"
"""Of 5 clusters, in 2 columns of 3 tables of 50 rows."""
CASES: Final = {
    BASE: Case(),
    "1 start": Case(n_init=1),
    "20 starts": Case(n_init=20),
    'init = "uniform"': Case(init="uniform"),
    "2 parties": Case(parties=2),
    "5 parties": Case(parties=5),
    "10 parties": Case(parties=10),
    "20 rows each": Case(rows=20),
    "200 rows each": Case(rows=200),
    "min_cluster_size = 1": Case(min_cluster_size=1),
    "min_cluster_size = 20": Case(min_cluster_size=20),
    "tol = 0.01": Case(tol=0.01),
    "max_iter = 3": Case(max_iter=3),
    "2 clusters": Case(n_clusters=2),
    "1 column": Case(columns=1),
    "1 column, 1 start": Case(columns=1, n_init=1),
    "1 column, 20 starts": Case(columns=1, n_init=20),
    "1 column, 200 rows each": Case(columns=1, rows=200),
    "1 column of prices, 0.00 to 100.00": Case(columns=1, draw=prices, upper=10_000),
    "mall customers": Case(draw=mall, rows=66, lower=0, upper=140),
    "mall customers, 1 start": Case(draw=mall, rows=66, lower=0, upper=140, n_init=1),
    "mall customers, incomes alone": Case(draw=mall, columns=1, rows=66, lower=0, upper=140),
}
"""What each differs in from :data:`BASE`, or another table."""
QUICK_CASES: Final = (
    BASE,
    "1 start",
    "20 rows each",
    "1 column",
    "1 column, 1 start",
    "mall customers, incomes alone",
)


# --------------------------------------------------------------------------------------------------------- the runs


@dataclass(frozen=True)
class Iteration:
    """One iteration of one start. Sums are those of the rows less the lower bound.

    Attributes
    ----------
    of_point : (m,) int64
        The number of the centroid that is nearest to each of the points of which rows can be.
    before, after : (k, d) int64
        Centroids, in units of the fixed point.
    own_sizes, own_sums : (k,) and (k, d) int64
        Over the attacker's rows.
    sizes, sums : the same
        Over all rows: what the leader learns in the mode "paillier".
    """

    of_point: np.ndarray
    before: np.ndarray
    after: np.ndarray
    own_sizes: np.ndarray
    own_sums: np.ndarray
    sizes: np.ndarray
    sums: np.ndarray


@dataclass(frozen=True)
class Run:
    """What a run discloses, and what the attacker knows besides.

    Attributes
    ----------
    job : Smo07Job
    n : int
        Rows of all parties.
    points : (m, d) int64
        All points of which rows can be, less the lower bound.
    own : (n_own, d) int64
        The attacker's rows, less the lower bound.
    totals : (d,) int64
        Of the columns, over all rows. They are public where :attr:`knows_totals`.
    starts : list of lists of Iteration
        The iterations of each start.
    best : int
        The number of the best start.
    others : (m,) int64
        How many of the other parties' rows are at each point. The attacker does not know it.
    """

    job: Smo07Job
    n: int
    points: np.ndarray
    own: np.ndarray
    totals: np.ndarray
    starts: list[list[Iteration]]
    best: int
    others: np.ndarray

    @property
    def knows_totals(self) -> bool:
        """Whether all parties learn the totals, because the starts are drawn around the mean of all rows."""
        return self.job.discloses_moments

    @property
    def unit(self) -> float:
        """Steps of whole numbers in one unit of the fixed point."""
        return float(self.job.scaling.units[0]) / (1 << self.job.precision_bits)


def run_of(case: Case, seed: list[int]) -> Run:
    """Cluster a random table in the clear. The first ``case.rows`` rows are the attacker's."""
    chance = np.random.default_rng(seed)
    job = case.job()
    rows = case.draw(chance, case.parties * case.rows, case.columns)
    n, d = rows.shape
    fixed_point = FixedPoint(job.precision_bits)
    axes = [np.arange(case.lower, case.upper + 1)] * d
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
    encoded, possible = (fixed_point.encode(job.scaling.apply(each.astype(float))) for each in (rows, grid))
    tolerance = Tolerance.of(job, n)
    bound = 0 if tolerance is None else tolerance.bound(encoded)
    starts = points(job, int(chance.integers(1 << 40)), Moments.of(encoded) if case.init == "moments" else None)
    runs = [lloyd(encoded, start, max_iter=job.max_iter, tol=bound, least=job.fewest_to_move) for start in starts]
    rows, grid = rows - case.lower, grid - case.lower
    is_own = np.arange(n) < case.rows

    def iterations(centroids: list[np.ndarray]) -> list[Iteration]:
        found = []
        for before, after in itertools.pairwise(centroids):
            labels, of_point = nearest_centroids(encoded, before)[0], nearest_centroids(possible, before)[0]
            of_own, of_all = (_sums(rows, labels, of, len(before)) for of in (is_own, np.full(n, True)))
            found.append(Iteration(of_point, before, after, *of_own, *of_all))
        return found

    step = case.upper - case.lower + 1
    places = rows[~is_own] @ (step ** np.arange(d)[::-1])
    return Run(
        job=job,
        n=n,
        points=grid,
        own=rows[is_own],
        totals=rows.sum(axis=0),
        starts=[iterations([*run.centroids_by_iteration, run.centroids]) for run in runs],
        best=number_of_best(runs),
        others=np.bincount(places, minlength=len(grid)),
    )


def _sums(rows: np.ndarray, labels: np.ndarray, which: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    sums = np.zeros((k, rows.shape[1]), dtype=np.int64)
    np.add.at(sums, labels[which], rows[which])
    return np.bincount(labels[which], minlength=k), sums
