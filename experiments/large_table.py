"""How much memory SMO07 takes where a party's table is read in chunks.

    python experiments/large_table.py
    python experiments/large_table.py --full

A table of two million rows, or with --full of twenty million, is written to a Parquet file in a temporary folder. Its
party clusters it with two parties that have a hundredth of its rows each, all roles in processes of their own on this
machine, with TLS between them, as in a rehearsal. The largest size of each process is what Linux says of it (VmHWM);
the process that starts the others checks the tables before the run, and writes the labels after it.
"""

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, get_args

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from terminal import show_progress

from secure_kmeans.app import commands
from secure_kmeans.app.forms import run_command
from secure_kmeans.app.inputs import Options
from secure_kmeans.protocols.smo07.job import Mode
from secure_kmeans.report.sections import KMeansReport

PARTIES: Final = ("large", "small", "smallest")
QUICK_ROWS: Final = 2_000_000
FULL_ROWS: Final = 20_000_000
SMALL_PART: Final = 100
"""The other parties have the large one's rows divided by this."""
REACH: Final = 100.0
CENTERS: Final = 5
STARTER: Final = "(starter)"
_WRITTEN_ROWS: Final = 1 << 17
_SECONDS: Final = 0.05
"""Between two looks at the processes."""


def write_table(path: Path, rows: int, columns: int, seed: int) -> None:
    """Write rows around a few centers to a Parquet file, some of them at a time."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(0).uniform(-0.8 * REACH, 0.8 * REACH, (CENTERS, columns))
    names = [f"x{number}" for number in range(columns)]
    schema = pa.schema([(name, pa.float64()) for name in names])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, _WRITTEN_ROWS):
            number = min(_WRITTEN_ROWS, rows - start)
            own = centers[rng.integers(0, CENTERS, number)] + rng.normal(scale=REACH / 20, size=(number, columns))
            own = np.clip(own, -REACH, REACH)
            writer.write_table(pa.table(list(own.T), schema=schema))


@contextmanager
def watched_processes() -> Iterator[dict[str, float]]:
    """The largest size in megabytes of this process and of each one that it starts, by name, filled at the end."""
    found: dict[str, float] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_SECONDS):
            found.update(_sizes())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
        found.update(_sizes())


def _sizes() -> dict[str, float]:
    """The largest size so far of this process and of its descendants."""
    processes = {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":", 1) for line in path.read_text().splitlines())
        except OSError:  # it has ended
            continue
        if "VmHWM" in lines:
            size = int(lines["VmHWM"].split()[0]) * 1024 / 1e6
            processes[int(lines["Pid"])] = int(lines["PPid"]), lines["Name"].strip(), size
    own = {os.getpid(): STARTER}
    while more := {pid: name for pid, (parent, name, _) in processes.items() if parent in own and pid not in own}:
        own |= more
    return {name: processes[pid][2] for pid, name in own.items() if pid in processes}


def measure(rows: int, columns: int, chunk_rows: int, *, mode: Mode, iterations: int) -> dict[str, Any]:
    """The figures of one run."""
    with tempfile.TemporaryDirectory(prefix="large-table-") as name:
        folder = Path(name)
        files = []
        for rank, party in enumerate(PARTIES):
            files.append(folder / f"{party}.parquet")
            write_table(files[-1], rows if rank == 0 else max(1, rows // SMALL_PART), columns, rank + 1)
        options = Options(
            data=tuple(files),
            protocol="smo07",
            clusters=CENTERS,
            init="uniform",
            n_init=1,
            max_iter=iterations,
            seed=1,
            bounds=((-REACH,) * columns, (REACH,) * columns),
            mode=mode,
            chunk_rows=chunk_rows,
        )
        began = time.perf_counter()
        with watched_processes() as sizes:
            run = commands.cluster(options, folder / "results", progress=show_progress)
        seconds = time.perf_counter() - began
        labels = folder / "results" / f"labels_{PARTIES[0]}.csv"
        with labels.open("rb") as file:
            labelled = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")) - 1
        assert isinstance(run.report, KMeansReport)
        return {
            "rows": rows,
            "columns": columns,
            "chunk_rows": chunk_rows,
            "mode": mode,
            "iterations": run.report.result.n_iter,
            "labelled": labelled,
            "file_megabytes": files[0].stat().st_size / 1e6,
            "rows_megabytes": rows * columns * 8 / 1e6,
            "seconds": seconds,
            "run_seconds": run.report.timing.total_s,
            "processors": os.cpu_count(),
            "megabytes": {each: sizes[each] for each in (STARTER, *PARTIES)},
        }


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--full", is_flag=True, help=f"{FULL_ROWS:,} rows instead of {QUICK_ROWS:,}.")
@click.option("--rows", type=click.IntRange(min=CENTERS), default=None, help="Rows of the large table.")
@click.option("--columns", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--chunk-rows", type=click.IntRange(min=1), default=100_000, show_default=True)
@click.option("--iterations", type=click.IntRange(min=1), default=10, show_default=True, help="The most of them.")
@click.option("--mode", type=click.Choice(get_args(Mode)), default="paillier", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON instead of a table.")
def main(
    full: bool, rows: int | None, columns: int, chunk_rows: int, iterations: int, mode: Mode, as_json: bool
) -> None:
    """Measure a run with a table that is read in chunks."""
    size = rows or (FULL_ROWS if full else QUICK_ROWS)
    found = measure(size, columns, chunk_rows, mode=mode, iterations=iterations)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    title = f"{size:,} rows in chunks of {chunk_rows:,}: {found['rows_megabytes']:,.0f} MB, {found['seconds']:.0f} s"
    table = Table("process", box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("largest size", justify="right")
    for process, megabytes in found["megabytes"].items():
        table.add_row(process, f"{megabytes:,.0f} MB")
    Console().print(table)


if __name__ == "__main__":
    run_command(main)
