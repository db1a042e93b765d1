"""What parties compute together on shares, without a protocol: all roles in threads, or in processes over TLS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from secure_kmeans.job import Party, Role, Scaling
from secure_kmeans.job.fixed_point import FixedPoint
from secure_kmeans.job.ledger import ALL, OWNER, Disclosure, Ledger, When
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.crypten_adapter import RoleCommunicator
from secure_kmeans.mpc.session import open_session
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.watch import Traffic
from secure_kmeans.protocols.shk import ShkJob
from secure_kmeans.roles.process import in_processes
from tests.threads import threads_of

NUMBERS: Final = Disclosure("numbers", ALL, When.END)
OWN_NUMBERS: Final = Disclosure("own numbers", OWNER, When.END)


@dataclass(frozen=True)
class AtRole:
    """What a test has at one role."""

    sharing: Sharing
    channel: RoleCommunicator

    @property
    def rank(self) -> int:
        return self.sharing.rank

    @property
    def is_dealer(self) -> bool:
        return self.rank == len(self.sharing.parties)

    @property
    def traffic(self) -> Traffic:
        return self.channel.traffic

    @property
    def fixed_point(self) -> FixedPoint:
        return self.sharing.fixed_point

    def reveal(self, values: crypten.Shared) -> Any:
        """The numbers as lists, at all parties."""
        return self.sharing.reveal(values, NUMBERS).tolist()


def run_parties(
    number: int,
    body: Callable[[AtRole], Any],
    *,
    precision_bits: int = 24,
    engine: Literal["secure", "crypten"] = "secure",
    processes: bool = False,
) -> list[Any]:
    """What ``body`` returns at each party. The dealer of engine "secure" calls ``body``, too.

    Roles are threads, or processes over TLS if a test needs them: with the engine "crypten" always, since CrypTen has
    one third-party client in a process. Answers of processes have to be JSON values.
    """
    job = ShkJob.of(
        parties=Party.named(*(f"party_{rank}" for rank in range(number))),
        columns=("x",),
        n_clusters=1,
        scaling=Scaling.of(lower=(0.0,), upper=(1.0,)),
        precision_bits=precision_bits,
        engine=engine,
        seed=1 if engine == "crypten" else None,
    )
    answers = engine == "crypten"

    def part(_role: Role, mesh: Mesh) -> Any:
        with crypten.joined(mesh, dealer_answers=answers) as channel:
            if answers and channel.rank == number:
                crypten.serve_requests()
                return None
            return body(AtRole(open_session(channel, job, Ledger([NUMBERS, OWN_NUMBERS])), channel))

    if processes or answers:
        return in_processes(job, part)[:number]
    return threads_of(job, part).answers[:number]
