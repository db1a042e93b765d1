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
from typing import Any, Final, get_args

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from secure_kmeans.app.forms import run_command
from secure_kmeans.app.proposal import party_names
from secure_kmeans.job import Party, Role, Scaling
from secure_kmeans.job.fixed_point import choose_precision_bits
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.job.result import no_progress
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import share_of, wrap
from secure_kmeans.mpc.rounds import Opening, Step
from secure_kmeans.mpc.session import open_session
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.kmeans import lloyd
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.bounds import bits_of_a_difference
from secure_kmeans.protocols.lloyd import Lloyd, Revealed
from secure_kmeans.protocols.lookahead import ScheduleLine
from secure_kmeans.protocols.partition import ByColumns
from secure_kmeans.protocols.shk import SHK, ShkJob
from secure_kmeans.protocols.shk import disclosures as may
from secure_kmeans.protocols.shk.job import DEALER
from secure_kmeans.protocols.smo07 import SMO07, Smo07Job
from secure_kmeans.protocols.smo07.job import Mode
from secure_kmeans.protocols.svk import SVK, SvkJob
from secure_kmeans.protocols.svk.job import ColumnsParty
from secure_kmeans.protocols.svk.open_labels import OpenLabels
from secure_kmeans.roles.process import in_processes
from secure_kmeans.tables import Table

SEED: Final = 1
"""Of the rows."""
LONGEST_WAIT: Final = 600.0
"""Seconds after which a silent role counts as failed."""


def _job(
    protocol: str, rows: np.ndarray, parties: int, clusters: int, iterations: int, *, hide_labels: bool, **keys: Any
) -> ShkJob | SvkJob | Smo07Job:
    d = rows.shape[1]
    most = choose_precision_bits(d, clusters, 1.0)
    names, columns = party_names(parties), tuple(f"x{number}" for number in range(d))
    common = _common_keys(rows, clusters, iterations, precision_bits=keys.pop("precision_bits") or most)
    mode = keys.pop("mode")
    if protocol == SHK.name:
        return ShkJob.of(parties=Party.named(*names), columns=columns, **common, **keys)
    assert keys.pop("engine") == "secure"
    if protocol == SMO07.name:
        del keys["hide_counts"]
        modes = {"mode": mode, "accept_two_parties": parties == 2}
        return Smo07Job.of(parties=Party.named(*names), columns=columns, **common, **keys, **modes)
    held = zip(names, np.array_split(np.arange(d), parties), strict=True)
    parts = tuple(ColumnsParty.of(name=name, columns=tuple(columns[each] for each in own)) for name, own in held)
    return SvkJob.of(parties=parts, align="none", hide_labels=hide_labels, **common, **keys)


def _common_keys(rows: np.ndarray, clusters: int, iterations: int, *, precision_bits: int) -> dict[str, Any]:
    d = rows.shape[1]
    return {
        "n_clusters": clusters,
        "n_init": 1,
        "max_iter": iterations,
        "tol": 0.0,
        "scaling": Scaling.of(lower=(0.0,) * d, upper=(1.0,) * d),
        "centroids": tuple(map(tuple, rows[:clusters].tolist())),
        "precision_bits": precision_bits,
        "timeout": LONGEST_WAIT,
    }


class _Part:
    """One role's part in a run, and what it costs the role."""

    def __init__(self, job: ShkJob | SvkJob, rows: np.ndarray) -> None:
        self.job, self.rows = job, rows
        self.counts = [len(own) for own in np.array_split(rows, len(job.names))]

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
        disclosures = (SHK if isinstance(job, ShkJob) else SVK).disclosures
        sharing = open_session(channel, job, Ledger(disclosures(job)))  # type: ignore[arg-type]
        run = self._loop(role, sharing, ScheduleLine(mesh, job.names[0], DEALER, in_use=sharing.engine.has_dealer))
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
            "centroids": self._centroids(sharing, run),
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }

    def _loop(self, role: Role, sharing: Sharing, line: ScheduleLine) -> Lloyd | OpenLabels:
        job, C = self.job, np.array(self.job.centroids)[None]
        epsilon = sharing.engine.public(np.zeros(1, dtype=np.int64))
        bits = bits_of_a_difference(job, job.precision_bits)
        if isinstance(job, ShkJob):
            own = dict(zip(job.names, np.split(self.rows, np.cumsum(self.counts)[:-1]), strict=True))
            X = sharing.enter_rows(own.get(role.name, self.rows[:0]), self.counts)
        else:
            own_columns = np.ascontiguousarray(self.rows[:, job.columns_of(role.name)])
            if not job.hide_labels:
                encoded, partition = sharing.fixed_point.encode(own_columns), self._partition(job, role.name)
                first = wrap(partition.in_all_columns(sharing.fixed_point.encode(C)[:, :, partition.own]))
                return OpenLabels(sharing, job, encoded, partition.own, None, first, epsilon, line)
            X = sharing.enter_columns(own_columns, job.widths)
        sizes = None if job.hide_counts else may.CLUSTER_SIZES
        rows = sharing.engine.execute(sharing.engine.enter(X, bits))
        revealed = Revealed(sizes, may.SMALL_CLUSTERS, may.STOP_BIT, may.GOING_ON, may.BEST_RESTART)
        return Lloyd(sharing, job, rows, sharing.enter_public(C), epsilon, line, revealed)

    def _partition(self, job: SvkJob, role: str) -> ByColumns:
        return ByColumns(len(self.rows), job.widths, job.columns_of(role))

    def _centroids(self, sharing: Sharing, run: Lloyd | OpenLabels) -> list[list[float]]:
        """The centroids in the clear, which ends the run: no job discloses them so."""
        share = share_of(run.C)[0]
        opened = sharing.engine.execute(_opened(share)) if sharing.engine.takes_part else share
        found: list[list[float]] = sharing.fixed_point.decode(opened).tolist()
        return found


def _opened(share: np.ndarray) -> Step[np.ndarray]:
    return (yield Opening(share))


def _mark(mesh: Mesh) -> tuple[float, int, int]:
    return time.perf_counter(), mesh.traffic.rounds, mesh.traffic.bytes_sent


class _LeadingPart:
    """One role's part in a run of SMO07, from its first iteration to its last, and what it costs the role."""

    def __init__(self, job: Smo07Job, rows: np.ndarray) -> None:
        self.job = job
        parts = np.array_split(rows, len(job.names))
        self.tables = {name: Table(name, job.columns, own) for name, own in zip(job.names, parts, strict=True)}

    def __call__(self, role: Role, mesh: Mesh) -> dict[str, Any]:
        """Its marks before the first iteration and after each, the centroids, and the most memory."""
        marks: list[tuple[float, int, int]] = []
        context = Context(
            job=self.job,
            role=role,
            table=self.tables[role.name],
            mesh=mesh,
            ledger=Ledger(SMO07.disclosures(self.job)),
            progress=no_progress,
            resumed=None,
            keep=lambda _iteration, _state: marks.append(_mark(mesh)),
        )
        model = SMO07.run(context).common
        assert model is not None
        assert model.grid_centroids is not None
        grid = [model.grid_centroids[number] for number in np.argsort(model.tie_order)]
        return {
            "marks": marks,
            "centroids": (np.array(grid, dtype=float) / 2.0**self.job.precision_bits).tolist(),
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def measure(
    samples: int, features: int, clusters: int, iterations: int, parties: int, *, protocol: str = SHK.name, **keys: Any
) -> dict[str, float | int | str]:
    """One run's figures; see ``--help``."""
    rows = np.random.default_rng(SEED).random((samples, features))
    job = _job(protocol, rows, parties, clusters, iterations, **keys)
    roles = in_processes(job, _LeadingPart(job, rows) if isinstance(job, Smo07Job) else _Part(job, rows))
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
        "protocol": job.protocol,
        "engine": getattr(job, "engine", "secure"),
        "mode": getattr(job, "mode", ""),
        "samples": samples,
        "features": features,
        "clusters": clusters,
        "parties": parties,
        "iterations": done,
        "precision_bits": job.precision_bits,
        "hide_counts": getattr(job, "hide_counts", True),
        "hide_labels": getattr(job, "hide_labels", True),
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
@click.option("--parties", type=click.IntRange(2, Smo07Job.MOST_PARTIES), default=2, show_default=True)
@click.option("--protocol", type=click.Choice([SHK.name, SVK.name, SMO07.name]), default=SHK.name, show_default=True)
@click.option(
    "--mode",
    type=click.Choice(get_args(Mode)),
    default=Smo07Job.default_of("mode"),
    show_default=True,
    help='Of smo07. Its last party, which deals in the mode "aggregate", takes the place of the dealer.',
)
@click.option("--hide-labels", is_flag=True, help="Of svk: the labels stay secret in every iteration.")
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
def main(as_json: bool, **options: Any) -> None:
    """Measure one shape. Times are of one run, in seconds; bytes are payload, of the first party and of the dealer."""
    if options["protocol"] == SHK.name and options["hide_labels"]:
        raise click.UsageError("--hide-labels: in shk labels are always hidden; leave it out")
    if options["protocol"] != SHK.name and options["engine"] != "secure":
        raise click.UsageError("--engine: only shk runs on CrypTen's own circuits, too; leave it out")
    if options["protocol"] != SMO07.name and options["mode"] != Smo07Job.default_of("mode"):
        raise click.UsageError("--mode: only smo07 has modes; leave it out")
    if options["protocol"] != SMO07.name and options["parties"] > ShkJob.MOST_PARTIES:
        raise click.UsageError(f"--parties: {options['protocol']} takes up to {ShkJob.MOST_PARTIES}")
    if options["protocol"] == SVK.name and options["features"] < options["parties"]:
        raise click.UsageError("--features: each party of svk needs a column; measure more columns, or fewer parties")
    figures = measure(**options)
    if as_json:
        click.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        click.echo(f"{name:36} {value:,.6g}" if isinstance(value, float) else f"{name:36} {value}")


if __name__ == "__main__":
    run_command(main)
