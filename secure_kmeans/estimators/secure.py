"""The secure estimator: k-means on secret shares with scikit-learn's conventions."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import numpy as np

from secure_kmeans.app import demo
from secure_kmeans.app.proposal import Bounds, propose_job, propose_prediction
from secure_kmeans.errors import DataError, JobError
from secure_kmeans.estimators.base import INIT, LEAST_SIZE, MAX_ITER, N_INIT, SCALING, TOL, Fitted, KMeansBase, warn_of
from secure_kmeans.estimators.inputs import (
    naming_parameters,
    numbers_of,
    party_of_rows,
    seed_of,
    validated,
)
from secure_kmeans.job import USUAL_CLUSTERS, Init, ScalingMethod
from secure_kmeans.job.model import KMeansModel, KMeansOwn
from secure_kmeans.job.result import Result
from secure_kmeans.protocols.kmeans_checks import advice_on_digits
from secure_kmeans.protocols.shk.job import Engine, ShkJob
from secure_kmeans.protocols.shk.protocol import SHK
from secure_kmeans.report.kmeans import report_of_kmeans
from secure_kmeans.report.sections import centers_array
from secure_kmeans.roles.local import run_local
from secure_kmeans.tables import Table, check_bounds
from secure_kmeans.words import counted

_TIMEOUT: Final[float] = ShkJob.default_of("timeout")
_ENGINE: Final[Engine] = ShkJob.default_of("engine")


class SecureKMeans(KMeansBase):
    """k-means on secret shares, all parties on this machine, each in a process of its own.

    Parameters
    ----------
    n_clusters : int
    n_parties : int
        Two to ten.
    init : "farthest", "k-means++", "random" or array of shape (n_clusters, n_features)
    n_init : int
        Starts to try side by side; the best is kept.
    max_iter : int
    tol : float
        The run stops when the squared movements of all centers add up to no more than this part of the mean variance
        of the columns, as scikit-learn's does; 0: when no center moves any more.
    min_cluster_size : int
        A cluster of fewer rows is withheld: neither its center nor its size is disclosed.
    scaling : "uniform", "minmax" or "none"
        See :class:`~secure_kmeans.job.Scaling`.
    bounds : (lower, upper), optional
        Sequences of n_features numbers that the parties agreed on; the tables' own if not given.
    hide_counts : bool
        The cluster sizes stay secret, and the centers lie on a coarse grid from which nobody can tell the sizes.
    resolution : sequence of n_features numbers, optional
        The smallest step between two values of each column, which is the grid of ``hide_counts``.
    disclose_centroids : "all" or "nobody"
        With "nobody" each party has the labels of its rows and a share of the centers, and :meth:`predict` runs on
        shares.
    reveal_inertia : bool, optional
        None: the inertia is disclosed where the centers and the sizes are.
    engine : "secure" or "crypten"
        "crypten", CrypTen's own circuits, is for comparison only.
    timeout : float
        Seconds after which a silent role counts as failed.
    random_state : int, RandomState or None
        None: the starts begin at rows that nobody knows. Otherwise at rows that all know, the same in every run.
    verbose : int
        1 shows progress.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features) or None
        Original units. Clusters are ordered by their sizes, the largest first, then by their centers. A row is NaN
        where the cluster is withheld or empty. None where no center is disclosed.
    labels_ : ndarray of shape (n_samples,)
        In the order of X; of a list of tables, those of one below those of the other.
    labels_by_party_ : list of ndarray
        Each party's own labels, as this party alone learns them.
    withheld_ : ndarray of ints
        Clusters of fewer rows than ``min_cluster_size``; with 1 those that are empty.
    inertia_ : float or None
        Over the rows of the clusters that are not withheld. None where it is not disclosed.
    n_iter_ : int
    counts_ : ndarray of shape (n_clusters,) or None
        Sizes of the clusters, NaN where withheld. None with ``hide_counts``.
    report_ : KMeansReport
        All of the above, the costs and the ledger.
    n_features_in_, feature_names_in_
        As scikit-learn defines them.

    Examples
    --------
    >>> from secure_kmeans import SecureKMeans
    >>> model = SecureKMeans(n_clusters=2)
    >>> model.fit_predict([[[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]], [[4.0, 1.0]]])
    array([0, 0, 0, 1])
    >>> model.labels_by_party_
    [array([0, 0, 0]), array([1])]
    """

    def __init__(
        self,
        n_clusters: int = USUAL_CLUSTERS,
        *,
        n_parties: int = ShkJob.FEWEST_PARTIES,
        init: Init | np.ndarray = INIT,
        n_init: int = N_INIT,
        max_iter: int = MAX_ITER,
        tol: float = TOL,
        min_cluster_size: int = LEAST_SIZE,
        scaling: ScalingMethod = SCALING,
        bounds: Bounds | None = None,
        hide_counts: bool = False,
        resolution: Sequence[float] | None = None,
        disclose_centroids: Literal["all", "nobody"] = "all",
        reveal_inertia: bool | None = None,
        engine: Engine = _ENGINE,
        timeout: float = _TIMEOUT,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_parties = n_parties
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.min_cluster_size = min_cluster_size
        self.scaling = scaling
        self.bounds = bounds
        self.hide_counts = hide_counts
        self.resolution = resolution
        self.disclose_centroids = disclose_centroids
        self.reveal_inertia = reveal_inertia
        self.engine = engine
        self.timeout = timeout
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: None = None, groups: Any = None) -> Self:
        """Cluster the rows of all parties.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a list of n_parties of them
            One is split among the parties by rows; of a list each party gets its own.
        y : ignored
        groups : array-like of shape (n_samples,), optional
            A label of the party that holds each row of X, in any order of the rows. Parties are ranked by their labels
            in sorted order. In a pipeline it is ``fit(X, kmeans__groups=groups)``.

        Raises
        ------
        DataError, JobError
            Both are ValueError.
        RoleError, ProtocolError
            Where the run failed.
        """
        del y
        parts = self._parts_of(X, groups)
        tables = parts.tables
        with naming_parameters():
            job = propose_job(tables, self.n_clusters, **self._job_keys(tables[0]))
            for table in parts.given:
                check_bounds(table, job.scaling)
            SHK.check_together(job, dict(zip(job.names, tables, strict=True)))
            results = self._run(job, tables)
        model = results[0].common
        assert isinstance(model, KMeansModel)
        self._job, self._session = job, results[0].session
        self._model_shares = [base64.b64decode(_own(result).model_share) for result in results]
        self.labels_by_party_ = [_labels(result) for result in results]
        self._keep_model(
            Fitted(job, model.grid_centroids, model.tie_order),
            model.centroids,
            model.sizes,
            model.withheld,
            parts.in_given_order(self.labels_by_party_),
        )
        self.inertia_, self.n_iter_ = model.inertia, model.n_iter
        names = demo.segment_names(job.columns, centers_array(model.centroids, job.n_clusters, len(job.columns)))
        self.report_ = report_of_kmeans(job, results, None, names)
        warn_of(self.report_.result.remarks, advice_on_digits(job, tables))
        return self

    def _run(self, job: ShkJob, tables: list[Table], models: Sequence[bytes] = ()) -> Sequence[Result]:
        """Run all roles, with progress in the terminal where ``verbose`` asks for it."""
        if not self.verbose:
            return run_local(job, tables, models=models)
        from secure_kmeans.app.console import showing_progress

        with showing_progress() as progress:
            return run_local(job, tables, progress, models=models)

    def _job_keys(self, table: Table) -> dict[str, Any]:
        """The parameters that are keys of the job.

        Raises
        ------
        JobError
        """
        if self.disclose_centroids not in ("all", "nobody"):
            raise JobError('disclose_centroids: it should be "all" or "nobody"')
        return self._clustering_keys(table) | {
            "seed": seed_of(self.random_state),
            "hide_counts": self.hide_counts,
            "resolution": numbers_of(self.resolution, "resolution"),
            "disclose": {"centroids": self.disclose_centroids},
            "reveal_inertia": self.reveal_inertia,
            "engine": self.engine,
            "timeout": self.timeout,
        }

    def _parts_of(self, X: Any, groups: Any) -> _Parts:
        """The parties' tables to fit, each checked.

        Raises
        ------
        DataError, JobError
        """
        parties = _checked_number(self.n_parties)
        if _is_list_of_tables(X):
            if groups is not None:
                raise DataError("groups: a list of tables says already which party holds a row; leave groups out")
            tables = self._checked_list(X, parties, reset=True)
            return _Parts(tables, tables, np.arange(sum(map(len, tables))))
        table = validated(self, X, "X", reset=True)
        if len(table) < parties:
            raise DataError(f"X: n_samples={len(table)} should be >= n_parties={parties}; use fewer parties")
        if groups is None:
            return _Parts.of(table, np.array_split(np.arange(len(table)), parties))
        ranks, found = party_of_rows(groups, len(table))
        if found != parties:
            raise DataError(
                f"groups: {counted(found, 'label')} for n_parties={parties}; give each party's rows one of their own"
            )
        return _Parts.of(table, [np.flatnonzero(ranks == rank) for rank in range(parties)])

    def _checked_list(self, X: Sequence[Any], parties: int, *, reset: bool) -> list[Table]:
        if len(X) != parties:
            raise DataError(f"X: {len(X)} tables for n_parties={parties}; give one table for each party")
        return [
            validated(self, part, f"X[{number}]", reset=reset and number == 0, fewest=int(reset))
            for number, part in enumerate(X)
        ]

    def _tables_of(self, X: Any) -> list[Table]:
        parties = len(self._job.parties)
        if _is_list_of_tables(X):
            return self._checked_list(X, parties, reset=False)
        table = validated(self, X, "X", reset=False)
        return _Parts.of(table, np.array_split(np.arange(len(table)), parties)).tables

    def _labels_by_all(self, tables: list[Table]) -> np.ndarray:
        """Label rows on shares; only the party that owns a row learns its label."""
        job = propose_prediction(self._job, self._session)
        return np.concatenate([_labels(result) for result in self._run(job, tables, self._model_shares)])


@dataclass(frozen=True)
class _Parts:
    """The parties' parts of X.

    Attributes
    ----------
    tables : list of Table
        In rank order.
    given : list of Table
        As the user gave them, whose rows messages count.
    rows : (n_samples,) ints
        The numbers of the parties' rows, one party below the other, among those of X.
    """

    tables: list[Table]
    given: list[Table]
    rows: np.ndarray

    @classmethod
    def of(cls, table: Table, parts: Sequence[np.ndarray]) -> Self:
        """The parts of one table, by the numbers of each party's rows."""
        tables = [Table(table.source, table.columns, table.rows[part]) for part in parts]
        return cls(tables, [table], np.concatenate(parts))

    def in_given_order(self, labels: Sequence[np.ndarray]) -> np.ndarray:
        """The parties' labels in the order of the rows of X."""
        found = np.empty(len(self.rows), dtype=np.int64)
        found[self.rows] = np.concatenate(labels)
        return found


def _checked_number(parties: Any) -> int:
    fewest, most = ShkJob.FEWEST_PARTIES, ShkJob.MOST_PARTIES
    if not isinstance(parties, int | np.integer) or isinstance(parties, bool):
        raise JobError(f"n_parties: it should be a whole number from {fewest} to {most}")
    if not fewest <= parties <= most:
        raise JobError(f"n_parties: a secure run takes {fewest} to {most} parties, not {parties}")
    return int(parties)


def _is_list_of_tables(X: Any) -> bool:
    """Whether the elements are tables, not rows."""
    return isinstance(X, list | tuple) and any(_dimensions(part) == 2 for part in X)


def _dimensions(part: Any) -> int:
    try:
        return np.ndim(part)
    except ValueError:  # rows that are not equally long
        return 0


def _own(result: Result) -> KMeansOwn:
    assert isinstance(result.own, KMeansOwn)
    return result.own


def _labels(result: Result) -> np.ndarray:
    return np.array(_own(result).labels, dtype=np.int64)
