"""Protocol: the seam between the protocols and everything that runs, reports and prints them.

A protocol is a folder with a job class, a subclass of :class:`Protocol` and a line in
:data:`secure_kmeans.protocols.PROTOCOLS`. Of the rest of the package, only the options of the
command line and the estimators know a protocol by name: they make jobs of SHK and SVK.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

import numpy as np

from secure_kmeans.errors import JobError, ProtocolError
from secure_kmeans.job import SEEDS, Job, Role
from secure_kmeans.job.ledger import ALL, Disclosure, Ledger
from secure_kmeans.job.result import Progress, Result
from secure_kmeans.tables import Table

if TYPE_CHECKING:  # a check before a run needs none of them, and they take a while to import
    from secure_kmeans.net.mesh import Mesh
    from secure_kmeans.report.folder import ResultsFolder
    from secure_kmeans.report.report import Report

J = TypeVar("J", bound=Job)
R = TypeVar("R", bound=Result)

_NONCE_BYTES: Final = 32

Keep = Callable[[int, bytes], None]
"""Callback(iteration, state): saves what a party needs to resume after this iteration."""


@dataclass(frozen=True)
class Context(Generic[J]):
    """What a protocol may use at one role.

    Attributes
    ----------
    job : Job
    role : Role
    table : Table or None
        A party's rows; None at a helper.
    mesh : Mesh
        Lines to all other roles, which have met.
    ledger : Ledger
        Every disclosure is written there first.
    progress : Progress
    resumed : bytes or None
        A party's state to go on from, as an earlier run passed it to ``keep``.
    keep : Keep
    model : bytes or None
        A party's share of the model that a prediction takes.
    """

    job: J
    role: Role
    table: Table | None
    mesh: Mesh
    ledger: Ledger
    progress: Progress
    resumed: bytes | None
    keep: Keep
    model: bytes | None = None

    @property
    def parties(self) -> tuple[str, ...]:
        """The parties' names, in rank order."""
        return self.job.names

    @property
    def rank(self) -> int:
        """This role's position among all roles; a party's is its rank."""
        return self.mesh.roles.index(self.role.name)

    def exchange(self, own: np.ndarray) -> list[np.ndarray]:
        """Send numbers to every other party, and return every party's, in rank order. All have one shape. Rounds: 1."""
        others = [party for party in self.parties if party != self.role.name]
        received = {party: np.empty_like(own) for party in others}
        self.mesh.traffic.waited()
        self.mesh.traffic.sent(own.nbytes * len(others))
        self.mesh.exchange(dict.fromkeys(others, own), received)
        return [received.get(party, own) for party in self.parties]

    def toss_coins(self) -> int:
        """Seed of the coins: the job's, or 53 bits that no party chose and that no helper hears.

        Every party commits to a nonce, then shows it. The seed is the hash of all nonces, so it is uniform as long as
        one party's nonce is (Blum, 1983; the commitment is SHA-256 of a nonce of 32 bytes). Rounds: 2.

        Raises
        ------
        ProtocolError
            Where a party shows another nonce than the one that it committed to.
        """
        if self.job.seed is not None:
            return self.job.seed
        nonce = os.urandom(_NONCE_BYTES)
        commitments = self._exchange_bytes(_commitment(self.rank, nonce))
        nonces = self._exchange_bytes(nonce)
        for rank, (commitment, shown) in enumerate(zip(commitments, nonces, strict=True)):
            if commitment != _commitment(rank, shown):
                raise ProtocolError(f'party "{self.parties[rank]}" did not keep to its coin: nothing was computed')
        return int.from_bytes(hashlib.sha256(b"coins" + b"".join(nonces)).digest(), "big") % SEEDS

    def agree_on(self, digest: bytes, what: str) -> None:
        """Compare a digest of 32 bytes with every other party's. Rounds: 1.

        Raises
        ------
        ProtocolError
            Names the party whose digest differs.
        """
        own = hashlib.sha256(self.mesh.session + digest).digest()
        for party, other in zip(self.parties, self._exchange_bytes(own), strict=True):
            if other != own:
                raise ProtocolError(f'party "{party}" has other {what}: compare the versions of the program')

    def _exchange_bytes(self, own: bytes) -> list[bytes]:
        return [numbers.tobytes() for numbers in self.exchange(np.frombuffer(own, dtype=np.int64))]

    def send(self, peer: str, numbers: np.ndarray) -> None:
        """Send a contiguous array to another role."""
        self.mesh.post(peer, numbers)
        self.mesh.flush()
        self.mesh.traffic.sent(numbers.nbytes)

    def broadcast(self, sender: str, numbers: np.ndarray, receivers: Sequence[str]) -> None:
        """Send a contiguous array from one party to others, into whose arrays it is written. All have one shape.

        The caller records what the receivers learn from it. Rounds: 1 at a receiver.
        """
        if self.role.name == sender:
            for receiver in receivers:
                self.mesh.post(receiver, numbers)
            self.mesh.flush()
            self.mesh.traffic.sent(numbers.nbytes * len(receivers))
        elif self.role.name in receivers:
            self.receive(sender, numbers, disclosure=None)

    def receive(
        self, peer: str, into: np.ndarray, *, disclosure: Disclosure | None, iteration: int | None = None
    ) -> np.ndarray:
        """Receive numbers from another role. Rounds: 1.

        Parameters
        ----------
        peer : str
        into : array
            Of the expected shape and type; filled and returned.
        disclosure : Disclosure or None
            What this role learns from the numbers, recorded in the ledger; None for masked or encrypted numbers.
        iteration : int, optional
            Of a disclosure in each iteration, counted from 1.

        Raises
        ------
        RoleError
            Where a role is lost, or the peer sends anything else.
        """
        if disclosure is not None:
            to = disclosure.to if disclosure.to in (self.role.name, ALL) else self.role.name
            self.ledger.record(disclosure, to, iteration)
        self.mesh.receive(peer, into)
        self.mesh.traffic.waited()
        return into


def _commitment(rank: int, nonce: bytes) -> bytes:
    return hashlib.sha256(b"commitment %d " % rank + nonce).digest()


class Protocol(ABC, Generic[J, R]):
    """One protocol: how its job is checked, run, compared and reported.

    All methods but :meth:`run` are called without a network, and import nothing that takes seconds.
    """

    READS_CHUNKS: ClassVar[bool] = False
    """Whether a run may take a table whose rows stay in their file: a
    :class:`~secure_kmeans.chunked_tables.ChunkedTable`."""

    name: ClassVar[str]
    Job: type[J]
    Result: type[R]

    def columns(self, job: J, party: str) -> tuple[str, ...]:
        """The columns that a party's table has to have."""
        del party
        columns: tuple[str, ...] = getattr(job, "columns", ())
        return columns

    def identifier(self, job: J, party: str) -> str | None:
        """The column of identifiers that a party's table has to have; None where rows have none."""
        del job, party
        return None

    def may_lack_rows(self, job: J) -> bool:
        """Whether a party may take part without a table."""
        del job
        return False

    @abstractmethod
    def check(self, job: J, role: Role, table: Table) -> list[str]:
        """Refuse a party's table that does not fit the job, before anything is sent.

        Returns
        -------
        Advice, one line each.

        Raises
        ------
        DataError, JobError
        """

    def check_together(self, job: J, tables: Mapping[str, Table]) -> None:
        """Refuse tables of all parties that do not fit each other, where they are on one machine.

        Raises
        ------
        DataError, JobError
        """
        del job, tables

    def check_apart(self, job: J) -> None:
        """Refuse a job that can only be rehearsed, by all roles on one machine.

        Raises
        ------
        JobError
        """
        del job

    def check_installed(self) -> None:
        """Refuse to run where a package is missing that :meth:`run` needs. Called before roles are started.

        Raises
        ------
        MissingPackageError
        """

    def load(self, job: J) -> None:
        """Import what :meth:`run` of this job needs.

        Called in a role's process before it meets the other roles, who would wait, and before all roles of a rehearsal
        are forked.

        Raises
        ------
        MissingPackageError
        """
        del job
        self.check_installed()

    @abstractmethod
    def disclosures(self, job: J | None) -> tuple[Disclosure, ...]:
        """All that a run of this job may disclose; of any job where it is None."""

    def facts(self, job: J) -> dict[str, str]:
        """What a person should know of a job's run beside its disclosures: text by a name such as "mode"."""
        del job
        return {}

    @abstractmethod
    def run(self, context: Context[J]) -> R | None:
        """Take part as ``context.role``. Returns a party's result; a helper has none."""

    def state_bytes(self, job: J, rows: int) -> int:
        """The most bytes that one kept state of a party with so many rows may take."""
        del job, rows
        return 1 << 20

    def model_taken(self, job: J) -> str | None:
        """The session of the run whose kept model the job takes, in hexadecimal; None where the job takes none."""
        del job
        return None

    def prediction(self, fitted: J, session: str) -> J:
        """The job that labels new rows by the model that the parties keep of a run.

        Parameters
        ----------
        fitted : Job
            Of that run.
        session : str
            Of that run, in hexadecimal.

        Raises
        ------
        JobError
            Where the protocol keeps no models.
        """
        del fitted, session
        raise JobError(f'protocol: "{self.name}" keeps no models to label new rows with')

    def check_model(self, job: J, fitted: J) -> None:
        """Refuse a job that takes a model of a run that it does not fit.

        Raises
        ------
        JobError
            Names the key in which the job differs from that of the run, ``fitted``.
        """

    def model_kept(self, result: R) -> bytes | None:
        """What a party keeps of a run's model, to label new rows with; None where it keeps nothing.

        A later run receives it as the context's ``model``.
        """
        del result
        return None

    def start_roles(self, roles: int, role: Callable[[int], None]) -> bool:
        """Call ``role(0)``, ..., ``role(roles - 1)`` in a forked process each; return whether all ended well."""
        fork = multiprocessing.get_context("fork")
        processes = [fork.Process(target=role, args=(number,)) for number in range(roles)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        return all(process.exitcode == 0 for process in processes)

    def in_the_clear(self, job: J, tables: Mapping[str, Table], results: Sequence[R]) -> Any:
        """The same computed without protection, to compare with; None where a protocol has no such run."""
        del job, tables, results
        return None

    @abstractmethod
    def report(self, job: J, results: Sequence[R], clear: Any, names: Sequence[str] | None = None) -> Report:
        """The report of a run.

        Parameters
        ----------
        job : Job
        results : sequence of Result
            Of one party, or of all parties in rank order.
        clear
            What :meth:`in_the_clear` returned.
        names : sequence of str, optional
            Names for what was found, such as the clusters.
        """

    def write(
        self, folder: ResultsFolder, report: Report, results: Sequence[R], tables: Mapping[str, Table], clear: Any
    ) -> None:
        """Write the run's files beside the report: of the parties in ``results``, whose rows are in ``tables``."""
        del results, tables, clear
        folder.write_report(report)
