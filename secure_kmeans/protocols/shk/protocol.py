"""SHK as a protocol: checks, disclosures, run and report."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from secure_kmeans.errors import JobError
from secure_kmeans.job import Role
from secure_kmeans.job.ledger import Disclosure
from secure_kmeans.job.model import KMeansResult
from secure_kmeans.protocols.kmeans_checks import check_all_tables, check_fit, check_prediction
from secure_kmeans.protocols.on_shares import OnShares
from secure_kmeans.protocols.shk.disclosures import disclosures
from secure_kmeans.protocols.shk.job import ShkJob
from secure_kmeans.tables import Table

if TYPE_CHECKING:
    from secure_kmeans.report.kmeans import InTheClear
    from secure_kmeans.report.report import Report


class Shk(OnShares[ShkJob, KMeansResult]):
    """Secure k-means of rows that several parties hold, with a dealer."""

    name: ClassVar[str] = "shk"
    Job = ShkJob
    Result = KMeansResult
    run_module: ClassVar[str] = "secure_kmeans.protocols.shk.run"

    def may_lack_rows(self, job: ShkJob) -> bool:
        """A prediction labels the new rows of those parties that have some."""
        return job.task == "predict"

    def check(self, job: ShkJob, role: Role, table: Table) -> list[str]:
        """See :meth:`~secure_kmeans.protocols.base.Protocol.check`."""
        del role
        return check_prediction(job, table) if job.task == "predict" else check_fit(job, table)

    def check_together(self, job: ShkJob, tables: Mapping[str, Table]) -> None:
        """See :func:`~secure_kmeans.protocols.kmeans_checks.check_all_tables`."""
        if job.task == "fit":
            check_all_tables(job, list(tables.values()), hidden=job.hide_counts)

    def check_apart(self, job: ShkJob) -> None:
        """Refuse public starting rows.

        What a start discloses, even the number of its iterations, says where its row lies
        (``experiments/attack_public_sizes.py``). On one machine nobody learns anything by that.
        """
        if job.starts_are_public:
            raise JobError(
                "seed: with it all parties know at which rows the starts begin, and the sizes say where these rows "
                "lie; leave it out between machines, or give centroids to begin with"
            )

    def disclosures(self, job: ShkJob | None) -> tuple[Disclosure, ...]:
        """See :mod:`~secure_kmeans.protocols.shk.disclosures`."""
        return disclosures(job)

    def state_bytes(self, job: ShkJob, rows: int) -> int:
        """Bytes for shares of the centroids now and before, and the sizes of each iteration."""
        del rows
        return 64 * job.n_init * job.n_clusters * (len(job.columns) + job.max_iter)

    def model_kept(self, result: KMeansResult) -> bytes | None:
        """The party's share of the centroids that nobody sees.

        Where the centroids are public and some clusters are withheld, nothing is kept: labels of many rows would say
        where a withheld centroid is.
        """
        public = result.common is None or result.common.centroids is not None
        return None if public else base64.b64decode(result.own.model_share) or None

    def in_the_clear(
        self, job: ShkJob, tables: Mapping[str, Table], results: Sequence[KMeansResult]
    ) -> InTheClear | None:
        """The plaintext run from the same start as the best one on shares; None where that is secret."""
        from secure_kmeans.report.kmeans import InTheClear

        model = results[0].common
        if model is None or (model.seed is None and job.centroids is None):
            return None
        known = model.centroids is not None
        return InTheClear.of(
            job,
            tables,
            model.seed or 0,
            model.best_restart,
            order_by_centroid=known,
            discloses_centroids=known,
        )

    def report(
        self,
        job: ShkJob,
        results: Sequence[KMeansResult],
        clear: InTheClear | None,
        names: Sequence[str] | None = None,
    ) -> Report:
        """See :mod:`~secure_kmeans.report.kmeans`."""
        from secure_kmeans.report.kmeans import report_of_kmeans, report_of_prediction

        if job.task == "predict":
            return report_of_prediction(job, results)
        return report_of_kmeans(job, results, clear, names)


SHK = Shk()
