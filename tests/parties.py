"""Parties that compute on shares, each role in a process of its own: for tests of CrypTen and of the way to it."""

from collections.abc import Callable
from typing import Any, Literal

from secure_kmeans.errors import ProtocolError, RoleError
from secure_kmeans.job import Kind, Party, Role, Scaling
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.session import open_session
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.shk import SHK, ShkJob
from secure_kmeans.roles.process import in_processes


def run_parties(
    number: int,
    body: Callable[[Sharing], Any],
    *,
    precision_bits: int = 24,
    timeout: float = 60.0,
    engine: Literal["secure", "crypten"] = "secure",
) -> list[Any]:
    """Call ``body(sharing)`` in the process of each party, and in that of a dealer of the engine "secure".

    Parameters
    ----------
    number : int
        Of parties, which are called ``party_0`` and so on.
    body : callable
        Its answer has to be a JSON value. At the dealer the answer is dropped.
    precision_bits, timeout, engine
        Of the job.

    Returns
    -------
    The parties' answers, in rank order.

    Raises
    ------
    AssertionError
        With the traceback of a role that raised.
    """
    job = ShkJob.of(
        parties=Party.named(*(f"party_{rank}" for rank in range(number))),
        columns=("x",),
        n_clusters=1,
        scaling=Scaling.of(lower=(0.0,), upper=(1.0,)),
        precision_bits=precision_bits,
        timeout=timeout,
        engine=engine,
    )

    def part(role: Role, mesh: Mesh) -> Any:
        answers = engine == "crypten"
        with crypten.joined(mesh, dealer_answers=answers) as channel:
            if role.kind is Kind.DEALER and answers:
                try:
                    crypten.serve_requests()
                except (ProtocolError, RoleError) as error:  # which some bodies provoke, and all parties see
                    mesh.fail(str(error))
                return None
            answer = body(open_session(channel, job, Ledger(SHK.disclosures(None))))
            return None if role.kind is Kind.DEALER else answer

    return in_processes(job, part)[:number]
