"""Pictures of a run: clusters, convergence and the elbow. Matplotlib is imported when one is drawn."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from secure_kmeans.plaintext.metrics import match_centroids, match_labels
from secure_kmeans.report.plane import Plane, short_name
from secure_kmeans.report.sections import KMeansReport, KMeansSection, PlaintextSection, centers_array
from secure_kmeans.words import figure as digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Okabe and Ito's palette, which colour-blind readers can tell apart, without its yellow, too pale for points; then
# Matplotlib's tab20b.
_COLOURS: Final = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"),
    *("#393b79", "#5254a3", "#6b6ecf", "#9c9ede"),
    *("#637939", "#8ca252", "#b5cf6b", "#cedb9c"),
    *("#8c6d31", "#bd9e39", "#e7ba52", "#e7cb94"),
    *("#843c39", "#ad494a", "#d6616b", "#e7969c"),
    *("#7b4173", "#a55194", "#ce6dbd", "#de9ed6"),
)
NO_CLUSTER: Final = "#b4b4b4"
"""The colour of rows whose label is not known."""
_STARS: Final = ((3, 1, 0), (4, 1, 0), (4, 1, 45), (6, 1, 0), (8, 1, 0))
MARKERS: Final[tuple[Any, ...]] = (
    *("o", "^", "s", "D", "v", "P", "<", ">", "p", "h"),
    *("*", "d", "8", "H", (7, 0, 0), *_STARS),
)
"""One for each party."""
_MOST_POINTS: Final = 20_000
_MOST_NAMES: Final = 24
_LONGEST_LEGEND: Final = 18
"""Lines of a legend of one column."""

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
        NaN where a center is not known.
    labels : (n_samples,) ints, or None
        None where they are hidden: the rows are grey.
    counts : sequence of int or None, or None
        Rows of each cluster for the legend; None for each one that is not disclosed.
    whose : str
        The party whose rows alone ``counts`` counts; "" for those of all.
    """

    title: str
    centers: np.ndarray
    labels: np.ndarray | None
    counts: Sequence[int | None] | None = None
    whose: str = ""


@dataclass(frozen=True)
class ClustersPicture:
    """What :func:`draw_clusters` draws. Its attributes are that function's parameters, but for the clusters' names."""

    panels: Sequence[Panel]
    rows: Sequence[np.ndarray]
    parties: Sequence[str]
    columns: Sequence[str]
    units: np.ndarray


@dataclass(frozen=True)
class ElbowPoint:
    """The losses of one number of clusters, original units; None where it was not run encrypted."""

    clusters: int
    inertia: float
    mean_distance: float
    encrypted_inertia: float | None
    encrypted_mean_distance: float | None


def colour(number: int) -> str:
    """The colour of a cluster or curve; after 28 they repeat."""
    return _COLOURS[number % len(_COLOURS)]


def panel_title(who: str, loss: float | None) -> str:
    """The title of a panel, with the inertia where it is disclosed."""
    return who if loss is None else f"{who}: inertia {digits(loss)}"


@contextmanager
def drawn(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure in the look of all pictures, in inches, saved at the end of the block.

    A letter that no font has becomes a box, without a warning.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure.savefig(path)


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
    names : of the first panel's clusters, or None
    units : (n_features,)
        Original units in one scaled unit. Columns are divided by them before they are projected.

    Notes
    -----
    In a table of one column each party has a line of its own. More than two columns are projected on the first two
    principal components of all scaled rows.
    """
    everything = np.concatenate(rows)
    plane = Plane.of(everything, columns, parties, units)
    owners = np.repeat(np.arange(len(rows)), [len(own) for own in rows])
    shown = np.arange(len(everything))
    if len(shown) > _MOST_POINTS:
        shown = np.sort(np.random.default_rng(0).choice(shown, _MOST_POINTS, replace=False))
    with drawn(path, 4.6 * len(panels) + 1.6, 4.4) as figure:
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for ax, panel in zip(axes, panels, strict=True):
            partners = _partners(panel, panels[0])
            colours = [NO_CLUSTER] * len(shown)
            if panel.labels is not None:
                colours = [colour(number) for number in partners[panel.labels[shown]]]
            _scatter(ax, plane.project(everything[shown], owners[shown]), np.array(colours), owners[shown])
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
            axes[0].set_yticks(range(-1, len(plane.lines)), ["centroids", *map(short_name, plane.lines)])
        counts = panels[0].counts or [None] * len(panels[0].centers)
        hidden = any(panel.labels is None for panel in panels)
        handles = _legend(counts, names, parties, hidden=hidden)
        columns_of_legend = 1 + (len(handles) > _LONGEST_LEGEND)
        figure.set_figwidth(figure.get_figwidth() + 1.2 * (columns_of_legend - 1))
        title = "Cluster" if panels[0].counts is None else "Cluster (rows)"
        if panels[0].whose:
            title = f"Cluster (rows of {short_name(panels[0].whose)} alone)"
        legend = figure.legend(handles=handles, loc="outside right upper", ncols=columns_of_legend, title=title)
        legend.set_alignment("left")


def _partners(panel: Panel, first: Panel) -> np.ndarray:
    """Number of each cluster's partner in the first panel: by the rows, or where labels are hidden by the centroids."""
    if panel.labels is None or first.labels is None:
        return match_centroids(panel.centers, first.centers)
    return match_labels(panel.labels, first.labels, len(first.centers))


def _scatter(ax: Axes, points: np.ndarray, colours: np.ndarray, owners: np.ndarray) -> None:
    """Draw rows, each in its colour and with the marker of its party."""
    size = float(np.clip(4000 / len(points), 3, 22))
    for owner in np.unique(owners):
        own = owners == owner
        ax.scatter(
            points[own, 0],
            points[own, 1],
            s=size,
            c=colours[own],
            marker=MARKERS[owner],
            alpha=0.75,
            linewidths=0,
            rasterized=len(points) > 2000,
        )


def _legend(
    counts: Sequence[int | None], names: Sequence[str] | None, parties: Sequence[str], *, hidden: bool = False
) -> list[Line2D]:
    """The lines of a legend: clusters with their sizes where these are known, the centroid, the parties.

    With ``hidden`` also the rows of which no label is known.
    """
    from matplotlib.lines import Line2D

    def mark(label: str, **look: object) -> Line2D:
        return Line2D([], [], linestyle="", label=label, **look)  # type: ignore[arg-type]

    clusters = [
        mark(
            (names[number] if names else f"Cluster {number}") + ("" if count is None else f" ({count:,})"),
            marker="o",
            color=colour(number),
        )
        for number, count in enumerate(counts[:_MOST_NAMES])
    ]
    owners = [
        mark(f"rows of {short_name(party)}", marker=MARKERS[rank], color="#777777")
        for rank, party in enumerate(parties)
    ]
    center = [mark("centroid", marker="X", color="#777777", markeredgecolor="white", markersize=9)]
    unlabelled = [mark("rows, labels hidden", marker="o", color=NO_CLUSTER)] if hidden else []
    gap = [mark(" ")]
    return [*clusters, *gap, *center, *unlabelled, *(owners if len(parties) > 1 else [])]


def draw_convergence(path: Path, report: KMeansReport) -> None:
    """Cluster sizes and the plaintext's inertia by iteration. An encrypted run discloses the sizes alone.

    Where the run discloses no sizes by iteration, those of the plaintext are not drawn, either.

    Parameters
    ----------
    path : path of the PNG
    report : KMeansReport
    """
    plain = report.plaintext
    if plain and not report.result.counts_by_iteration:
        with drawn(path, 5.4, 3.8) as figure:
            _draw_inertia(figure.subplots(), plain, report.result)
        return
    with drawn(path, 9.2 if plain else 5.4, 3.8) as figure:
        axes = figure.subplots(1, 2 if plain else 1, squeeze=False)[0]
        _draw_sizes(axes[0], report)
        if report.result.n_clusters <= _MOST_NAMES:
            handles, names = axes[0].get_legend_handles_labels()
            figure.legend(handles, names, loc="outside lower left", ncols=8, fontsize=7)
        if plain:
            _draw_inertia(axes[1], plain, report.result)


def _draw_sizes(ax: Axes, report: KMeansReport) -> None:
    from matplotlib.ticker import MaxNLocator

    result, plain = report.result, report.plaintext
    own = np.array(result.counts_by_iteration, dtype=float).reshape(-1, result.n_clusters)
    who = "plaintext" if report.protocol is None else "encrypted"
    names = result.cluster_names or [f"Cluster {number}" for number in range(result.n_clusters)]
    for number, (name, sizes) in enumerate(zip(names, own.T, strict=True)):
        ax.plot(range(1, len(own) + 1), sizes, "o-", color=colour(number), markersize=4, linewidth=1.2, label=name)
    if plain:
        shape = result.n_clusters, len(report.columns)
        partners = match_centroids(
            centers_array(plain.cluster_centers, *shape), centers_array(result.cluster_centers, *shape)
        )
        for number, sizes in zip(partners, np.array(plain.counts_by_iteration, dtype=float).T, strict=True):
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
        title = "Cluster sizes: hidden"
        ax.set_yticks([])
    ax.set(title=title, xlabel="Iteration", ylabel="Rows in the cluster")
    ax.set_ylim(bottom=0)
    ax.set_xlim(0.5, result.n_iter + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_inertia(ax: Axes, plain: PlaintextSection, result: KMeansSection) -> None:
    from matplotlib.ticker import MaxNLocator

    inertias = [*plain.inertia_by_iteration, plain.inertia]
    ax.plot(
        range(len(inertias)),
        inertias,
        "o-",
        color="#444444",
        markersize=4,
        linewidth=1.2,
        label="plaintext, after each iteration",
    )
    if result.inertia is not None:
        ax.plot(result.n_iter, result.inertia, "X", color=colour(1), markersize=10, label="encrypted, at the end")
    ax.set(title="Inertia", xlabel="Iteration", ylabel="Sum of squared distances")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize=8)


def draw_elbow(path: Path, points: Sequence[ElbowPoint]) -> None:
    """Inertia and mean-distance loss against the number of clusters, plaintext and encrypted.

    Parameters
    ----------
    path : path of the PNG
    points : sequence of ElbowPoint

    Notes
    -----
    The mean-distance loss is that of "Privacy Preserving Two Party K Means Clustering" (Kothari, Kaushik). It adds up
    the clusters' mean distances, so it grows with their number. Divided by that number, it falls as in the figure of
    the paper. Both are drawn.
    """
    with drawn(path, 9.2, 3.8) as figure:
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
