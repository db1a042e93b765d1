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
    """Open shares to all parties, for parties that have nothing to hide from each other; zeros at the dealer."""

    def opening() -> Step[np.ndarray]:
        return (yield Opening(share))

    found: np.ndarray = session.engine.execute(opening()) if session.engine.takes_part else share
    return found


def in_processes(job: Job, body: Callable[[Session], dict[str, Any]]) -> list[dict[str, Any]]:
    """What ``body`` returns at each role, the dealer last; for a dealer that answers requests, the bytes it sent.

    Raises
    ------
    click.ClickException
        Where a role raised; its traceback is on standard error.
    """
    assert job.engine != "numpy"
    answers = job.engine == "crypten"
    with tempfile.TemporaryDirectory() as folder:
        loopback = Loopback(job, Path(folder) / "identities")

        def role(rank: int) -> None:
            mesh = loopback.meet(job.roles[rank])
            with crypten.joined(mesh, dealer_answers=answers) as channel:
                if answers and rank == len(job.parties):
                    crypten.serve_requests()
                    returned: dict[str, Any] = {"bytes_sent": channel.traffic.bytes_sent}
                else:
                    assert job.engine != "numpy"
                    returned = body(Session(job.names, rank, job.precision_bits, job.engine))
            (Path(folder) / str(rank)).write_text(json.dumps(returned))
            mesh.finish()
            mesh.close()

        if not crypten.run_roles(len(job.parties), role):
            raise click.ClickException("a role failed; see above")
        return [json.loads((Path(folder) / str(rank)).read_text()) for rank in range(len(job.roles))]
