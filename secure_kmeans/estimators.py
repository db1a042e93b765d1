"""scikit-learn's interface: the secure estimator, and the plaintext one with the same conventions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from secure_kmeans.app import demo
from secure_kmeans.app.proposal import Bounds, propose_clustering, propose_job, propose_prediction
from secure_kmeans.errors import DataError, JobError
from secure_kmeans.job import SEEDS, USUAL_CLUSTERS, Clustering, Init, Scaling, ScalingMethod
from secure_kmeans.job.coins import fresh_seed
from secure_kmeans.job.model import KMeansModel, KMeansOwn
from secure_kmeans.job.result import Result
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.kmeans import nearest_centroids, number_of_best
from secure_kmeans.plaintext.losses import inertia
from secure_kmeans.protocols.kmeans_checks import advice_on_digits, check_prediction
from secure_kmeans.protocols.shk.job import ShkJob
from secure_kmeans.report.kmeans import report_of_kmeans
from secure_kmeans.roles.local import run_local
from secure_kmeans.tables import Table, check_bounds, split_table, table_from_frame

_INIT: Final[Init] = Clustering.default_of("init")
_N_INIT: Final[int] = Clustering.default_of("n_init")
_MAX_ITER: Final[int] = Clustering.default_of("max_iter")
_TOL: Final[float] = Clustering.default_of("tol")
_SCALING: Final[ScalingMethod] = Scaling.default_of("method")

Tables = Any
"""One array or frame, or a list of them, one for each party."""


class SecureKMeans(ClusterMixin, BaseEstimator):  # type: ignore[misc]
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
        Bound of the sum of the squared movements of all centroids, in scaled units.
    scaling : "uniform", "minmax" or "none"
        See :class:`~secure_kmeans.job.Scaling`.
    bounds : (lower, upper), optional
        Sequences of n_features numbers that the parties agreed on; the tables' own if not given.
    random_state : int, RandomState or None
        Where the public coins come from; None: the parties toss them together.
    verbose : int
        1 shows progress.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Original units.
    labels_ : ndarray of shape (n_samples,)
        Of all rows, the parties' one below the other.
    labels_by_party_ : list of ndarray
        Each party's own labels, as this party alone learns them.
    inertia_ : float
    n_iter_ : int
    counts_ : ndarray of shape (n_clusters,) or None
    report_ : KMeansReport
        All of the above, the costs and the ledger.
    n_features_in_, feature_names_in_
        As scikit-learn defines them.

    Examples
    --------
    >>> from secure_kmeans import SecureKMeans
    >>> model = SecureKMeans(n_clusters=2, random_state=0)
    >>> model.fit([[[1.0, 1.0], [1.0, 2.0]], [[4.0, 1.0], [4.0, 2.0]]])  # doctest: +SKIP
    >>> model.labels_  # doctest: +SKIP
    array([0, 0, 1, 1])
    """

    def __init__(
        self,
        n_clusters: int = USUAL_CLUSTERS,
        *,
        n_parties: int = ShkJob.FEWEST_PARTIES,
        init: Init | np.ndarray = _INIT,
        n_init: int = _N_INIT,
        max_iter: int = _MAX_ITER,
        tol: float = _TOL,
        scaling: ScalingMethod = _SCALING,
        bounds: Bounds | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_parties = n_parties
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.scaling = scaling
        self.bounds = bounds
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Tables, y: None = None) -> Self:
        """Cluster the rows of all parties.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a list of n_parties of them
            One is split among the parties by rows; of a list each party gets its own.
        y : ignored

        Raises
        ------
        DataError, JobError
            Both are ValueError.
        RoleError, ProtocolError
            Where the run failed.
        """
        del y
        tables = self._tables(X, self.n_parties, reset=True)
        seed = _seed_of(self.random_state)
        job = propose_job(tables, self.n_clusters, seed=seed, **_clustering_of(self))
        _check_bounds(job, tables)
        for line in advice_on_digits(job, tables):
            warnings.warn(line, stacklevel=2)
        results = self._run(job, tables)
        model = results[0].common
        assert isinstance(model, KMeansModel)
        self._job = job
        self.report_ = report_of_kmeans(job, results, None, demo.segment_names(job.columns, np.array(model.centroids)))
        self.cluster_centers_ = np.array(model.centroids)
        self.labels_by_party_ = [_labels_of(result) for result in results]
        self.labels_ = np.concatenate(self.labels_by_party_)
        self.counts_ = None if model.sizes is None else np.array(model.sizes)
        self.inertia_ = model.inertia
        self.n_iter_ = model.n_iter
        return self

    def _run(self, job: ShkJob, tables: list[Table]) -> Sequence[Result]:
        """Run all roles, with progress in the terminal where ``verbose`` asks for it."""
        if not self.verbose:
            return run_local(job, tables)
        from secure_kmeans.app.console import showing_progress

        with showing_progress() as progress:
            return run_local(job, tables, progress)

    def predict(self, X: Tables) -> np.ndarray:
        """Label new rows on shares; only the party that owns a row learns its label.

        Parameters
        ----------
        X : as for :meth:`fit`
            In a list a party without new rows has an array of shape (0, n_features).

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        tables = self._tables(X, len(self._job.parties), reset=False)
        job = propose_prediction(self._job, self.cluster_centers_)
        for table in tables:
            check_prediction(job, table)
        return np.concatenate([_labels_of(result) for result in self._run(job, tables)])

    def _tables(self, X: Tables, parties: Any, *, reset: bool) -> list[Table]:
        """One checked table for each party."""
        fewest, most = ShkJob.FEWEST_PARTIES, ShkJob.MOST_PARTIES
        if not isinstance(parties, int | np.integer) or not fewest <= parties <= most:
            raise JobError(f"n_parties: a secure run takes {fewest} to {most} parties, not {parties}")
        if not _is_list_of_tables(X):
            checked = validate_data(self, X, reset=reset, dtype=np.float64)
            if reset:
                return split_table(_table(self, checked, "X"), int(parties))
            return [_table(self, part, "X") for part in np.array_split(checked, parties)]
        if len(X) != parties:
            raise DataError(f"X: {len(X)} tables for n_parties={parties}; give one table for each party")
        rows_needed = 1 if reset else 0
        checked = [
            validate_data(self, part, reset=reset and number == 0, dtype=np.float64, ensure_min_samples=rows_needed)
            for number, part in enumerate(X)
        ]
        return [_table(self, part, f"X[{number}]") for number, part in enumerate(checked)]


class PlaintextKMeans(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """The baseline in the clear: the same algorithm, starts, ties and stop rule as :class:`SecureKMeans`.

    With the same parameters and ``random_state`` both find the same clusters. Parameters and attributes are
    those of :class:`SecureKMeans`, without the parties.
    """

    def __init__(
        self,
        n_clusters: int = USUAL_CLUSTERS,
        *,
        init: Init | np.ndarray = _INIT,
        n_init: int = _N_INIT,
        max_iter: int = _MAX_ITER,
        tol: float = _TOL,
        scaling: ScalingMethod = _SCALING,
        bounds: Bounds | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.scaling = scaling
        self.bounds = bounds
        self.random_state = random_state

    def fit(self, X: Any, y: None = None) -> Self:
        """Cluster rows of shape (n_samples, n_features); ``y`` is ignored."""
        del y
        rows = validate_data(self, X, dtype=np.float64)
        table = _table(self, rows, "X")
        clustering = propose_clustering([table], self.n_clusters, **_clustering_of(self))
        _check_bounds(clustering, [table])
        seed = _seed_of(self.random_state)
        runs = run_in_the_clear(clustering, rows, fresh_seed() if seed is None else seed)
        run = runs[number_of_best(runs)]
        self._clustering = clustering
        self.cluster_centers_ = clustering.scaling.invert(run.centroids)
        self.labels_ = run.labels
        self.counts_ = run.sizes
        self.inertia_ = inertia(rows, run.labels, self.cluster_centers_)
        self.n_iter_ = run.n_iter
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The nearest centroid of each row, of shape (n_samples,)."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=np.float64)
        scaling = self._clustering.scaling
        labels, _ = nearest_centroids(scaling.apply(rows), scaling.apply(self.cluster_centers_))
        return labels


def _table(estimator: BaseEstimator, rows: np.ndarray, source: str) -> Table:
    """Validated rows as a table; their names are the fitted ones."""
    names = getattr(estimator, "feature_names_in_", [f"x{number}" for number in range(rows.shape[1])])
    if not len(rows):
        return Table(source, tuple(names), rows)
    return table_from_frame(pd.DataFrame(rows, columns=list(names)), source=source)


def _check_bounds(clustering: Clustering, tables: Sequence[Table]) -> None:
    for table in tables:
        check_bounds(table, clustering.scaling)


def _labels_of(result: Result) -> np.ndarray:
    assert isinstance(result.own, KMeansOwn)
    return np.array(result.own.labels, dtype=np.int64)


def _clustering_of(estimator: SecureKMeans | PlaintextKMeans) -> dict[str, Any]:
    """The parameters of an estimator that are a clustering's."""
    given = not isinstance(estimator.init, str)
    return {
        "init": _INIT if given else estimator.init,
        "centroids": np.asarray(estimator.init, dtype=float) if given else None,
        "n_init": 1 if given else estimator.n_init,
        "max_iter": estimator.max_iter,
        "tol": estimator.tol,
        "min_cluster_size": 1,
        "scaling": estimator.scaling,
        "bounds": _as_bounds(estimator.bounds),
    }


def _is_list_of_tables(X: Tables) -> bool:
    """Whether every element is a table of its own, not a row."""
    return isinstance(X, list | tuple) and bool(len(X)) and all(np.ndim(part) == 2 for part in X)


def _seed_of(random_state: Any) -> int | None:
    """The seed of the public coins; None: the parties toss it together.

    Raises
    ------
    JobError
    """
    if random_state is None:
        return None
    if not isinstance(random_state, int | np.integer):
        return int(check_random_state(random_state).randint(SEEDS, dtype=np.int64))
    if not 0 <= random_state < SEEDS:
        raise JobError(f"random_state: it should be a whole number from 0 to {SEEDS - 1}")
    return int(random_state)


def _as_bounds(bounds: Sequence[Sequence[float]] | None) -> Bounds | None:
    if bounds is None:
        return None
    try:
        lower, upper = (tuple(map(float, side)) for side in bounds)
    except (TypeError, ValueError):
        raise JobError("bounds: two sequences are needed, the lower and the upper bound of every column") from None
    return lower, upper
