"""Terminal output before and during a run. :mod:`~secure_kmeans.app.summary` prints what follows a run."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from secure_kmeans.app.commands import Announce, Announcement, Checked, NewIdentity, Verified
from secure_kmeans.app.consent import RECIPIENTS
from secure_kmeans.job import Job
from secure_kmeans.job.ledger import ALL, OWNER, Disclosure, When
from secure_kmeans.job.result import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

PHASES: Final = {"set-up": "Set-up", "initialisation": "Initialisation", "iterations": "Iterations"}
"""Phases of a run, with their names for people. A protocol may have others."""

out: Final = Console(highlight=False, soft_wrap=False)
error_out: Final = Console(stderr=True, highlight=False)


@contextmanager
def showing_run() -> Iterator[tuple[Announce, Progress]]:
    """Callbacks for a command: the announcement goes to standard output, then bars move on standard error.

    On no terminal there are no bars.
    """
    with _moving("{task.fields[count]:<17}") as bars:
        phases = _Phases(bars)

        def announce(announcement: Announcement) -> None:
            print_announcement(announcement)
            phases.start()

        yield announce, phases.show


@contextmanager
def showing_progress() -> Iterator[Progress]:
    """The bars alone, for a run that announces nothing."""
    with _moving("{task.fields[count]:<17}") as bars:
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
def _moving(*columns: str) -> Iterator[Bars]:
    """Bars on standard error, with further columns of text. They show once they are started, and vanish in the end."""
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        SpinnerColumn(),
        TextColumn("{task.description:<15}"),
        BarColumn(),
        *map(TextColumn, columns),
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
        self.seen: set[str] = set()

    def start(self) -> None:
        """Show the bars. The first one moves until progress arrives."""
        first = next(iter(self.tasks.values()))
        self.bars.start()
        self.bars.start_task(first)
        self.bars.update(first, total=None, count="starting")

    def show(self, phase: str, done: int, total: int) -> None:
        """Show progress. Earlier phases are complete; those that this run does not have vanish."""
        if phase not in self.tasks:
            self.tasks[phase] = self.bars.add_task(phase, total=total, count="")
        self.seen.add(phase)
        for earlier in itertools.takewhile(lambda name: name != phase, self.tasks):
            if earlier in self.seen:
                self.bars.update(self.tasks[earlier], total=1, completed=1)
            else:
                self.bars.update(self.tasks[earlier], visible=False)
        self.bars.start_task(self.tasks[phase])
        count = f"{done} of at most {total}" if phase == "iterations" else f"{done} of {total}"
        self.bars.update(self.tasks[phase], completed=done, total=total, count=count)


def print_announcement(announcement: Announcement) -> None:
    """Print what a run will disclose, and advice, before the run."""
    runs = announcement.runs
    each = "" if runs == 1 else f", each of {runs} runs"
    _print_disclosures(announcement.job, announcement.disclosures, f"Will be disclosed, and nothing else{each}")
    print_advice(announcement.advice)


def _print_disclosures(job: Job, disclosures: Sequence[Disclosure], title: str) -> None:
    out.print()
    for key in ("purpose", "contact"):
        if text := getattr(job, key):
            out.print(f"[bold]{key}[/bold]  {escape(text)}", soft_wrap=True, emoji=False)
    out.print(_grid_of(disclosures, title, starts=getattr(job, "restarts", 1)))
    if getattr(job, "engine", None) == "crypten":
        out.print("[yellow]The engine is CrypTen's own circuits: for comparison only, many times slower.[/yellow]")


def _grid_of(announced: Sequence[Disclosure], title: str, *, starts: int) -> Grid:
    """What is disclosed, by recipient and time; an iteration's disclosures are made for each of the starts."""
    grid = grid_with(title)
    grid.add_column("to")
    grid.add_column("when", no_wrap=True)
    grid.add_column("what")
    groups: dict[tuple[str, When], list[str]] = {}
    for recipient in dict.fromkeys([ALL, OWNER, *(each.to for each in announced)]):
        for when in When:
            whats = [each.what for each in announced if (each.to, each.when) == (recipient, when)]
            if whats:
                groups[recipient, when] = whats
    earlier = None
    for (recipient, when), whats in groups.items():
        name = RECIPIENTS.get(recipient, recipient) if recipient != earlier else ""
        of_all = f" of {starts} starts" if when is When.EACH and starts > 1 else ""
        grid.add_row(escape(name), f"{when}{of_all}", escape("; ".join(whats)))
        earlier = recipient
    return grid


def grid_with(title: str) -> Grid:
    """An empty table with a title."""
    return Grid(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def print_advice(advice: Sequence[str]) -> None:
    """Print advice, one line each."""
    for line in advice:
        out.print(f"[yellow]consider[/yellow] {escape(line)}", soft_wrap=True)


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
    print_advice(checked.advice)
    _print_disclosures(checked.job, checked.disclosures, "A run will disclose this, and nothing else")


def print_verified(verified: Verified) -> None:
    """Print what a signature proves, what the report says, and what remains to be checked."""
    out.print(f"[bold]{escape(str(verified.path))}[/bold]", soft_wrap=True)
    for word, style, lines in (
        ("verified", "green", verified.findings),
        ("it says", "bold", verified.statements),
        ("unknown", "yellow", verified.caveats),
    ):
        for line in lines:
            out.print(f"[{style}]{word:8}[/{style}] {escape(line)}", soft_wrap=True, emoji=False)


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
