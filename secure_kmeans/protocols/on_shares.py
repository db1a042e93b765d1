"""What all protocols for k-means on CrypTen's secret shares have in common."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from secure_kmeans.job import KMeansJob
from secure_kmeans.job.model import KMeansResult
from secure_kmeans.mpc.installation import check_crypten
from secure_kmeans.protocols.base import Context, Protocol
from secure_kmeans.tables import Table

if TYPE_CHECKING:
    from secure_kmeans.report.folder import ResultsFolder
    from secure_kmeans.report.report import Report

J = TypeVar("J", bound=KMeansJob)
R = TypeVar("R", bound=KMeansResult)


class OnShares(Protocol[J, R]):
    """A protocol for k-means that runs on CrypTen.

    Attributes
    ----------
    run_module : str
        The module with the function ``run(context)``. It imports CrypTen, which takes seconds.
    """

    run_module: ClassVar[str]

    def check_installed(self) -> None:
        """See :mod:`~secure_kmeans.mpc.installation`."""
        check_crypten()

    def load(self, job: J) -> None:
        """Import CrypTen and all that runs on it, which takes seconds."""
        super().load(job)
        importlib.import_module(self.run_module)

    def run(self, context: Context[J]) -> R | None:
        """See the protocol's module ``run``."""
        result: R | None = importlib.import_module(self.run_module).run(context)
        return result

    def start_roles(self, roles: int, role: Callable[[int], None]) -> bool:
        """Start the ranks by CrypTen's ``run_multiprocess``."""
        importlib.import_module(self.run_module)  # once, before the roles are forked
        from secure_kmeans.mpc.crypten_adapter import run_roles

        return run_roles(roles - 1, role)

    def model_taken(self, job: J) -> str | None:
        """The job's ``model``, which only a prediction has."""
        return job.model

    def prediction(self, fitted: J, session: str) -> J:
        """See :meth:`~secure_kmeans.job.KMeansJob.prediction`."""
        return fitted.prediction(session)

    def check_model(self, job: J, fitted: J) -> None:
        """See :meth:`~secure_kmeans.job.KMeansJob.check_model_of`."""
        job.check_model_of(fitted)

    def write(
        self, folder: ResultsFolder, report: Report, results: Sequence[R], tables: Mapping[str, Table], clear: Any
    ) -> None:
        """Write the report, tables and pictures."""
        from secure_kmeans.report.kmeans import write_kmeans

        write_kmeans(folder, report, results, tables, clear)
