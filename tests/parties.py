"""Real processes for tests of what parties compute together."""

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
    transport: Literal["tls", "gloo"] = "tls",
    timeout: float = 60.0,
    engine: Literal["secure", "crypten"] = "secure",
) -> list[Any]:
    """What ``body`` returns at each party, by way of JSON. The dealer of the secure core is in it, too.

    An AssertionError with its traceback where it raises.
    """
    names = [f"party_{rank}" for rank in range(number)]
    job = Job.of(
        parties=Party.named(*names),
        columns=("x",),
        n_clusters=1,
        scaling=Scaling.of(lower=(0.0,), upper=(1.0,)),
        precision_bits=precision_bits,
        timeout=timeout,
        transport=transport,
        engine=engine,
    )
    with tempfile.TemporaryDirectory() as folder:
        loopback = Loopback(job, Path(folder) / "identities")

        def live(rank: int, life: Callable[[], None]) -> None:
            mesh = loopback.meet(job.roles[rank])
            try:
                crypten.connect(mesh, f"file://{folder}/rendezvous" if transport == "gloo" else None)
                life()
                mesh.finish()
            except Exception:
                mesh.fail("it failed")
                raise
            finally:
                mesh.close()

        def part(rank: int) -> None:
            try:
                answer = {"returned": body(Session(names, rank, precision_bits, engine))}
            except Exception:
                answer = {"raised": traceback.format_exc()}
            if rank < number:
                (Path(folder) / names[rank]).write_text(json.dumps(answer))
            assert "returned" in answer, answer["raised"]

        crypten.run_roles(number, part, live, dealer_walks=engine == "secure")
        files = [Path(folder) / name for name in names]
        answers = [
            json.loads(file.read_text()) if file.exists() else {"raised": "ended without a word"} for file in files
        ]
    # The party that raised for a reason of its own comes before those that only lost it.
    raised = sorted(
        (answer["raised"] for answer in answers if "raised" in answer), key=lambda text: "RoleError" in text
    )
    assert not raised, raised[0]
    return [answer["returned"] for answer in answers]
