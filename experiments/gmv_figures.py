"""The figures of GMV's paper: what two parties find alone, and together on secret shares; the rounds of an iteration.

    python experiments/gmv_figures.py

Four Gaussians of 100 points each. Figure 2: the ground truth, and k-means in the clear on all points. Figure 3: Alice
has some of the rows and Bob the others; Alice clusters hers and Bob labels his with her centroids; then both together,
by SHK. Figure 4: the same where Alice has one column and Bob the other; together by SVK. Figure 6: the rounds of an
iteration against the number of clusters, the paper's by its formulas, this project's counted in runs. Takes a minute.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gmv_runs import (
    BOUND,
    CLUSTERS,
    COLUMNS,
    MEANS,
    OF_EACH,
    OURS,
    PARTIES,
    THEIRS,
    Found,
    Points,
    in_the_clear,
    labelled,
    rounds_of,
    together_by_columns,
    together_by_rows,
)
from terminal import show_progress

from secure_kmeans.app.forms import run_command
from secure_kmeans.report.plots import colour, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from matplotlib.lines import Line2D

SEED: Final = 1
"""Of the points."""
FEWEST_CLUSTERS: Final = 2
MOST_CLUSTERS: Final = 10
"""Of figure 6."""
MARKERS: Final = {"alice": "o", "bob": "^"}
GREYS: Final = {"alice": "#444444", "bob": "#999999"}
"""Of rows that have no label yet."""
LIMIT: Final = 9.0
"""Of the axes of points."""
TICKS: Final = (-5, 0, 5)


# ----------------------------------------------------------------------------------------------------- agreement


@dataclass(frozen=True)
class Agreement:
    """How a clustering agrees with the ground truth, and with k-means in the clear on all points.

    Attributes
    ----------
    adjusted_rand : float
        With the ground truth.
    rows : int
    labels_as_centralised : int
        Rows with the same label, once the clusters are numbered alike.
    centroids_as_centralised : bool or None
        Whether all centroids are the same to the last bit. None where they are not of both columns.
    """

    adjusted_rand: float
    rows: int
    labels_as_centralised: int
    centroids_as_centralised: bool | None

    @classmethod
    def of(cls, found: Found, groups: np.ndarray, centralised: Found, rows: np.ndarray) -> Agreement:
        """Compare a clustering of some of the rows, whose numbers or truth values are ``rows``."""
        reference = centralised.labels[rows]
        alike = found.numbered_as(reference)
        same = np.array_equal(alike.centroids, centralised.centroids)
        return cls(
            adjusted_rand=round(found.agreement(groups[rows]), 4),
            rows=len(found.labels),
            labels_as_centralised=int((alike.labels == reference).sum()),
            centroids_as_centralised=same if found.centroids.shape[1] == len(COLUMNS) else None,
        )

    @property
    def beside_the_truth(self) -> str:
        """A line of a title."""
        return f"adjusted Rand {self.adjusted_rand:.2f}"

    @property
    def beside_the_centralised(self) -> str:
        """Two lines of the title of a run on shares."""
        centroids = "the same centroids" if self.centroids_as_centralised else "other centroids"
        return (
            f"{self.beside_the_truth}; as centralised:\n{self.labels_as_centralised} of {self.rows} labels, {centroids}"
        )


@dataclass(frozen=True)
class Runs:
    """All clusterings of the points, with the clusters numbered as the ground truth."""

    points: Points
    centralised: Found
    alice_by_rows: Found
    bob_by_rows: Found
    by_rows: Found
    alice_by_columns: Found
    bob_by_columns: Found
    by_columns: Found

    @classmethod
    def of(cls, points: Points) -> Runs:
        """Make them: in the clear, and on secret shares."""
        rows, groups, own = points.rows, points.groups, points.is_alices
        alice_by_rows = in_the_clear(rows[own]).numbered_as(groups[own])
        alice_by_columns = in_the_clear(rows[:, :1]).numbered_as(groups)
        return cls(
            points=points,
            centralised=in_the_clear(rows).numbered_as(groups),
            alice_by_rows=alice_by_rows,
            bob_by_rows=labelled(rows[~own], alice_by_rows),
            by_rows=together_by_rows(points, _progress("shk")).numbered_as(groups),
            alice_by_columns=alice_by_columns,
            bob_by_columns=labelled(rows[:, 1:], alice_by_columns),
            by_columns=together_by_columns(points, _progress("svk")).numbered_as(groups),
        )

    def agreements(self) -> dict[str, Agreement]:
        """Of each clustering but the centralised one with itself."""
        own, everything = self.points.is_alices, np.full(len(self.points.rows), True)
        which = {
            "centralised": (self.centralised, everything),
            "horizontal, alice alone": (self.alice_by_rows, own),
            "horizontal, bob by alice's model": (self.bob_by_rows, ~own),
            "horizontal, together by shk": (self.by_rows, everything),
            "vertical, alice alone": (self.alice_by_columns, everything),
            "vertical, bob by alice's model": (self.bob_by_columns, everything),
            "vertical, together by svk": (self.by_columns, everything),
        }
        return {
            name: Agreement.of(found, self.points.groups, self.centralised, rows)
            for name, (found, rows) in which.items()
        }


def _progress(protocol: str) -> Any:
    return lambda phase, done, total: show_progress(f"{protocol}, {phase}", done, total)


# ------------------------------------------------------------------------------------------------ figures 2 to 4


def draw_figure_2(path: Path, runs: Runs, found: dict[str, Agreement]) -> None:
    """The ground truth, and k-means in the clear on all points."""
    with drawn(path, 8.0, 4.5) as figure:
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        _plane(left, "(a) Ground truth\nfour Gaussians of 100 points")
        _scatter(left, runs.points.rows, runs.points.groups)
        _plane(right, f"(b) Centralised: k-means on all points\n{found['centralised'].beside_the_truth}")
        _scatter(right, runs.points.rows, runs.centralised.labels)
        _centroids(right, runs.centralised.centroids)
        right.set_ylabel("")
        figure.legend(handles=_legend(), loc="outside lower center", ncols=5)


def draw_figure_3(path: Path, runs: Runs, found: dict[str, Agreement]) -> None:
    """Rows divided between Alice and Bob: who has which, Alice's model, and both together."""
    rows, is_alices = runs.points.rows, runs.points.is_alices
    alice, bob = found["horizontal, alice alone"], found["horizontal, bob by alice's model"]
    together = found["horizontal, together by shk"].beside_the_centralised
    with drawn(path, 12.0, 4.9) as figure:
        who, alone, both = figure.subplots(1, 3, sharex=True, sharey=True)
        _plane(who, f"(a) Each has some of the rows:\nAlice {is_alices.sum()}, Bob {(~is_alices).sum()}")
        _scatter(who, rows[is_alices], None, "alice")
        _scatter(who, rows[~is_alices], None, "bob")
        _plane(
            alone,
            f"(b) Alice's model of her rows, {alice.beside_the_truth}\n"
            f"Bob's rows labelled by her model, {bob.beside_the_truth}",
        )
        _scatter(alone, rows[is_alices], runs.alice_by_rows.labels, "alice")
        _scatter(alone, rows[~is_alices], runs.bob_by_rows.labels, "bob")
        _centroids(alone, runs.alice_by_rows.centroids)
        _plane(both, f"(c) Together on secret shares, by shk\n{together}")
        _scatter(both, rows[is_alices], runs.by_rows.labels[is_alices], "alice")
        _scatter(both, rows[~is_alices], runs.by_rows.labels[~is_alices], "bob")
        _centroids(both, runs.by_rows.centroids)
        for ax in (alone, both):
            ax.set_ylabel("")
        figure.legend(handles=_legend(parties=True), loc="outside lower center", ncols=7)


def draw_figure_4(path: Path, runs: Runs, found: dict[str, Agreement]) -> None:
    """Columns divided between Alice and Bob: what each sees, Alice's model, and both together."""
    rows, groups = runs.points.rows, runs.points.groups
    alice, bob = found["vertical, alice alone"], found["vertical, bob by alice's model"]
    together = found["vertical, together by svk"].beside_the_centralised
    with drawn(path, 13.2, 4.9) as figure:
        left, middle, right = np.ravel(figure.subfigures(1, 3, squeeze=False, width_ratios=[1.0, 1.15, 0.92]))
        _draw_views(left, rows)
        upper, lower = middle.subplots(2, 1, sharex=True)
        title = f"(b) Alice's model of her x: {alice.beside_the_truth}"
        _lines(upper, rows[:, 0], groups, runs.alice_by_columns, title)
        title = f"(c) Bob's y labelled by her model: {bob.beside_the_truth}"
        _lines(lower, rows[:, 1], groups, runs.bob_by_columns, title)
        both = right.subplots()
        _plane(both, f"(d) Together on secret shares, by svk\n{together}")
        _scatter(both, rows, runs.by_columns.labels)
        _centroids(both, runs.by_columns.centroids)
        middle.legend(handles=_legend(), loc="outside lower center", ncols=5, columnspacing=1, handletextpad=0)


def _draw_views(figure: SubFigure, rows: np.ndarray) -> None:
    """All points, and the one coordinate of each that Alice sees (below) and that Bob sees (on the right)."""
    (plane, beside), (below, corner) = figure.subplots(2, 2, width_ratios=[1, 0.08], height_ratios=[1, 0.08])
    _plane(plane, "(a) Each has one column of every row:\nAlice x, Bob y")
    plane.set(xlabel="", ylabel="")
    _scatter(plane, rows, None)
    for ax, line in ((below, "|"), (beside, "_")):
        x, y = (rows[:, 0], np.zeros(len(rows))) if ax is below else (np.zeros(len(rows)), rows[:, 1])
        ax.scatter(x, y, s=90, c=GREYS["alice"], marker=line, alpha=0.5, linewidths=0.7)
        ax.grid(visible=False)
    below.set(xlabel="Alice's view: x", xlim=(-LIMIT, LIMIT), xticks=TICKS, yticks=[])
    beside.set(ylabel="Bob's view: y", ylim=(-LIMIT, LIMIT), yticks=TICKS, xticks=[])
    beside.yaxis.set_label_position("right")
    corner.set_axis_off()


def _plane(ax: Axes, title: str) -> None:
    """Axes of both columns."""
    limits = -LIMIT, LIMIT
    ax.set(title=title, xlabel=COLUMNS[0], ylabel=COLUMNS[1], xlim=limits, ylim=limits, xticks=TICKS, yticks=TICKS)


def _scatter(ax: Axes, rows: np.ndarray, labels: np.ndarray | None, party: str = "alice") -> None:
    """Rows in the colours of their clusters, or in grey where no labels are given."""
    colours = GREYS[party] if labels is None else [colour(label) for label in labels]
    ax.scatter(rows[:, 0], rows[:, 1], s=18, c=colours, marker=MARKERS[party], alpha=0.75, linewidths=0)


def _centroids(ax: Axes, centroids: np.ndarray) -> None:
    colours = [colour(number) for number in range(len(centroids))]
    x, y = centroids.T
    ax.scatter(x, y, s=130, c=colours, marker="X", edgecolors="white", linewidths=1.4, zorder=4)


def _lines(ax: Axes, values: np.ndarray, groups: np.ndarray, found: Found, title: str) -> None:
    """One column: a line for each Gaussian, the colours of the clusters, and the centroids below."""
    spread = np.random.default_rng(0).uniform(-0.25, 0.25, len(values))
    _scatter(ax, np.column_stack([values, groups + spread]), found.labels)
    _centroids(ax, np.column_stack([found.centroids[:, 0], np.full(len(found.centroids), -1)]))
    ax.set(title=title, xlim=(-LIMIT, LIMIT), ylim=(-1.6, len(MEANS) - 0.5), xticks=TICKS)
    ax.set_yticks(range(-1, len(MEANS)), ["centroids", *(f"group {number}" for number in range(len(MEANS)))])


def _legend(*, parties: bool = False) -> list[Line2D]:
    from matplotlib.lines import Line2D

    def mark(label: str, **look: Any) -> Line2D:
        return Line2D([], [], linestyle="", label=label, **look)

    clusters = [mark(f"Cluster {number}", marker="o", color=colour(number)) for number in range(CLUSTERS)]
    centroid = mark("centroid", marker="X", color=GREYS["alice"], markeredgecolor="white", markersize=9)
    owners = [mark(f"rows of {name.title()}", marker=MARKERS[name], color=GREYS[name]) for name in PARTIES]
    return [*clusters, centroid, *(owners if parties else [])]


# ----------------------------------------------------------------------------------------------------- figure 6


def count_rounds(most_clusters: int) -> pd.DataFrame:
    """The rounds of an iteration: a line for each number of clusters, a column for each protocol."""
    rows = np.random.default_rng(SEED).uniform(-BOUND, BOUND, (OF_EACH * len(MEANS), len(COLUMNS)))
    numbers = range(FEWEST_CLUSTERS, most_clusters + 1)
    table = pd.DataFrame({"clusters": numbers}, index=numbers)
    for name, formula in THEIRS.items():
        table[f"paper: {name}"] = [formula(k) for k in numbers]
    total, done = len(OURS) * len(numbers), 0
    for name in OURS:
        counted = []
        for k in numbers:
            counted.append(rounds_of(name, k, rows))
            show_progress("rounds, run", done := done + 1, total)
        table[f"counted: {name}"] = counted
    return table


def draw_figure_6(path: Path, rounds: pd.DataFrame) -> None:
    """Rounds against clusters: rows divided on the left, columns divided on the right."""
    with drawn(path, 10.4, 4.0) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        _draw_rounds(left, rounds, "shk", "Rows divided (horizontal): shk")
        _draw_rounds(right, rounds, "svk", "Columns divided (vertical): svk")
        left.set_ylabel("Rounds for an iteration")


def _draw_rounds(ax: Axes, rounds: pd.DataFrame, protocol: str, title: str) -> None:
    """A curve for each column of one protocol. The paper's are dashed and hollow; one colour hides the same."""
    colours: dict[str, str] = {}
    for column in (str(each) for each in rounds if protocol in str(each)):
        source, _, name = column.partition(": ")
        theirs, line = source == "paper", colours.setdefault(name, colour(len(colours)))
        style: dict[str, Any] = {"linestyle": "--", "markerfacecolor": "white"} if theirs else {}
        ax.plot(rounds["clusters"], rounds[column], marker="o", color=line, markersize=4.5, linewidth=1.2, **style)
        hidden = name.removeprefix(f"{protocol}, ")
        ax.annotate(
            f"{source}: {hidden}",
            (rounds["clusters"].iloc[-1], rounds[column].iloc[-1]),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=line,
            fontsize=8,
        )
    ax.set(title=title, xlabel="Number of clusters", yscale="log", ylim=(4, 250), xticks=rounds["clusters"])
    ax.set_yticks([5, 10, 20, 50, 100, 200], ["5", "10", "20", "50", "100", "200"])
    ax.minorticks_off()


# --------------------------------------------------------------------------------------------------------- main


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seed", type=click.IntRange(min=0), default=SEED, show_default=True, help="Of the points.")
@click.option(
    "--most-clusters",
    type=click.IntRange(FEWEST_CLUSTERS, 20),
    default=MOST_CLUSTERS,
    show_default=True,
    help="The last number of clusters whose rounds are counted.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results/experiments/gmv"),
    show_default=True,
    help="Folder of the pictures and of their numbers.",
)
def main(seed: int, most_clusters: int, output: Path) -> None:
    """Draw the figures of GMV's paper from runs, and write their numbers beside them.

    The ends of figures 3 and 4 come from encrypted runs with all roles in processes on this machine.
    """
    output.mkdir(parents=True, exist_ok=True)
    runs = Runs.of(Points.drawn(seed))
    found = runs.agreements()
    for number, draw in {2: draw_figure_2, 3: draw_figure_3, 4: draw_figure_4}.items():
        draw(output / f"figure_{number}.png", runs, found)
    rounds = count_rounds(most_clusters)
    rounds.to_csv(output / "rounds.csv", index=False)
    draw_figure_6(output / "figure_6.png", rounds)
    numbers = {"seed": seed, "agreement": {name: asdict(each) for name, each in found.items()}}
    (output / "agreement.json").write_text(json.dumps(numbers, indent=2) + "\n")
    for name, each in found.items():
        click.echo(
            f"{name:34} {each.beside_the_truth}, {each.labels_as_centralised} of {each.rows} labels as centralised"
        )
    click.echo(rounds.to_string(index=False))
    click.echo(f"written to {output}")


if __name__ == "__main__":
    run_command(main)
