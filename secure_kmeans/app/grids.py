"""Tables of a run for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table as Grid

from secure_kmeans.job import Kind
from secure_kmeans.job.ledger import ALL, OWNER, Disclosure, Entry, When
from secure_kmeans.report.kmeans import ElbowPoint
from secure_kmeans.report.report import Report, Section
from secure_kmeans.report.sections import KMeansReport

_TO: dict[str, str] = {ALL: "all parties", OWNER: "each party"}


def disclosures(announced: Sequence[Disclosure], title: str) -> Grid:
    """What is disclosed, by recipient and time."""
    grid = _grid(title)
    grid.add_column("to")
    grid.add_column("when")
    grid.add_column("what")
    groups: dict[tuple[str, When], list[str]] = {}
    for recipient in dict.fromkeys([ALL, OWNER, *(each.to for each in announced)]):
        for when in When:
            whats = [each.what for each in announced if (each.to, each.when) == (recipient, when)]
            if whats:
                groups[recipient, when] = whats
    earlier = None
    for (recipient, when), whats in groups.items():
        name = _TO.get(recipient, recipient) if recipient != earlier else ""
        grid.add_row(escape(name), when, escape("; ".join(whats)))
        earlier = recipient
    return grid


def learned(report: Report, announced: Sequence[Disclosure]) -> Grid:
    """What each role learned, from the ledger."""
    grid = _grid("What each role learned besides its own rows")
    grid.add_column("role")
    grid.add_column("when")
    grid.add_column("what")
    when_of = {each.what: each.when for each in announced}
    helpers = [role.name for role in report.roles if role.kind is not Kind.PARTY]
    for name, to in [("every party", ALL), *((each, each) for each in (*report.parties, *helpers))]:
        groups: dict[str, list[str]] = {}
        for what, entries in _by_what(report.ledger, to).items():
            when = when_of.get(what, When.END)
            text = _iterations(entries, report) if when is When.EACH else str(when)
            groups.setdefault(text, []).append(what)
        if not groups and to in helpers:
            groups[""] = ["shapes, which follow from the numbers above"]
        for number, (text, whats) in enumerate(groups.items()):
            grid.add_row(escape(name) if number == 0 else "", text, escape("; ".join(whats)))
    return grid


def _by_what(ledger: Sequence[Entry], to: str) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in ledger:
        if entry.to == to:
            found.setdefault(entry.what, []).append(entry)
    return found


def _iterations(entries: Sequence[Entry], report: Report) -> str:
    last = max(entry.iteration or 1 for entry in entries)
    starts = report.result.n_init if isinstance(report, KMeansReport) else 1
    of_all = f", of {starts} starts" if starts > 1 else ""
    return f"each iteration, 1 to {last}{of_all}" if last > 1 else f"in the iteration{of_all}"


def costs(report: Report) -> Grid:
    """What each role sent."""
    grid = _grid("\nWhat each role sent")
    grid.add_column("role")
    grid.add_column("rounds", justify="right")
    grid.add_column("MB sent", justify="right")
    for role, sent in report.communication.items():
        grid.add_row(escape(role), f"{sent.rounds:,}", f"{sent.bytes_sent / 1e6:,.3f}")
    return grid


def clusters(report: KMeansReport) -> Grid:
    """The clusters of a fit."""
    result = report.result
    grid = _grid("Clusters (original units)")
    grid.add_column("cluster", justify="right")
    if result.cluster_names:
        grid.add_column("segment")
    grid.add_column("rows", justify="right")
    shown = report.columns if len(report.columns) <= 6 else report.columns[:4]
    for column in shown:
        grid.add_column(escape(column), justify="right")
    if len(report.columns) > len(shown):
        grid.add_column("…")
    sizes = ["hidden"] * result.n_clusters if result.counts is None else [f"{size:,}" for size in result.counts]
    for number, (center, size) in enumerate(zip(result.cluster_centers, sizes, strict=True)):
        name = [escape(result.cluster_names[number])] if result.cluster_names else []
        rest = [f"{len(center) - len(shown)} more"] if len(center) > len(shown) else []
        grid.add_row(str(number), *name, size, *(_number(value) for value in center[: len(shown)]), *rest)
    return grid


def quality(report: KMeansReport) -> Grid:
    """Losses, agreement, time and seed of a fit."""
    result = report.result
    grid = Grid.grid(padding=(0, 3))
    ended = "converged" if result.converged else "stopped at the limit"
    restarts = f", the best of {result.n_init} starts" if result.n_init > 1 else ""
    grid.add_row("iterations", f"{result.n_iter}, {ended}{restarts}")
    if result.inertia is not None:
        grid.add_row("inertia", f"{result.inertia:,.3f}")
    if result.mean_distance is not None:
        grid.add_row("mean-distance loss", f"{result.mean_distance:,.3f}")
    if report.plaintext and report.agreement:
        plain, agreement = report.plaintext, report.agreement
        grid.add_row("plaintext", f"inertia {plain.inertia:,.3f} after {plain.n_iter} iterations from the same start")
        grid.add_row("", f"{plain.inertia_in_double_precision:,.3f} in double precision, without rounding")
        labels = f"{100 * agreement.label_agreement:.6g} % of the labels"
        grid.add_row("agreement", f"{labels}, adjusted Rand {agreement.adjusted_rand:.6g}")
        grid.add_row("", f"largest centroid error {agreement.max_centroid_error:.1e} in scaled units")
    seconds = f"{report.timing.total_s:.2f} s in all"
    if report.timing.per_iteration_s is not None:
        seconds += f", {report.timing.per_iteration_s:.3g} s an iteration"
    grid.add_row("time", seconds)
    if result.seed is not None:
        grid.add_row("repeat it with", f"--seed {result.seed}")
    return grid


def section(name: str, found: Section) -> Grid:
    """The keys of a section of any protocol's report."""
    grid = _grid(name)
    grid.add_column("key")
    grid.add_column("value")
    for key, value in found.model_dump(mode="json").items():
        text = _number(value) if isinstance(value, float) else str(value)
        grid.add_row(escape(key), escape(text if len(text) <= 200 else f"{text[:199]}…"))
    return grid


def losses(points: Sequence[ElbowPoint]) -> Grid:
    """The losses of an elbow."""
    encrypted = all(point.encrypted_inertia is not None for point in points)
    grid = _grid("Elbow (original units)")
    names = ["clusters", "inertia", "mean-distance loss"]
    for name in [*names, "encrypted inertia", "encrypted loss"] if encrypted else names:
        grid.add_column(name, justify="right")
    for point in points:
        values = [point.inertia, point.mean_distance]
        if encrypted:
            values += [point.encrypted_inertia or 0.0, point.encrypted_mean_distance or 0.0]
        grid.add_row(str(point.clusters), *(f"{value:,.3f}" for value in values))
    return grid


def _grid(title: str) -> Grid:
    return Grid(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _number(value: float) -> str:
    return f"{value:,.2f}" if 0.1 <= abs(value) < 1e7 or value == 0 else f"{value:.4g}"
