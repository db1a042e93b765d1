"""How long parties take to find the rows that all of them have, by their identifiers.

    python experiments/benchmark_alignment.py --identifiers 10000 --identifiers 100000

All roles are processes of their own on this machine, with TLS between them, as in a rehearsal. Each party has as many
identifiers as it may have; two parties that follow each other have all but a part of them in common.
"""

import json
import os
import resource
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from terminal import show_progress

from secure_kmeans.app.forms import run_command
from secure_kmeans.job import Role, Scaling
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.job.result import no_progress
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.alignment import common_rows
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.svk.job import ColumnsParty, SvkJob
from secure_kmeans.roles.process import in_processes

MOST_PARTIES: Final = 10
MEGABYTE: Final = 1e6


def job_of(parties: int, identifiers: int) -> SvkJob:
    """A job with so many parties and identifiers."""
    return SvkJob.of(
        parties=tuple(ColumnsParty(name=f"party_{rank}", columns=(f"x{rank}",)) for rank in range(parties)),
        id="id",
        most_rows=identifiers,
        n_clusters=1,
        scaling=Scaling.of(lower=(0.0,) * parties, upper=(1.0,) * parties),
        precision_bits=24,
    )


def identifiers_of(rank: int, number: int, missing: float) -> list[str]:
    """A party's identifiers. The parties' first ones are ``missing`` of their number apart."""
    first = round(rank * number * missing)
    return [f"person {each:010d}" for each in range(first, first + number)]


def _take_part(job: SvkJob, number: int, missing: float, role: Role, mesh: Mesh) -> dict[str, float]:
    """One role's figures."""
    rank = mesh.roles.index(role.name)
    ids = identifiers_of(rank, number, missing) if role.name in job.names else None
    context: Context[Any] = Context(
        job, role, None, mesh, Ledger(()), no_progress, None, lambda _iteration, _state: None
    )
    began, worked = time.perf_counter(), time.process_time()
    rows = common_rows(context, ids, dict.fromkeys(job.names, number), 1)
    return {
        "seconds": time.perf_counter() - began,
        "processor_seconds": time.process_time() - worked,
        "common": len(rows),
        "rounds": mesh.traffic.rounds,
        "megabytes_sent": mesh.traffic.bytes_sent / MEGABYTE,
        "process_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE,
    }


def measure(*, parties: int, identifiers: int, missing: float) -> dict[str, float]:
    """The figures of one alignment.

    Returns
    -------
    dict
        The slowest role's seconds, all roles' processor seconds together, the first party's rounds and megabytes, the
        megabytes that the dealer sends, and the size of the largest process.
    """
    job = job_of(parties, identifiers)
    roles: list[dict[str, float]] = in_processes(job, partial(_take_part, job, identifiers, missing))
    return {
        "seconds": max(role["seconds"] for role in roles),
        "processor_seconds": sum(role["processor_seconds"] for role in roles),
        "common": roles[0]["common"],
        "rounds": roles[0]["rounds"],
        "party_megabytes": roles[0]["megabytes_sent"],
        "dealer_megabytes": roles[-1]["megabytes_sent"],
        "largest_process_megabytes": max(role["process_megabytes"] for role in roles),
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--identifiers",
    "sizes",
    type=click.IntRange(1, 1 << 24),
    multiple=True,
    default=(10_000, 100_000),
    show_default=True,
    help="Of each party; may be given several times.",
)
@click.option("--parties", type=click.IntRange(2, MOST_PARTIES), default=2, show_default=True)
@click.option(
    "--missing",
    type=click.FloatRange(0, 0.5),
    default=0.25,
    show_default=True,
    help="Part of a party's identifiers that the party after it does not have.",
)
@click.option("--times", type=click.IntRange(min=1), default=1, show_default=True, help="Turns; medians are shown.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON instead of a table.")
def main(sizes: tuple[int, ...], parties: int, missing: float, times: int, as_json: bool) -> None:
    """Measure the alignment of rows by identifiers."""
    turns: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for number in range(1, times + 1):
        for size in turns:
            turns[size].append(measure(parties=parties, identifiers=size, missing=missing))
        show_progress("turn", number, times)
    medians = {
        size: {name: statistics.median(turn[name] for turn in each) for name in each[0]} for size, each in turns.items()
    }
    if as_json:
        found = {"parties": parties, "processors": os.cpu_count(), "medians": medians, "turns": turns}
        click.echo(json.dumps(found, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD, title=f"Alignment of {parties} parties, medians", title_justify="left")
    titles = "identifiers", "seconds", "processor s", "common", "rounds", "a party sends", "dealer", "largest process"
    for title in titles:
        table.add_column(title, justify="right")
    for size, each in medians.items():
        table.add_row(
            f"{size:,}",
            f"{each['seconds']:.1f}",
            f"{each['processor_seconds']:.1f}",
            f"{each['common']:,.0f}",
            f"{each['rounds']:,.0f}",
            f"{each['party_megabytes']:.2f} MB",
            f"{each['dealer_megabytes']:.2f} MB",
            f"{each['largest_process_megabytes']:,.0f} MB",
        )
    Console().print(table)


if __name__ == "__main__":
    run_command(main)
