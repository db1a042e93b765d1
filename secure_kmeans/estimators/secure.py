"""The secure estimator: k-means on secret shares with scikit-learn's conventions."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final, Literal, Self

import numpy as np

from secure_kmeans.app import demo
from secure_kmeans.app.inputs import JOBS, USUAL_PARTIES, ProtocolName
from secure_kmeans.app.proposal import Bounds
from secure_kmeans.errors import JobError
from secure_kmeans.estimators.base import LEAST_SIZE, MAX_ITER, SCALING, TOL, Fitted, KMeansBase, warn_of
from secure_kmeans.estimators.columns import SplitByColumns
from secure_kmeans.estimators.inputs import is_one_of, naming_parameters, seed_of
from secure_kmeans.estimators.parts import Parts, Split
from secure_kmeans.estimators.rows import SplitByRows, SplitByRowsOfSmo07
from secure_kmeans.job import USUAL_CLUSTERS, Init, KMeansJob, ScalingMethod
from secure_kmeans.job.model import KMeansModel
from secure_kmeans.job.result import Result
from secure_kmeans.protocols import protocol_of
from secure_kmeans.protocols.kmeans_checks import advice_on_digits
from secure_kmeans.protocols.shk.job import Engine, ShkJob
from secure_kmeans.protocols.smo07.job import FreshKeys, KeyBits, Mode
from secure_kmeans.report.fit import own_of
from secure_kmeans.report.sections import KMeansReport, centers_array
from secure_kmeans.roles.local import run_local
from secure_kmeans.tables import Table

_TIMEOUT: Final[float] = ShkJob.default_of("timeout")
_ENGINE: Final[Engine] = ShkJob.default_of("engine")
_PROTOCOLS: Final[dict[str, tuple[ProtocolName, ...]]] = {"rows": ("shk", "smo07"), "columns": ("svk",)}
"""For each way to divide the data, the protocols; the first is the usual one."""


class SecureKMeans(KMeansBase):
    """k-means on secret shares, all parties on this machine, each in a process of its own.

    Parameters
    ----------
    n_clusters : int
    n_parties : int, optional
        Two to ten, with "smo07" up to twenty. None: two, with "smo07" three.
    split : "rows" or "columns"
        Whether each party holds rows of its own with the same columns, or columns of its own about the same rows.
    protocol : "shk", "smo07" or "svk", optional
        None: "shk" with rows, "svk" with columns. With "smo07" there is no dealer, and all parties know the centers of
        every iteration.
    id_column : str, optional
        Only with columns. The name of the column of identifiers in every table, or of a level of its index; the tables
        are then DataFrames. The column is not clustered by. The parties find the rows that all tables have, whatever
        the length and order of each, and show no identifier. None: rows of the same number belong together.
    init : "farthest", "k-means++", "random" or array of shape (n_clusters, n_features), optional
        None: "farthest". With "smo07" it is "moments", the default, "uniform" or an array: see docs/job.md.
    n_init : int, optional
        Starts to try side by side; the best is kept. None: 5, with "smo07" 1.
    max_iter : int
    tol : float
        The run stops when the squared movements of all centers add up to no more than this part of the mean variance
        of the columns, as scikit-learn's does; 0: when no center moves any more.
    min_cluster_size : int
        A cluster of fewer rows is withheld: neither its center nor its size is disclosed. It has no effect with
        columns where all parties see the labels and each learns the centers in its own columns. With "smo07" such a
        cluster keeps the center that it has, and its size is not disclosed.
    scaling : "uniform", "minmax" or "none"
        See :class:`~secure_kmeans.job.Scaling`.
    bounds : (lower, upper), optional
        Sequences of n_features numbers that the parties agreed on; the tables' own if not given.
    hide_labels : bool
        Only with columns. The labels stay secret in every iteration; else all parties see them.
    hide_counts : bool
        The cluster sizes stay secret, and the centers lie on a coarse grid from which nobody can tell the sizes. With
        columns it needs ``hide_labels``.
    resolution : sequence of n_features numbers, optional
        The smallest step between two values of each column, which is the grid of ``hide_counts``.
    disclose_centroids : "own", "all" or "nobody", optional
        Who learns the centers. With "own", only with columns, each party learns them in its own columns. With "nobody"
        each party has a share of the centers, and :meth:`predict` runs on shares. None: "all" with rows, "own" with
        columns.
    disclose_labels : "all", "nobody" or a list of numbers of parties from 0, optional
        Only with columns. Who learns the final labels. None: all, or nobody with ``hide_labels``.
    reveal_inertia : bool, optional
        None: the inertia is disclosed where the centers and the sizes are; with columns, where the centers and the
        labels are; with "smo07" it is not.
    mode, fresh_keys, key_bits, accept_two_parties, reveal_sizes
        Only with "smo07": see :class:`~secure_kmeans.protocols.smo07.job.Smo07Job`. None: its default.
    engine : "secure" or "crypten"
        "crypten", CrypTen's own circuits, is for comparison only, and only with "shk".
    timeout : float
        Seconds after which a silent role counts as failed.
    random_state : int, RandomState or None
        None: the starts begin at rows that nobody knows. Otherwise at rows that all know, the same in every run; with
        an ``id_column`` all parties then learn the order of the first table's rows.
    verbose : int
        1 shows progress.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features) or None
        Original units. Clusters are ordered by their sizes, the largest first, then by their centers where all parties
        know these. A row is NaN where the cluster is withheld or empty. None where no center is disclosed. Between
        machines every party knows all of it with ``disclose_centroids="all"``; with "own" each knows the columns of
        its own table, which are joined here.
    labels_ : ndarray of shape (n_samples,) or None
        In the order of X; of a list of tables with rows of their own, those of one below those of the other; of a list
        of tables with columns, in the order of the first, and -1 for a row that not all tables have. None where nobody
        learns them. Between machines each party knows the labels of its own rows; with columns the parties that
        ``disclose_labels`` names know all labels.
    labels_by_party_ : list of ndarray, or of None
        Of the rows of each party's table, as this party alone learns them; -1 for a row that not all tables have. None
        for a party that does not learn them.
    common_rows_ : list of ndarray, or None
        Only with columns. For each party the numbers of those rows of its table that all tables have, in the order of
        the first table. Between machines each party knows its own numbers, in a common order that says nothing about
        any table.
    withheld_ : ndarray of ints
        Clusters of fewer rows than ``min_cluster_size``; with 1 those that are empty. All parties know them. None is
        listed where neither centers nor sizes are disclosed, nor with "smo07".
    inertia_ : float or None
        Over the rows of the clusters that are not withheld. None where it is not disclosed; else all parties know it.
    n_iter_ : int
        All roles know it.
    counts_ : ndarray of shape (n_clusters,) or None
        Sizes of the clusters, NaN where withheld. None with ``hide_counts``, and with "smo07" unless ``reveal_sizes``;
        else all parties know them.
    report_ : KMeansReport
        All of the above, the costs and the ledger, which says of each disclosure who learned it.
    n_features_in_, feature_names_in_
        As scikit-learn defines them; with columns, those of all tables, in the order of the tables. A name that two
        tables use stands with its party before it: ``party_0.income``. All parties know the names.

    Notes
    -----
    All parties are on this machine, so that the estimator joins what each of them learns. With columns and centers that
    each party knows in its own columns, :meth:`predict`, :meth:`transform` and :meth:`score` use the joined centers.
    Between machines nobody has them, and new rows are labelled on shares. The labels are the same, but that on shares a
    cluster without rows can attract a new one.

    Examples
    --------
    >>> from secure_kmeans import SecureKMeans
    >>> model = SecureKMeans(n_clusters=2)
    >>> model.fit_predict([[[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]], [[4.0, 1.0]]])
    array([0, 0, 0, 1])
    >>> model.labels_by_party_
    [array([0, 0, 0]), array([1])]

    Two parties that hold columns about the same customers:

    >>> import pandas as pd
    >>> bank = pd.DataFrame({"customer": ["a", "b", "c", "d"], "income": [1.0, 1.0, 1.0, 4.0]})
    >>> telecom = pd.DataFrame({"customer": ["d", "b", "a", "e"], "calls": [9.0, 2.0, 1.0, 5.0]})
    >>> model = SecureKMeans(n_clusters=2, split="columns", id_column="customer").fit([bank, telecom])
    >>> model.labels_  # of the bank's customers
    array([ 0,  0, -1,  1])
    >>> model.labels_by_party_[1]
    array([ 1,  0,  0, -1])
    >>> model.cluster_centers_
    array([[1. , 1.5],
           [4. , 9. ]])
    """

    labels_by_party_: list[np.ndarray | Any]  # None at a party that does not learn them
    common_rows_: list[np.ndarray] | None

    def __init__(
        self,
        n_clusters: int = USUAL_CLUSTERS,
        *,
        n_parties: int | None = None,
        split: Literal["rows", "columns"] = "rows",
        protocol: ProtocolName | None = None,
        id_column: str | None = None,
        init: Init | np.ndarray | None = None,
        n_init: int | None = None,
        max_iter: int = MAX_ITER,
        tol: float = TOL,
        min_cluster_size: int = LEAST_SIZE,
        scaling: ScalingMethod = SCALING,
        bounds: Bounds | None = None,
        hide_counts: bool = False,
        resolution: Sequence[float] | None = None,
        hide_labels: bool = False,
        disclose_centroids: Literal["own", "all", "nobody"] | None = None,
        disclose_labels: Literal["all", "nobody"] | Sequence[int] | None = None,
        reveal_inertia: bool | None = None,
        mode: Mode | None = None,
        fresh_keys: FreshKeys | None = None,
        key_bits: KeyBits | None = None,
        accept_two_parties: bool = False,
        reveal_sizes: bool = False,
        engine: Engine = _ENGINE,
        timeout: float = _TIMEOUT,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_parties = n_parties
        self.split = split
        self.protocol = protocol
        self.id_column = id_column
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.min_cluster_size = min_cluster_size
        self.scaling = scaling
        self.bounds = bounds
        self.hide_counts = hide_counts
        self.resolution = resolution
        self.hide_labels = hide_labels
        self.disclose_centroids = disclose_centroids
        self.disclose_labels = disclose_labels
        self.reveal_inertia = reveal_inertia
        self.mode = mode
        self.fresh_keys = fresh_keys
        self.key_bits = key_bits
        self.accept_two_parties = accept_two_parties
        self.reveal_sizes = reveal_sizes
        self.engine = engine
        self.timeout = timeout
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: None = None, groups: Any = None) -> Self:
        """Cluster the rows of all parties.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a list of n_parties of them
            One is cut among the parties, into rows or columns as ``split`` says. Of a list each party gets its own:
            tables with the same columns, or with columns of their own about the same rows. Without an ``id_column``
            rows of the same number belong together.
        y : ignored
        groups : array-like of shape (n_samples,), optional
            A label of the party that holds each row of X, in any order of the rows. Parties are ranked by their labels
            in sorted order. In a pipeline it is ``fit(X, kmeans__groups=groups)``. Only with ``split="rows"``.

        Raises
        ------
        DataError, JobError
            Both are ValueError.
        RoleError, ProtocolError
            Where the run failed.
        """
        del y
        split = self._checked_split()
        parts = split.parts(self, X, groups, reset=True)
        with naming_parameters():
            job = split.propose(parts, self.n_clusters, **self._job_keys(split))
            parts.check_bounds(job.scaling)
            protocol = protocol_of(job.protocol)
            protocol.check_together(job, dict(zip(job.names, parts.tables, strict=True)))
            results = self._run(job, parts.tables)
        clustered = parts.clustered(job, results)
        model = results[0].common
        assert isinstance(model, KMeansModel)
        self._split, self._job, self._session = split, job, results[0].session
        self._model_shares = [base64.b64decode(own_of(result).model_share) for result in results]
        report = protocol.report(job, results, None)
        assert isinstance(report, KMeansReport)
        self.report_ = _with_segment_names(report)
        self.labels_by_party_ = parts.labels_by_party(results)
        self.common_rows_ = parts.common_rows
        found = self.report_.result
        self._keep_model(
            Fitted(job, found.grid_centers, model.tie_order),
            found.cluster_centers,
            model.sizes,
            model.withheld,
            parts.labels(results),
        )
        self.inertia_, self.n_iter_ = model.inertia, model.n_iter
        warn_of(found.remarks, advice_on_digits(job, clustered))
        return self

    def fit_predict(self, X: Any, y: None = None, **kwargs: Any) -> np.ndarray:
        """Fit, and return ``labels_``; parameters and errors as :meth:`fit`.

        Raises
        ------
        JobError
            Also with ``hide_labels`` where the labels are disclosed to nobody.
        """
        hidden = self.disclose_labels is None or is_one_of(self.disclose_labels, "nobody")
        if is_one_of(self.split, "columns") and self.hide_labels is True and hidden:
            raise JobError(
                "fit_predict: with hide_labels nobody learns the labels of the fit; set disclose_labels, or call fit, "
                "and predict"
            )
        labels: np.ndarray = super().fit_predict(X, y, **kwargs)
        return labels

    def _run(self, job: KMeansJob, tables: list[Table], models: Sequence[bytes] = ()) -> Sequence[Result]:
        """Run all roles, with progress in the terminal where ``verbose`` asks for it."""
        if not self.verbose:
            return run_local(job, tables, models=models)
        from secure_kmeans.app.console import showing_progress

        with showing_progress() as progress:
            return run_local(job, tables, progress, models=models)

    def _checked_split(self) -> Split[Any]:
        """How the parties divide the data, with parameters that fit this.

        Raises
        ------
        JobError
        """
        if not is_one_of(self.split, "rows", "columns"):
            raise JobError('split: it should be "rows" or "columns"')
        protocols = _PROTOCOLS[self.split]
        protocol = protocols[0] if self.protocol is None else self.protocol
        if not is_one_of(protocol, *protocols):
            names = " or ".join(f'"{each}"' for each in protocols)
            raise JobError(f'protocol: with split="{self.split}" it should be {names}')
        parties = _checked_number(self.n_parties, protocol)
        split: Split[Any]
        if protocol == "svk":
            split = SplitByColumns(parties, self.id_column)
        else:
            split = SplitByRows(parties) if protocol == "shk" else SplitByRowsOfSmo07(parties)
        split.check_parameters(self)
        return split

    def _job_keys(self, split: Split[Any]) -> dict[str, Any]:
        """The parameters that are keys of the job.

        Raises
        ------
        JobError
        """
        return (
            self._clustering_keys(self.n_features_in_, split.Job.INITS)
            | {"seed": seed_of(self.random_state), "timeout": self.timeout}
            | split.keys(self)
        )

    def _parts_of(self, X: Any) -> Parts:
        return self._split.parts(self, X, reset=False)

    def _labels_by_all(self, parts: Parts) -> np.ndarray:
        """Label rows on shares."""
        job = self._split.prediction(self._job, self._session, parts)
        labels = parts.labels(self._run(job, parts.tables, self._model_shares))
        assert labels is not None, "a prediction discloses labels"
        return labels


def _checked_number(parties: Any, protocol: ProtocolName) -> int:
    """The number of parties; refuses one that the protocol does not take."""
    if parties is None:
        return USUAL_PARTIES[protocol]
    fewest, most = JOBS[protocol].FEWEST_PARTIES, JOBS[protocol].MOST_PARTIES
    if not isinstance(parties, int | np.integer) or isinstance(parties, bool):
        raise JobError(f"n_parties: it should be a whole number from {fewest} to {most}")
    if not fewest <= parties <= most:
        raise JobError(f"n_parties: a secure run takes {fewest} to {most} parties, not {parties}")
    return int(parties)


def _with_segment_names(report: KMeansReport) -> KMeansReport:
    """The report, with names of the mall's segments where the clusters are these."""
    found = report.result
    centers = centers_array(found.cluster_centers, found.n_clusters, len(report.columns))
    names = demo.segment_names(report.columns, centers)
    return report.model_copy(update={"result": found.model_copy(update={"cluster_names": names})})
