"""An attack on hidden labels: the mean of a party's own column over a small cluster says which rows are in it.

    python experiments/attack_own_centroids.py

A party holds columns of all rows and clusters with `svk` and `hide_labels`. Nobody sees a label. The party learns the
sizes of the clusters and, with `disclose.centroids = "own"`, the means of its own columns. It looks for the sets of
five of its rows that have the mean of a cluster of five rows: of each three rows it looks up which two others are
missing.

The means are those of the secure run: each value is a whole number of 2^-40 of the column's range, or of a little more
where there are many rows, and the mean is rounded to such a number. With `hide_counts` the mean is known to a cell of a
grid, as wide as the range divided by the square root of the number of rows. The size would not be known either; the
attacker is told it here.

"Sets" is how many sets of five rows fit in the middle one of the runs; where there are many, to a few percent.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from terminal import show_progress

from secure_kmeans.app.forms import run_command
from secure_kmeans.job.fixed_point import FixedPoint, mean_bits

SIZE: Final = 5
"""The cluster's rows: the usual ``min_cluster_size``, the smallest cluster whose centroid is disclosed."""
TRIPLES_OF_A_SET: Final = 10
MOST_LISTED: Final = 20_000
"""More sets that fit are counted, and not listed."""

COLUMNS: Final = {
    "real numbers": None,
    "prices, steps of 0.01 up to 1,000": 100_000,
    "ages, 0 to 80": 80,
}
"""Steps in the range of the attacker's column; None where the values have all digits."""


def values_of(steps: int | None, n: int, chance: np.random.Generator) -> np.ndarray:
    """A column between 0 and 1, as the numbers of which the final means are made, (n,) int64."""
    values = chance.random(n) if steps is None else chance.integers(0, steps, n, endpoint=True) / steps
    return FixedPoint(mean_bits(n)).encode(values)


def sums_with_mean(mean: int, cell: int) -> tuple[int, int]:
    """The least and the largest sum of a set whose rounded mean is this one, or in the same cell of a grid."""
    least, largest = (mean, mean) if cell == 1 else (mean // cell * cell, mean // cell * cell + cell - 1)
    return least * SIZE - SIZE // 2, largest * SIZE + (SIZE - 1) - SIZE // 2


def sets_with_mean(values: np.ndarray, mean: int, cell: int = 1) -> tuple[float, set[frozenset[int]] | None]:
    """How many sets of five rows have this mean, and the sets, where they are not too many.

    Parameters
    ----------
    values : (n,) int64
    mean : int
        Rounded, in the same units.
    cell : int
        1 where the mean is known exactly; else the width of the grid's cell.
    """
    least, largest = sums_with_mean(mean, cell)
    first, second = np.triu_indices(len(values), 1)
    order = np.argsort(values[first] + values[second])
    pairs = (values[first] + values[second])[order]
    fitting, found = 0, set()
    for row, value in enumerate(values.tolist()):
        others = np.flatnonzero(first > row)
        triples = value + values[first[others]] + values[second[others]]
        starts, ends = np.searchsorted(pairs, least - triples), np.searchsorted(pairs, largest - triples, side="right")
        fitting += int((ends - starts).sum())
        if fitting <= TRIPLES_OF_A_SET * MOST_LISTED:
            for triple in np.flatnonzero(ends > starts):
                for pair in order[starts[triple] : ends[triple]]:
                    rows = {row, first[others[triple]], second[others[triple]], first[pair], second[pair]}
                    found.add(frozenset(map(int, rows)))
    if fitting > TRIPLES_OF_A_SET * MOST_LISTED:
        return fitting / TRIPLES_OF_A_SET, None
    found = {rows for rows in found if len(rows) == SIZE}
    return float(len(found)), found


def attacked(steps: int | None, n: int, seed: int, *, on_grid: bool) -> float:
    """The number of sets that fit one cluster of a run; the true one is among them."""
    chance = np.random.default_rng(seed)
    values = values_of(steps, n, chance)
    cluster = frozenset(chance.choice(n, SIZE, replace=False).tolist())
    mean = (int(values[list(cluster)].sum()) + SIZE // 2) // SIZE
    cell = 1
    while on_grid and cell * cell * n < 1 << 2 * mean_bits(n):
        cell *= 2
    number, found = sets_with_mean(values, mean, cell)
    assert found is None or cluster in found, "the true set fits"
    return number


def rows_of(n: int, runs: int) -> Iterator[tuple[str, float, float]]:
    """For each kind of column the sets that fit, with an exact mean and on the grid."""
    total, done = len(COLUMNS) * 2 * runs, 0
    for name, steps in COLUMNS.items():
        middle = []
        for on_grid in (False, True):
            numbers = []
            for seed in range(runs):
                numbers.append(attacked(steps, n, seed, on_grid=on_grid))
                show_progress("attacks, run", done := done + 1, total)
            middle.append(float(np.median(numbers)))
        yield name, middle[0], middle[1]


@click.command()
@click.option("--rows", "n", default=300, show_default=True, type=click.IntRange(SIZE, 1000))
@click.option("--runs", default=3, show_default=True, type=click.IntRange(1))
def main(n: int, runs: int) -> None:
    """Find the rows of a hidden cluster by the mean of one column."""
    table = Table("the attacker's column", title=f"Sets of {SIZE} of {n} rows that fit the disclosed mean")
    for heading in ("sets, exact mean", "sets, hide_counts"):
        table.add_column(heading, justify="right")
    for name, exact, on_grid in rows_of(n, runs):
        table.add_row(name, f"{exact:,.0f}", f"{on_grid:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    run_command(main)
