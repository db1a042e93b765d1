"""An attack on public starting rows: the cluster sizes of an iteration tell what stands in the row a start begins at.

    python experiments/attack_public_sizes.py

Two parties have their rows below each other. Each start of a run begins at a row, and the run discloses the sizes of
the clusters in each iteration of each start. The attacker is the first party. It keeps to the protocol, and knows its
own rows, all sizes and, with a public seed, at which row numbers the starts begin. It estimates the values of those
starting rows that are the other party's. Sizes follow from the starting row, so there are two ways:

- Matching: among the starts that begin at its own rows it takes the one with the most similar sizes. The estimate is
  the value of its own row. This needs many starts.
- Simulation: it makes tables of its own rows, with copies of them in the place of the other party's. It runs the
  algorithm on them from all kinds of starting rows. The estimate is the value that most of the simulated starts with
  the most similar sizes have. This needs one start. The rate of hits does not depend on how many there are.

An estimate hits if it is within 2 units of the value. Chance is the part of the other party's rows that the same
estimate hits: what it is worth where nothing links a start with a row. P is the probability of at least as many hits
by chance alone.

"Secret rows" is the same attack where nobody knows at which rows the starts begin. To say anything about a row of the
other party the attacker has to guess its number, and must do no better than chance. What sizes still say then is
measured, too ("of some row"): whether the estimate hits the row that the start did begin at, whichever that is. That
is a statement about the values that occur in the table, and not about a row.

With hidden sizes and a public seed the stop bits of each iteration remain. The same attackers use these alone.

So between machines the program takes no public seed. On one machine it does: there a seed tells nobody anything.

What a run discloses is computed in the clear: the secure run finds the same sizes.
"""

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.stats import norm, poisson_binom

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from starts_in_the_clear import CASES, ITERATIONS, ROWS, Coins, Disclosed, disclosed
from terminal import show_progress

from secure_kmeans.app.forms import run_command
from secure_kmeans.job import Init

STARTS: Final = (1, 2, 3, 5, 10, 20, 50, 100, 200)
"""How many starts a run has. The last number is that of the runs that are made; fewer are the first ones of these."""
SIMULATED: Final = 10
"""Starts of each table that the simulation is tried on, one by one."""
WITHIN: Final = 2
"""Units: an estimate no farther from the value than this is a hit."""
STAND_INS: Final = 20
"""Tables that the attacker makes of its own rows."""
TRIES: Final = 75
"""Starts that it simulates on each of them."""
NEAREST: Final = 15
"""Simulated starts that it looks at: those with the most similar sizes."""
FIRST_WEIGHTS: Final = (4.0, 2.0)
"""Of the first two iterations, in which the starting row shows most. The others have 1."""
INITS: Final[tuple[Init, ...]] = ("farthest", "k-means++", "random")
DISCLOSED: Final[tuple[Disclosed, ...]] = ("sizes", "stops")
QUICK_CASES: Final = ("uniform", "clustered", "mall, 2 columns")
SURE: Final = 1e-6
"""The attack works where chance alone explains its hits with less than this probability."""
DOUBTFUL: Final = 0.01
"""The attack fails where the least of all probabilities, times their number, is above this."""


# ------------------------------------------------------------------------------------------------------ the attack


@dataclass(frozen=True)
class View:
    """What the attacker has.

    Attributes
    ----------
    own : (n_own, d) int64
        Its own rows, which are the first ones of the table.
    init : "farthest", "k-means++" or "random"
    n_clusters : int
    what : "sizes" or "stops"
    seen : (n_starts, ITERATIONS, n_clusters or 1) floats
        What :func:`disclosed` returned.
    coins : Coins or None
        Where the starts begin; None where that is secret.
    """

    own: np.ndarray
    init: Init
    n_clusters: int
    what: Disclosed
    seen: np.ndarray
    coins: Coins | None


def by_matching(view: View, rows: np.ndarray, n_starts: int) -> np.ndarray:
    """Estimates for the first starts, given the row numbers, (n_starts, m), that they are believed to begin at.

    Returns
    -------
    (n_starts, m, d) floats; nan where the attacker has no start of its own to compare with.
    """
    rows = rows[:n_starts]
    estimates = np.full((*rows.shape, view.own.shape[1]), np.nan)
    is_own = rows < len(view.own)
    if not is_own.any():
        return estimates
    profiles = np.stack([_with_first(view.seen[:n_starts], j) for j in range(rows.shape[1])], axis=1)
    known, values = profiles[is_own], view.own[rows[is_own]]
    for start, j in np.argwhere(~is_own):
        estimates[start, j] = values[np.abs(known - profiles[start, j]).sum(axis=(1, 2)).argmin()]
    return estimates


def _with_first(seen: np.ndarray, j: int) -> np.ndarray:
    """The sizes with cluster j's before the others', so that it does not matter which number a cluster has."""
    return np.concatenate([seen[:, :, j : j + 1], np.delete(seen, j, axis=2)], axis=2) if j < seen.shape[2] else seen


def by_simulation(view: View, n_starts: int, chance: np.random.Generator) -> np.ndarray:
    """Estimates for the first starts, (n_starts, m, d) floats.

    Where the coins are public the attacker simulates with them: what it knows of a start's rows and draws stays.
    """
    shared = None if _depends_on_coins(view) else _simulated(view, None, chance)
    estimates = []
    for start in range(n_starts):
        if shared is None:
            assert view.coins is not None
            seen, values = _simulated(view, view.coins.start(start), chance)
        else:
            seen, values = shared
        estimates.append(_estimate(view, view.seen[start], seen, values))
    return np.stack(estimates)


def _depends_on_coins(view: View) -> bool:
    return view.coins is not None and view.init != "farthest"


def _simulated(view: View, coins: Coins | None, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What is disclosed of simulated starts, and the values, (n, m, d), of the rows that they begin at."""
    n_own = len(view.own)
    seen, values = [], []
    for _ in range(STAND_INS):
        table = np.concatenate([view.own, view.own[chance.integers(0, n_own, ROWS - n_own)]])
        if coins is None:
            tried = Coins.tossed(chance, view.init, view.n_clusters, TRIES)
        else:
            others = chance.integers(n_own, ROWS, (TRIES, coins.rows.shape[1]))
            rows = np.where(coins.rows < n_own, coins.rows, others)
            tried = Coins(rows, np.repeat(coins.draws, TRIES, axis=0))
        seen.append(disclosed(table, view.init, tried, view.what))
        values.append(table[tried.rows])
    return np.concatenate(seen), np.concatenate(values)


def _estimate(view: View, target: np.ndarray, seen: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value with the most weight of the nearest simulated starts around it, for each row and column."""
    weights = np.ones(ITERATIONS)
    weights[: len(FIRST_WEIGHTS)] = FIRST_WEIGHTS
    distances = ((seen - target) ** 2).sum(axis=2) @ weights
    nearest = distances.argsort(kind="stable")[:NEAREST]
    closeness = 1 / (distances[nearest] + 1e-4)
    estimate = np.empty(values.shape[1:])
    for j, column in np.ndindex(*estimate.shape):
        candidates = np.unique(view.own[:, column])
        away = np.abs(values[nearest, j, column] - candidates[:, None])
        estimate[j, column] = candidates[((away <= WITHIN) + 0.01 * (away == 0)).dot(closeness).argmax()]
    return estimate


# ------------------------------------------------------------------------------------------------------- its worth


@dataclass
class Score:
    """How many estimates hit, over all tables.

    Attributes
    ----------
    hits, exact : list of arrays of bool, one array for each table
    chances : list of arrays
        The probability of each hit where the row could be any of the other party's.
    """

    hits: list[np.ndarray] = field(default_factory=list)
    exact: list[np.ndarray] = field(default_factory=list)
    chances: list[np.ndarray] = field(default_factory=list)

    def add(self, table: np.ndarray, n_own: int, estimates: np.ndarray, rows: np.ndarray) -> None:
        """Compare estimates, (n, m, d), with the rows that they are for; rows of the attacker do not count."""
        counts = (rows >= n_own) & ~np.isnan(estimates).any(axis=2)
        guessed, true = estimates[counts], table[rows[counts]]
        away = np.abs(table[n_own:, None, :] - guessed)
        self.hits.append((np.abs(guessed - true) <= WITHIN).ravel())
        self.exact.append((guessed == true).ravel())
        self.chances.append((away <= WITHIN).mean(axis=0).ravel())

    def figures(self) -> dict[str, float]:
        """The number of estimates, the rates, the gain with its standard error over the tables, and P."""
        hits, exact, chances = map(np.concatenate, (self.hits, self.exact, self.chances))
        if not len(hits):
            return {"estimates": 0}
        gain = float((hits - chances).mean())
        of_tables = np.array([(a - b - gain).sum() for a, b in zip(self.hits, self.chances, strict=True)])
        return {
            "estimates": len(hits),
            "hits": float(hits.mean()),
            "chance": float(chances.mean()),
            "gain": gain,
            "gain_error": float(np.sqrt((of_tables**2).sum()) / len(hits)),
            "exact": float(exact.mean()),
            "p": by_chance(int(hits.sum()), chances),
        }


def by_chance(hits: int, chances: np.ndarray) -> float:
    """The probability of at least this many hits where each is a coin of its own chance."""
    if len(chances) <= 3000:
        return float(np.clip(poisson_binom(chances).sf(hits - 1), 0, 1))
    deviation = max(1e-9, float(np.sqrt((chances * (1 - chances)).sum())))
    return float(norm.sf((hits - 0.5 - chances.sum()) / deviation))


Trial = tuple[str, np.ndarray, np.ndarray]
"""Of what the row numbers are ("public", "secret" or "some row"), the estimates, the row numbers."""
Figures = dict[str, dict[str, float]]
"""Of an attack: "public", "secret" and "some row", each with the figures of its score."""
Measured = dict[str, dict[int, Figures]]
"""By attack, and by the number of starts. The simulation looks at one start at a time: 1 stands for any number."""


def trials(view: View, coins: Coins, chance: np.random.Generator) -> dict[tuple[str, int], list[Trial]]:
    """Both attacks on what one run has disclosed, by attack and number of starts.

    Parameters
    ----------
    view : View
        Of a run with public rows.
    coins : Coins
        Where its starts begin. Where rows are secret the attacker guesses them.
    chance : Generator
    """
    secret = replace(view, coins=None)
    guessed = Coins.tossed(chance, view.init, view.n_clusters, len(coins.rows)).rows
    blind = by_simulation(secret, SIMULATED, chance)
    made: dict[tuple[str, int], list[Trial]] = {
        ("simulation", 1): [
            ("public", by_simulation(view, SIMULATED, chance), coins.rows),
            ("secret", blind, guessed),
            ("some row", blind, coins.rows),
        ]
    }
    for n_starts in STARTS:
        made["matching", n_starts] = [
            ("public", by_matching(view, coins.rows, n_starts), coins.rows),
            ("secret", by_matching(secret, guessed, n_starts), guessed),
        ]
    return made


def measure(name: str, init: Init, what: Disclosed, tables: int, seed: int) -> Measured:
    """The figures of every attack and number of starts, over many random tables."""
    case = CASES[name]
    scores: dict[tuple[str, int], dict[str, Score]] = {}
    for number in range(1, tables + 1):
        chance = np.random.default_rng([seed, number])
        table = case.draw(chance, case.columns)
        coins = Coins.tossed(chance, init, case.n_clusters, max(STARTS))
        view = View(table[: case.own], init, case.n_clusters, what, disclosed(table, init, coins, what), coins)
        for key, made in trials(view, coins, chance).items():
            for of, estimates, rows in made:
                score = scores.setdefault(key, {}).setdefault(of, Score())
                score.add(table, case.own, estimates, rows[: len(estimates)])
        show_progress(f"{name}, {init}, {what}: tables", number, tables)
    measured: Measured = {}
    for (way, starts), each in scores.items():
        measured.setdefault(way, {})[starts] = {of: score.figures() for of, score in each.items()}
    return measured


# --------------------------------------------------------------------------------------------------- the experiment


def largest_without_a_leak(starts: dict[int, Figures]) -> int:
    """The largest number of public starts up to which an attack is not shown to be better than chance; 0 if none."""
    largest = 0
    for n_starts, figures in sorted(starts.items()):
        if figures["public"].get("p", 1.0) < DOUBTFUL:
            break
        largest = n_starts
    return largest


def judged(everything: list[tuple[Disclosed, Measured]]) -> tuple[bool, bool]:
    """Whether public rows and sizes give away values in every case, and whether secret rows do so in none."""
    leaks, secret = [], []
    for what, measured in everything:
        figures = [each for starts in measured.values() for each in starts.values()]
        secret += [each["secret"]["p"] for each in figures if "p" in each["secret"]]
        if what == "sizes":
            leaks.append(min(each["public"].get("p", 1.0) for each in figures))
    return max(leaks) < SURE, min(secret) * len(secret) > DOUBTFUL


def _show(console: Console, title: str, by_init: dict[Init, Measured]) -> None:
    table = Table(
        *("init", "attack", "starts", "estimates", "public rows: hits", "exact", "P"),
        *("secret rows: hits", "P", "of some row: hits"),
        box=box.SIMPLE_HEAD,
    )
    for init, measured in by_init.items():
        for way, of in measured.items():
            for starts, figures in of.items():
                public, secret = figures["public"], figures["secret"]
                if public["estimates"] and secret["estimates"]:
                    table.add_row(
                        *(init, way, "any" if way == "simulation" else str(starts), f"{public['estimates']:,}"),
                        *(_rate(public), f"{public['exact']:.1%}", f"{public['p']:.1g}"),
                        *(_rate(secret), f"{secret['p']:.1g}"),
                        _rate(figures["some row"]) if "some row" in figures else "",
                    )
        table.add_section()
    console.print(f"\n[bold]{title}[/bold]", table, sep="\n")


def _rate(figures: dict[str, float]) -> str:
    return f"{figures['hits']:.1%} (chance {figures['chance']:.1%})"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--tables", type=click.IntRange(min=2), help="Random tables of each kind.  [default: 10; --full: 200]")
@click.option("--full", is_flag=True, help="All kinds of tables, and 200 of each, in some twenty minutes.")
@click.option("--case", "cases", multiple=True, type=click.Choice(list(CASES)), help="Only this kind of table.")
@click.option("--init", "inits", multiple=True, type=click.Choice(INITS), default=INITS, help="Only this start.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON instead of tables.")
def main(
    tables: int | None, full: bool, cases: tuple[str, ...], inits: tuple[Init, ...], seed: int, as_json: bool
) -> None:
    """Estimate the values of the other party's starting rows from cluster sizes: with public rows, with secret ones.

    Exit status: 0 if the attack works with public rows and finds nothing better than chance with secret ones, else 1.
    """
    tables = tables or (200 if full else 10)
    console = Console(width=140)
    everything: list[tuple[Disclosed, Measured]] = []
    printed: dict[str, dict[Init, Measured]] = {}
    limits: dict[str, int] = {}
    for name in cases or (tuple(CASES) if full else QUICK_CASES):
        for what in DISCLOSED if name == "clustered" or (full and name == "uniform") else DISCLOSED[:1]:
            title = f"{name}: from the {what} of each iteration, {tables} tables"
            printed[title] = {init: measure(name, init, what, tables, seed) for init in inits}
            everything += [(what, measured) for measured in printed[title].values()]
            for init, measured in printed[title].items():
                limits |= {f"{title}, {init}, {way}": largest_without_a_leak(of) for way, of in measured.items()}
            if not as_json:
                _show(console, title, printed[title])
    works, fails = judged(everything)
    if as_json:
        click.echo(json.dumps({"figures": printed, "limits": limits, "works": works, "fails": fails}, indent=2))
    else:
        click.echo("Public starts up to which an attack is not shown to be better than chance:")
        for title, limit in limits.items():
            click.echo(f"  {'any' if limit and title.endswith('simulation') else limit:>4}  {title}")
        click.echo(f"\nWith public rows the attack {'works' if works else 'does not work in every case'}.")
        click.echo(f"With secret rows it {'does no better than chance' if fails else 'works'}.")
    sys.exit(0 if works and fails else 1)


if __name__ == "__main__":
    run_command(main)
