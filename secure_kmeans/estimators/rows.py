"""The secure estimator where each party holds rows."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from secure_kmeans.app.proposal import propose_job
from secure_kmeans.errors import DataError, JobError
from secure_kmeans.estimators.inputs import is_one_of, party_of_rows, validated
from secure_kmeans.estimators.parts import Parts, Split, check_number_of_tables, is_list_of_tables
from secure_kmeans.protocols.shk.job import ShkJob
from secure_kmeans.words import counted

_OF_COLUMNS: Final = ("hide_labels", "disclose_labels", "id_column")


class SplitByRows(Split[ShkJob]):
    """Parties that hold rows: the protocol SHK."""

    def check_parameters(self, estimator: Any) -> None:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        for parameter in _OF_COLUMNS:
            value = getattr(estimator, parameter)
            if value is not None and value is not False:
                raise JobError(f'{parameter}: it is only for parties that hold columns; set split="columns"')
        centroids = estimator.disclose_centroids
        if centroids is not None and not is_one_of(centroids, "all", "nobody"):
            raise JobError('disclose_centroids: it should be "all" or "nobody" where the parties hold rows')

    def keys(self, estimator: Any) -> dict[str, Any]:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        keys = {"engine": estimator.engine}
        if estimator.disclose_centroids is None:
            return keys
        return keys | {"disclose": {"centroids": estimator.disclose_centroids}}

    def propose(self, parts: Parts, n_clusters: int, **keys: Any) -> ShkJob:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        return propose_job(parts.tables, n_clusters, **keys)

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
