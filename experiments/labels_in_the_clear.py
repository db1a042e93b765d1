"""Tables whose columns two parties hold, and what a run on them discloses with open labels, computed in the clear.

The secure run finds the same labels, to the last bit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.datasets import load_iris, load_wine

from secure_kmeans.job import Init
from secure_kmeans.job.coins import Coins
from secure_kmeans.plaintext.initialisation import initial_centroids
from secure_kmeans.plaintext.kmeans import KMeansRun, lloyd, nearest_centroids, number_of_best

BITS: Final = 20
"""Fractional bits of the fixed point."""
ITERATIONS: Final = 100
MALL: Final = Path(__file__).resolve().parent.parent / "data" / "mall_customers.csv"


# ------------------------------------------------------------------------------------------------------ the tables


def mall(chance: np.random.Generator) -> np.ndarray:
    """The mall customers: annual income, spending score."""
    del chance
    return np.loadtxt(MALL, delimiter=",", skiprows=1, usecols=(3, 4))


def gaussians(chance: np.random.Generator) -> np.ndarray:
    """Four Gaussians of a hundred points, those of the paper's experiment."""
    centres = np.repeat([(5, 3), (5, -5), (-5, 5), (-3, -5)], 100, axis=0)
    return np.asarray(centres + chance.normal(size=centres.shape))


def iris(chance: np.random.Generator) -> np.ndarray:
    """Iris: length and width of the sepals, then of the petals."""
    del chance
    return np.asarray(load_iris().data)


def wine(chance: np.random.Generator) -> np.ndarray:
    """Wine: thirteen chemical measurements."""
    del chance
    return np.asarray(load_wine().data)


@dataclass(frozen=True)
class Case:
    """A table, and which of its columns are whose.

    Attributes
    ----------
    draw : callable
        Callback(generator): (n, d) floats.
    own, n_clusters : int
        The first ``own`` columns are the attacker's.
    unrelated : bool
        One party's columns say next to nothing about the other's.
    """

    draw: Callable[[np.random.Generator], np.ndarray]
    own: int
    n_clusters: int
    unrelated: bool = False


CASES: Final = {
    "mall, 1 + 1 columns": Case(mall, own=1, n_clusters=5, unrelated=True),
    "Gaussians, 1 + 1": Case(gaussians, own=1, n_clusters=4),
    "iris, 2 + 2": Case(iris, own=2, n_clusters=3),
    "iris, 3 + 1": Case(iris, own=3, n_clusters=3),
    "wine, 12 + 1": Case(wine, own=12, n_clusters=3),
    "wine, 6 + 7": Case(wine, own=6, n_clusters=3),
}


# -------------------------------------------------------------------------------------------------------- the views


@dataclass(frozen=True)
class View:
    """What the attacker has.

    Attributes
    ----------
    own : (n, d) floats
        Its own columns, in parts of their range.
    width : int
        Columns of the other party.
    labels : (m, n) int64
        Of iterations of all starts, each labelling once.
    weights : (m, k, n) floats
        Of each row in each of the centroids that gave these labels.
    first : (s, n) int64
        Labels of first iterations whose centroids are rows that nobody knows.
    final : (n,) int64
        The final labels.
    centroids : (k, width) floats or None
        The other party's columns of the final centroids.
    """

    own: np.ndarray
    width: int
    labels: np.ndarray
    weights: np.ndarray
    first: np.ndarray
    final: np.ndarray
    centroids: np.ndarray | None = None


Labelling = tuple[np.ndarray, np.ndarray]
"""Labels, (n,), and the weights of each row in the centroids that gave them, (k, n)."""


def scaled(table: np.ndarray) -> np.ndarray:
    """The table in parts of each column's range, in units of the fixed point; int64."""
    low, high = table.min(axis=0), table.max(axis=0)
    return np.asarray(np.rint((table - low) / (high - low) * (1 << BITS)).astype(np.int64))


def weights_of(labels: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The weights of rows in the means of their labels, (k, n); those of an empty cluster stay as before."""
    members = labels == np.arange(len(before))[:, None]
    sizes = members.sum(axis=1, keepdims=True)
    return np.asarray(np.where(sizes > 0, members / np.maximum(sizes, 1), before))


def views(case: Case, init: Init, n_starts: int, seed: int) -> tuple[np.ndarray, dict[str, View]]:
    """The true columns of the other party, (n, width) in parts of their range, and the views of one run."""
    table = scaled(case.draw(np.random.default_rng(seed)))
    k, n = case.n_clusters, len(table)
    coins = Coins.draw(seed, init, n, k, n_starts)
    starts = initial_centroids(table, init, k, coins, bits=BITS)
    runs = [lloyd(table, start, max_iter=ITERATIONS, tol=0) for start in starts]
    later, first = _seen(table, runs)
    best = runs[number_of_best(runs)]
    parts, ends = table / (1 << BITS), best.centroids / (1 << BITS)
    own, others, none = parts[:, : case.own], parts[:, case.own :], np.empty((0, n), dtype=np.int64)
    guessed = nearest_centroids(own, ends[:, : case.own])[0]

    def view(pairs: list[Labelling], final: np.ndarray, secret: np.ndarray = none) -> View:
        once = {labels.tobytes() + weights.tobytes(): (labels, weights) for labels, weights in pairs}
        labels, weights = (np.stack(each) for each in zip(*once.values(), strict=True))
        return View(own, others.shape[1], labels, weights, np.unique(secret, axis=0), final)

    def alone(labels: np.ndarray) -> View:
        return view([(labels, weights_of(labels, np.zeros((k, n))))], labels)

    opened = view(later, best.labels, np.stack([labels for labels, _ in first]))
    return others, {
        "hidden labels": alone(guessed),
        "final labels": alone(best.labels),
        "final, all centroids": replace(alone(best.labels), centroids=ends[:, case.own :]),
        "open labels": opened,
        "open, all centroids": replace(opened, centroids=ends[:, case.own :]),
        "public seed": view(later + first, best.labels),
    }


def _seen(table: np.ndarray, runs: list[KMeansRun]) -> tuple[list[Labelling], list[Labelling]]:
    """Labels and weights of the later iterations of all starts, and of the first ones."""
    later: list[Labelling] = []
    first: list[Labelling] = []
    for run in runs:
        start = run.centroids_by_iteration[0]
        rows = [int((table == centroid).all(axis=1).argmax()) for centroid in start]
        weights = np.eye(len(table))[rows]
        for iteration, centroids in enumerate(run.centroids_by_iteration):
            labels, _ = nearest_centroids(table, centroids)
            (later if iteration else first).append((labels, weights))
            weights = weights_of(labels, weights)
        later.append((run.labels, weights))
    return later, first
