"""The secure estimator where each party holds rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from secure_kmeans.app.proposal import propose_job, propose_smo07_job
from secure_kmeans.errors import DataError, JobError
from secure_kmeans.estimators.inputs import is_one_of, party_of_rows, validated
from secure_kmeans.estimators.parts import (
    OF_COLUMNS,
    OF_SMO07,
    J,
    Parts,
    Split,
    check_number_of_tables,
    hiding_keys,
    is_list_of_tables,
    refuse_given,
)
from secure_kmeans.protocols.shk.job import ShkJob
from secure_kmeans.protocols.smo07.job import Smo07Job
from secure_kmeans.words import counted


class Rows(Split[J]):
    """Parties that hold rows, whatever the protocol."""

    def check_parameters(self, estimator: Any) -> None:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        refuse_given(estimator, OF_COLUMNS, 'it is only for parties that hold columns; set split="columns"')
        centroids = estimator.disclose_centroids
        if centroids is not None and not is_one_of(centroids, "all", "nobody"):
            raise JobError('disclose_centroids: it should be "all" or "nobody" where the parties hold rows')

    def parts(self, estimator: Any, X: Any, groups: Any = None, *, reset: bool) -> Parts:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        parties = self.parties
        if is_list_of_tables(X):
            if groups is not None:
                raise DataError("groups: a list of tables says already which party holds a row; leave groups out")
            check_number_of_tables(X, parties)
            tables = [
                validated(estimator, part, f"X[{number}]", reset=reset and number == 0, fewest=int(reset))
                for number, part in enumerate(X)
            ]
            return Parts.of(tables)
        table = validated(estimator, X, "X", reset=reset)
        if not reset:
            return Parts.cut(table, np.array_split(np.arange(len(table)), parties))
        if len(table) < parties:
            raise DataError(f"X: n_samples={len(table)} should be >= n_parties={parties}; use fewer parties")
        if groups is None:
            return Parts.cut(table, np.array_split(np.arange(len(table)), parties))
        ranks, found = party_of_rows(groups, len(table))
        if found != parties:
            raise DataError(
                f"groups: {counted(found, 'label')} for n_parties={parties}; give each party's rows one of their own"
            )
        return Parts.cut(table, [np.flatnonzero(ranks == rank) for rank in range(parties)])


class SplitByRows(Rows[ShkJob]):
    """Parties that hold rows: the protocol SHK."""

    Job = ShkJob

    def check_parameters(self, estimator: Any) -> None:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        super().check_parameters(estimator)
        refuse_given(estimator, OF_SMO07, 'it is only for protocol="smo07"; leave it out')

    def keys(self, estimator: Any) -> dict[str, Any]:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        keys = hiding_keys(estimator) | {"engine": estimator.engine}
        if estimator.disclose_centroids is None:
            return keys
        return keys | {"disclose": {"centroids": estimator.disclose_centroids}}

    def propose(self, parts: Parts, n_clusters: int, **keys: Any) -> ShkJob:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        return propose_job(parts.tables, n_clusters, **keys)


class SplitByRowsOfSmo07(Rows[Smo07Job]):
    """Parties that hold rows: the protocol SMO07."""

    Job = Smo07Job

    def check_parameters(self, estimator: Any) -> None:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        super().check_parameters(estimator)
        refuse_given(estimator, ("hide_counts",), "smo07 hides the sizes unless reveal_sizes is set; leave it out")
        refuse_given(estimator, ("resolution",), "smo07 discloses all digits of the centers; leave it out")
        if not is_one_of(estimator.engine, ShkJob.default_of("engine")):
            raise JobError("engine: smo07 has no choice of it; leave it out")
        if is_one_of(estimator.disclose_centroids, "nobody"):
            raise JobError("disclose_centroids: with smo07 all parties know the centers; leave it out")

    def keys(self, estimator: Any) -> dict[str, Any]:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        given = {name: getattr(estimator, name) for name in (*OF_SMO07, "reveal_inertia")}
        return {name: value for name, value in given.items() if value is not None}

    def propose(self, parts: Parts, n_clusters: int, **keys: Any) -> Smo07Job:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        return propose_smo07_job(parts.tables, n_clusters, **keys)
