"""SVK as a protocol: checks, disclosures, run and report."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from secure_kmeans.errors import DataError, JobError
from secure_kmeans.job import Role
from secure_kmeans.job.ledger import Disclosure
from secure_kmeans.job.model import ColumnsResult
from secure_kmeans.protocols.kmeans_checks import check_columns, check_rows
from secure_kmeans.protocols.on_shares import OnShares
from secure_kmeans.protocols.svk.checks import rows_in_common
from secure_kmeans.protocols.svk.disclosures import disclosures
from secure_kmeans.protocols.svk.job import SvkJob
from secure_kmeans.tables import Table
from secure_kmeans.words import counted, key

if TYPE_CHECKING:
    from secure_kmeans.report.kmeans import InTheClear
    from secure_kmeans.report.report import Report


class Svk(OnShares[SvkJob, ColumnsResult]):
    """Secure k-means of rows whose columns several parties hold, with a dealer."""

    name: ClassVar[str] = "svk"
    Job = SvkJob
    Result = ColumnsResult
    run_module: ClassVar[str] = "secure_kmeans.protocols.svk.run"

    def columns(self, job: SvkJob, party: str) -> tuple[str, ...]:
        """The party's own columns."""
        return job.parties[job.names.index(party)].columns

    def identifier(self, job: SvkJob, party: str) -> str | None:
        """See :class:`~secure_kmeans.protocols.svk.job.SvkJob`."""
        return job.id_of(party)

    def check(self, job: SvkJob, role: Role, table: Table) -> list[str]:
        """See :meth:`~secure_kmeans.protocols.base.Protocol.check`."""
        advice = check_columns(job, table, job.columns_of(role.name))
        if job.align == "psi":
            most = job.most_rows_of(role.name)
            if len(table) > most:
                raise DataError(
                    f"{table.source}: {counted(len(table), 'row')}, but the parties agreed on at most {most:,}; agree "
                    f"on more ({key('most_rows')})"
                )
        if job.align == "none":
            advice.append(
                'align = "none": nobody checks that a row is about the same person or thing at all parties; where it '
                "is not, the clusters mean nothing"
            )
        if job.task == "fit" and not job.hide_labels:
            advice.append(
                "all parties see the labels of every iteration, from which each can estimate the other columns of "
                "single rows; where these are private, hide the labels (hide_labels)"
            )
        all_digits = job.hide_labels and job.disclose.centroids != "nobody" and not job.hide_counts
        if job.task == "fit" and all_digits and job.resolution is None:
            advice.append(
                "all digits of the centroids are disclosed, and in its own columns a party may find the rows of a "
                "small cluster by them; agree on a resolution, or disclose the centroids to nobody"
            )
        return advice

    def check_together(self, job: SvkJob, tables: Mapping[str, Table]) -> None:
        """Refuse tables that are not of the same rows, or have too few in common."""
        n = rows_in_common(job, tables)
        if job.task == "fit":
            check_rows(job, n, hidden=job.hide_counts)

    def check_apart(self, job: SvkJob) -> None:
        """Refuse public starting rows.

        With the labels of each iteration they say where these rows lie. On one machine nobody learns anything by that.
        """
        if job.starts_are_public:
            raise JobError(
                "seed: with it all parties know at which rows the starts begin, and the labels or sizes say where "
                "these rows lie; leave it out between machines, or give centroids to begin with"
            )

    def disclosures(self, job: SvkJob | None) -> tuple[Disclosure, ...]:
        """See :mod:`~secure_kmeans.protocols.svk.disclosures`."""
        return disclosures(job)

    def state_bytes(self, job: SvkJob, rows: int) -> int:
        """Bytes for the centroids now and before, sizes and ledger lines, row numbers, and labels now and before."""
        of_centroids = 64 * job.n_init * job.n_clusters * (len(job.columns) + job.max_iter)
        of_labels = 0 if job.hide_labels else 2 * job.restarts * np.min_scalar_type(job.n_clusters).itemsize
        return of_centroids + 400 * job.max_iter + (8 + of_labels) * rows + (1 << 12)

    def model_kept(self, result: ColumnsResult) -> bytes | None:
        """The party's own columns of the centroids, or with hidden labels its share of all.

        Nobody can label a new row alone, even where all centroids are public: its columns lie at several parties.
        """
        return base64.b64decode(result.own.model_share) or None

    def in_the_clear(
        self, job: SvkJob, tables: Mapping[str, Table], results: Sequence[ColumnsResult]
    ) -> InTheClear | None:
        """The plaintext run on the joined rows from the same start as the best one; None where that is secret."""
        from secure_kmeans.report.columns import in_the_clear_of_columns

        return in_the_clear_of_columns(job, tables, results)

    def report(
        self,
        job: SvkJob,
        results: Sequence[ColumnsResult],
        clear: InTheClear | None,
        names: Sequence[str] | None = None,
    ) -> Report:
        """See :mod:`~secure_kmeans.report.columns`."""
        from secure_kmeans.report.columns import report_of_columns
        from secure_kmeans.report.kmeans import report_of_prediction

        if job.task == "predict":
            return report_of_prediction(job, results)
        return report_of_columns(job, results, clear, names)


SVK = Svk()
