"""The summary after a run: what was found, what it cost, and what each role learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Group
from rich.table import Table as Grid

from secure_kmeans.app import console
from secure_kmeans.app.commands import Elbow, Run
from secure_kmeans.app.console import print_advice
from secure_kmeans.app.grids import Column, fitted, plain
from secure_kmeans.job import Job, Kind
from secure_kmeans.job.ledger import ALL, Disclosure, Entry, When
from secure_kmeans.report.columns import HoldsColumns, columns_by_party
from secure_kmeans.report.kmeans import ElbowPoint
from secure_kmeans.report.report import Report, Section
from secure_kmeans.report.sections import AgreementSection, KMeansReport, PredictionReport
from secure_kmeans.words import counted, figure, figures

_MOST_COLUMNS: Final = 6


def print_run(run: Run, *, of_job_file: bool = False) -> None:
    """Print all that a person wants to know of a run, and where its files are. A helper's run prints nothing.

    Parameters
    ----------
    run : Run
    of_job_file : bool
        The job was a file, and so has its seed, not an option.
    """
    report = run.report
    if report is None:
        return
    if not run.disclosures:  # else the announcement ended with an empty line
        console.out.print()
    by_columns = run.job if isinstance(run.job, HoldsColumns) else None
    console.out.print(f"[bold]{plain(_title(report, by_columns))}[/bold]")
    if by_columns is not None:
        console.out.print(_columns(report, by_columns))
    if isinstance(run.job, Job) and (facts := console.facts_of(run.job)):
        console.out.print(facts)
    if isinstance(report, KMeansReport):
        console.out.print(_clusters(report))
        console.out.print(_quality(report, of_job_file=of_job_file))
    elif not isinstance(report, PredictionReport):
        for name, section in (("result", report.result), ("plaintext", report.plaintext)):
            if section is not None:
                console.out.print(_section(name, section))
    if report.communication:
        console.out.print(_costs(report))
    else:
        console.out.print()
    if report.ledger:
        own = "rows" if by_columns is None else "columns"
        console.out.print(_learned(report, run.disclosures, own))
    if isinstance(report, KMeansReport):
        _print_remarks(report)
    if report.protocol is None:
        print_advice(run.advice)
    _print_files(run.files)
    if run.kept is not None:
        console.out.print(
            f"\nThe share of the model that labels new rows is kept in {plain(str(run.kept))}", soft_wrap=True
        )


def _title(report: Report, by_columns: HoldsColumns | None) -> str:
    if by_columns is not None:
        rows = counted(report.n_samples[report.parties[0]], _ROWS[by_columns.align])
        what = "Labels of" if isinstance(report, PredictionReport) else "Encrypted k-means on"
        return f"{what} {rows}, whose columns {counted(len(report.parties), 'party holds', 'parties hold')}"
    rows = counted(sum(report.n_samples.values()), "row")
    parties = f"{rows} of {counted(len(report.parties), 'party', 'parties')}"
    if isinstance(report, PredictionReport):
        return f"Labels of {parties}; only its owner learned the label of a row"
    if report.protocol is None:
        return f"Plaintext k-means on {rows}"
    if isinstance(report, KMeansReport):
        return f"Encrypted k-means on {parties}"
    return f'Protocol "{report.protocol}" on {parties}'


_ROWS: Final = {"psi": "common row", "order": "row", "none": "row"}
_ALIGNED: Final = {
    "psi": "by the identifiers that all parties have",
    "order": "by their order; the identifiers of all parties are the same",
    "none": "by their order; no identifiers were compared",
}
_CENTROIDS_TO: Final = {"own": "each party in its own columns", "all": "all parties", "nobody": "nobody"}
_LABELS_TO: Final = {"all": "all parties", "nobody": "nobody"}


def _columns(report: Report, job: HoldsColumns) -> Grid:
    """How the rows were aligned, who holds which columns, and who learned what was found."""
    grid = Grid.grid(padding=(0, 3))
    grid.add_row("rows aligned", _ALIGNED[job.align])
    for number, (party, columns) in enumerate(columns_by_party(report).items()):
        shown = ", ".join(columns[:_MOST_COLUMNS])
        more = f" and {len(columns) - _MOST_COLUMNS} more" if len(columns) > _MOST_COLUMNS else ""
        grid.add_row("columns" if number == 0 else "", plain(f"{party}: {shown}{more}"))
    if isinstance(report, KMeansReport):
        grid.add_row("centroids", f"known to {_CENTROIDS_TO[job.disclose.centroids]}")
    to = job.labels_to if isinstance(job.labels_to, str) else ", ".join(job.labels_to)
    grid.add_row("labels", f"known to {plain(_LABELS_TO.get(to, to))}")
    grid.add_row("")
    return grid


def _print_remarks(report: KMeansReport) -> None:
    if getattr(report.job, "bounds_from_data", False):
        console.out.print(
            "The bounds were taken from the tables; agree on them with --bounds and nobody learns these values.\n"
        )
    for remark in report.result.remarks:
        console.out.print(f"[yellow]{plain(remark)}[/yellow]\n")
    if report.result.centroid_grid is not None and report.result.cluster_centers is not None:
        steps = ", ".join(
            f"{figure(step)} ({plain(column)})"
            for step, column in zip(report.result.centroid_grid, report.columns, strict=True)
        )
        console.out.print(f"Since the sizes are hidden, the centroids are multiples of {steps}.\n")
    same = report.agreement.label_agreement if report.agreement else None
    if same is not None and same < 1:
        console.out.print(
            "[yellow]Not all labels are the plaintext's, though both should agree to the last bit: please report "
            "this.[/yellow]\n"
        )


def print_elbow(elbow: Elbow) -> None:
    """Print the losses of each number of clusters, and where the files are."""
    console.out.print()
    console.out.print(_losses(elbow.points))
    console.out.print(f"repeat it with   --seed {elbow.seed}\n")
    print_advice(elbow.advice if not elbow.reports else ())
    _print_files(elbow.files)


def _print_files(files: Sequence[Path]) -> None:
    console.out.print("Files")
    for path in files:
        console.out.print(f"  {plain(str(path))}", soft_wrap=True)


def _learned(report: Report, announced: Sequence[Disclosure], own: str) -> Grid | Group:
    """What each role learned, from the ledger, besides what it owns."""
    when_of = {each.what: each.when for each in announced}
    rows = [
        (name if number == 0 else "", when, "; ".join(whats))
        for name, groups in _learned_by_role(report, when_of)
        for number, (when, whats) in enumerate(groups.items())
    ]
    columns = [Column("to"), Column("when"), Column("what")]
    return fitted(f"What each role learned besides its own {own}", columns, rows, console.out.width)


def _learned_by_role(report: Report, when_of: Mapping[str, When]) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """For each role or group of roles: its name, and what it learned by time."""
    yield "all parties", _by_time(report, ALL, when_of)
    own = {party: _by_time(report, party, when_of) for party in report.parties}
    each = _shared(list(own.values())) if len(own) > 1 else {}
    if each:
        yield "each party", each
    for party, groups in own.items():
        yield party, {when: more for when, whats in groups.items() if (more := _without(whats, each.get(when, [])))}
    for role in report.roles:
        if role.kind is not Kind.PARTY:
            yield role.name, _by_time(report, role.name, when_of) or {"": ["nothing"]}


def _shared(groups: Sequence[Mapping[str, list[str]]]) -> dict[str, list[str]]:
    """What all parties learned of their own, by time."""
    first, *others = groups
    found = {
        when: [what for what in whats if all(what in other.get(when, ()) for other in others)]
        for when, whats in first.items()
    }
    return {when: whats for when, whats in found.items() if whats}


def _without(whats: Sequence[str], others: Sequence[str]) -> list[str]:
    return [what for what in whats if what not in others]


def _by_time(report: Report, to: str, when_of: Mapping[str, When]) -> dict[str, list[str]]:
    """What a ledger says was disclosed to ``to``, by time."""
    groups: dict[str, list[str]] = {}
    for what, entries in _by_what(report.ledger, to).items():
        when = when_of.get(what, When.END)
        text = _iterations(entries, report) if when is When.EACH else str(when)
        groups.setdefault(text, []).append(what)
    return groups


def _by_what(ledger: Sequence[Entry], to: str) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in ledger:
        if entry.to == to:
            found.setdefault(entry.what, []).append(entry)
    return found


def _iterations(entries: Sequence[Entry], report: Report) -> str:
    last = max(entry.iteration or 1 for entry in entries)
    starts = report.result.n_init if isinstance(report, KMeansReport) else 1
    of_all = f" of {starts} starts" if starts > 1 else ""
    return f"iterations 1 to {last}{of_all}" if last > 1 else f"in the iteration{of_all}"


def _costs(report: Report) -> Grid | Group:
    """What each role sent."""
    columns = [Column("role"), Column("rounds", is_number=True), Column("MB sent", is_number=True)]
    rows = [(role, f"{sent.rounds:,}", figure(sent.bytes_sent / 1e6)) for role, sent in report.communication.items()]
    return fitted("\nWhat each role sent", columns, rows, console.out.width)


def _clusters(report: KMeansReport) -> Grid | Group:
    """The clusters of a fit."""
    result = report.result
    known = result.cluster_centers is not None
    most = (len(report.columns) if len(report.columns) <= _MOST_COLUMNS else 4) if known else 0
    names = result.cluster_names
    columns = [
        Column("cluster", is_number=True),
        *([Column("segment")] if names else []),
        Column("rows", is_number=True),
    ]
    columns += [Column(name, is_number=True) for name in report.columns[:most]]
    if known and len(report.columns) > most:
        columns.append(Column("…"))
    unknown = "hidden" if result.counts is None else f"under {result.min_cluster_size}"
    hidden: list[int | None] = [None] * result.n_clusters
    sizes = [unknown if size is None else f"{size:,}" for size in result.counts or hidden]
    centers = _shown_centers(report, most)
    rows = []
    for number, size in enumerate(sizes):
        shown = "withheld" if number in result.withheld else size
        rows.append([str(number), *([names[number]] if names else []), shown, *centers.get(number, ())])
    held = [party for party, own in columns_by_party(report).items() if own == report.columns]
    title = f"Clusters, in the columns of {held[0]} alone (original units)" if held else "Clusters (original units)"
    return fitted(title, columns, rows, console.out.width)


def _shown_centers(report: KMeansReport, most: int) -> dict[int, list[str]]:
    """The first coordinates of each centroid that is known, and how many more there are."""
    known = {number: center for number, center in enumerate(report.result.cluster_centers or ()) if center is not None}
    by_column = [figures([center[column] for center in known.values()]) for column in range(most)]
    more = [f"{len(report.columns) - most} more"] if len(report.columns) > most else []
    return {number: [*cells, *more] for number, cells in zip(known, zip(*by_column, strict=True), strict=True)}


def _quality(report: KMeansReport, *, of_job_file: bool) -> Grid:
    """Losses, agreement, time and seed of a fit."""
    result = report.result
    grid = Grid.grid(padding=(0, 3))
    ended = "converged" if result.converged else "stopped at the limit"
    restarts = f", the best of {result.n_init} starts" if result.n_init > 1 else ""
    grid.add_row("iterations", f"{result.n_iter}, {ended}{restarts}")
    if result.inertia is not None:
        grid.add_row("inertia", figure(result.inertia))
    if result.mean_distance is not None:
        grid.add_row("mean-distance loss", figure(result.mean_distance))
    if report.plaintext:
        plaintext = report.plaintext
        iterations = counted(plaintext.n_iter, "iteration")
        grid.add_row("plaintext", f"inertia {figure(plaintext.inertia)} after {iterations} from the same start")
        grid.add_row("", f"{figure(plaintext.inertia_in_double_precision)} in double precision, without rounding")
        for number, line in enumerate(_agreement(report.agreement)):
            grid.add_row("agreement" if number == 0 else "", line)
    total = report.timing.total_s
    seconds = f"{total:.2f} s in all" if total >= 0.1 else f"{total:.2g} s in all"
    if report.timing.per_iteration_s is not None:
        seconds += f", {report.timing.per_iteration_s:.3g} s an iteration"
    grid.add_row("time", seconds)
    if result.seed is not None:
        grid.add_row("repeat it with", f"seed = {result.seed} in the job" if of_job_file else f"--seed {result.seed}")
    return grid


def _agreement(agreement: AgreementSection | None) -> Iterator[str]:
    """How much a run on shares and one in the clear agree, in lines."""
    if agreement is None:
        yield "not known: neither labels nor centroids are disclosed"
        return
    if agreement.label_agreement is not None:
        labels = f"{100 * agreement.label_agreement:.6g} % of the labels"
        yield f"{labels}, adjusted Rand {agreement.adjusted_rand:.6g}"
    if agreement.max_centroid_error is not None:
        yield f"largest centroid error {agreement.max_centroid_error:.1e} in scaled units"


def _section(name: str, found: Section) -> Grid | Group:
    """The keys of a section of any protocol's report."""
    rows = []
    for key, value in found.model_dump(mode="json").items():
        text = figure(value) if isinstance(value, float) else str(value)
        rows.append((key, text if len(text) <= 200 else f"{text[:199]}…"))
    return fitted(name, [Column("key"), Column("value")], rows, console.out.width)


def _losses(points: Sequence[ElbowPoint]) -> Grid | Group:
    """The losses of an elbow."""
    encrypted = all(point.encrypted_inertia is not None for point in points)
    names = ["clusters", "inertia", "mean-distance loss"]
    columns = [
        Column(name, is_number=True)
        for name in ([*names, "encrypted inertia", "encrypted loss"] if encrypted else names)
    ]
    rows = []
    for point in points:
        values = [point.inertia, point.mean_distance]
        if encrypted:
            values += [point.encrypted_inertia or 0.0, point.encrypted_mean_distance or 0.0]
        rows.append([str(point.clusters), *map(figure, values)])
    return fitted("Elbow (original units)", columns, rows, console.out.width)
