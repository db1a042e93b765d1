"""An attack on hidden sizes: the digits of a centroid tell what its sum was divided by.

    python experiments/attack_hidden_sizes.py

Two parties cluster with `hide_counts`: the sizes of the clusters are not disclosed, the final centroids are. Where the
values of a column are whole numbers, or multiples of any grain, a centroid is a fraction whose denominator is the size.
The attacker is the first party. For each cluster it keeps the sizes with which there is a sum that gives the centroid,
in all columns, and counts the ways to choose such sizes that add up to the public number of rows. It uses, one after
the other:

- the centroids;
- its own rows and their labels: they are a part of each sum and size, and what is left has to lie, as the other party's
  rows do, inside the bounds and nearer to this centroid than to any other;
- the inertia around the disclosed centroids, if it is disclosed. The other party's part of it is a sum of squares of
  whole numbers and of products with known fractions. That fixes a weighted sum of the sizes up to a multiple.

The centroids are disclosed in three ways: with all digits of the fixed point; on a grid whose step is at least the
width of the column divided by the square root of the number of rows; on a grid whose step is at least `resolution`, the
smallest step between two values of the column.

With a step w and a grain g, the t sums that differ by g lie w t / g to a cell. So where w >= g each size t is possible
with each centroid. Without a known grain, g <= width, and each t of at least the root of the number of rows is.

The attacker decides what is possible, and not what is likely. A guess from its own part of each cluster remains.
"""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.optimize import linprog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from terminal import show_progress

from secure_kmeans.app.cli import run_command
from secure_kmeans.job import Scaling
from secure_kmeans.job.fixed_point import FixedPoint, choose_precision_bits
from secure_kmeans.plaintext.initialisation import farthest_rows
from secure_kmeans.plaintext.kmeans import lloyd

MALL: Final = Path(__file__).resolve().parent.parent / "data" / "mall_customers.csv"
INERTIA_ERROR: Final = 1e-9
"""Relative, of the disclosed inertia."""
MOST_ENUMERATED: Final = 2_000_000
"""Ways to choose sizes that are tried one by one; of more, as many are drawn at random."""
SLACK: Final = 1e-7
"""Grains: rounding of the attacker's own arithmetic."""

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
    """

    draw: Callable[[np.random.Generator], np.ndarray]
    lower: tuple[int, ...]
    upper: tuple[int, ...]
    n_clusters: int
    method: Literal["uniform", "minmax"] = "uniform"

    @property
    def scaling(self) -> Scaling:
        """The scaling of its job."""
        return Scaling(method=self.method, lower=self.lower, upper=self.upper)


def mall(chance: np.random.Generator, columns: tuple[int, ...]) -> np.ndarray:
    """These columns of the mall customers, in a random order."""
    return chance.permutation(np.loadtxt(MALL, delimiter=",", skiprows=1, usecols=columns, ndmin=2).astype(np.int64))


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
    "2,000 rows, answers 0 to 10, k = 2": Case(lambda chance: answers(chance, 2000, 2, 10), (0,) * 2, (10,) * 2, 2),
}


# --------------------------------------------------------------------------------------------- what a run discloses


def grid_shifts(scaling: Scaling, bits: int, n: int, resolution: tuple[float, ...] | None) -> list[int]:
    """The grid of the disclosed centroids with hidden sizes: multiples of ``2^s`` units of the fixed point.

    Parameters
    ----------
    scaling : Scaling
    bits : int
        Fractional bits of the fixed point.
    n : int
        Rows of all parties.
    resolution : one positive number for each column, or None
        The smallest step between two values of a column.

    Returns
    -------
    s of each column: the least with which a step is at least the resolution, or the width divided by the root of n.
    """
    widths = np.subtract(scaling.upper, scaling.lower)
    steps = widths / math.sqrt(n) if resolution is None else np.array(resolution)
    unit = scaling.units / (1 << bits)
    return [max(0, math.ceil(math.log2(step / of) - 1e-12)) if step > 0 else 0 for step, of in zip(steps, unit, strict=True)]


@dataclass(frozen=True)
class Run:
    """What a run has disclosed, what it has not, and what the attacker has besides. Values are in grains above `lower`.

    Attributes
    ----------
    case : Case
    n : int
    bits : int
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

    case: Case
    n: int
    bits: int
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
        units = [Fraction(int(of)) for of in self.case.scaling.units]
        return [of * (1 << shift) / (1 << self.bits) for of, shift in zip(units, self.shifts, strict=True)]

    @property
    def centroids(self) -> list[list[Fraction]]:
        """As they are disclosed."""
        return [[int(cell) * step for cell, step in zip(cells, self.steps, strict=True)] for cells in self.cells]

    @property
    def half_cells(self) -> np.ndarray:
        """How far a mean can be from its centroid: half a step, and half a unit of the fixed point."""
        units = self.case.scaling.units / (1 << self.bits)
        return np.array([float(step) for step in self.steps]) / 2 + np.where(np.array(self.shifts) > 0, units / 2, 0)


def run_of(case: Case, grid: Grid, chance: np.random.Generator) -> Run:
    """Cluster a random table in the clear and disclose its centroids on a grid. Half of the rows are the attacker's."""
    rows = case.draw(chance)
    n, d = rows.shape
    bits = choose_precision_bits(d, case.n_clusters, 1.0)
    fixed = FixedPoint(bits).encode(case.scaling.apply(rows.astype(float)))
    start = fixed[farthest_rows(fixed, case.n_clusters, int(chance.integers(n)))]
    found = lloyd(fixed, start, max_iter=100, tol=0)
    resolution = (1.0,) * d if grid == "resolution" else None
    shifts = [0] * d if grid == "all digits" else grid_shifts(case.scaling, bits, n, resolution)
    steps = np.left_shift(1, np.array(shifts))
    cells = (found.centroids + steps // 2) // steps
    grains, labels = rows - np.array(case.lower), found.labels
    own = np.arange(n) < n // 2
    run = Run(
        case=case,
        n=n,
        bits=bits,
        cells=cells,
        shifts=shifts,
        own_sums=np.stack([grains[own & (labels == k)].sum(axis=0) for k in range(case.n_clusters)]),
        own_sizes=np.bincount(labels[own], minlength=case.n_clusters),
        others_inertia=Fraction(0),
        inertia=0.0,
        sizes=found.sizes,
    )
    parts = [_inertia(run, grains[of], labels[of]) for of in (own, ~own)]
    return Run(**vars(run) | {"others_inertia": parts[1], "inertia": float(sum(parts))})


def _weights(case: Case) -> list[Fraction]:
    """Scaled units squared in a grain squared, of each column."""
    return [1 / Fraction(int(of)) ** 2 for of in case.scaling.units]


def _inertia(run: Run, grains: np.ndarray, labels: np.ndarray) -> Fraction:
    total = Fraction(0)
    for k, centroid in enumerate(run.centroids):
        of = grains[labels == k]
        for column, (c, weight) in enumerate(zip(centroid, _weights(run.case), strict=True)):
            x = of[:, column]
            total += weight * (int((x * x).sum()) - 2 * c * int(x.sum()) + len(x) * c * c)
    return total


# ------------------------------------------------------------------------------------------------------ the attack


def possible_from_centroids(run: Run) -> np.ndarray:
    """Which sizes, 0 to n, have sums that give the centroids: (n_clusters, n + 1) bools."""
    none_own = np.zeros_like(run.own_sums)
    return _possible(run, none_own, np.zeros_like(run.own_sizes), run.n, *_bounds(run))


def possible_with_own_rows(run: Run) -> np.ndarray:
    """Which numbers of rows of the other party, 0 to n_other, are possible: (n_clusters, n_other + 1) bools."""
    others = run.n - int(run.own_sizes.sum())
    return _possible(run, run.own_sums, run.own_sizes, others, *_boxes(run))


def _possible(
    run: Run, own_sums: np.ndarray, own_sizes: np.ndarray, most: int, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Whether b rows between ``low`` and ``high`` can be added to own ones, so that their mean is in the cell."""
    b = np.arange(most + 1)[:, None]
    possible = []
    for k, centroid in enumerate(run.centroids):
        t = b + own_sizes[k]
        c = np.array([float(of) for of in centroid])
        least = np.maximum(t * (c - run.half_cells) - own_sums[k], b * low[k])
        largest = np.minimum(t * (c + run.half_cells) - own_sums[k], b * high[k])
        found = (np.floor(largest + SLACK) >= np.ceil(least - SLACK)).all(axis=1)
        possible.append(found & (t[:, 0] > 0))
    return np.stack(possible)


def _bounds(run: Run) -> tuple[np.ndarray, np.ndarray]:
    widths = np.subtract(run.case.upper, run.case.lower).astype(float)
    high = np.tile(widths, (len(run.cells), 1))
    return np.zeros_like(high), high


def _boxes(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """The box around all points, inside the bounds, that are nearest to each centroid; (n_clusters, d) each.

    A row was nearest to the mean, which is up to half a cell from the disclosed centroid: the boxes are that much wider.
    """
    low, high = _bounds(run)
    weights = np.array([float(weight) for weight in _weights(run.case)])
    c = np.array([[float(of) for of in centroid] for centroid in run.centroids])
    limits = list(zip(low[0], high[0], strict=True))
    low, high = low.copy(), high.copy()
    for k in range(len(c)):
        others = np.arange(len(c)) != k
        sides = 2 * (c[others] - c[k]) * weights
        reach = (np.abs(c[others] - c[k]) * 2 + 2 * (c.max() + run.half_cells) + limits[0][1]) * run.half_cells
        ends = ((c[others] ** 2 - c[k] ** 2) * weights).sum(axis=1) + 2 * (reach * weights).sum(axis=1)
        for column in range(c.shape[1]):
            toward = np.eye(c.shape[1])[column]
            for sign, of in ((1, low), (-1, high)):
                found = linprog(sign * toward, A_ub=sides, b_ub=ends, bounds=limits)
                if found.success:
                    of[k, column] = sign * found.fun
    return low, high


def ways(possible: np.ndarray, total: int) -> float:
    """In how many ways numbers, one for each cluster, that are possible add up to the total."""
    sums = np.array([1.0])
    for of in possible:
        sums = np.convolve(sums, of.astype(float))[: total + 1]
    return float(sums[total])


def ways_left_by_inertia(run: Run, possible: np.ndarray, error: float, chance: np.random.Generator) -> float:
    """How many of these ways agree with the inertia, which is known up to a relative error.

    With b rows in cluster k, whose values add up to B and whose squares to B + 2 q, the other party's inertia is the
    sum over clusters and columns of ``weight (B + 2 q - 2 c B + b c^2)``. B and q are whole numbers. So modulo the
    greatest common divisor of their factors it is the sum of ``b weight c^2``.
    """
    total = possible.shape[1] - 1
    vectors, share = _vectors(possible, total, chance)
    factors, of_sizes = [], []
    widths = np.subtract(run.case.upper, run.case.lower)
    for centroid in run.centroids:
        of_sizes.append(sum((w * c * c for w, c in zip(_weights(run.case), centroid, strict=True)), Fraction(0)))
        for weight, c, width in zip(_weights(run.case), centroid, widths, strict=True):
            factors += [weight * (1 - 2 * c)] + ([2 * weight] if width > 1 else [])
    scale = math.lcm(*(each.denominator for each in [*factors, *of_sizes, run.others_inertia]))
    modulus = math.gcd(*(int(each * scale) for each in factors))
    window = error * run.inertia * scale
    if 2 * window + 1 >= modulus:
        return ways(possible, total)
    away = np.full(len(vectors), int(-run.others_inertia * scale) % modulus, dtype=object)
    for k, of in enumerate(of_sizes):
        away = (away + vectors[:, k].astype(object) * (int(of * scale) % modulus)) % modulus
    agrees = np.minimum(away, modulus - away) <= window
    return float(agrees.sum() * share)


def _vectors(possible: np.ndarray, total: int, chance: np.random.Generator) -> tuple[np.ndarray, float]:
    """Possible sizes that add up to the total, (m, n_clusters), all of them or a sample; and how many each stands for."""
    k = len(possible)
    if math.comb(total + k - 1, k - 1) <= MOST_ENUMERATED:
        first = np.indices((total + 1,) * (k - 1)).reshape(k - 1, -1).T
        first = first[first.sum(axis=1) <= total]
        share = 1.0
    else:
        ends = np.sort(chance.random((MOST_ENUMERATED // 10, total + k - 1)).argsort(axis=1)[:, : k - 1], axis=1)
        first = np.diff(ends, axis=1, prepend=-1) - 1
        share = math.comb(total + k - 1, k - 1) / len(first)
    vectors = np.column_stack([first, total - first.sum(axis=1)])
    return vectors[possible[np.arange(k), vectors].all(axis=1)], share


# --------------------------------------------------------------------------------------------------- the experiment
