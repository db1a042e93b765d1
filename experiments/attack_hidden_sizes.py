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
- the inertia around the disclosed centroids. The other party's part of it is a sum of squares of whole numbers and of
  products with known fractions. That fixes a weighted sum of the sizes up to a multiple. So the program refuses to
  disclose an inertia together with hidden sizes. An inertia that is rounded, by its part 1 / sqrt(n), is shown, too.

The centroids are disclosed in three ways: with all digits of the fixed point; on a grid whose step is at least the
width of the column divided by the square root of the number of rows; on a grid whose step is at least `resolution`, the
smallest step between two values of the column.

The possible means of t rows are g / t apart, where g is the grain. So a cell of width w >= g holds one for each t, and
no size is excluded by a centroid. The grain may not be known. It is at most the width of the column, so that a cell of
width / sqrt(n) holds one for each t from sqrt(n) on.

The attacker decides what is possible, and not what is likely. A guess from its own part of each cluster remains.
"""

import json
import math
import sys
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Final

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.optimize import linprog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from centroids_on_a_grid import CASES, GRIDS, Grid, Run, run_of
from terminal import show_progress

from secure_kmeans.app.forms import run_command

INERTIA_ERROR: Final = 1e-9
"""Relative, of the disclosed inertia."""
MOST_ENUMERATED: Final = 500_000
"""Ways to choose sizes that are tried one by one. Of more ways a sample is drawn."""
SAMPLE: Final = 100_000
SLACK: Final = 1e-7
"""Grains: rounding of the attacker's own arithmetic."""

GIVEN_AWAY: Final = 0.05
"""The sizes are given away where no more than this part of all ways is left."""
HIDDEN: Final = 0.5
"""The sizes are hidden where at least this part of all ways is left."""
HIDING: Final = ("centroids", "own rows", "rounded inertia")
"""With these the sizes have to stay hidden. The inertia with all its digits is shown for what it is."""


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
        least, largest = np.ceil(least - SLACK), np.floor(largest + SLACK)
        found = (largest >= least).all(axis=1) & (t[:, 0] > 0)
        if run.one_hot:
            found &= (least.sum(axis=1) <= b[:, 0]) & (largest.sum(axis=1) >= b[:, 0])
        possible.append(found)
    return np.stack(possible)


def _bounds(run: Run) -> tuple[np.ndarray, np.ndarray]:
    high = np.tile(run.widths.astype(float), (len(run.cells), 1))
    return np.zeros_like(high), high


def _boxes(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """The box around all points, inside the bounds, that are nearest to each centroid; (n_clusters, d) each.

    A row is nearest to a mean that is somewhere in the cell. So a point belongs to the box if it is nearest to any
    point of this cell: the sides between two centroids are moved by as much as that can make.
    """
    low, high = _bounds(run)
    limits = list(zip(low[0], high[0], strict=True))
    weights = np.array([float(weight) for weight in run.weights])
    c = np.array([[float(of) for of in centroid] for centroid in run.centroids])
    for k, others in ((k, np.arange(len(c)) != k) for k in range(len(c))):
        # nearest: 2 x (c' - c) <= c'^2 - c^2, summed over the columns with their weights, for each other centroid c'
        sides = 2 * (c[others] - c[k]) * weights
        ends = ((c[others] ** 2 - c[k] ** 2) * weights).sum(axis=1)
        slack = 4 * ((run.widths + run.half_cells) * run.half_cells * weights).sum()
        for column, sign, of in product(range(c.shape[1]), (1, -1), (low, high)):
            if (sign == 1) == (of is low):
                found = linprog(sign * np.eye(c.shape[1])[column], A_ub=sides, b_ub=ends + slack, bounds=limits)
                of[k, column] = sign * found.fun if found.success else of[k, column]
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
    for centroid in run.centroids:
        of_sizes.append(sum((w * c * c for w, c in zip(run.weights, centroid, strict=True)), Fraction(0)))
        for weight, c, width in zip(run.weights, centroid, run.widths, strict=True):
            factors += [weight * (1 - 2 * c)] + ([2 * weight] if width > 1 else [])
    scale = math.lcm(*(each.denominator for each in [*factors, *of_sizes, run.others_inertia]))
    modulus = math.gcd(*(int(each * scale) for each in factors))
    window = error * run.inertia * scale
    if 2 * window + 1 >= modulus:
        return ways(possible, total)
    away = np.full(len(vectors), int(-run.others_inertia * scale) % modulus, dtype=object)
    if modulus < 1 << 40:
        away = away.astype(np.int64)
    for k, of in enumerate(of_sizes):
        away = (away + vectors[:, k].astype(away.dtype) * (int(of * scale) % modulus)) % modulus
    agrees = np.minimum(away, modulus - away) <= window
    return float(agrees.sum() * share)


def _vectors(possible: np.ndarray, total: int, chance: np.random.Generator) -> tuple[np.ndarray, float]:
    """Possible sizes that add up to the total, (m, n_clusters), or a sample of them; and how many each stands for."""
    k = len(possible)
    if math.comb(total + k - 1, k - 1) <= MOST_ENUMERATED:
        first = np.indices((total + 1,) * (k - 1)).reshape(k - 1, -1).T
        first = first[first.sum(axis=1) <= total]
        share = 1.0
    else:
        ends = np.sort(chance.random((SAMPLE, total + k - 1)).argsort(axis=1)[:, : k - 1], axis=1)
        first = np.diff(ends, axis=1, prepend=-1) - 1
        share = math.comb(total + k - 1, k - 1) / len(first)
    vectors = np.column_stack([first, total - first.sum(axis=1)])
    return vectors[possible[np.arange(k), vectors].all(axis=1)], share


# --------------------------------------------------------------------------------------------------- the experiment


Ways = dict[str, float]
"""How many ways there are to choose the sizes, by what the attacker uses."""

STAGES: Final = {
    "centroids": "all sizes",
    "own rows": "all others' sizes",
    "inertia": "all others' sizes",
    "rounded inertia": "all others' sizes",
}
"""What the attacker uses, each with all that is above it; and what the ways that are left are a part of."""


def attacked(run: Run, chance: np.random.Generator) -> Ways:
    """How many ways there are, and how many are left by what the attacker uses."""
    others = run.sizes - run.own_sizes
    alone, helped = possible_from_centroids(run), possible_with_own_rows(run)
    for k, (size, of_others) in enumerate(zip(run.sizes, others, strict=True)):
        assert alone[k, size], "the true sizes are possible"
        assert helped[k, of_others], "the true sizes are possible"
    n_others = int(others.sum())
    return {
        "all sizes": ways(np.ones_like(alone), run.n),
        "all others' sizes": ways(np.ones_like(helped), n_others),
        "centroids": ways(alone, run.n),
        "own rows": ways(helped, n_others),
        "inertia": ways_left_by_inertia(run, helped, INERTIA_ERROR, chance),
        "rounded inertia": ways_left_by_inertia(run, helped, 1 / math.sqrt(run.n), chance),
    }


@dataclass(frozen=True)
class Figures:
    """What several runs on random tables of a kind come to.

    Attributes
    ----------
    steps : list of floats
        Of the grid, in grains.
    left : dict of floats
        By stage: how many ways are left; the median of the runs.
    parts : dict of floats
        By stage: what part of all ways that is; the median of the runs.
    fewest, least : dicts of floats
        The same of the run in which it is the least.
    """

    steps: list[float]
    left: dict[str, float]
    parts: dict[str, float]
    fewest: dict[str, float]
    least: dict[str, float]


def measure(name: str, grid: Grid, runs: int, seed: int) -> Figures:
    """Attack runs on random tables."""
    found = []
    for number in range(1, runs + 1):
        run = run_of(CASES[name], grid, np.random.default_rng([seed, number]))
        found.append(attacked(run, np.random.default_rng([seed, number, 1])))
        show_progress(f"{name}, {grid}: runs", number, runs)
    left = {stage: [each[stage] for each in found] for stage in STAGES}
    parts = {stage: [each[stage] / each[of] for each in found] for stage, of in STAGES.items()}
    return Figures(
        steps=[float(step) for step in run.steps],
        left={stage: float(np.median(each)) for stage, each in left.items()},
        parts={stage: float(np.median(each)) for stage, each in parts.items()},
        fewest={stage: min(each) for stage, each in left.items()},
        least={stage: min(each) for stage, each in parts.items()},
    )


def judged(figures: dict[str, dict[Grid, Figures]]) -> tuple[bool, bool]:
    """Whether all digits give the sizes away in every case, and whether a grid leaves most ways in every case."""
    exact = [each["all digits"].parts["own rows"] for each in figures.values()]
    coarse = [each[grid].least[stage] for each in figures.values() for grid in GRIDS[1:] for stage in HIDING]
    return max(exact) < GIVEN_AWAY, min(coarse) > HIDDEN


def _show(figures: dict[str, dict[Grid, Figures]]) -> None:
    table = Table("table", "grid", "step", *STAGES, box=box.SIMPLE_HEAD)
    for name, by_grid in figures.items():
        for grid, each in by_grid.items():
            steps = ", ".join(dict.fromkeys(f"{step:.2g}" for step in each.steps))
            cells = [_cell(each.left[stage], each.parts[stage]) for stage in STAGES]
            table.add_row(name if grid == GRIDS[0] else "", grid, steps, *cells)
        table.add_section()
    Console(width=150).print(
        "Ways to choose the sizes that are left, and which part of all ways (the median of the runs):", table, sep="\n"
    )


def _cell(left: float, part: float) -> str:
    return f"{left:,.0f} ({part:.0%})" if part > 0.005 else f"{left:,.0f}"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--runs", type=click.IntRange(min=1), help="On random tables of each kind.  [default: 5; --full: 40]")
@click.option("--full", is_flag=True, help="Forty runs of each kind, in some minutes.")
@click.option("--case", "cases", multiple=True, type=click.Choice(list(CASES)), default=CASES, help="Only this kind.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON instead of a table.")
def main(runs: int | None, full: bool, cases: tuple[str, ...], seed: int, as_json: bool) -> None:
    """Solve for the sizes of clusters that a run hides, from what it discloses.

    Exit status: 0 if all digits of the centroids give the sizes away and the grids do not, else 1.
    """
    runs = runs or (40 if full else 5)
    figures = {name: {grid: measure(name, grid, runs, seed) for grid in GRIDS} for name in cases}
    given_away, hidden = judged(figures)
    if as_json:
        plain = {name: {grid: vars(each) for grid, each in by_grid.items()} for name, by_grid in figures.items()}
        click.echo(json.dumps({"figures": plain, "given_away": given_away, "hidden": hidden}, indent=2))
    else:
        _show(figures)
        fewest = min(each[grid].fewest["inertia"] for each in figures.values() for grid in GRIDS[1:])
        click.echo(f"All digits {'give the sizes away' if given_away else 'do not give all sizes away'}.")
        click.echo(f"On a grid the centroids {'hide' if hidden else 'do not hide'} them. ", nl=False)
        click.echo(
            f"Where the inertia is disclosed with all its digits, the fewest ways that are left are {fewest:,.0f}."
        )
    sys.exit(0 if given_away and hidden else 1)


if __name__ == "__main__":
    run_command(main)
