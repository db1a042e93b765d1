"""All roles in processes of their own, over TLS on this machine: for tests of what parties compute together."""

import json
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from secure_kmeans.job import Job, Party, Scaling
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.session import Session
from secure_kmeans.net.loopback import Loopback


def run_parties(
    number: int,
    body: Callable[[Session], Any],
    *,
    precision_bits: int = 24,
    timeout: float = 60.0,
    engine: Literal["secure", "crypten"] = "secure",
) -> list[Any]:
    """What ``body`` returns at each party, as JSON keeps it. The dealer of engine "secure" calls ``body``, too.

    Raises
    ------
    AssertionError
        With the traceback of a role that raised.
    """
    names = [f"party_{rank}" for rank in range(number)]
    job = Job.of(
        parties=Party.named(*names),
        columns=("x",),
        n_clusters=1,
        scaling=Scaling.of(lower=(0.0,), upper=(1.0,)),
        precision_bits=precision_bits,
        timeout=timeout,
        engine=engine,
    )

    with tempfile.TemporaryDirectory() as folder:
        loopback = Loopback(job, Path(folder) / "identities")

        def answer_of(session: Session) -> None:
            """What ``body`` returns or raises at a role, kept in a file."""
            try:
                returned = body(session)
                answer = {"returned": returned if session.rank < number else None}
            except Exception:
                answer = {"raised": traceback.format_exc()}
                raise
            finally:
                (Path(folder) / session.name).write_text(json.dumps(answer))

        def role(rank: int) -> None:
            mesh = loopback.meet(job.roles[rank])
            try:
                with crypten.joined(mesh, dealer_answers=engine == "crypten"):
                    if rank == number and engine == "crypten":
                        crypten.serve_requests()
                    else:
                        answer_of(Session(names, rank, precision_bits, engine))
                mesh.finish()
            except Exception:
                mesh.fail("it failed")
                raise
            finally:
                mesh.close()

        crypten.run_roles(number, role)
        files = [Path(folder) / name for name in (job.roles if engine == "secure" else names)]
        answers = [
            json.loads(file.read_text()) if file.exists() else {"raised": "the process ended without an answer"}
            for file in files
        ]
    # A role that raised for a reason of its own comes before one that only lost it.
    raised = sorted(
        (answer["raised"] for answer in answers if "raised" in answer), key=lambda text: "RoleError" in text
    )
    assert not raised, raised[0]
    return [answer["returned"] for answer in answers[:number]]
