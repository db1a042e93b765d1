"""What a protocol is: the seam between the protocols and everything that runs, reports and prints them.

A protocol is a folder with a job class, a subclass of :class:`Protocol` and a line in
:data:`secure_kmeans.protocols.PROTOCOLS`. Nothing else in the package knows a protocol by name.
"""

from __future__ import annotations

import multiprocessing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from secure_kmeans.job import Job, Role
from secure_kmeans.job.ledger import ALL, Disclosure, Ledger
from secure_kmeans.job.result import Progress, Result
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.report.folder import ResultsFolder
from secure_kmeans.report.report import Report
from secure_kmeans.tables import Table

J = TypeVar("J", bound=Job)

RunResult = Result
"""A party's result, for annotations in a protocol's class, where ``Result`` is the name of its own result class."""

Keep = Callable[[int, bytes], None]
"""Callback(iteration, state): saves what a party needs to resume after this iteration."""


@dataclass(frozen=True)
class Context(Generic[J]):
    """What one role's part in a run may use.

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
    """

    job: J
    role: Role
    table: Table | None
    mesh: Mesh
    ledger: Ledger
    progress: Progress
    resumed: bytes | None
    keep: Keep

    @property
    def parties(self) -> tuple[str, ...]:
        """The parties' names, in rank order."""
        return self.job.names

    @property
    def rank(self) -> int:
        """This role's position among all roles; a party's is its rank."""
        return self.mesh.roles.index(self.role.name)

    def send(self, peer: str, numbers: np.ndarray) -> None:
        """Send a contiguous array to another role."""
        self.mesh.post(peer, numbers)
        self.mesh.flush()
        self.mesh.traffic.sent(numbers.nbytes)

    def receive(
        self, peer: str, into: np.ndarray, *, disclosure: Disclosure | None, iteration: int | None = None
    ) -> np.ndarray:
        """Wait for numbers from another role. Rounds: 1.

        Parameters
        ----------
        peer : str
        into : array
            Of the shape and type that are due; filled and returned.
        disclosure : Disclosure or None
            What this role learns by them; None for what is masked or encrypted. The ledger gets a line.
        iteration : int, optional
            Where it is disclosed in each iteration; counted from 1.

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


class Protocol(ABC, Generic[J]):
    """One protocol: how its job is checked, run, compared and reported.

    All methods but :meth:`run` are called without a network, and import nothing that takes seconds.
    """

    name: ClassVar[str]
    Job: type[J]
    Result: type[Result]

    def columns(self, job: J, party: str) -> tuple[str, ...]:
        """The columns that a party's table has to have."""
        del party
        columns: tuple[str, ...] = getattr(job, "columns", ())
        return columns

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

    @abstractmethod
    def disclosures(self, job: J | None) -> tuple[Disclosure, ...]:
        """All that a run of this job may disclose; of any job where it is None."""

    @abstractmethod
    def run(self, context: Context[J]) -> RunResult | None:
        """Take part as ``context.role``. Returns a party's result; a helper has none."""

    def state_bytes(self, job: J) -> int:
        """The most bytes that one kept state may take."""
        del job
        return 1 << 20

    def start_roles(self, roles: int, role: Callable[[int], None]) -> bool:
        """Call ``role(0)``, ..., ``role(roles - 1)`` in a forked process each; return whether all ended well."""
        fork = multiprocessing.get_context("fork")
        processes = [fork.Process(target=role, args=(number,)) for number in range(roles)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        return all(process.exitcode == 0 for process in processes)

    def in_the_clear(self, job: J, tables: Mapping[str, Table], results: Sequence[RunResult]) -> Any:
        """The same computed without protection, to compare with; None where a protocol has no such run."""
        del job, tables, results
        return None

    @abstractmethod
    def report(self, job: J, results: Sequence[RunResult], clear: Any, names: Sequence[str] | None = None) -> Report:
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
        self,
        folder: ResultsFolder,
        report: Report,
        results: Sequence[RunResult],
        tables: Mapping[str, Table],
        clear: Any,
    ) -> None:
        """Write the run's files beside the report: of the parties in ``results``, whose rows are in ``tables``."""
        del results, tables, clear
        folder.write_report(report)
