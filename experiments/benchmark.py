"""What an iteration of secure k-means costs: time, traffic, rounds, memory, and how exact it is.

    python experiments/benchmark.py --samples 10000 --features 2 --clusters 5

All roles run on this machine, over TLS, each in a process of its own. The time of an iteration includes everything: the
dealer, the communication, all parties. Rows are uniform, so that a run does not end early; it starts from given rows.
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

from in_processes import in_processes, opened

from secure_kmeans.fixed_point import choose_precision_bits
from secure_kmeans.job import MOST_PARTIES, Job, Party, Scaling
from secure_kmeans.mpc.session import Session
from secure_kmeans.options import run
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.kmeans import lloyd
from secure_kmeans.plan import party_names
from secure_kmeans.protocols.shk import Restarts

_SEED: Final = 1


def _rows(samples: int, features: int) -> np.ndarray:
    return np.random.default_rng(_SEED).random((samples, features))


def _job(rows: np.ndarray, parties: int, clusters: int, iterations: int, **options: Any) -> Job:
    d = rows.shape[1]
    most = choose_precision_bits(d, clusters, 1.0)
    return Job.of(
        parties=Party.named(*party_names(parties)),
        columns=tuple(f"x{number}" for number in range(d)),
        n_clusters=clusters,
        n_init=1,
        max_iter=iterations,
        tol=0.0,
        scaling=Scaling.of(lower=(0.0,) * d, upper=(1.0,) * d),
        centroids=tuple(map(tuple, rows[:clusters].tolist())),
        precision_bits=options.pop("precision_bits") or most,
        timeout=600.0,
        **options,
    )


def _iterate(session: Session, job: Job, own: np.ndarray, counts: list[int]) -> dict[str, Any]:
    """One role's run: what it had done before the first iteration and after each, and the centroids."""
    X = session.share_rows(own, counts)
    runs = Restarts(session, job, X, session.from_public(np.array(job.centroids))[None])
    marks = [_mark(session)]
    for _ in runs.iterations():
        marks.append(_mark(session))
    centroids = opened(session, runs.C[0])
    return {
        "marks": marks,
        "centroids": session.fixed_point.decode(centroids).tolist(),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _mark(session: Session) -> tuple[float, int, int]:
    return time.perf_counter(), session.traffic.rounds, session.traffic.bytes_sent


def measure(
    samples: int, features: int, clusters: int, iterations: int, parties: int, **options: Any
) -> dict[str, float | int | str]:
    """One run's figures; see ``--help``."""
    rows = _rows(samples, features)
    job = _job(rows, parties, clusters, iterations, **options)
    slices = [*np.array_split(rows, parties), np.empty((0, features))]
    counts = [len(own) for own in slices[:-1]]
    roles = in_processes(job, lambda session: _iterate(session, job, slices[session.rank], counts))
    first, dealer = roles[0], roles[-1]
    done = len(first["marks"]) - 1
    seconds, rounds, sent = (
        (last - start) / done for start, last in zip(first["marks"][0], first["marks"][-1], strict=True)
    )
    dealt = dealer["bytes_sent"] / done if "marks" not in dealer else _per_iteration(dealer["marks"], 2)
    exact = run_in_the_clear(job.model_copy(update={"max_iter": done}), rows, 0)[0]
    start = np.array(job.centroids)
    plain = lloyd(rows, start, max_iter=done, tol=0.0)
    found = np.array(first["centroids"])
    return {
        "protocol": "shk",
        "engine": job.engine,
        "samples": samples,
        "features": features,
        "clusters": clusters,
        "parties": parties,
        "iterations": done,
        "precision_bits": job.precision_bits,
        "hide_counts": job.hide_counts,
        "transport": job.transport,
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
@click.option("--features", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--clusters", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--iterations", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--parties", type=click.IntRange(2, MOST_PARTIES), default=2, show_default=True)
@click.option("--protocol", type=click.Choice(["shk"]), default="shk", show_default=True)
@click.option("--engine", type=click.Choice(["secure", "crypten"]), default="secure", show_default=True)
@click.option("--precision-bits", type=int, default=0, help="Fractional bits.  [default: the most that fit]")
@click.option("--hide-counts", is_flag=True, help="Divide by counts that stay secret.")
@click.option("--transport", type=click.Choice(["tls", "gloo"]), default="tls", show_default=True)
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
    run(main)
