"""SMO07 as a protocol: checks, disclosures, run and report."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from secure_kmeans.job import Role
from secure_kmeans.job.ledger import Disclosure
from secure_kmeans.job.model import KMeansResult
from secure_kmeans.protocols.base import Context, Protocol
from secure_kmeans.protocols.kmeans_checks import check_digits, check_fit
from secure_kmeans.protocols.smo07.checks import advice_on_rows, check_all_rows
from secure_kmeans.protocols.smo07.disclosures import disclosures, facts
from secure_kmeans.protocols.smo07.job import Mode, Smo07Job
from secure_kmeans.tables import Table, check_together

if TYPE_CHECKING:
    from secure_kmeans.report.folder import ResultsFolder
    from secure_kmeans.report.kmeans import InTheClear
    from secure_kmeans.report.report import Report


_NEEDED: Final[dict[Mode, str]] = {"paillier": "paillier_mode", "aggregate": "on_two_shares"}
"""The module that each mode needs."""


class Smo07(Protocol[Smo07Job, KMeansResult]):
    """K-means of rows that several parties hold, by multi-party addition."""

    READS_CHUNKS: ClassVar[bool] = True

    name: ClassVar[str] = "smo07"
    Job = Smo07Job
    Result = KMeansResult

    def check(self, job: Smo07Job, role: Role, table: Table) -> list[str]:
        """See :meth:`~secure_kmeans.protocols.base.Protocol.check`."""
        del role
        return [*check_fit(job, table), *advice_on_rows(job, len(table))]

    def check_together(self, job: Smo07Job, tables: Mapping[str, Table]) -> None:
        """Refuse tables that cannot be clustered with each other."""
        parts = list(tables.values())
        check_together(parts, job.n_clusters)
        check_all_rows(job, sum(map(len, parts)))
        check_digits(job.scaling, job.precision_bits, parts)

    def disclosures(self, job: Smo07Job | None) -> tuple[Disclosure, ...]:
        """See :mod:`~secure_kmeans.protocols.smo07.disclosures`."""
        return disclosures(job)

    def facts(self, job: Smo07Job) -> dict[str, str]:
        """The mode, who leads, and what it means where two parties take part."""
        return facts(job)

    def run(self, context: Context[Smo07Job]) -> KMeansResult:
        """See the module ``run``."""
        result: KMeansResult = importlib.import_module("secure_kmeans.protocols.smo07.run").run(context)
        return result

    def load(self, job: Smo07Job) -> None:
        """Import what a run needs: of the mode "aggregate" Numba, which takes a while."""
        super().load(job)
        importlib.import_module("secure_kmeans.protocols.smo07.run")
        importlib.import_module(f"secure_kmeans.protocols.smo07.{_NEEDED[job.mode]}")

    def state_bytes(self, job: Smo07Job, rows: int) -> int:
        """Bytes for the centroids of all starts, as text."""
        del rows
        return 4096 + 32 * job.n_init * job.n_clusters * (len(job.columns) + 2)

    def in_the_clear(self, job: Smo07Job, tables: Mapping[str, Table], results: Sequence[KMeansResult]) -> InTheClear:
        """The plaintext run from the same start as the best one."""
        from secure_kmeans.report.kmeans import InTheClear

        model = results[0].common
        assert model is not None
        return InTheClear.of(job, tables, model.seed or 0, model.best_restart)

    def report(
        self,
        job: Smo07Job,
        results: Sequence[KMeansResult],
        clear: InTheClear | None,
        names: Sequence[str] | None = None,
    ) -> Report:
        """See :mod:`~secure_kmeans.report.kmeans`."""
        from secure_kmeans.report.kmeans import report_of_kmeans

        return report_of_kmeans(job, results, clear, names)

    def write(
        self,
        folder: ResultsFolder,
        report: Report,
        results: Sequence[KMeansResult],
        tables: Mapping[str, Table],
        clear: Any,
    ) -> None:
        """Write the report, tables and pictures."""
        from secure_kmeans.report.kmeans import write_kmeans

        write_kmeans(folder, report, results, tables, clear)


SMO07 = Smo07()
