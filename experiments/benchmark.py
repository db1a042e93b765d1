"""What an iteration of secure k-means costs: time, traffic, rounds, memory, and how exact it is.

    python experiments/benchmark.py --samples 10000 --features 2 --clusters 5

All roles run on this machine, over TLS, each in a process of its own. Lloyd's iterations alone are measured, from given
centroids. The time of an iteration includes the dealer, the communication and all parties. Rows are uniform, so that a
run does not end early.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final, Literal

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from secure_kmeans.app.forms import run_command
from secure_kmeans.app.proposal import party_names
from secure_kmeans.job import Party, Role, Scaling
from secure_kmeans.job.fixed_point import choose_precision_bits
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.session import open_session
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.kmeans import lloyd
from secure_kmeans.protocols.bounds import bits_of_a_difference
from secure_kmeans.protocols.lloyd import Lloyd, Revealed
from secure_kmeans.protocols.lookahead import ScheduleLine
from secure_kmeans.protocols.shk import SHK, ShkJob
from secure_kmeans.protocols.shk import disclosures as may
from secure_kmeans.protocols.shk.job import DEALER
from secure_kmeans.roles.process import in_processes

SEED: Final = 1
"""Of the rows."""
LONGEST_WAIT: Final = 600.0
"""Seconds after which a silent role counts as failed."""


def _job(rows: np.ndarray, parties: int, clusters: int, iterations: int, **keys: Any) -> ShkJob:
    d = rows.shape[1]
    most = choose_precision_bits(d, clusters, 1.0)
    return ShkJob.of(
        parties=Party.named(*party_names(parties)),
        columns=tuple(f"x{number}" for number in range(d)),
        n_clusters=clusters,
        n_init=1,
        max_iter=iterations,
        tol=0.0,
        scaling=Scaling.of(lower=(0.0,) * d, upper=(1.0,) * d),
        centroids=tuple(map(tuple, rows[:clusters].tolist())),
        precision_bits=keys.pop("precision_bits") or most,
        timeout=LONGEST_WAIT,
        **keys,
    )


class _Part:
    """One role's part in a run, and what it costs the role."""

    def __init__(self, job: ShkJob, rows: np.ndarray) -> None:
        self.job = job
        self.own = dict(zip(job.names, np.array_split(rows, len(job.names)), strict=True))
        self.nothing = np.empty((0, rows.shape[1]))

    def __call__(self, role: Role, mesh: Mesh) -> dict[str, Any]:
        """Its marks before the first iteration and after each, the centroids, and the most memory.

        Of a dealer that answers requests, only the bytes that it sends in the whole run.
        """
        answers = self.job.engine == "crypten"
        with crypten.joined(mesh, dealer_answers=answers) as channel:
            if role.name == DEALER and answers:
                crypten.serve_requests()
                return {"bytes_sent": channel.traffic.bytes_sent}
            return self._iterate(role, channel)

    def _iterate(self, role: Role, channel: crypten.RoleCommunicator) -> dict[str, Any]:
        job, mesh = self.job, channel.mesh
        sharing = open_session(channel, job, Ledger(SHK.disclosures(job)))
        X = sharing.enter_rows(self.own.get(role.name, self.nothing), [len(own) for own in self.own.values()])
        C = sharing.enter_public(np.array(job.centroids)[None])
        bits = bits_of_a_difference(job, job.precision_bits)
        rows = sharing.engine.execute(sharing.engine.enter(X, bits))
        line = ScheduleLine(mesh, job.names[0], DEALER, in_use=sharing.engine.has_dealer)
        sizes = None if job.hide_counts else may.CLUSTER_SIZES
        epsilon = sharing.engine.public(np.zeros(1, dtype=np.int64))
        run = Lloyd(
            sharing,
            job,
            rows,
            C,
            epsilon,
            line,
            Revealed(sizes, may.SMALL_CLUSTERS, may.STOP_BIT, may.GOING_ON, may.BEST_RESTART),
        )
        shows = role.name == job.names[0] and sys.stderr.isatty()
        marks = [_mark(mesh)]
        for _ in run.iterations():
            marks.append(_mark(mesh))
            if shows:
                click.echo(f"\riteration {run.tally.iteration:,} of {job.max_iter:,}", nl=False, err=True)
        if shows:
            click.echo(err=True)
        return {
            "marks": marks,
            "centroids": sharing.fixed_point.decode(sharing.reveal(run.C[0], may.FINAL_CENTROIDS)).tolist(),
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def _mark(mesh: Mesh) -> tuple[float, int, int]:
    return time.perf_counter(), mesh.traffic.rounds, mesh.traffic.bytes_sent


def measure(
    samples: int, features: int, clusters: int, iterations: int, parties: int, **keys: Any
) -> dict[str, float | int | str]:
    """One run's figures; see ``--help``."""
    rows = np.random.default_rng(SEED).random((samples, features))
    job = _job(rows, parties, clusters, iterations, **keys)
    roles = in_processes(job, _Part(job, rows))
    first, dealer = roles[0], roles[-1]
    done = len(first["marks"]) - 1
    seconds, rounds, sent = (
        (last - start) / done for start, last in zip(first["marks"][0], first["marks"][-1], strict=True)
    )
    dealt = dealer["bytes_sent"] / done if "marks" not in dealer else _per_iteration(dealer["marks"], 2)
    exact = run_in_the_clear(job.model_copy(update={"max_iter": done}), rows, 0)[0]
    plain = lloyd(rows, np.array(job.centroids), max_iter=done, tol=0.0)
    found = np.array(first["centroids"])
    return {
        "protocol": SHK.name,
        "engine": job.engine,
        "samples": samples,
        "features": features,
        "clusters": clusters,
        "parties": parties,
        "iterations": done,
        "precision_bits": job.precision_bits,
        "hide_counts": job.hide_counts,
        "min_cluster_size": job.min_cluster_size,
        "transport": "tls",
        "seconds_per_iteration": seconds,
        "bytes_sent_per_party_per_iteration": sent,
        "dealer_bytes_per_iteration": dealt,
        "rounds_per_iteration": rounds,
        "peak_rss_mb": max(role.get("peak_rss_mb", 0.0) for role in roles),
        "max_centroid_error": float(np.abs(found - plain.centroids).max()),
        "max_centroid_error_same_precision": float(np.abs(found - exact.centroids).max()),
    }


def _per_iteration(marks: list[list[float]], column: int) -> float:
    return (marks[-1][column] - marks[0][column]) / (len(marks) - 1)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--samples", type=click.IntRange(min=1), default=10_000, show_default=True, help="Rows of all parties.")
@click.option("--features", type=click.IntRange(min=1), default=2, show_default=True, help="Columns.")
@click.option("--clusters", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--iterations", type=click.IntRange(min=1), default=20, show_default=True, help="The most of them.")
@click.option("--parties", type=click.IntRange(2, ShkJob.MOST_PARTIES), default=2, show_default=True)
@click.option("--protocol", type=click.Choice([SHK.name]), default=SHK.name, show_default=True)
@click.option("--engine", type=click.Choice(["secure", "crypten"]), default="secure", show_default=True)
@click.option("--precision-bits", type=int, default=0, help="Fractional bits.  [default: the most that fit]")
@click.option("--hide-counts", is_flag=True, help="Divide by cluster sizes that stay secret.")
@click.option(
    "--min-cluster-size",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Sizes below it stay secret. A job takes 5 if it does not say otherwise; other libraries know no such thing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(protocol: Literal["shk"], as_json: bool, **options: Any) -> None:
    """Measure one shape. Times are of one run, in seconds; bytes are payload, of the first party and of the dealer."""
    del protocol
    figures = measure(**options)
    if as_json:
        click.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        click.echo(f"{name:36} {value:,.6g}" if isinstance(value, float) else f"{name:36} {value}")


if __name__ == "__main__":
    run_command(main)
