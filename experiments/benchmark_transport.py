"""How fast two parties exchange numbers over loopback: TLS 1.3, as it is used, beside Gloo, as CrypTen comes.

    python experiments/benchmark_transport.py

Both are measured in turn, several times, in the same sitting; an exchange is both parties sending to each other at
once. "CrypTen" stands for the communicator's ``all_gather``, through which every product and comparison goes.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch
import torch.distributed as dist
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from secure_kmeans.job import Job, Party, Scaling
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter.communicator import RoleCommunicator
from secure_kmeans.net.lines import Lines
from secure_kmeans.net.loopback import Loopback
from secure_kmeans.options import run

_SMALL: Final = 8
"""Words of 8 bytes: an opened number or two, in the last levels of a comparison."""

_TRANSPORTS: Final = {"TLS 1.3": False, "Gloo": True}
_LINES: Final = {
    "small": "64 bytes, microseconds",
    "small_crypten": "64 bytes, through CrypTen, microseconds",
    "small_gloo_all_gather": "64 bytes, torch's all_gather, microseconds",
    "large_both": "large, both ways at once, MB/s in all",
    "large_one": "large, one way, MB/s",
}


def _seconds(action: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - began) / times


def _measure(links: Lines, me: int, megabytes: int) -> dict[str, float]:
    """One party's figures."""
    peer = f"party_{1 - me}"
    channel = RoleCommunicator.get()
    assert channel is not None
    small, answer = np.zeros(_SMALL, dtype=np.int64), np.empty(_SMALL, dtype=np.int64)
    large = np.arange(megabytes * 125_000, dtype=np.int64)
    arrived = np.empty_like(large)
    tensor = torch.zeros(_SMALL, dtype=torch.long)

    def exchange() -> None:
        links.exchange({peer: small}, {peer: answer})

    def both() -> None:
        links.exchange({peer: large}, {peer: arrived})

    def one() -> None:
        links.exchange({peer: large if me == 0 else small[:1]}, {peer: arrived if me == 1 else answer[:1]})

    figures = {}
    for action in (exchange, both):  # what is slow only the first time
        action()
    _seconds(exchange, 500)
    figures["small"] = 1e6 * _seconds(exchange, 3000)
    figures["small_crypten"] = 1e6 * _seconds(lambda: channel.all_gather(tensor), 3000)
    if dist.is_initialized():
        tensors = [torch.empty_like(tensor), torch.empty_like(tensor)]
        pair = dist.new_group([0, 1], use_local_synchronization=True)
        _seconds(lambda: dist.all_gather(tensors, tensor, group=pair), 200)
        figures["small_gloo_all_gather"] = 1e6 * _seconds(lambda: dist.all_gather(tensors, tensor, group=pair), 1000)
    figures["large_both"] = 2 * megabytes / _seconds(both, 3)
    figures["large_one"] = megabytes / _seconds(one, 3)
    assert (arrived == large).all()
    return figures


def _sit(gloo: bool, megabytes: int) -> dict[str, float]:
    """Two parties and a dealer in processes of their own; the first party's figures."""
    job = Job.of(
        parties=Party.named("party_0", "party_1"),
        columns=("x",),
        n_clusters=1,
        scaling=Scaling.of(lower=(0.0,), upper=(1.0,)),
        precision_bits=24,
    )
    with tempfile.TemporaryDirectory() as folder:
        loopback = Loopback(job, Path(folder) / "identities")

        def live(rank: int, life: Callable[[], None]) -> None:
            mesh = loopback.meet(job.roles[rank])
            crypten.connect(mesh, f"file://{folder}/rendezvous" if gloo else None)
            life()
            mesh.finish()
            mesh.close()

        def party(rank: int) -> None:
            connection = RoleCommunicator.connection
            assert connection is not None
            figures = _measure(connection[1], rank, megabytes)
            (Path(folder) / f"{rank}.json").write_text(json.dumps(figures))

        if not crypten.run_roles(2, party, live):
            raise click.ClickException("a role failed")
        figures: dict[str, float] = json.loads((Path(folder) / "0.json").read_text())
        return figures


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--megabytes", type=click.IntRange(1, 2000), default=64, show_default=True, help="Of a large exchange.")
@click.option("--times", type=click.IntRange(min=1), default=5, show_default=True, help="Turns; medians are shown.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON instead of a table.")
def main(megabytes: int, times: int, as_json: bool) -> None:
    """Measure small and large exchanges over loopback: TLS 1.3 and Gloo in turn."""
    torch.set_num_threads(1)
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in _TRANSPORTS}
    for _ in range(times):
        for name, gloo in _TRANSPORTS.items():
            turns[name].append(_sit(gloo, megabytes))
    medians: dict[str, Any] = {
        name: {line: statistics.median(turn[line] for turn in each) for line in each[0]} for name, each in turns.items()
    }
    if as_json:
        click.echo(json.dumps({"megabytes": megabytes, "medians": medians, "turns": turns}, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD, title="Exchanges over loopback, medians", title_justify="left")
    table.add_column("")
    for name in turns:
        table.add_column(name, justify="right")
    for line, title in _LINES.items():
        table.add_row(title, *(f"{each[line]:,.0f}" if line in each else "" for each in medians.values()))
    Console().print(table)


if __name__ == "__main__":
    run(main)
