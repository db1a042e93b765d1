"""What a person reads in the terminal: what a run will disclose, its progress, and its summary."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from secure_kmeans.app import grids
from secure_kmeans.app.commands import Announce, Announcement, Checked, Elbow, NewIdentity, Run
from secure_kmeans.job import Job
from secure_kmeans.job.ledger import Disclosure
from secure_kmeans.job.result import Progress
from secure_kmeans.report.report import Report
from secure_kmeans.report.sections import KMeansReport, PredictionReport

PHASES: Final = {"set-up": "Set-up", "initialisation": "Initialisation", "iterations": "Iterations"}
"""Phases of a run, with their names for people. A protocol may have others."""

out: Final = Console(highlight=False, soft_wrap=False)
error_out: Final = Console(stderr=True, highlight=False)


@contextmanager
def showing_run() -> Iterator[tuple[Announce, Progress]]:
    """Callbacks for a command: the announcement goes to standard output, then bars move on standard error.

    On no terminal there are no bars.
    """
    with _moving(TextColumn("{task.fields[count]:<17}")) as bars:
        phases = _Phases(bars)

        def announce(announcement: Announcement) -> None:
            print_announcement(announcement)
            phases.start()

        yield announce, phases.show


@contextmanager
def showing_progress() -> Iterator[Progress]:
    """The bars alone, for a run that announces nothing."""
    with _moving(TextColumn("{task.fields[count]:<17}")) as bars:
        phases = _Phases(bars)
        phases.start()
        yield phases.show


@contextmanager
def showing_steps(description: str) -> Iterator[tuple[Announce, Progress]]:
    """The same for several runs: one bar, which a progress callback moves by whole runs."""
    with _moving() as bars:
        task = bars.add_task(description, total=None)

        def announce(announcement: Announcement) -> None:
            print_announcement(announcement)
            bars.start()

        def progress(phase: str, done: int, total: int) -> None:
            bars.start()
            bars.update(task, description=phase, completed=done, total=total)

        yield announce, progress


@contextmanager
def _moving(*columns: ProgressColumn) -> Iterator[Bars]:
    """Bars on standard error, which vanish in the end. They are shown once they are started."""
    bars = Bars(
        SpinnerColumn(),
        TextColumn("{task.description:<15}"),
        BarColumn(),
        *columns,
        TimeElapsedColumn(),
        console=error_out,
        transient=True,
        disable=not error_out.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    try:
        yield bars
    finally:
        bars.stop()


class _Phases:
    """One bar for each phase of a run."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.tasks = {phase: bars.add_task(name, total=1, count="", start=False) for phase, name in PHASES.items()}

    def start(self) -> None:
        """Show the bars. The first one moves until progress arrives."""
        first = next(iter(self.tasks.values()))
        self.bars.start()
        self.bars.start_task(first)
        self.bars.update(first, total=None, count="starting")

    def show(self, phase: str, done: int, total: int) -> None:
        """Show progress; all earlier phases are complete."""
        if phase not in self.tasks:
            self.tasks[phase] = self.bars.add_task(phase, total=total, count="")
        for earlier in itertools.takewhile(lambda name: name != phase, self.tasks):
            if not self.bars.tasks[self.tasks[earlier]].finished:
                self.bars.start_task(self.tasks[earlier])
                self.bars.update(self.tasks[earlier], total=1, completed=1)
        self.bars.start_task(self.tasks[phase])
        count = f"{done} of at most {total}" if phase == "iterations" else f"{done} of {total}"
        self.bars.update(self.tasks[phase], completed=done, total=total, count=count)


def print_announcement(announcement: Announcement) -> None:
    """Print what a run will disclose, and advice, before the run."""
    runs = announcement.runs
    each = "" if runs == 1 else f", each of {runs} runs"
    _print_disclosures(announcement.job, announcement.disclosures, f"Will be disclosed, and nothing else{each}")
    _print_advice(announcement.advice)


def _print_disclosures(job: Job, disclosures: Sequence[Disclosure], title: str) -> None:
    out.print()
    out.print(grids.disclosures(disclosures, title))
    if getattr(job, "engine", None) == "crypten":
        out.print("[yellow]The engine is CrypTen's own circuits: for comparison only, many times slower.[/yellow]")


def _print_advice(advice: Sequence[str]) -> None:
    for line in advice:
        out.print(f"[yellow]consider[/yellow] {escape(line)}", soft_wrap=True)


def print_run(run: Run) -> None:
    """Print all that a person wants to know of a run, and where its files are. A helper's run prints nothing."""
    report = run.report
    if report is None:
        return
    if not run.disclosures:  # else the announcement ended with an empty line
        out.print()
    out.print(f"[bold]{escape(_title(report))}[/bold]")
    if isinstance(report, KMeansReport):
        out.print(grids.clusters(report))
        out.print(grids.quality(report))
    elif not isinstance(report, PredictionReport):
        for name, section in (("result", report.result), ("plaintext", report.plaintext)):
            if section is not None:
                out.print(grids.section(name, section))
    if report.communication:
        out.print(grids.costs(report))
    if report.ledger:
        out.print(grids.learned(report, run.disclosures))
    if isinstance(report, KMeansReport):
        _print_remarks(report)
    if report.protocol is None:
        _print_advice(run.advice)
    _print_files(run.files)


def _title(report: Report) -> str:
    rows = sum(report.n_samples.values())
    parties = f"{rows:,} rows of {len(report.parties)} parties"
    if isinstance(report, PredictionReport):
        return f"Labels of {parties}; only its owner learned the label of a row"
    if report.protocol is None:
        return f"Plaintext k-means on {rows:,} rows"
    if isinstance(report, KMeansReport):
        return f"Encrypted k-means on {parties}"
    return f'Protocol "{report.protocol}" on {parties}'


def _print_remarks(report: KMeansReport) -> None:
    if getattr(report.job, "bounds_from_data", False):
        out.print(
            "The bounds were taken from the tables; agree on them with --bounds and nobody learns these values.\n"
        )
    single = [str(number) for number, size in enumerate(report.result.counts or []) if size == 1]
    if single:
        out.print(
            f"[yellow]Of a single row, which its centroid therefore shows: cluster {', '.join(single)}.[/yellow]\n"
        )
    if report.agreement and report.agreement.label_agreement < 1:
        out.print(
            "[yellow]Not all labels are the plaintext's, though both should agree to the last bit: please report "
            "this.[/yellow]\n"
        )


def print_identity(identity: NewIdentity) -> None:
    """Print where a new identity is, and what of it goes into the job."""
    folder = escape(str(identity.folder))
    out.print(f'The identity of "{escape(identity.name)}" is in {folder}/; nobody else may see key.pem.')
    out.print("Its fingerprint, for the job:\n")
    out.print(identity.fingerprint, soft_wrap=True)


def print_check(checked: Checked) -> None:
    """Print what fits, what is worth a thought, and what the job discloses."""
    for finding in checked.findings:
        out.print(f"[green]fits[/green]     {escape(finding)}", soft_wrap=True)
    _print_advice(checked.advice)
    _print_disclosures(checked.job, checked.disclosures, "A run will disclose this, and nothing else")


def print_elbow(elbow: Elbow) -> None:
    """Print the losses of each number of clusters, and where the files are."""
    out.print()
    out.print(grids.losses(elbow.points))
    out.print(f"repeat it with   --seed {elbow.seed}\n")
    _print_advice(elbow.advice if not elbow.reports else ())
    _print_files(elbow.files)


def _print_files(files: Sequence[Path]) -> None:
    out.print("Files")
    for path in files:
        out.print(f"  {escape(str(path))}", soft_wrap=True)


@contextmanager
def operator_log(role: str, path: Path | None) -> Iterator[None]:
    """Write the package's log, one line for each event, to standard error or to the end of a file."""
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
