"""The secure estimator where each party holds columns of the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from secure_kmeans.app.proposal import party_names, propose_columns_job
from secure_kmeans.errors import DataError, JobError
from secure_kmeans.estimators.inputs import is_one_of, validated
from secure_kmeans.estimators.parts import (
    NO_LABEL,
    OF_SMO07,
    Parts,
    Split,
    check_number_of_tables,
    hiding_keys,
    is_list_of_tables,
    refuse_given,
)
from secure_kmeans.identifiers import checked_identifiers, normal_form
from secure_kmeans.job import Clustering, KMeansJob, Scaling
from secure_kmeans.job.fixed_point import largest_that_fits
from secure_kmeans.job.model import ColumnsResult
from secure_kmeans.job.result import Result
from secure_kmeans.protocols.svk.job import Align, SvkJob, joined_columns
from secure_kmeans.report.columns import joined_rows, labels_of_run
from secure_kmeans.tables import Table, check_bounds, check_reach
from secure_kmeans.words import counted, shown


@dataclass(frozen=True)
class ColumnParts(Parts):
    """The parts of X where each party holds columns.

    Attributes
    ----------
    order : (n,) ints
        The numbers of the rows that all parties have, among those of the first table.
    common : list of (n,) ints
        For each party the numbers of these rows in its own table.
    """

    common: list[np.ndarray]

    @classmethod
    def beside(cls, tables: list[Table], given: list[Table]) -> ColumnParts:
        """The parts of tables whose columns lie beside each other."""
        common = _common_rows(tables)
        return cls(tables, given, common[0], common)

    @property
    def rows(self) -> np.ndarray:
        """The rows that all parties have, (n, n_features), in the order of the first table."""
        return np.concatenate([table.rows[own] for table, own in zip(self.tables, self.common, strict=True)], axis=1)

    @property
    def common_rows(self) -> list[np.ndarray]:
        """See :class:`Parts`."""
        return self.common

    def check_bounds(self, scaling: Scaling) -> None:
        """See :class:`Parts`."""
        for table, own in self._scaled_by(scaling):
            check_bounds(table, own)

    def check_prediction(self, clustering: Clustering) -> None:
        """See :class:`Parts`."""
        shape = len(clustering.columns), clustering.n_clusters
        for table, own in self._scaled_by(clustering.scaling):
            check_reach(table, own, largest_that_fits(clustering.precision_bits, *shape))

    def _scaled_by(self, scaling: Scaling) -> list[tuple[Table, Scaling]]:
        """Each given table, and the scaling of its columns."""
        return [
            (table, scaling.of_columns(own))
            for table, own in zip(self.given, _slices([len(table.columns) for table in self.given]), strict=True)
        ]

    def in_given_order(self, values: np.ndarray) -> np.ndarray:
        """See :class:`Parts`; -1, or NaN, for a row that not all parties have."""
        return _spread(values, self.order, len(self.tables[0]))

    def labels_by_party(self, results: Sequence[Result]) -> list[np.ndarray | None]:
        """See :class:`Parts`; -1 for a row that not all parties have."""
        return [
            _spread(np.array(own.labels), np.array(own.rows), len(table)) if len(own.labels) == len(own.rows) else None
            for own, table in zip((each.own for each in _of_columns(results)), self.tables, strict=True)
        ]

    def labels(self, results: Sequence[Result]) -> np.ndarray | None:
        """See :class:`Parts`; -1 for a row that not all parties have."""
        own = _of_columns(results)
        labels = labels_of_run(own)
        return None if labels is None else _spread(np.array(labels), np.array(own[0].own.rows), len(self.tables[0]))

    def clustered(self, job: KMeansJob, results: Sequence[Result]) -> list[Table]:
        """See :class:`Parts`; a table of the joined rows."""
        tables = dict(zip(job.names, self.tables, strict=True))
        return [Table("X", job.columns, joined_rows(tables, _of_columns(results)))]


class SplitByColumns(Split[SvkJob]):
    """Parties that hold columns: the protocol SVK.

    Parameters
    ----------
    parties : int
    id_column : str or None
        See :class:`SecureKMeans`.
    """

    Job = SvkJob

    def __init__(self, parties: int, id_column: str | None) -> None:
        super().__init__(parties)
        self.id_column = id_column
        self._tables: list[BaseEstimator] = []  # what scikit-learn remembers of each party's columns

    def check_parameters(self, estimator: Any) -> None:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        refuse_given(estimator, OF_SMO07, 'it is only for protocol="smo07"; leave it out')
        if not is_one_of(estimator.engine, SvkJob.engine):
            raise JobError(f'engine: it should be "{SvkJob.engine}" where the parties hold columns')
        centroids = estimator.disclose_centroids
        if centroids is not None and not is_one_of(centroids, "own", "all", "nobody"):
            raise JobError('disclose_centroids: it should be "own", "all" or "nobody" where the parties hold columns')
        named: Any = estimator.id_column
        if named is not None and not (isinstance(named, str) and named):
            raise JobError("id_column: it should be the name of a column, or None")

    def keys(self, estimator: Any) -> dict[str, Any]:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        disclose = {"centroids": estimator.disclose_centroids, "labels": self._parties_of(estimator.disclose_labels)}
        return hiding_keys(estimator) | {
            "hide_labels": estimator.hide_labels,
            "disclose": {key: value for key, value in disclose.items() if value is not None},
        }

    def _parties_of(self, labels: Any) -> Any:
        """Who learns the labels, as the job says it: parties by their names."""
        if labels is None or is_one_of(labels, "all", "nobody"):
            return labels
        names = party_names(self.parties)
        try:
            if isinstance(labels, str):
                raise TypeError
            return tuple(names[range(self.parties).index(number)] for number in labels)
        except (TypeError, ValueError):
            last = self.parties - 1
            raise JobError(
                f'disclose_labels: it should be "all", "nobody" or a list of numbers of parties, from 0 to {last}'
            ) from None

    def propose(self, parts: Parts, n_clusters: int, **keys: Any) -> SvkJob:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        align: Align = "none" if self.id_column is None else "psi"
        identifiers = [] if self.id_column is None else [self.id_column] * len(parts.tables)
        return propose_columns_job(parts.tables, n_clusters, align=align, identifiers=identifiers, **keys)

    def prediction(self, fitted: SvkJob, session: str, parts: Parts) -> SvkJob:
        """See :class:`~secure_kmeans.estimators.parts.Split`; tables of new rows may be longer than the fit's."""
        job = super().prediction(fitted, session, parts)
        if self.id_column is None:
            return job
        held = (
            party.model_copy(update={"most_rows": len(table)})
            for party, table in zip(job.parties, parts.tables, strict=True)
        )
        return job.model_copy(update={"parties": tuple(held)})

    # ------------------------------------------------------------------ tables

    def parts(self, estimator: Any, X: Any, groups: Any = None, *, reset: bool) -> ColumnParts:
        """See :class:`~secure_kmeans.estimators.parts.Split`."""
        if groups is not None:
            raise DataError("groups: each party has columns of all rows, not rows of its own; leave groups out")
        if not is_list_of_tables(X):
            table = self._table(estimator, X, "X", reset=reset)
            if reset:
                self._remember_parts_of(estimator, table)
            columns = _slices([each.n_features_in_ for each in self._tables])
            tables = [replace(table, columns=table.columns[own], rows=table.rows[:, own]) for own in columns]
            return ColumnParts.beside(tables, [table])
        check_number_of_tables(X, self.parties)
        if reset:
            self._tables = [clone(estimator) for _ in X]
        tables = [
            self._table(each, part, f"X[{number}]", reset=reset)
            for number, (each, part) in enumerate(zip(self._tables, X, strict=True))
        ]
        if reset:
            self._name_features(estimator)
        if self.id_column is None:
            _check_equally_long(tables)
        parts = ColumnParts.beside(tables, tables)
        if not len(parts.order):
            raise DataError(
                "X: the tables have no row in common; write the identifiers of the same rows in the same way "
                f'("{shown(str(self.id_column))}")'
            )
        return parts

    def _table(self, estimator: BaseEstimator, X: Any, source: str, *, reset: bool) -> Table:
        """One checked table, with identifiers where the user named a column of them."""
        if self.id_column is None:
            return validated(estimator, X, source, reset=reset)
        X, cells = _without_column(X, self.id_column, source)
        table = validated(estimator, X, source, reset=reset)
        return replace(table, ids=checked_identifiers(cells, source, f'column "{shown(self.id_column)}"'))

    def _remember_parts_of(self, estimator: BaseEstimator, table: Table) -> None:
        """Cut the columns of one table among the parties."""
        features = len(table.columns)
        if features < self.parties:
            raise DataError(
                f"X: n_features={features} should be >= n_parties={self.parties}; each party needs a column, so use "
                "fewer parties"
            )
        self._tables = []
        for own in np.array_split(np.arange(features), self.parties):
            part = clone(estimator)
            part.n_features_in_ = len(own)
            if hasattr(estimator, "feature_names_in_"):
                part.feature_names_in_ = estimator.feature_names_in_[own]
            self._tables.append(part)

    def _name_features(self, estimator: Any) -> None:
        """Set scikit-learn's attributes of all columns, in the order of the tables."""
        estimator.n_features_in_ = sum(each.n_features_in_ for each in self._tables)
        if all(hasattr(each, "feature_names_in_") for each in self._tables):
            names = party_names(self.parties)
            held = [
                {"name": name, "columns": each.feature_names_in_.tolist()}
                for name, each in zip(names, self._tables, strict=True)
            ]
            estimator.feature_names_in_ = np.array(joined_columns(held), dtype=object)
        elif hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_


def _of_columns(results: Sequence[Result]) -> list[ColumnsResult]:
    found = [result for result in results if isinstance(result, ColumnsResult)]
    assert len(found) == len(results)
    return found


def _slices(widths: Sequence[int]) -> list[slice]:
    """The positions of each table's columns among all columns."""
    return [slice(start, stop) for start, stop in pairwise(accumulate(widths, initial=0))]


def _spread(values: np.ndarray, numbers: np.ndarray, rows: int) -> np.ndarray:
    """A value, or a row of values, for the rows of these numbers; -1, or NaN, for the others."""
    nothing = np.nan if values.dtype.kind == "f" else NO_LABEL
    found = np.full((rows, *values.shape[1:]), nothing, dtype=values.dtype)
    found[numbers] = values
    return found


def _without_column(X: Any, name: str, source: str) -> tuple[pd.DataFrame, list[Any]]:
    """A frame without its column of identifiers, which may be a level of its index, and the cells of this column."""
    if not isinstance(X, pd.DataFrame):
        raise DataError(f"{source}: id_column is the name of a column, so a DataFrame is needed")
    positions = [position for position, column in enumerate(X.columns) if column == name]
    if not positions and name in X.index.names:
        return X, X.index.get_level_values(name).tolist()
    if len(positions) != 1:
        many = "no column" if not positions else "more than one column"
        raise DataError(f'{source}: there is {many} "{shown(name)}"; set id_column to the one of the identifiers')
    kept = [position for position in range(X.shape[1]) if position != positions[0]]
    return X.iloc[:, kept], X.iloc[:, positions[0]].astype(object).tolist()


def _check_equally_long(tables: list[Table]) -> None:
    """Refuse tables whose rows cannot belong together by their positions."""
    first, *others = tables
    for other in others:
        if len(other) != len(first):
            raise DataError(
                f"{first.source}, {other.source}: {counted(len(first), 'row')} and {counted(len(other), 'row')}; give "
                "tables of the same rows in the same order, or name their column of identifiers (id_column)"
            )


def _common_rows(tables: list[Table]) -> list[np.ndarray]:
    """For each table the numbers of the rows that all of them have, in the order of the first."""
    numbers = []
    for table in tables:
        if table.ids is None:
            return [np.arange(len(tables[0]))] * len(tables)
        numbers.append({normal_form(each): number for number, each in enumerate(table.ids)})
    common = [each for each in numbers[0] if all(each in others for others in numbers)]
    return [np.array([own[each] for each in common], dtype=np.int64) for own in numbers]
