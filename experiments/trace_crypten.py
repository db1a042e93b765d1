"""The functions of CrypTen that run in a default run, and how often.

    python experiments/trace_crypten.py

The run is that of ``launcher.py`` without options, under a fixed seed: the mall customers, two parties and a dealer,
five starts. Each role's process counts the calls of the functions that the installed CrypTen defines, and of those of
this package. ``--markdown`` prints the tables of docs/crypten.md.
"""

import dis
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from inspect import CO_GENERATOR
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import click
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from terminal import show_progress

from secure_kmeans.app.forms import run_command
from secure_kmeans.app.inputs import Options, read_inputs
from secure_kmeans.app.proposal import propose_job
from secure_kmeans.job import SEEDS, Role
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.job.result import Progress, no_progress
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.shk import SHK, ShkJob
from secure_kmeans.roles.process import in_processes
from secure_kmeans.tables import Table as Rows

SEED: Final = 0
"""Of the public coins."""

START, ROWS, CENTROIDS, FIRST, OTHERS, END = PHASES = (
    "start-up",
    "rows enter",
    "first centroids",
    "first iteration",
    "other iterations",
    "end",
)
"""Of a run. The first iteration has all starts in it; later ones have fewer."""

BEGINNINGS: Final = {
    "Sharing.enter_rows": (START, ROWS),
    "first_centroids": (ROWS, CENTROIDS),
    "_Part._lloyd": (CENTROIDS, ROWS),
    "Lloyd.best": (OTHERS, END),
}
"""Functions of this package that end one phase and begin another. ``Lloyd.label_rows`` begins an iteration."""

CALLED_DIRECTLY: Final = (
    "crypten.init",
    "crypten.uninit",
    "crypten.cat",
    "crypten.stack",
    "crypten.mpc.mpc.MPCTensor.",
)
"""How the names of CrypTen's functions on encrypted tensors begin. All other functions are called by these."""

PACKAGE: Final = Path(__file__).resolve().parent.parent / "secure_kmeans"


def _folder_of_crypten() -> Path:
    spec = find_spec("crypten")
    assert spec is not None, "CrypTen is installed with this package"
    assert spec.origin is not None
    return Path(spec.origin).parent


class Calls:
    """Counts of the calls in one thread. An object of this class is a function for :func:`sys.setprofile`.

    Comprehensions, and a generator's return to its work, are no calls.

    Attributes
    ----------
    phase : str
    of_crypten : Counter of (phase, function)
    own : int
        Calls of this package's own functions.
    iterations : int
    """

    def __init__(self) -> None:
        self.phase = START
        self.of_crypten: Counter[tuple[str, str]] = Counter()
        self.own = self.iterations = 0
        self._crypten = _folder_of_crypten()
        self._functions: dict[CodeType, tuple[str | None, bool]] = {}

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Count one call."""
        if event != "call":
            return
        code = frame.f_code
        if code not in self._functions:
            self._functions[code] = self._name_of(code)
        name, is_own = self._functions[code]
        if name is None or (code.co_flags & CO_GENERATOR and _is_resumed(frame)):
            return
        if is_own:
            self.own += 1
            self._change_phase(name)
        else:
            self.of_crypten[self.phase, _method_of(frame) or name] += 1

    def _change_phase(self, name: str) -> None:
        if name == "Lloyd.label_rows":
            self.iterations += 1
            self.phase = FIRST if self.iterations == 1 else OTHERS
        elif name in BEGINNINGS:
            before, after = BEGINNINGS[name]
            self.phase = after if self.phase == before else self.phase

    def _name_of(self, code: CodeType) -> tuple[str | None, bool]:
        """A function's name, None where it is not counted; and whether it is this package's own."""
        path, name = Path(code.co_filename), code.co_qualname
        if name.rsplit(".", 1)[-1].startswith("<"):
            return None, False
        if path.is_relative_to(self._crypten):
            module = ".".join(path.relative_to(self._crypten.parent).with_suffix("").parts)
            return f"{module.removesuffix('.__init__')}.{name}", False
        return (name, True) if path.is_relative_to(PACKAGE) else (None, False)

    def as_json(self) -> dict[str, Any]:
        """For each function its calls in each phase; the calls of own functions; the iterations."""
        functions: dict[str, dict[str, int]] = {}
        for (phase, name), count in self.of_crypten.items():
            functions.setdefault(name, dict.fromkeys(PHASES, 0))[phase] = count
        return {"functions": dict(sorted(functions.items())), "own": self.own, "iterations": self.iterations}


def _method_of(frame: FrameType) -> str | None:
    """A method's name where CrypTen makes methods of several classes, or of several names, from one function."""
    code = frame.f_code
    closed_over = [variable for variable in code.co_freevars if variable in ("name", "function_name")]
    shared = code.co_varnames[:1] == ("self",) and "." not in code.co_qualname
    if not (closed_over or shared) or "self" not in frame.f_locals:
        return None
    of = next(each for each in type(frame.f_locals["self"]).__mro__ if each.__module__.startswith("crypten"))
    return f"{of.__module__}.{of.__qualname__}.{frame.f_locals[closed_over[0]] if closed_over else code.co_name}"


def _is_resumed(frame: FrameType) -> bool:
    """Whether a generator goes on after a yield."""
    code = frame.f_code.co_code
    return code[frame.f_lasti] == dis.opmap["RESUME"] and code[frame.f_lasti + 1] != 0


@contextmanager
def _counting(calls: Calls) -> Iterator[None]:
    sys.setprofile(calls)
    try:
        yield
    finally:
        sys.setprofile(None)


def _take_part(job: ShkJob, tables: dict[str, Rows], role: Role, mesh: Mesh) -> dict[str, Any]:
    """One role's calls from the moment at which all roles have met."""
    table = tables.get(role.name)
    progress: Progress = show_progress if role == job.roles[0] else no_progress
    context = Context(
        job=job,
        role=role,
        table=table,
        mesh=mesh,
        ledger=Ledger(SHK.disclosures(job)),
        progress=progress,
        resumed=None,
        keep=lambda _iteration, _state: None,
    )
    calls = Calls()
    with _counting(calls):
        SHK.run(context)
    return calls.as_json()


def trace(seed: int = SEED) -> dict[str, Any]:
    """The calls in each role's process, by the role's name; "launcher" is the process that starts the roles."""
    import secure_kmeans.protocols.shk.run  # noqa: F401 - defines CrypTen's classes, before calls are counted

    options = Options(seed=seed)
    inputs = read_inputs(options)
    keys = options.clustering_keys(inputs.columns) | options.job_keys()
    tables = list(inputs.tables.values())
    job = propose_job(tables, options.clusters, parties=tuple(inputs.tables), bounds=inputs.bounds, **keys)
    calls = Calls()
    with _counting(calls):
        answers = in_processes(job, partial(_take_part, job, inputs.tables))
    return {"launcher": calls.as_json()} | {role.name: each for role, each in zip(job.roles, answers, strict=True)}


# ------------------------------------------------------------------ tables

TABLES: Final = {
    "party_0": "A party",
    "dealer": "The dealer",
}
"""The roles whose calls are shown, and the titles."""


def is_direct(function: str) -> bool:
    """Whether this package calls the function on encrypted tensors, or to set CrypTen up."""
    return function.startswith(CALLED_DIRECTLY)


def tables_of(found: dict[str, Any]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """The title, the head and the rows of each table."""
    started = [[name, f"{sum(count.values()):,}"] for name, count in found["launcher"]["functions"].items()]
    yield "The process that starts the roles", ["function", "calls"], started
    for role, title in TABLES.items():
        functions = found[role]["functions"]
        for direct, what in ((True, "functions that this package calls"), (False, "what these call inside CrypTen")):
            rows = [
                [name, *(f"{count[phase]:,}" if count[phase] else "" for phase in PHASES)]
                for name, count in functions.items()
                if is_direct(name) == direct
            ]
            yield f"{title}: {what}", ["function", *PHASES], rows


def markdown_of(found: dict[str, Any]) -> str:
    """The tables in Markdown."""
    parts = []
    for title, head, rows in tables_of(found):
        lines = [f"### {title}", "", _line(head), _line(["---", *["--:"] * (len(head) - 1)])]
        parts.append("\n".join([*lines, *(_line([f"`{name}`", *counts]) for name, *counts in rows)]))
    return "\n\n".join(parts)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("  ", " ")


def _show(found: dict[str, Any]) -> None:
    console = Console()
    for title, head, rows in tables_of(found):
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for number, name in enumerate(head):
            table.add_column(name, justify="right" if number else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for role in TABLES:
        total = sum(sum(count.values()) for count in found[role]["functions"].values())
        console.print(
            f"{TABLES[role]}: {total:,} calls of CrypTen's functions, {found[role]['own']:,} of this package's, "
            f"{found[role]['iterations']} times the rows were labelled"
        )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seed", type=click.IntRange(0, SEEDS - 1), default=SEED, show_default=True, help="Of the public coins.")
@click.option("--markdown", is_flag=True, help="Print the tables of docs/crypten.md.")
@click.option("--json", "as_json", is_flag=True, help="Print all counts, of all roles, as JSON.")
def main(seed: int, markdown: bool, as_json: bool) -> None:
    """Count the calls of CrypTen's functions in a run with the mall customers. Takes some seconds."""
    found = trace(seed)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif markdown:
        click.echo(markdown_of(found))
    else:
        _show(found)


if __name__ == "__main__":
    run_command(main)
