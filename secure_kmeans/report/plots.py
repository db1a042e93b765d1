"""Pictures of a run. They see rows only where whoever draws them holds the rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from secure_kmeans.plaintext.metrics import match_centroids
from secure_kmeans.report import ElbowPoint, Report

# Okabe and Ito's palette: told apart by colour-blind readers, too. Its yellow is too pale for points.
_COLOURS: Final = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"),
    *(mpl.colors.to_hex(colour) for colour in mpl.colormaps["tab20b"].colors),  # type: ignore[attr-defined]
)
_MARKERS: Final = ("o", "^", "s", "D", "v", "P", "<", ">", "p", "h")
_MOST_POINTS: Final = 20_000
_MOST_NAMES: Final = 24
_LONGEST_NAME: Final = 40
_LONGEST_LEGEND: Final = 18

_STYLE: Final[Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "text.parse_math": False,  # a column may be called "US$"
}


@dataclass(frozen=True)
class Panel:
    """One clustering of the same rows.

    Attributes
    ----------
    title : str
    centers : (n_clusters, n_features)
    labels : (n_samples,) ints
    """

    title: str
    centers: np.ndarray
    labels: np.ndarray


def colour(number: int) -> str:
    """The colour of a cluster or curve; after 28 they repeat."""
    return _COLOURS[number % len(_COLOURS)]


def _save(figure: Figure, path: Path) -> None:
    """Write a picture; letters that no font has become boxes, which is no reason to warn a user."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(path)


def style() -> AbstractContextManager[None]:
    """The look of all pictures, for a ``with`` statement."""
    return mpl.rc_context(_STYLE)


def draw_clusters(
    path: Path,
    panels: Sequence[Panel],
    rows: Sequence[np.ndarray],
    parties: Sequence[str],
    columns: Sequence[str],
    names: Sequence[str] | None,
    units: np.ndarray,
) -> None:
    """Rows and centroids of one or two clusterings, side by side, each cluster in the same colour in both.

    Parameters
    ----------
    path : path of the PNG
    panels : one or two Panel
    rows : list of (n_i, n_features)
        Each party's, original units; a marker for each party.
    parties, columns : names
    names : of the first panel's clusters, if they have any
    units : (n_features,)
        By which the columns are weighed where they have to be projected.

    Notes
    -----
    Of one column each party has a line of its own. More than two are projected on the first two principal
    components of all scaled rows.
    """
    everything = np.concatenate(rows)
    plane = _Plane.of(everything, columns, parties, units)
    owners = np.repeat(np.arange(len(rows)), [len(own) for own in rows])
    shown = np.arange(len(everything))
    if len(shown) > _MOST_POINTS:
        shown = np.sort(np.random.default_rng(0).choice(shown, _MOST_POINTS, replace=False))
    with style():
        figure = Figure(figsize=(4.6 * len(panels) + 1.6, 4.4), layout="constrained")
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for ax, panel in zip(axes, panels, strict=True):
            partners = match_centroids(panel.centers, panels[0].centers)
            _scatter(ax, plane.project(everything[shown], owners[shown]), partners[panel.labels[shown]], owners[shown])
            marks = plane.project(panel.centers, None)
            ax.scatter(
                marks[:, 0],
                marks[:, 1],
                marker="X",
                s=95,
                c=[colour(p) for p in partners],
                edgecolors="white",
                linewidths=1.2,
                zorder=4,
            )
            ax.set(title=panel.title, xlabel=plane.labels[0])
        axes[0].set_ylabel(plane.labels[1])
        if plane.lines:
            axes[0].set_yticks(range(-1, len(plane.lines)), ["centroids", *map(_short, plane.lines)])
        sizes = np.bincount(panels[0].labels, minlength=len(panels[0].centers))
        handles = _legend(sizes, names, parties)
        columns_of_legend = 1 + (len(handles) > _LONGEST_LEGEND)
        figure.set_figwidth(figure.get_figwidth() + 1.2 * (columns_of_legend - 1))
        figure.legend(handles=handles, loc="outside right upper", ncols=columns_of_legend)
        _save(figure, path)


@dataclass(frozen=True)
class _Plane:
    """What a picture of one, two or many columns shows of them."""

    labels: tuple[str, str]
    origin: np.ndarray
    directions: np.ndarray
    lines: Sequence[str] = ()

    @classmethod
    def of(cls, rows: np.ndarray, columns: Sequence[str], parties: Sequence[str], units: np.ndarray) -> _Plane:
        d = rows.shape[1]
        if d == 1:
            return cls((_short(columns[0]), ""), np.zeros(1), np.array([[1.0], [0.0]]), parties)
        if d == 2:
            return cls((_short(columns[0]), _short(columns[1])), np.zeros(2), np.eye(2))
        variances, directions = np.linalg.eigh(np.cov((rows / units).T) if len(rows) > 1 else np.eye(d))
        parts = 100 * variances[::-1] / max(variances.sum(), np.finfo(float).tiny)
        labels = (f"First principal component ({parts[0]:.0f} %)", f"Second principal component ({parts[1]:.0f} %)")
        return cls(labels, rows.mean(axis=0), directions.T[::-1][:2] / units)

    def project(self, rows: np.ndarray, owners: np.ndarray | None) -> np.ndarray:
        """Where rows lie in the picture, or, without owners, centroids."""
        flat: np.ndarray = (rows - self.origin) @ self.directions.T
        if self.lines:
            scatter = np.random.default_rng(0).uniform(-0.3, 0.3, len(rows))
            flat[:, 1] = -1 if owners is None else owners + scatter
        return flat


def _scatter(ax: Axes, points: np.ndarray, labels: np.ndarray, owners: np.ndarray) -> None:
    size = float(np.clip(4000 / len(points), 3, 22))
    for owner in np.unique(owners):
        own = owners == owner
        colours = [colour(label) for label in labels[own]]
        ax.scatter(
            points[own, 0],
            points[own, 1],
            s=size,
            c=colours,
            marker=_MARKERS[owner],
            alpha=0.75,
            linewidths=0,
            rasterized=len(points) > 2000,
        )


def _short(name: str) -> str:
    """A name that fits beside a picture."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _legend(sizes: np.ndarray, names: Sequence[str] | None, parties: Sequence[str]) -> list[Line2D]:
    def mark(label: str, **look: object) -> Line2D:
        return Line2D([], [], linestyle="", label=label, **look)  # type: ignore[arg-type]

    clusters = [
        mark(f"{names[number] if names else f'Cluster {number}'} ({size})", marker="o", color=colour(number))
        for number, size in enumerate(sizes[:_MOST_NAMES])
    ]
    owners = [
        mark(f"rows of {_short(party)}", marker=_MARKERS[rank], color="#777777") for rank, party in enumerate(parties)
    ]
    center = [mark("centroid", marker="X", color="#777777", markeredgecolor="white", markersize=9)]
    gap = [mark(" ")]
    return [*clusters, *gap, *center, *(owners if len(parties) > 1 else [])]


def draw_convergence(path: Path, report: Report) -> None:
    """How the run settled: its cluster sizes, and the plaintext's inertia; an encrypted run shows no more of it.

    Parameters
    ----------
    path : path of the PNG
    report : Report
    """
    plain = report.plaintext
    with style():
        figure = Figure(figsize=(9.2 if plain else 5.4, 3.8), layout="constrained")
        axes = figure.subplots(1, 2 if plain else 1, squeeze=False)[0]
        _draw_sizes(axes[0], report)
        if report.n_clusters <= _MOST_NAMES:
            handles, names = axes[0].get_legend_handles_labels()
            figure.legend(handles, names, loc="outside lower left", ncols=8, fontsize=7)
        if plain:
            _draw_inertia(axes[1], report)
        _save(figure, path)


def _draw_sizes(ax: Axes, report: Report) -> None:
    own = np.array(report.counts_by_iteration).reshape(-1, report.n_clusters)
    plain = report.plaintext
    who = "encrypted" if report.protocol != "plaintext" else "plaintext"
    names = report.cluster_names or [f"Cluster {number}" for number in range(report.n_clusters)]
    partners = (
        match_centroids(np.array(plain.cluster_centers), np.array(report.cluster_centers)) if plain else np.empty(0)
    )
    for number, (name, sizes) in enumerate(zip(names, own.T, strict=True)):
        ax.plot(range(1, len(own) + 1), sizes, "o-", color=colour(number), markersize=4, linewidth=1.2, label=name)
    if plain:
        for number, sizes in zip(partners, np.array(plain.counts_by_iteration).T, strict=True):
            ax.plot(
                range(1, len(sizes) + 1),
                sizes,
                "o",
                color=colour(number),
                markersize=9,
                markerfacecolor="none",
                markeredgewidth=0.9,
            )
    title = f"Cluster sizes, {who} (dots)" + (" and plaintext (rings)" if plain else "")
    if not len(own):
        title = "Cluster sizes: " + ("plaintext (rings), " if plain else "") + "encrypted ones are hidden"
        if not plain:
            ax.set_yticks([])
    ax.set(
        title=title,
        xlabel="Iteration",
        ylabel="Rows in the cluster",
    )
    ax.set_ylim(bottom=0)
    ax.set_xlim(0.5, report.n_iter + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_inertia(ax: Axes, report: Report) -> None:
    assert report.plaintext is not None
    inertias = [*report.plaintext.inertia_by_iteration, report.plaintext.inertia]
    ax.plot(
        range(len(inertias)),
        inertias,
        "o-",
        color="#444444",
        markersize=4,
        linewidth=1.2,
        label="plaintext, after each iteration",
    )
    if report.inertia is not None:
        ax.plot(report.n_iter, report.inertia, "X", color=colour(1), markersize=10, label="encrypted, at the end")
    ax.set(title="Inertia", xlabel="Iteration", ylabel="Sum of squared distances")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize=8)


def draw_elbow(path: Path, points: Sequence[ElbowPoint]) -> None:
    """Inertia and the two-party paper's loss against the number of clusters, plaintext and encrypted.

    Parameters
    ----------
    path : path of the PNG
    points : sequence of ElbowPoint

    Notes
    -----
    The paper's loss adds up the clusters' mean distances, so it grows with their number; divided by it, it falls
    like the paper's figure. Both are drawn.
    """
    with style():
        figure = Figure(figsize=(9.2, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_losses(left, points, "inertia", "#444444")
        left.set(title="Inertia", ylabel="Sum of squared distances")
        _draw_losses(right, points, "mean_distance", "#444444", ", summed over the clusters")
        _draw_losses(right, points, "mean_distance", colour(5), ", averaged over the clusters", averaged=True)
        right.set(title="Mean-distance loss", ylabel="Mean distance to the centroid")
        for ax in (left, right):
            ax.set(xlabel="Number of clusters", xticks=[point.clusters for point in points])
            ax.set_ylim(bottom=0)
            ax.legend()
        _save(figure, path)


def _draw_losses(
    ax: Axes, points: Sequence[ElbowPoint], loss: str, line: str, what: str = "", *, averaged: bool = False
) -> None:
    clusters = np.array([point.clusters for point in points])
    shown = clusters if averaged else np.ones_like(clusters)
    plain = np.array([getattr(point, loss) for point in points]) / shown
    ax.plot(clusters, plain, "o-", color=line, linewidth=1.2, markersize=9, mfc="none", label=f"plaintext{what}")
    encrypted = [getattr(point, f"encrypted_{loss}") for point in points]
    if None not in encrypted:
        name = "encrypted" if not averaged else None
        ax.plot(clusters, np.array(encrypted) / shown, "o", color=colour(1), markersize=4, label=name)
