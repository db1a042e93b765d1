"""The parties' parts of the data that a user passes to an estimator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Self, TypeVar

import numpy as np

from secure_kmeans.app.proposal import propose_prediction
from secure_kmeans.errors import DataError, JobError
from secure_kmeans.estimators.inputs import numbers_of
from secure_kmeans.job import Clustering, KMeansJob, Scaling
from secure_kmeans.job.model import KMeansOwn
from secure_kmeans.job.result import Result
from secure_kmeans.protocols.kmeans_checks import check_prediction
from secure_kmeans.tables import Table, check_bounds

J = TypeVar("J", bound=KMeansJob)

OF_COLUMNS: Final = ("hide_labels", "disclose_labels", "id_column")
"""Parameters of parties that hold columns."""
OF_SMO07: Final = ("mode", "fresh_keys", "key_bits", "accept_two_parties", "reveal_sizes")
"""Parameters of SMO07 alone."""

NO_LABEL: Final = -1
"""In the place of the label of a row that not all parties have."""


@dataclass(frozen=True)
class Parts:
    """The parts of X where each party holds rows.

    Attributes
    ----------
    tables : list of Table
        One for each party, in rank order.
    given : list of Table
        As the user gave them, whose rows messages count.
    order : (n_samples,) ints
        The numbers of the parties' rows, one party below the other, among those of X.
    """

    tables: list[Table]
    given: list[Table]
    order: np.ndarray

    @classmethod
    def of(cls, tables: list[Table]) -> Self:
        """The parts where the user gave a table for each party."""
        return cls(tables, tables, np.arange(sum(map(len, tables))))

    @classmethod
    def cut(cls, table: Table, parts: Sequence[np.ndarray]) -> Self:
        """The parts of one table, by the numbers of each party's rows."""
        tables = [Table(table.source, table.columns, table.rows[part]) for part in parts]
        return cls(tables, [table], np.concatenate(parts))

    @property
    def rows(self) -> np.ndarray:
        """All rows, (n, n_features), one party below the other."""
        return np.concatenate([table.rows for table in self.tables])

    @property
    def common_rows(self) -> list[np.ndarray] | None:
        """For each party the numbers of the rows that all parties have; None where each has rows of its own."""
        return None

    def check_bounds(self, scaling: Scaling) -> None:
        """Refuse a row outside the bounds.

        Raises
        ------
        DataError
        """
        for table in self.given:
            check_bounds(table, scaling)

    def check_prediction(self, clustering: Clustering) -> None:
        """Refuse a new row that is too far outside the bounds of a fit.

        Raises
        ------
        DataError
        """
        for table in self.given:
            check_prediction(clustering, table)

    def in_given_order(self, values: np.ndarray) -> np.ndarray:
        """One value, or row of values, for each of :attr:`rows`, in the order of the rows of X."""
        found = np.empty_like(values)
        found[self.order] = values
        return found

    def labels_by_party(self, results: Sequence[Result]) -> list[np.ndarray | None]:
        """The labels of the rows of each party's table, as this party learns them; None where it learns none."""
        return [np.array(_own(result).labels, dtype=np.int64) for result in results]

    def labels(self, results: Sequence[Result]) -> np.ndarray | None:
        """The labels in the order of the rows of X; None where no party learns them."""
        return self.in_given_order(np.concatenate([_own(result).labels for result in results]).astype(np.int64))

    def clustered(self, job: KMeansJob, results: Sequence[Result]) -> list[Table]:
        """The rows that were clustered, in tables with all columns."""
        del job, results
        return self.tables


class Split(ABC, Generic[J]):
    """A division of the data among the parties of a secure estimator.

    Attributes
    ----------
    parties : int
        The number of them.
    """

    Job: type[J]
    """The class of its jobs."""

    def __init__(self, parties: int) -> None:
        self.parties = parties

    @abstractmethod
    def check_parameters(self, estimator: Any) -> None:
        """Refuse parameters of the estimator that do not fit this division.

        Raises
        ------
        JobError
        """

    @abstractmethod
    def keys(self, estimator: Any) -> dict[str, Any]:
        """The parameters of the estimator that are keys of jobs of this division alone.

        Raises
        ------
        JobError
        """

    @abstractmethod
    def parts(self, estimator: Any, X: Any, groups: Any = None, *, reset: bool) -> Parts:
        """The parties' parts of X, checked.

        Parameters
        ----------
        estimator : SecureKMeans
        X : array-like of shape (n_samples, n_features), or a list of them
        groups : array-like of shape (n_samples,), optional
            See :meth:`SecureKMeans.fit`.
        reset : bool
            Whether X is what the estimator is fitted to; if not, it has to have the same columns.

        Raises
        ------
        DataError, JobError
        """

    @abstractmethod
    def propose(self, parts: Parts, n_clusters: int, **keys: Any) -> J:
        """The job that clusters these parts.

        Raises
        ------
        DataError, JobError
        """

    def prediction(self, fitted: J, session: str, parts: Parts) -> J:
        """The job that labels new rows on shares.

        Parameters
        ----------
        fitted : KMeansJob
            The job of the fit.
        session : str
            Of the fit.
        parts : Parts
            The new rows.
        """
        del parts
        return propose_prediction(fitted, session)


def refuse_given(estimator: Any, parameters: Sequence[str], remedy: str) -> None:
    """Refuse parameters of an estimator that are neither None nor False.

    Raises
    ------
    JobError
        Names the first of them.
    """
    for parameter in parameters:
        value = getattr(estimator, parameter)
        if value is not None and value is not False:
            raise JobError(f"{parameter}: {remedy}")


def hiding_keys(estimator: Any) -> dict[str, Any]:
    """The parameters that say what is disclosed, and are keys of SHK and SVK alike.

    Raises
    ------
    JobError
    """
    return {
        "hide_counts": estimator.hide_counts,
        "resolution": numbers_of(estimator.resolution, "resolution"),
        "reveal_inertia": estimator.reveal_inertia,
    }


def is_list_of_tables(X: Any) -> bool:
    """Whether the elements of X are tables, not rows."""
    return isinstance(X, list | tuple) and any(_dimensions(part) == 2 for part in X)


def check_number_of_tables(X: Sequence[Any], parties: int) -> None:
    """Refuse a list that has not one table for each party.

    Raises
    ------
    DataError
    """
    if len(X) != parties:
        raise DataError(f"X: {len(X)} tables for n_parties={parties}; give one table for each party")


def _dimensions(part: Any) -> int:
    try:
        return np.ndim(part)
    except ValueError:  # rows that are not equally long
        return 0


def _own(result: Result) -> KMeansOwn:
    assert isinstance(result.own, KMeansOwn)
    return result.own
