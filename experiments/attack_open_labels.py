"""An attack on labels of each iteration: they tell a party the other party's columns of single rows.

    python experiments/attack_open_labels.py

Two parties hold columns of the same rows and cluster with `svk`. Without `hide_labels` both see the labels of all rows
in each iteration of each start. The attacker is the first party. It keeps to the protocol, and knows its own columns,
all labels and the bounds of all columns. It estimates the other party's columns of every row.

A centroid is the mean of the rows that had its label one iteration before. So the attacker knows its own columns of it,
and of which rows it is the mean. A label says that no other centroid is nearer to the row. The attacker looks for
values, inside the bounds, with which that holds for all rows in all iterations of all starts. Its own part of each
distance is known, so the labels also tell the scale of the values. They do not change where all values are shifted, or
the other party's columns mirrored or rotated.

The search goes down the gradient of the logarithm of the labels' likelihood, where a row takes a centroid with a
probability that falls with its distance, at first slowly, in the end steeply. It begins several times, at different
values; estimates that agree with the labels equally well are averaged.

The first centroids of a start are rows. With a public seed the attacker knows which ones. Otherwise it looks for the
rows that explain the first labels best, by its estimates so far, and then uses those that explain them well.

The views that are compared:

- hidden labels: the attacker guesses each label by its own columns of the final centroids, and attacks with the guess;
- final labels: `hide_labels` with `disclose.labels = "all"`;
- open labels;
- each of these two with `disclose.centroids = "all"`: the other party's columns of the final centroids are known, which
  fixes shift and mirror;
- public seed: open labels, and the rows that the starts begin at.

"Rank" is Spearman's correlation of the estimates with the true values, without its sign. "Error" is the mean distance
between them, as a part of the column's range; both are means over the columns. Where only own centroids are known the
estimates are first mirrored or rotated as it fits best, which is one bit for one column, and put into the middle of the
bounds, which are the smallest and the largest value of each column.

The labels are computed in the clear: the secure run finds the same ones.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.linalg import orthogonal_procrustes
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from labels_in_the_clear import CASES, View, views, weights_of
from terminal import show_progress

from secure_kmeans.app.forms import run_command
from secure_kmeans.job import Init

QUICK_STARTS: Final = (1, 5)
STARTS: Final = (1, 5, 20, 200)
INITS: Final[tuple[Init, ...]] = ("farthest", "random")
QUICK_CASES: Final = tuple(CASES)[:2]

TRIES: Final = 24
"""Values that short searches begin at."""
BEGINNINGS: Final = 8
"""How often so many are tried, until values are found that agree with the labels."""
KEPT: Final = 3
"""Short searches that are gone on with: those that agree best with the labels."""
SHORT: Final = (80, 12)
"""Steps of a short search, and the labellings that each of them looks at."""
LONG: Final = (160, 40)
"""The same of one that goes on."""
TEMPERATURES: Final = (0.1, 0.002)
"""Of the first and the last steps: the difference of squared distances at which a centroid is e times less likely."""
RATES: Final = (0.05, 0.0025)
"""Of the first and the last steps, in parts of a column's range."""
AVERAGED: Final = 0.3
"""The part of the steps whose values are averaged in the end."""
PULL: Final = 1e-3
"""Towards the middle of the bounds: for values that nothing else decides."""
ROUNDS: Final = 2
"""How often the search looks for the rows that the starts begin at, and goes on with these."""
EQUAL: Final = 1e-6
"""The same of two estimates that agree with the labels equally well."""
AVERAGES: Final = 3
"""How often equally good estimates are rotated to their mean."""
EXPLAINED: Final = 1e-4
"""Squared distance by which a label is wrong, the mean of a labelling's rows: with less its first rows are used."""

AGREES: Final = 1e-5
"""The same of all labellings: with less the values agree with them."""

VIEWS: Final = (
    "hidden labels",
    "final labels",
    "final, all centroids",
    "open labels",
    "open, all centroids",
    "public seed",
)
GIVEN_AWAY: Final = 0.5
"""Open labels give a column away where the error is less than this part of that with hidden labels."""
HIDDEN: Final = 0.3
"""The largest rank with hidden labels, where the parties' columns have nothing to do with each other."""


# ------------------------------------------------------------------------------------------------------ the attack


def attacked(view: View, chance: np.random.Generator) -> np.ndarray:
    """Estimates of the other party's columns, (n, width) floats between 0 and 1."""
    labels, weights = view.labels, view.weights
    found: list[tuple[np.ndarray, float]] = []
    for _ in range(BEGINNINGS):
        short = [searched(view, labels, weights, guess, chance, short=True) for guess in _guesses(view, chance)]
        short.sort(key=lambda each: each[1])
        found += short + [searched(view, labels, weights, estimate, chance, warm=0.3) for estimate, _ in short[:KEPT]]
        if min(wrong for _, wrong in found) < AGREES:
            break
    for _ in range(ROUNDS if len(view.first) else 0):
        rows, wrong = first_rows(np.hstack([view.own, _agreed(found)]), view.first, view.weights.shape[1])
        used = wrong < EXPLAINED
        labels = np.concatenate([view.labels, view.first[used]])
        weights = np.concatenate([view.weights, np.eye(len(view.own))[rows[used]]])
        helped = searched(view, labels, weights, _agreed(found), chance, warm=0.5)
        if helped[1] < AGREES:
            found = [helped]
    return _agreed(found)


def _guesses(view: View, chance: np.random.Generator) -> Iterator[np.ndarray]:
    """Values to begin at: around one value for each final cluster, which is random where it is not known."""
    shape = (len(view.own), view.width)
    for _ in range(TRIES if view.centroids is None else KEPT):
        centroids = chance.random((view.weights.shape[1], view.width)) if view.centroids is None else view.centroids
        yield centroids[view.final] + 0.1 * chance.normal(size=shape)


def searched(
    view: View,
    labels: np.ndarray,
    weights: np.ndarray,
    guess: np.ndarray,
    chance: np.random.Generator,
    *,
    short: bool = False,
    warm: float = 0.0,
) -> tuple[np.ndarray, float]:
    """The values that the search arrives at, (n, width), and by how much the labels are wrong with them.

    Parameters
    ----------
    view : View
    labels, weights : (m, n) and (m, k, n)
    guess : (n, width)
        Where it begins.
    chance : Generator
    short : bool
    warm : float
        How good the guess is: the part of the way at whose temperature and rate the search begins.
    """
    steps, batch = SHORT if short else LONG
    owned = _own_distances(view.own, weights)
    weights, is_own = weights.astype(np.float32), labels[:, :, None] == np.arange(weights.shape[1])
    ends = None if view.centroids is None else weights_of(view.final, np.zeros(weights.shape[1:]))
    values = np.clip(guess, 0, 1).astype(np.float32)
    first, second, mean = np.zeros_like(values), np.zeros_like(values), np.zeros(values.shape)
    for step in range(1, steps + 1):
        along = min(1.0, warm + (1 - warm) * step / steps / (1 - AVERAGED))
        temperature, rate = (a * (b / a) ** along for a, b in (TEMPERATURES, RATES))
        of = np.arange(len(labels)) if len(labels) <= batch else chance.permutation(len(labels))[:batch]
        slope = _slope(values, owned[of], weights[of], is_own[of], temperature) + PULL * (values - 0.5)
        if ends is not None:
            slope += ends.T @ (ends @ values - view.centroids) / temperature * len(values) / len(ends)
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2  # Adam
        moved = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
        values = np.clip(values - rate * moved, 0, 1).astype(np.float32)
        if step > steps * (1 - AVERAGED):
            mean += values
    mean /= steps - int(steps * (1 - AVERAGED))
    distances = _distances(mean.astype(np.float32), owned, weights)[0]
    return mean, float((distances[is_own] - distances.min(axis=2).ravel()).mean())


def _own_distances(own: np.ndarray, weights: np.ndarray) -> np.ndarray:
    centroids = weights @ own
    flat = centroids.reshape(-1, own.shape[1])
    products = (own @ flat.T).reshape(len(own), *weights.shape[:2]).transpose(1, 0, 2)
    squares = (own**2).sum(axis=1)[:, None] + (centroids**2).sum(axis=2)[:, None, :]
    return np.asarray(squares - 2 * products, dtype=np.float32)


def _distances(values: np.ndarray, owned: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances, (m, n, k), but for what is equal for all centroids; and the centroids, (m, k, width)."""
    (m, k, n), width = weights.shape, values.shape[1]
    centroids = (weights.reshape(m * k, n) @ values).reshape(m, k, width)
    products = (values @ centroids.reshape(-1, width).T).reshape(n, m, k).transpose(1, 0, 2)
    return owned + (centroids**2).sum(axis=2)[:, None, :] - 2 * products, centroids


def _slope(
    values: np.ndarray, owned: np.ndarray, weights: np.ndarray, is_own: np.ndarray, temperature: float
) -> np.ndarray:
    """The gradient of the labels' mean negative logarithm of the likelihood, times n."""
    (m, k, n), width = weights.shape, values.shape[1]
    distances, centroids = _distances(values, owned, weights)
    likely = np.exp((distances.min(axis=2, keepdims=True) - distances) / temperature)
    excess = is_own - likely / likely.sum(axis=2, keepdims=True)  # of each distance, times the temperature
    of_rows = excess.transpose(1, 0, 2).reshape(n, m * k) @ centroids.reshape(m * k, width)
    of_centroids = excess.sum(axis=1)[:, :, None] * centroids - excess.transpose(0, 2, 1) @ values
    through = weights.reshape(m * k, n).T @ of_centroids.reshape(m * k, width)
    return np.asarray(2 * (through - of_rows) / (temperature * m))


def first_rows(rows: np.ndarray, labels: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows that explain the labels of each first iteration best, (s, k), and by how much the labels are wrong.

    A start's row is in its own cluster. One centroid after the other is moved to the best row of its cluster.
    """
    apart = ((rows[:, None, :] - rows) ** 2).sum(axis=2)
    chosen, wrong = np.empty((len(labels), k), dtype=np.int64), np.empty(len(labels))
    for start, of in enumerate(labels):
        members = [np.flatnonzero(of == j) for j in range(k)]
        middles = [rows[each].mean(axis=0) if len(each) else np.full(rows.shape[1], np.inf) for each in members]
        best = np.array([((rows - middle) ** 2).sum(axis=1).argmin() for middle in middles])
        for j in np.tile(np.arange(k), 3):
            if len(members[j]):
                others = apart[:, np.delete(best, j)].min(axis=1, initial=np.inf)
                mine = np.where(of == j, np.inf, apart[np.arange(len(rows)), best[of]])
                tried = apart[members[j]]
                cost = np.where(of == j, np.maximum(0, tried - others), np.maximum(0, mine - tried))
                best[j] = members[j][cost.sum(axis=1).argmin()]
        distances = apart[:, best]
        chosen[start] = best
        wrong[start] = (distances[np.arange(len(rows)), of] - distances.min(axis=1)).mean()
    return chosen, wrong


def aligned(estimates: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Estimates rotated or mirrored, so that they fit as well as they can; each column in the middle of the bounds."""
    centred = estimates - estimates.mean(axis=0)
    turned = centred @ orthogonal_procrustes(centred, to - to.mean(axis=0))[0]
    return np.asarray(turned + 0.5 - (turned.max(axis=0) + turned.min(axis=0)) / 2)


def _agreed(found: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """The mean of estimates that agree best with the labels: of that half of them that is nearest to the mean.

    Each is rotated or mirrored as it fits the mean best.
    """
    least, best = min((wrong, number) for number, (_, wrong) in enumerate(found))
    mean = found[best][0]
    middle = mean.mean(axis=0)
    for _ in range(AVERAGES):
        turned = [aligned(estimate, mean) for estimate, wrong in found if wrong <= 2 * least + EQUAL]
        moved = np.stack([each - each.mean(axis=0) + middle for each in turned])
        nearest = ((moved - mean) ** 2).sum(axis=(1, 2)).argsort()[: -(-len(moved) // 2)]
        mean = moved[nearest].mean(axis=0)
    return np.asarray(mean)


# --------------------------------------------------------------------------------------------------- the experiment


Figures = dict[str, dict[str, float]]
"""By view, the rank and the error."""


def scored(view: View, estimates: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Rank and error of estimates; where the view does not fix how they are rotated, they are rotated as it fits."""
    if view.centroids is None:
        estimates = aligned(estimates, true)
    columns = range(true.shape[1])
    return {
        "rank": float(np.mean([abs(spearmanr(estimates[:, j], true[:, j]).statistic) for j in columns])),
        "error": float(np.abs(estimates - true).mean()),
    }


def measure(name: str, init: Init, n_starts: int, runs: int, seed: int) -> Figures:
    """The figures of every view: the means over several runs."""
    found: dict[str, list[dict[str, float]]] = {}
    for number in range(runs):
        true, seen = views(CASES[name], init, n_starts, seed + number)
        for what, view in seen.items():
            estimates = attacked(view, np.random.default_rng([seed, number]))
            found.setdefault(what, []).append(scored(view, estimates, true))
        show_progress(f"{name}, {init}, {n_starts} starts: runs", number + 1, runs)
    return {
        what: {key: float(np.mean([each[key] for each in figures])) for key in figures[0]}
        for what, figures in found.items()
    }


Measured = dict[str, dict[Init, dict[int, Figures]]]
"""By table, by the kind of start, and by the number of starts."""


def judged(measured: Measured) -> tuple[bool, bool]:
    """Whether open labels give the columns away and hidden ones do not, where one's columns say nothing of the other's.

    Of other tables nothing is judged: with open labels that never change the attack fails, and with related columns a
    party's own say much about the other's.
    """
    given, hidden = [], []
    for by_init in (each for name, each in measured.items() if CASES[name].unrelated):
        for by_starts in by_init.values():
            most = by_starts[max(by_starts)]
            given.append(most["open labels"]["error"] < GIVEN_AWAY * most["hidden labels"]["error"])
            hidden += [each["hidden labels"]["rank"] < HIDDEN for each in by_starts.values()]
    return all(given), all(hidden)


def _show(measured: Measured) -> None:
    table = Table("table", "init", "starts", *VIEWS, box=box.SIMPLE_HEAD)
    for name, by_init in measured.items():
        for init, by_starts in by_init.items():
            for starts, figures in sorted(by_starts.items()):
                cells = [f"{figures[what]['rank']:.2f}, {figures[what]['error']:.1%}" for what in VIEWS]
                first = starts == min(by_starts)
                table.add_row(name if first else "", init if first else "", str(starts), *cells)
        table.add_section()
    Console(width=140).print("Rank and error of the estimates of the other party's columns:", table, sep="\n")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--runs", type=click.IntRange(min=1), help="Of each kind, with other starts.  [default: 1; --full: 3]")
@click.option("--full", is_flag=True, help="All tables and kinds of starts, up to 200 of them, in some ten minutes.")
@click.option("--case", "cases", multiple=True, type=click.Choice(list(CASES)), help="Only this table.")
@click.option("--init", "inits", multiple=True, type=click.Choice(INITS), help="Only this kind of start.")
@click.option("--starts", multiple=True, type=click.IntRange(1, 1000), help="Only this number of starts.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON instead of a table.")
def main(
    runs: int | None,
    full: bool,
    cases: tuple[str, ...],
    inits: tuple[Init, ...],
    starts: tuple[int, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Estimate the other party's columns of single rows from the labels of each iteration.

    Exit status: 0 if, of the mall customers, open labels give the spending away and hidden ones do not, else 1.
    """
    runs = runs or (3 if full else 1)
    measured: Measured = {
        name: {
            init: {n: measure(name, init, n, runs, seed) for n in starts or (STARTS if full else QUICK_STARTS)}
            for init in inits or (INITS if full else INITS[:1])
        }
        for name in cases or (tuple(CASES) if full else QUICK_CASES)
    }
    given_away, hidden = judged(measured)
    if as_json:
        click.echo(json.dumps({"figures": measured, "given_away": given_away, "hidden": hidden}, indent=2))
    else:
        _show(measured)
        click.echo(
            f"Open labels {'give the columns away' if given_away else 'do not give the columns away'}. ", nl=False
        )
        click.echo(f"Hidden labels {'do not' if hidden else 'do, too'}.")
    sys.exit(0 if given_away and hidden else 1)


if __name__ == "__main__":
    run_command(main)
