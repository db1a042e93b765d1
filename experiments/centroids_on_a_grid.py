"""Random tables of whole numbers, and what runs with hidden sizes disclose of them, for the attack on hidden sizes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal

import numpy as np

from secure_kmeans.job import Party, Scaling
from secure_kmeans.job.fixed_point import FixedPoint, choose_precision_bits
from secure_kmeans.plaintext.initialisation import farthest_rows
from secure_kmeans.plaintext.kmeans import lloyd
from secure_kmeans.protocols.shk import ShkJob

MALL: Final = Path(__file__).resolve().parent.parent / "data" / "mall_customers.csv"

Grid = Literal["all digits", "root of n", "resolution"]
GRIDS: Final[tuple[Grid, ...]] = ("all digits", "root of n", "resolution")


# ------------------------------------------------------------------------------------------------------ the tables


@dataclass(frozen=True)
class Case:
    """A kind of table of whole numbers.

    Attributes
    ----------
    draw : callable
        Callback(generator): (n, d) int64.
    lower, upper : int
        Bounds of each column.
    n_clusters : int
    method : "uniform" or "minmax"
    one_hot : bool
        Each row has a one in one column, and zeros in the others.
    """

    draw: Callable[[np.random.Generator], np.ndarray]
    lower: tuple[int, ...]
    upper: tuple[int, ...]
    n_clusters: int
    method: Literal["uniform", "minmax"] = "uniform"
    one_hot: bool = False

    def job(self, grid: Grid) -> ShkJob:
        """A job that discloses the centroids on this grid."""
        d = len(self.lower)
        return ShkJob.of(
            parties=Party.named("attacker", "other"),
            columns=tuple(f"column {number}" for number in range(d)),
            n_clusters=self.n_clusters,
            scaling=Scaling(method=self.method, lower=self.lower, upper=self.upper),
            precision_bits=choose_precision_bits(d, self.n_clusters, 1.0),
            hide_counts=grid != "all digits",
            resolution=(1.0,) * d if grid == "resolution" else None,
        )


def mall(chance: np.random.Generator, columns: tuple[int, ...]) -> np.ndarray:
    """These columns of the mall customers, in a random order."""
    return chance.permutation(np.loadtxt(MALL, delimiter=",", skiprows=1, usecols=columns, ndmin=2).astype(np.int64))


def categories(chance: np.random.Generator, n: int, columns: int) -> np.ndarray:
    """One category for each row, as a one in one of the columns."""
    return np.eye(columns, dtype=np.int64)[chance.choice(columns, n, p=chance.dirichlet(np.full(columns, 5.0)))]


def answers(chance: np.random.Generator, n: int, columns: int, highest: int) -> np.ndarray:
    """Answers from 0 to the highest, of three kinds of people."""
    means = chance.uniform(0.15, 0.85, (3, columns))
    return chance.binomial(highest, means[chance.integers(0, 3, n)])


CASES: Final = {
    "mall customers, income and score": Case(lambda chance: mall(chance, (3, 4)), (15, 1), (137, 99), 5),
    "the same, minmax": Case(lambda chance: mall(chance, (3, 4)), (15, 1), (137, 99), 5, "minmax"),
    "mall customers, ages, k = 2": Case(lambda chance: mall(chance, (2,)), (0,), (99,), 2),
    "mall customers, ages, k = 3": Case(lambda chance: mall(chance, (2,)), (0,), (99,), 3),
    "four questions, answers 0 to 4": Case(lambda chance: answers(chance, 200, 4, 4), (0,) * 4, (4,) * 4, 3),
    "six questions, yes or no": Case(lambda chance: answers(chance, 200, 6, 1), (0,) * 6, (1,) * 6, 3),
    "one of six categories": Case(lambda chance: categories(chance, 200, 6), (0,) * 6, (1,) * 6, 3, one_hot=True),
    "whole numbers from 0 to 81, k = 2": Case(lambda chance: chance.integers(0, 82, (200, 1)), (0,), (81,), 2),
    "2,000 rows, answers 0 to 10, k = 2": Case(lambda chance: answers(chance, 2000, 2, 10), (0,) * 2, (10,) * 2, 2),
}


# --------------------------------------------------------------------------------------------- what a run discloses


@dataclass(frozen=True)
class Run:
    """What a run has disclosed, what it has not, and what the attacker has besides. Values are in grains above `lower`.

    Attributes
    ----------
    job : ShkJob
    one_hot : bool
    n : int
    cells : (n_clusters, d) int64
        Disclosed: the centroids, as numbers of grid steps.
    shifts : list of int
    own_sums : (n_clusters, d) int64
    own_sizes : (n_clusters,) int64
    others_inertia : Fraction
        Of the other party's rows around the disclosed centroids, in scaled units. The inertia of all rows is
        disclosed, and the attacker knows its own part.
    inertia : float
    sizes : (n_clusters,) int64
        Not disclosed.
    """

    job: ShkJob
    one_hot: bool
    n: int
    cells: np.ndarray
    shifts: list[int]
    own_sums: np.ndarray
    own_sizes: np.ndarray
    others_inertia: Fraction
    inertia: float
    sizes: np.ndarray

    @property
    def steps(self) -> list[Fraction]:
        """Grains in a step of each column's grid."""
        units = [Fraction(int(of), 1 << self.job.precision_bits) for of in self.job.scaling.units]
        return [of * (1 << shift) for of, shift in zip(units, self.shifts, strict=True)]

    @property
    def centroids(self) -> list[list[Fraction]]:
        """As they are disclosed."""
        return [[int(cell) * step for cell, step in zip(cells, self.steps, strict=True)] for cells in self.cells]

    @property
    def half_cells(self) -> np.ndarray:
        """How far a mean can be from its centroid: half a step, and half a unit of the fixed point for the rows."""
        units = self.job.scaling.units / (1 << self.job.precision_bits)
        return np.array([float(step) for step in self.steps]) / 2 + (units if any(self.shifts) else units / 2)

    @property
    def widths(self) -> np.ndarray:
        """Grains between the bounds of each column."""
        return np.subtract(self.job.scaling.upper, self.job.scaling.lower)

    @property
    def weights(self) -> list[Fraction]:
        """Scaled units squared in a grain squared, of each column."""
        return [1 / Fraction(int(of)) ** 2 for of in self.job.scaling.units]


def run_of(case: Case, grid: Grid, chance: np.random.Generator) -> Run:
    """Cluster a random table in the clear and disclose its centroids on a grid. Half of the rows are the attacker's."""
    rows, job = case.draw(chance), case.job(grid)
    fixed = FixedPoint(job.precision_bits).encode(job.scaling.apply(rows.astype(float)))
    start = fixed[farthest_rows(fixed, job.n_clusters, int(chance.integers(len(rows))))]
    found = lloyd(fixed, start, max_iter=100, tol=0)
    shifts = job.centroid_shifts(len(rows))
    shifts = np.zeros(len(case.lower), dtype=np.int64) if shifts is None else shifts
    grains, labels, own = rows - np.array(case.lower), found.labels, np.arange(len(rows)) < len(rows) // 2
    run = Run(
        job=job,
        one_hot=case.one_hot,
        n=len(rows),
        cells=found.centroids + (1 << shifts >> 1) >> shifts,
        shifts=shifts.tolist(),
        own_sums=np.stack([grains[own & (labels == k)].sum(axis=0) for k in range(job.n_clusters)]),
        own_sizes=np.bincount(labels[own], minlength=job.n_clusters),
        others_inertia=Fraction(0),
        inertia=0.0,
        sizes=found.sizes,
    )
    parts = [_inertia(run, grains[of], labels[of]) for of in (own, ~own)]
    return replace(run, others_inertia=parts[1], inertia=float(sum(parts)))


def _inertia(run: Run, grains: np.ndarray, labels: np.ndarray) -> Fraction:
    total = Fraction(0)
    for k, centroid in enumerate(run.centroids):
        of = grains[labels == k]
        for column, (c, weight) in enumerate(zip(centroid, run.weights, strict=True)):
            x = of[:, column]
            total += weight * (int((x * x).sum()) - 2 * c * int(x.sum()) + len(x) * c * c)
    return total
