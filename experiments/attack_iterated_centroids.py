"""An attack on the centroids of every iteration: they tell a party the rows of the others, one by one.

    python experiments/attack_iterated_centroids.py

Several parties hold rows and cluster with `smo07`. The centroids of every iteration are public in both modes. The
attacker is one of the parties. It keeps to the protocol, and knows the job, its own rows, the number of all rows, all
centroids and, since the starts are drawn around the mean of all rows, the total of each column. It looks for the rows
of the other parties.

1. Sizes and sums (`sums_from_centroids.py`). A mean of whole numbers is a fraction, and its denominator says how many
   rows a cluster has. All sizes add up to the number of rows, all sums to the totals. The attacker subtracts its own
   rows: it knows their labels, since all centroids are public. So it has the number and the sum of the others' rows
   that were nearest to each centroid, in every iteration. The leader of the mode "paillier" sees them without solving.
2. One row alone (`rows_alone`). Where one cluster gains a row, another one loses it and nothing else changes, the sum
   that moved is that row, to the last digit that the sum has. No whole numbers are needed for that. It is the simplest
   explanation, and not the only possible one.
3. All rows (`all_rows`). The borders between centroids, of all iterations of all starts, cut the plane into cells. The
   numbers and sums of the rows in the cells solve linear equations. The attacker takes two solutions that are far
   apart. Where both agree on a cell, it has found the cell's number and sum: of one row, the row; of several, those
   rows that are part of every set of points of the cell with this sum.

The program asserts that the true rows solve the attacker's equations, and counts what it takes for a row and is none.
Rows are a multiset: where three rows are equal, one, two or three of them can be found.

The views that are compared:

- leader: sizes and sums in every iteration;
- party: the centroids of every iteration;
- the end: sizes and sums of the last iteration of the best start alone. A run of `shk` discloses no other centroids.

What a run discloses is computed in the clear: the secure run finds the same centroids.
"""

import functools
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from centroids_in_the_clear import BASE, CASES, QUICK_CASES, Run, run_of
from rows_from_sums import View, all_rows, rows_alone
from sums_from_centroids import seen_by_leader, seen_by_party, totals_of
from terminal import show_progress

from secure_kmeans.app.forms import run_command

QUICK_SECONDS: Final = 5.0
SECONDS: Final = 20.0
"""For one solution of the equations, on a busy machine; a run with more time finds more."""
VIEWS: Final = ("leader", "party", "the end")
GIVEN_AWAY: Final = 0.1
"""The centroids of every iteration give rows away where at least this part of them is found."""
HIDDEN: Final = 0.02
"""The end alone hides rows where no more than this part of them is found."""

Figures = dict[str, dict[str, float]]
"""By view: the parts of the sizes that are known, and of the rows that are found alone and in all, and the part of
what was found that is wrong."""


def views(run: Run) -> dict[str, View]:
    """What each attacker knows of the others' rows."""
    knows_totals = run.knows_totals or totals_of(run) is not None
    party = functools.partial(seen_by_party, knows_totals=knows_totals)
    leads, takes_part = (
        [[(iteration, seen(run, iteration)) for iteration in start] for start in run.starts]
        for seen in (seen_by_leader, party)
    )
    return {"leader": leads, "party": takes_part, "the end": [leads[run.best][-1:]]}


def attacked(run: Run, seconds: float, chance: np.random.Generator) -> Figures:
    """What is found in each view of one run."""
    figures: Figures = {}
    seen = views(run)
    for name, view in seen.items():
        known = np.concatenate([each.known for start in view for _, each in start])
        if name == "party" and known.all():  # it knows what the leader knows
            figures[name] = figures["leader"]
            continue
        alone, found = rows_alone(run, view), all_rows(run, view, chance, seconds)
        figures[name] = {"known": float(known.mean()), "alone": _right(run, alone), "found": _right(run, found)}
        wrong = (alone | found).total() - _right(run, alone | found) * run.others.sum()
        figures[name]["wrong"] = float(wrong / max(1, (alone | found).total()))
    return figures


def _right(run: Run, found: Counter[int]) -> float:
    """Which part of the others' rows was found."""
    return float(sum(min(count, run.others[point]) for point, count in found.items()) / run.others.sum())


def measure(name: str, runs: int, seconds: float, seed: int) -> Figures:
    """The means of the figures over several random tables; and the least and the most that a party finds."""
    every = []
    for number in range(1, runs + 1):
        every.append(attacked(run_of(CASES[name], [seed, number]), seconds, np.random.default_rng([seed, number, 1])))
        show_progress(f"{name}: runs", number, runs)
    return {
        view: {key: float(np.mean([each[view][key] for each in every])) for key in every[0][view]}
        | {"least": min(each[view]["found"] for each in every), "most": max(each[view]["found"] for each in every)}
        for view in VIEWS
    }


def judged(measured: dict[str, Figures]) -> tuple[bool, bool]:
    """Whether the centroids of every iteration give rows away of five starts; and whether the end never does."""
    base = measured.get(BASE, next(iter(measured.values())))
    return base["party"]["found"] >= GIVEN_AWAY, all(each["the end"]["found"] <= HIDDEN for each in measured.values())


def _show(measured: dict[str, Figures]) -> None:
    table = Table(
        *("", "leader finds", "party knows sizes", "finds alone", "finds", "least to most", "wrong", "from the end"),
        box=box.SIMPLE_HEAD,
    )
    for name, by_view in measured.items():
        leader, party, end = (by_view[view] for view in VIEWS)
        cells = (leader["found"], party["known"], party["alone"], party["found"])
        spread = f"{party['least']:.0%} to {party['most']:.0%}"
        table.add_row(name, *map("{:.0%}".format, cells), spread, f"{party['wrong']:.1%}", f"{end['found']:.0%}")
    Console(width=130).print("Parts of the other parties' rows that are found exactly:", table, sep="\n")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--runs", type=click.IntRange(min=1), help="On random tables of each kind.  [default: 2; --full: 10]")
@click.option("--full", is_flag=True, help="All kinds of runs, ten of each, in an hour.")
@click.option("--case", "cases", multiple=True, type=click.Choice(list(CASES)), help="Only this kind.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="For one solution.  [default: 5; --full: 20]")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON instead of a table.")
def main(runs: int | None, full: bool, cases: tuple[str, ...], seconds: float | None, seed: int, as_json: bool) -> None:
    """Find the other parties' rows from the centroids of every iteration.

    Exit status: 0 if the centroids of every iteration give rows away and those of the end alone do not, else 1.
    """
    runs, seconds = runs or (10 if full else 2), seconds or (SECONDS if full else QUICK_SECONDS)
    chosen = cases or (tuple(CASES) if full else QUICK_CASES)
    measured = {name: measure(name, runs, seconds, seed) for name in chosen}
    given_away, hidden = judged(measured)
    if as_json:
        click.echo(json.dumps({"figures": measured, "given_away": given_away, "hidden": hidden}, indent=2))
    else:
        _show(measured)
        click.echo(f"The centroids of every iteration {'give' if given_away else 'do not give'} rows away. ", nl=False)
        click.echo(f"Those of the end alone {'do not' if hidden else 'do, too'}.")
    sys.exit(0 if given_away and hidden else 1)


if __name__ == "__main__":
    run_command(main)
