"""Opening a computation on shares at one role."""

from __future__ import annotations

from typing import Literal, Protocol

from secure_kmeans.job.ledger import Ledger
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.crypten_adapter import RoleCommunicator
from secure_kmeans.mpc.crypten_engine import CryptenEngine
from secure_kmeans.mpc.engine import Engine, SecureEngine
from secure_kmeans.mpc.sharing import Sharing


class Computed(Protocol):
    """The part of a job that a computation on shares depends on."""

    @property
    def names(self) -> tuple[str, ...]:
        """The parties' names, in rank order."""

    @property
    def precision_bits(self) -> int:
        """Fractional bits of the fixed point."""

    @property
    def engine(self) -> Literal["secure", "crypten"]:
        """What computes on the shares."""


def open_session(channel: RoleCommunicator, job: Computed, ledger: Ledger) -> Sharing:
    """Make the value with which this role enters and reveals numbers, over the lines of its channel.

    With the engine "crypten" the dealer has no part in the steps: it answers requests.
    """
    secure = job.engine == "secure"
    core = Core(channel.links, channel.mesh.key, job.names, channel.rank, channel.traffic, has_dealer=secure)
    engine: Engine = SecureEngine(core) if secure else CryptenEngine(core)
    return Sharing(engine, ledger, job.names, channel.rank, job.precision_bits)
