"""The four figures of the report on SMO07: the time of a run against points, parties, dimensions and clusters.

    python experiments/smo07_figures.py

Each run has 10 iterations from one start, in both modes of SMO07, with keys of 2048 bits that are fresh in each
iteration. All roles run in processes on this machine, over TLS. A time is that of a whole run: the start of the
processes, their identities and lines, keys, iterations, and the end. The report gives two numbers in words, which stand
as crosses: under 60 s for 500,000 points, and about 90 s for 20 parties, with keys of 128 bits on four cores.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from terminal import show_progress

from secure_kmeans.app.forms import run_command
from secure_kmeans.app.proposal import party_names
from secure_kmeans.job import Party, Scaling
from secure_kmeans.job.fixed_point import choose_precision_bits
from secure_kmeans.protocols.smo07 import Smo07Job
from secure_kmeans.report.plots import colour, drawn
from secure_kmeans.roles.local import run_local
from secure_kmeans.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEED: Final = 1
"""Of the points, which are uniform, so that no run ends before its last iteration."""
ITERATIONS: Final = 10
MODES: Final = ("paillier", "aggregate")
SECONDS: Final = (0.5, 1, 2, 5, 10, 20, 50, 100)
"""On a logarithmic axis."""
LONGEST_WAIT: Final = 600.0
"""Seconds after which a silent role counts as failed."""


@dataclass(frozen=True)
class Shape:
    """One run's size."""

    points: int
    parties: int
    dimensions: int
    clusters: int


@dataclass(frozen=True)
class Figure:
    """One figure of the report.

    Attributes
    ----------
    number : int
        In the report.
    varied : str
        The part of a shape on its horizontal axis.
    title : str
    base : Shape
        All else.
    quick, full : tuple of int
        The values of the varied part; the second as far as the report goes, where it says so.
    theirs : (value, seconds, words) or None
        The point that the report states.
    """

    number: int
    varied: str
    title: str
    base: Shape
    quick: tuple[int, ...]
    full: tuple[int, ...]
    theirs: tuple[int, float, str] | None = None


BASE: Final = Shape(points=100_000, parties=5, dimensions=2, clusters=4)

FIGURES: Final = (
    Figure(
        1,
        "points",
        "Points",
        BASE,
        (10_000, 50_000, 100_000),
        (100_000, 200_000, 300_000, 400_000, 500_000),
        (500_000, 60.0, "the report: under 60 s"),
    ),
    Figure(2, "parties", "Parties", BASE, (3, 5, 8), (3, 5, 10, 15, 20), (20, 90.0, "the report: around 90 s")),
    Figure(3, "dimensions", "Dimensions", BASE, (2, 5, 10), (2, 4, 6, 8, 10)),
    Figure(4, "clusters", "Clusters", BASE, (2, 4, 8), (2, 4, 8, 12, 16)),
)


def seconds_of(shape: Shape, mode: str) -> float:
    """The time of one whole run."""
    rows = np.random.default_rng(SEED).random((shape.points, shape.dimensions))
    columns = tuple(f"x{number}" for number in range(shape.dimensions))
    job = Smo07Job.of(
        parties=Party.named(*party_names(shape.parties)),
        columns=columns,
        n_clusters=shape.clusters,
        n_init=1,
        max_iter=ITERATIONS,
        scaling=Scaling.of(lower=(0.0,) * shape.dimensions, upper=(1.0,) * shape.dimensions),
        precision_bits=choose_precision_bits(shape.dimensions, shape.clusters, 1.0),
        centroids=tuple(map(tuple, rows[: shape.clusters].tolist())),
        mode=mode,
        timeout=LONGEST_WAIT,
    )
    tables = [
        Table(name, columns, part) for name, part in zip(job.names, np.array_split(rows, shape.parties), strict=True)
    ]
    result = run_local(job, tables)[0]
    assert result.common is not None
    assert result.common.n_iter == ITERATIONS, "the times of runs of different lengths cannot be compared"  # type: ignore[attr-defined]
    return result.seconds


def measure(figures: Sequence[Figure], modes: Sequence[str], *, full: bool) -> pd.DataFrame:
    """The time of each run: a line for each, with its figure, shape and mode."""
    planned = [
        (figure, replace(figure.base, **{figure.varied: value}), mode)
        for figure in figures
        for value in (figure.full if full else figure.quick)
        for mode in modes
    ]
    known: dict[tuple[Shape, str], float] = {}
    lines = []
    for done, (figure, shape, mode) in enumerate(planned, start=1):
        if (shape, mode) not in known:
            known[shape, mode] = seconds_of(shape, mode)
        lines.append({"figure": figure.number, "mode": mode} | vars(shape) | {"seconds": known[shape, mode]})
        show_progress("runs", done, len(planned))
    return pd.DataFrame(lines)


def draw(path: Path, figures: Sequence[Figure], times: pd.DataFrame) -> None:
    """All figures, side by side."""
    with drawn(path, 11.0, 7.6) as picture:
        for ax, figure in zip(np.ravel(picture.subplots(2, 2)), figures, strict=False):
            _draw_figure(ax, figure, times[times["figure"] == figure.number])


def _draw_figure(ax: Axes, figure: Figure, times: pd.DataFrame) -> None:
    for number, (mode, curve) in enumerate(times.groupby("mode", sort=False)):
        ax.plot(curve[figure.varied], curve["seconds"], marker="o", color=colour(number), label=f"mode {mode}")
    others = {name: value for name, value in vars(figure.base).items() if name != figure.varied}
    shape = ", ".join(f"{value:,} {name}" for name, value in others.items())
    ax.set(
        title=f"Figure {figure.number}: {figure.varied}\n{shape}",
        xlabel=figure.title,
        ylabel=f"Seconds, {ITERATIONS} iterations",
        xticks=sorted(set(times[figure.varied])),
    )
    ax.xaxis.set_major_formatter("{x:,.0f}")
    if figure.theirs is None:
        ax.set_ylim(0, 1.4 * times["seconds"].max())
    else:
        value, seconds, words = figure.theirs
        ax.plot([value], [seconds], marker="x", markersize=9, linestyle="", color="#444444", label=words)
        ax.set_yscale("log")
        ax.set_yticks(SECONDS, [str(each) for each in SECONDS])
        ax.minorticks_off()
    ax.legend(loc="upper left" if figure.theirs else "lower right")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--full", is_flag=True, help="The sizes of the report; else smaller ones, in about a minute.")
@click.option(
    "--figure",
    "numbers",
    type=click.IntRange(1, len(FIGURES)),
    multiple=True,
    help="Of the report; can be given several times.  [default: all]",
)
@click.option("--mode", type=click.Choice(MODES), multiple=True, help="Can be given twice.  [default: both]")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results/experiments/smo07"),
    show_default=True,
    help="Folder of the picture and of its numbers.",
)
def main(full: bool, numbers: tuple[int, ...], mode: tuple[str, ...], output: Path) -> None:
    """Measure whole runs of SMO07, and draw the figures of the report."""
    figures = [figure for figure in FIGURES if not numbers or figure.number in numbers]
    times = measure(figures, mode or MODES, full=full)
    output.mkdir(parents=True, exist_ok=True)
    times.to_csv(output / "times.csv", index=False)
    draw(output / "figures.png", figures, times)
    click.echo(times.to_string(index=False, float_format=lambda seconds: f"{seconds:.2f}"))
    click.echo(f"written to {output}")


if __name__ == "__main__":
    run_command(main)
