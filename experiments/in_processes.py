"""All roles of a run in processes of their own, over TLS on this machine: what the experiments measure."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from secure_kmeans.job import Job
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.rounds import Opening, Step
from secure_kmeans.mpc.session import Session
from secure_kmeans.net.loopback import Loopback


def opened(session: Session, share: np.ndarray) -> np.ndarray:
    """What parties that have nothing to hide from each other share; shares of zeros at the dealer."""

    def opening() -> Step[np.ndarray]:
        return (yield Opening(share))

    found: np.ndarray = session.engine.execute(opening()) if session.engine.takes_part else share
    return found


def in_processes(job: Job, body: Callable[[Session], dict[str, Any]]) -> list[dict[str, Any]]:
    """What ``body`` returns at each role, the dealer last; of a dealer that answers requests what it sent."""
    with tempfile.TemporaryDirectory() as folder:
        loopback = Loopback(job, Path(folder) / "identities")

        def live(rank: int, life: Callable[[], None]) -> None:
            mesh = loopback.meet(job.roles[rank])
            crypten.connect(mesh, f"file://{folder}/rendezvous" if job.transport == "gloo" else None)
            life()
            mesh.finish()
            answer = Path(folder) / str(rank)
            if not answer.exists():
                answer.write_text(json.dumps({"bytes_sent": mesh.traffic.bytes_sent}))
            mesh.close()

        def part(rank: int) -> None:
            assert job.engine != "numpy"
            answer = body(Session(job.names, rank, job.precision_bits, job.engine))
            (Path(folder) / str(rank)).write_text(json.dumps(answer))

        if not crypten.run_roles(len(job.parties), part, live, dealer_walks=job.engine == "secure"):
            raise click.ClickException("a role failed; see above")
        return [json.loads((Path(folder) / str(rank)).read_text()) for rank in range(len(job.roles))]
