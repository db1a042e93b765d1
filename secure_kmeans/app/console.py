"""What a person reads in the terminal: progress while a run goes on, and its summary."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from secure_kmeans.job import DEALER, Job
from secure_kmeans.ledger import ALL, Disclosure, What
from secure_kmeans.outcome import Progress as Told
from secure_kmeans.report import ElbowPoint, Report

PHASES: Final = {"set-up": "Set-up", "initialisation": "Initialisation", "iterations": "Iterations"}

out: Final = Console(highlight=False, soft_wrap=False)
error_out: Final = Console(stderr=True, highlight=False)


@contextmanager
def progress_of_phases() -> Iterator[Told]:
    """Bars on standard error for the phases of a run; on no terminal, nothing moves."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<15}"),
        BarColumn(),
        TextColumn("{task.fields[count]:<17}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=error_out, transient=True, disable=not error_out.is_terminal) as bars:
        tasks = {phase: bars.add_task(name, total=1, count="", start=False) for phase, name in PHASES.items()}
        order = list(tasks)
        bars.update(tasks[order[0]], total=None, count="starting")  # moves until the first party tells more
        bars.start_task(tasks[order[0]])

        def told(phase: str, done: int, total: int) -> None:
            for earlier in order[: order.index(phase)]:
                if not bars.tasks[order.index(earlier)].finished:
                    bars.start_task(tasks[earlier])
                    bars.update(tasks[earlier], total=1, completed=1)
            bars.start_task(tasks[phase])
            count = f"{done} of at most {total}" if phase == "iterations" else f"{done} of {total}"
            bars.update(tasks[phase], completed=done, total=total, count=count)

        yield told


@contextmanager
def progress_of_steps(description: str, total: int) -> Iterator[Told]:
    """One bar on standard error for a number of runs."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=error_out, transient=True, disable=not error_out.is_terminal) as bars:
        task = bars.add_task(description, total=total)

        def told(phase: str, done: int, _total: int) -> None:
            bars.update(task, description=phase, completed=done)

        yield told


def print_summary(report: Report, files: Sequence[Path], coarse: Sequence[str] = ()) -> None:
    """Everything a person wants to know of a run, and where its files are.

    Parameters
    ----------
    report : Report
    files : sequence of paths
    coarse : names of columns that lost most of their different values in the fixed point
    """
    out.print()
    out.print(f"[bold]{_title(report)}[/bold]")
    out.print(_clusters(report))
    out.print(_quality(report))
    if report.communication:
        out.print(_cost(report))
        out.print(_learned(report))
        _print_remarks(report)
    if coarse:
        out.print(
            f"[yellow]Columns that lost most of their values in the fixed point: {escape(', '.join(coarse))}. "
            "An outlier does that: correct it or leave the row out. So does a column of far larger numbers: "
            "--scale minmax lets every column weigh the same.[/yellow]\n"
        )
    _print_files(files)


def print_labels(files: Sequence[Path], rows: int) -> None:
    """What a party has of a prediction: its own rows' labels."""
    out.print(f"\n[bold]Labels of {rows:,} rows, which nobody else learned[/bold]\n")
    _print_files(files)


def print_identity(name: str, folder: Path, fingerprint: str) -> None:
    """A new identity, and what of it goes into the job."""
    out.print(f'The identity of "{escape(name)}" is in {escape(str(folder))}/; nobody else may see key.pem.')
    out.print("Its fingerprint, for the job:\n")
    out.print(fingerprint, soft_wrap=True)


def print_check(job: Job, findings: Sequence[str], warnings: Sequence[str]) -> None:
    """What fits, what to think about, and what the job discloses."""
    for finding in findings:
        out.print(f"[green]fits[/green]     {escape(finding)}", soft_wrap=True)
    for warning in warnings:
        out.print(f"[yellow]consider[/yellow] {escape(warning)}", soft_wrap=True)
    sizes = not job.hide_counts
    disclosed = ["the number of rows of each party", f"{'cluster sizes and ' * sizes}a stop bit in each iteration"]
    disclosed.append(f"the final centroids{' and sizes' * sizes}")
    if job.reveal_inertia:
        disclosed.append("the inertia")
    if job.reveal_mean_distance:
        disclosed.append("the mean-distance loss")
    if job.task == "predict":
        disclosed = disclosed[:1]
    out.print(
        f"\nAll parties will learn {', '.join(disclosed)}; each party the labels of its own rows.", soft_wrap=True
    )
    if job.engine == "crypten":
        out.print("[yellow]The engine is CrypTen's own circuits: for comparison only, many times slower.[/yellow]")
    if job.transport == "gloo":
        out.print("[yellow]The transport is gloo, which encrypts nothing: for a trusted network only.[/yellow]")


@contextmanager
def operator_log(role: str, path: Path | None) -> Iterator[None]:
    """Who does what and when, one line each: on standard error, or at the end of a file."""
    handler = logging.StreamHandler() if path is None else logging.FileHandler(path, encoding="utf-8")
    line = logging.Formatter(f"%(asctime)sZ {role} %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    line.converter = time.gmtime
    handler.setFormatter(line)
    logger = logging.getLogger("secure_kmeans")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
        logger.setLevel(level)
        logger.propagate = propagate


def print_elbow(points: Sequence[ElbowPoint], seed: int, files: Sequence[Path]) -> None:
    """The losses of each number of clusters, and where the files are."""
    encrypted = all(point.encrypted_inertia is not None for point in points)
    grid = _grid("Elbow (original units)")
    for name in (
        "clusters",
        "inertia",
        "mean-distance loss",
        *(("encrypted inertia", "encrypted loss") if encrypted else ()),
    ):
        grid.add_column(name, justify="right")
    for point in points:
        losses = [point.inertia, point.mean_distance]
        if encrypted:
            losses += [point.encrypted_inertia or 0.0, point.encrypted_mean_distance or 0.0]
        grid.add_row(str(point.clusters), *(f"{loss:,.3f}" for loss in losses))
    out.print()
    out.print(grid)
    out.print(f"repeat it with   --seed {seed}\n")
    _print_files(files)


def _print_files(files: Sequence[Path]) -> None:
    out.print("Files")
    for path in files:
        out.print(f"  {escape(str(path))}", soft_wrap=True)


def _title(report: Report) -> str:
    rows = sum(report.n_samples.values())
    if report.protocol == "plaintext":
        return f"Plaintext k-means on {rows:,} rows"
    return f"Encrypted k-means on {rows:,} rows of {len(report.parties)} parties"


def _grid(title: str) -> Grid:
    return Grid(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _clusters(report: Report) -> Grid:
    grid = _grid("Clusters (original units)")
    grid.add_column("cluster", justify="right")
    if report.cluster_names:
        grid.add_column("segment")
    grid.add_column("rows", justify="right")
    shown = report.columns if len(report.columns) <= 6 else report.columns[:4]
    for column in shown:
        grid.add_column(escape(column), justify="right")
    if len(report.columns) > len(shown):
        grid.add_column("…")
    sizes = ["hidden"] * report.n_clusters if report.counts is None else [f"{size:,}" for size in report.counts]
    for number, (center, size) in enumerate(zip(report.cluster_centers, sizes, strict=True)):
        name = [report.cluster_names[number]] if report.cluster_names else []
        rest = [f"{len(center) - len(shown)} more"] if len(center) > len(shown) else []
        grid.add_row(str(number), *name, size, *(_number(value) for value in center[: len(shown)]), *rest)
    return grid


def _number(value: float) -> str:
    return f"{value:,.2f}" if 0.1 <= abs(value) < 1e7 or value == 0 else f"{value:.4g}"


def _quality(report: Report) -> Grid:
    grid = Grid.grid(padding=(0, 3))
    ended = "converged" if report.converged else "stopped at the limit"
    restarts = f", the best of {report.n_init} starts" if report.n_init > 1 else ""
    grid.add_row("iterations", f"{report.n_iter}, {ended}{restarts}")
    if report.inertia is not None:
        grid.add_row("inertia", f"{report.inertia:,.3f}")
    if report.mean_distance is not None:
        grid.add_row("mean-distance loss", f"{report.mean_distance:,.3f}")
    if report.plaintext and report.agreement:
        grid.add_row(
            "plaintext",
            f"inertia {report.plaintext.inertia:,.3f} after {report.plaintext.n_iter} iterations from the same start",
        )
        grid.add_row("", f"{report.plaintext.inertia_in_double_precision:,.3f} in double precision, without rounding")
        grid.add_row(
            "agreement",
            f"{100 * report.agreement.label_agreement:.6g} % of the labels, "
            f"adjusted Rand {report.agreement.adjusted_rand:.6g}",
        )
        grid.add_row("", f"largest centroid error {report.agreement.max_centroid_error:.1e} in scaled units")
    grid.add_row("time", f"{report.timing.total_s:.2f} s in all, {report.timing.per_iteration_s:.3g} s an iteration")
    if report.seed is not None:
        grid.add_row("repeat it with", f"--seed {report.seed}")
    return grid


def _cost(report: Report) -> Grid:
    grid = _grid("\nWhat each role sent")
    grid.add_column("role")
    grid.add_column("rounds", justify="right")
    grid.add_column("MB sent", justify="right")
    for role, sent in report.communication.items():
        grid.add_row(escape(role), f"{sent.rounds:,}", f"{sent.bytes_sent / 1e6:,.3f}")
    return grid


def _learned(report: Report) -> Grid:
    grid = _grid("What each role learned besides its own rows")
    grid.add_column("role")
    grid.add_column("what")
    grid.add_column("when")
    groups = [("every party", ALL), *((party, party) for party in report.parties)]
    for shown, to in groups:
        for number, (what, when) in enumerate(_when(report.ledger, to, report.n_init).items()):
            grid.add_row(escape(shown) if number == 0 else "", what, when)
    grid.add_row(DEALER, "shapes, which follow from the numbers above", "")
    return grid


def _when(ledger: Sequence[Disclosure], to: str, starts: int) -> dict[str, str]:
    entries = [entry for entry in ledger if entry.to == to]
    iterations = {entry.what: entry.iteration for entry in entries}
    last = max((entry.iteration or 0 for entry in entries), default=0)
    first_iteration = next((place for place, entry in enumerate(entries) if entry.iteration), len(entries))
    before = {entry.what for entry in entries[:first_iteration]}
    when = {}
    of_all = f", of {starts} starts" if starts > 1 else ""
    for what, iteration in iterations.items():
        each = f"each iteration, 1 to {last}{of_all}" if last > 1 else f"in the iteration{of_all}"
        once = "before the first iteration" if what in before and to == ALL else "at the end"
        when[str(what)] = each if iteration else once
    return when


def _print_remarks(report: Report) -> None:
    if any(entry.what == What.COLUMN_BOUNDS for entry in report.ledger):
        out.print(
            "The bounds were taken from the tables; agree on them with --bounds and nobody learns these values.\n"
        )
    single = [str(number) for number, size in enumerate(report.counts or []) if size == 1]
    if single:
        out.print(
            f"[yellow]Of a single row, which its centroid therefore shows: cluster {', '.join(single)}.[/yellow]\n"
        )
    if report.agreement and report.agreement.label_agreement < 1:
        out.print(
            "[yellow]Not all labels are the plaintext's, though both should agree to the last bit: please report "
            "this.[/yellow]\n"
        )
