"""How fast two parties exchange numbers over loopback: by TLS 1.3, as this package does, and by Gloo, as CrypTen does.

    python experiments/benchmark_transport.py

Both are measured in turn, several times. In an exchange both parties send to each other at once. "Through CrypTen" is
the communicator's ``all_gather``, which costs as much as the opening of a product in CrypTen. Gloo encrypts nothing.
Nothing else in this project uses it.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
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

from terminal import show_progress

from secure_kmeans.app.forms import run_command
from secure_kmeans.job import Kind, Party, Role, Scaling
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.shk import ShkJob
from secure_kmeans.roles.process import in_processes

SMALL: Final = 8
"""Words of 8 bytes: an opened number or two, in the last levels of a comparison."""
TRANSPORTS: Final = {"TLS 1.3": False, "Gloo": True}
"""Whether Gloo replaces the lines of the mesh."""
TITLES: Final = {
    "small": "64 bytes, microseconds",
    "small_crypten": "64 bytes, through CrypTen, microseconds",
    "small_gloo_all_gather": "64 bytes, torch's all_gather, microseconds",
    "large_both": "large, both ways at once, MB/s in all",
    "large_one": "large, one way, MB/s",
}


class GlooLinks:
    """Lines between two parties (see :class:`~secure_kmeans.net.lines.Lines`): arrays by Gloo, plain values by TLS.

    Parameters
    ----------
    mesh : Mesh
    rendezvous : path
        A file that does not exist yet; the two processes find each other through it.
    """

    def __init__(self, mesh: Mesh, rendezvous: Path) -> None:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
        self._ranks = {role: rank for rank, role in enumerate(mesh.roles)}
        self._sending: list[tuple[Any, torch.Tensor]] = []
        self.post_object, self.receive_object = mesh.post_object, mesh.receive_object
        method, timeout = f"file://{rendezvous}", timedelta(minutes=5)
        dist.init_process_group("gloo", method, timeout, world_size=2, rank=self._ranks[mesh.me])

    def post(self, peer: str, numbers: np.ndarray) -> None:
        """Start to send."""
        tensor = torch.from_numpy(numbers)
        self._sending.append((dist.isend(tensor, self._ranks[peer]), tensor))

    def receive(self, peer: str, target: np.ndarray) -> None:
        """Wait for an array of the shape and type of ``target``."""
        dist.recv(torch.from_numpy(target), self._ranks[peer])

    def exchange(self, outgoing: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        """Send and receive at once."""
        for peer, numbers in outgoing.items():
            self.post(peer, numbers)
        for peer, target in targets.items():
            self.receive(peer, target)
        self.flush()

    def flush(self) -> None:
        """Wait until all posted arrays have been sent."""
        sending, self._sending = self._sending, []
        for request, _kept_alive in sending:
            request.wait()


def _seconds(action: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - began) / times


def _measure(channel: crypten.RoleCommunicator, megabytes: int) -> dict[str, float]:
    """One party's figures."""
    links, me, peer = channel.links, channel.rank, channel.mesh.roles[1 - channel.rank]
    small, answer = np.zeros(SMALL, dtype=np.int64), np.empty(SMALL, dtype=np.int64)
    large = np.arange(megabytes * 125_000, dtype=np.int64)
    arrived = np.empty_like(large)
    tensor = torch.zeros(SMALL, dtype=torch.long)

    def exchange() -> None:
        links.exchange({peer: small}, {peer: answer})

    def both() -> None:
        links.exchange({peer: large}, {peer: arrived})

    def one() -> None:
        links.exchange({peer: large if me == 0 else small[:1]}, {peer: arrived if me == 1 else answer[:1]})

    figures = {}
    for action in (exchange, both):  # the first time is slower than all others
        action()
    _seconds(exchange, 500)
    figures["small"] = 1e6 * _seconds(exchange, 3000)
    figures["small_crypten"] = 1e6 * _seconds(lambda: channel.all_gather(tensor), 3000)
    if dist.is_initialized():
        tensors = [torch.empty_like(tensor), torch.empty_like(tensor)]
        _seconds(lambda: dist.all_gather(tensors, tensor), 200)
        figures["small_gloo_all_gather"] = 1e6 * _seconds(lambda: dist.all_gather(tensors, tensor), 1000)
    figures["large_both"] = 2 * megabytes / _seconds(both, 3)
    figures["large_one"] = megabytes / _seconds(one, 3)
    assert (arrived == large).all()
    return figures


def _take_part(gloo: bool, megabytes: int, rendezvous: Path, role: Role, mesh: Mesh) -> dict[str, float]:
    """One role's figures; the dealer is present, does nothing and has none."""
    if role.kind is not Kind.PARTY:
        return {}
    with crypten.joined(mesh) as channel:
        if gloo:
            channel.links = GlooLinks(mesh, rendezvous)
        return _measure(channel, megabytes)


def measure(*, gloo: bool, megabytes: int) -> dict[str, float]:
    """The first party's figures, of two parties in processes of their own."""
    job = ShkJob.of(
        parties=Party.named("party_0", "party_1"),
        columns=("x",),
        n_clusters=1,
        scaling=Scaling.of(lower=(0.0,), upper=(1.0,)),
        precision_bits=24,
    )
    with tempfile.TemporaryDirectory() as folder:
        figures: dict[str, float] = in_processes(
            job, partial(_take_part, gloo, megabytes, Path(folder) / "rendezvous")
        )[0]
        return figures


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--megabytes", type=click.IntRange(1, 2000), default=64, show_default=True, help="Of a large exchange.")
@click.option("--times", type=click.IntRange(min=1), default=5, show_default=True, help="Turns; medians are shown.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON instead of a table.")
def main(megabytes: int, times: int, as_json: bool) -> None:
    """Measure small and large exchanges over loopback: TLS 1.3 and Gloo in turn."""
    torch.set_num_threads(1)
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in TRANSPORTS}
    for number in range(1, times + 1):
        for name, gloo in TRANSPORTS.items():
            turns[name].append(measure(gloo=gloo, megabytes=megabytes))
        show_progress("turn", number, times)
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
    for line, title in TITLES.items():
        table.add_row(title, *(f"{each[line]:,.0f}" if line in each else "" for each in medians.values()))
    Console().print(table)


if __name__ == "__main__":
    run_command(main)
