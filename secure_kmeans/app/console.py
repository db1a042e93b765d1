"""Terminal output before and during a run. :mod:`~secure_kmeans.app.summary` prints what follows a run."""

from __future__ import annotations

import importlib.util
import itertools
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console, Group
from rich.table import Table as Grid

from secure_kmeans.app.commands import Announce, Announcement, Checked, NewIdentity, Verified
from secure_kmeans.app.consent import RECIPIENTS
from secure_kmeans.app.grids import Column, fitted, plain
from secure_kmeans.job import Job
from secure_kmeans.job.ledger import ALL, OWNER, Disclosure, When
from secure_kmeans.job.result import Progress
from secure_kmeans.protocols import protocol_of
from secure_kmeans.words import named, printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

PHASES: Final = {
    "reading": "Reading",
    "set-up": "Set-up",
    "alignment": "Alignment",
    "initialisation": "Initialisation",
    "iterations": "Iterations",
}
"""Phases of a run, with their names for people. A protocol may have others."""
_OF_SOME: Final = frozenset({"reading", "alignment"})
"""Phases that few runs have. Their bars show once they begin. A table is read before a run, and in each iteration."""

_LINE_SECONDS: Final = 30.0
_WANTED_LINE_SECONDS: Final = 2.0
"""Between two lines of a run where no bar can move; the second where progress was asked for."""
_NARROW: Final = 50
_WIDE: Final = 90
"""Characters from which on there is a bar, and one of its usual length."""

out: Final = Console(highlight=False, soft_wrap=False, emoji=False)
error_out: Final = Console(stderr=True, highlight=False, emoji=False)


@contextmanager
def showing_run() -> Iterator[tuple[Announce, Progress]]:
    """Callbacks for a command: the announcement goes to standard output, then bars move on standard error.

    Where no bar can move, a line follows now and then.
    """
    with _phases(_LINE_SECONDS) as phases:

        def announce(announcement: Announcement) -> None:
            phases.pause()
            print_announcement(announcement)
            phases.start()

        yield announce, phases.show


@contextmanager
def showing_progress() -> Iterator[Progress]:
    """The bars alone, for a run that announces nothing; also in a notebook. Where no bar can move, lines."""
    with _phases(_WANTED_LINE_SECONDS) as phases:
        phases.start()
        yield phases.show


@contextmanager
def showing_steps(description: str) -> Iterator[tuple[Announce, Progress]]:
    """The same for several runs: one bar, which a progress callback moves by whole runs."""
    if not _can_move():
        with _lines(_LINE_SECONDS) as lines:
            lines.start()
            yield print_announcement, lines.show
        return
    with _moving() as bars:
        task = bars.add_task(description, total=None)

        def announce(announcement: Announcement) -> None:
            print_announcement(announcement)
            bars.start()

        def progress(phase: str, done: int, total: int) -> None:
            bars.start()
            bars.update(task, description=phase, completed=done, total=total)

        yield announce, progress


def _can_move() -> bool:
    """Whether bars can move: on a terminal, or in a notebook with the package that this takes there."""
    return error_out.is_terminal or (error_out.is_jupyter and importlib.util.find_spec("ipywidgets") is not None)


@contextmanager
def _phases(seconds: float) -> Iterator[_Phases | _Lines]:
    if not _can_move():
        with _lines(seconds) as lines:
            yield lines
        return
    with _moving("{task.fields[count]:<17}") as bars:
        yield _Phases(bars)


@contextmanager
def _moving(*columns: str) -> Iterator[Bars]:
    """Bars on standard error, with further columns of text. They show once they are started, and vanish in the end."""
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    shown = [SpinnerColumn(), TextColumn("{task.description:<15}"), *map(TextColumn, columns)]
    if error_out.width >= _NARROW:
        shown[2:2] = [BarColumn(None if error_out.width < _WIDE else 40)]
        shown.append(TimeElapsedColumn())
    bars = Bars(
        *shown,
        console=error_out,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    try:
        yield bars
    finally:
        bars.stop()


@contextmanager
def _lines(seconds: float) -> Iterator[_Lines]:
    lines = _Lines(seconds)
    try:
        yield lines
    finally:
        lines.ended.set()


class _Lines:
    """One line on standard error every so many seconds, from the start on: how far a run is."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.text = seconds, "set-up"
        self.ended = threading.Event()
        self.began, self.is_started = time.monotonic(), False

    def pause(self) -> None:
        """Go on: a line disturbs nothing."""

    def start(self) -> None:
        """Start to write lines, unless they are written already."""
        if self.is_started:
            return
        self.is_started = True
        threading.Thread(target=self._write, name="progress", daemon=True).start()

    def show(self, phase: str, done: int, total: int) -> None:
        """Keep what the next line says. The first table may be read before lines are written."""
        self.start()
        self.text = f"{phase} {_count(phase, done, total)}"

    def _write(self) -> None:
        while not self.ended.wait(self.seconds):
            click.echo(f"{self.text}, after {time.monotonic() - self.began:.0f} s", err=True)


def _count(phase: str, done: int, total: int) -> str:
    return f"{done} of at most {total}" if phase == "iterations" else f"{done} of {total}"


class _Phases:
    """One bar for each phase of a run."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.tasks = {
            phase: bars.add_task(name, total=1, count="", start=False, visible=phase not in _OF_SOME)
            for phase, name in PHASES.items()
        }
        self.seen: set[str] = set()

    def start(self) -> None:
        """Show the bars. That of the set-up moves until progress arrives."""
        first = self.tasks["set-up"]
        self.bars.start()
        self.bars.start_task(first)
        self.bars.update(first, total=None, count="starting")

    def pause(self) -> None:
        """Hide the bars until they are started again."""
        self.bars.stop()

    def show(self, phase: str, done: int, total: int) -> None:
        """Show progress. Earlier phases are complete; those that this run does not have vanish."""
        self.bars.start()  # the first table may be read before they are shown
        if phase not in self.tasks:
            self.tasks[phase] = self.bars.add_task(phase, total=total, count="")
        self.seen.add(phase)
        for earlier in itertools.takewhile(lambda name: name != phase, self.tasks):
            if earlier in self.seen:
                self.bars.update(self.tasks[earlier], total=1, completed=1)
            else:
                self.bars.update(self.tasks[earlier], visible=False)
        self.bars.start_task(self.tasks[phase])
        self.bars.update(self.tasks[phase], completed=done, total=total, count=_count(phase, done, total), visible=True)


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
            out.print(f"[bold]{key}[/bold]  {plain(text)}", soft_wrap=True, emoji=False)
    if facts := facts_of(job):
        out.print(facts)
    out.print(_grid_of(disclosures, title, starts=getattr(job, "restarts", 1)))
    if getattr(job, "engine", None) == "crypten":
        out.print("[yellow]The engine is CrypTen's own circuits: for comparison only, many times slower.[/yellow]")


def facts_of(job: Job) -> Grid | None:
    """What a person should know of a job's run beside its disclosures; None where there is nothing."""
    facts = protocol_of(job.protocol).facts(job)
    if not facts:
        return None
    grid = Grid.grid(padding=(0, 3))
    for name, text in facts.items():
        grid.add_row(plain(name), plain(text))
    grid.add_row("")
    return grid


def _grid_of(announced: Sequence[Disclosure], title: str, *, starts: int) -> Grid | Group:
    """What is disclosed, by recipient and time; an iteration's disclosures are made for each of the starts."""
    groups: dict[tuple[str, When], list[str]] = {}
    for recipient in dict.fromkeys([ALL, OWNER, *(each.to for each in announced)]):
        for when in When:
            whats = [each.what for each in announced if (each.to, each.when) == (recipient, when)]
            if whats:
                groups[recipient, when] = whats
    rows, earlier = [], None
    for (recipient, when), whats in groups.items():
        name = RECIPIENTS.get(recipient, recipient) if recipient != earlier else ""
        of_all = f" of {starts} starts" if when is When.EACH and starts > 1 else ""
        rows.append((name, f"{when}{of_all}", "; ".join(whats)))
        earlier = recipient
    return fitted(title, [Column("to"), Column("when"), Column("what")], rows, out.width)


def print_advice(advice: Sequence[str]) -> None:
    """Print advice, one line each, in the words of the command that runs."""
    context = click.get_current_context(silent=True)
    names = None if context is None else getattr(context.command, "names", None)
    for line in advice:
        out.print(f"[yellow]consider[/yellow] {plain(named(line, names))}", soft_wrap=True)


def print_identity(identity: NewIdentity) -> None:
    """Print where a new identity is, and what of it goes into the job."""
    folder = plain(str(identity.folder))
    out.print(f'The identity of "{plain(identity.name)}" is in {folder}/; nobody else may see key.pem.')
    out.print("Its fingerprint, for the job:\n")
    out.print(identity.fingerprint, soft_wrap=True)


def print_check(checked: Checked) -> None:
    """Print what fits, what is worth a thought, and what the job discloses."""
    for finding in checked.findings:
        out.print(f"[green]fits[/green]     {plain(finding)}", soft_wrap=True)
    print_advice(checked.advice)
    _print_disclosures(checked.job, checked.disclosures, "A run will disclose this, and nothing else")
    out.print("Every role also learns all that the job says, how many rounds and bytes each role sent, and when.")


class _OneLine(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's name
        return printable(super().formatMessage(record))


def print_verified(verified: Verified) -> None:
    """Print what a signature proves, what the report says, and what remains to be checked."""
    out.print(f"[bold]{plain(str(verified.path))}[/bold]", soft_wrap=True)
    for word, style, lines in (
        ("verified", "green", verified.findings),
        ("it says", "bold", verified.statements),
        ("unknown", "yellow", verified.caveats),
    ):
        for line in lines:
            out.print(f"[{style}]{word:8}[/{style}] {plain(line)}", soft_wrap=True, emoji=False)


@contextmanager
def operator_log(role: str, path: Path | None) -> Iterator[None]:
    """Write the package's log, one line for each event, to standard error or to the end of a file."""
    handler = logging.StreamHandler() if path is None else logging.FileHandler(path, encoding="utf-8")
    line = _OneLine(f"%(asctime)sZ {role} %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
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
