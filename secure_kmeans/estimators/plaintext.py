"""The plaintext estimator: the baseline with scikit-learn's conventions."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from secure_kmeans.app.proposal import Bounds, propose_clustering
from secure_kmeans.estimators.base import INIT, LEAST_SIZE, MAX_ITER, N_INIT, SCALING, TOL, Fitted, KMeansBase, warn_of
from secure_kmeans.estimators.inputs import naming_parameters, seed_of, validated
from secure_kmeans.estimators.parts import Parts
from secure_kmeans.job import USUAL_CLUSTERS, Clustering, Init, ScalingMethod
from secure_kmeans.job.coins import fresh_seed
from secure_kmeans.job.fixed_point import FixedPoint
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.conclusion import conclude, label_rows
from secure_kmeans.plaintext.kmeans import number_of_best
from secure_kmeans.plaintext.losses import inertia
from secure_kmeans.protocols.kmeans_checks import advice_on_digits, check_all_tables
from secure_kmeans.report.remarks import remarks_on
from secure_kmeans.tables import check_bounds


class PlaintextKMeans(KMeansBase):
    """The baseline in the clear: the same algorithm, starts, ties and stop rule as :class:`SecureKMeans`.

    With the same parameters and ``random_state`` both find the same clusters.

    Parameters
    ----------
    init : "farthest", "k-means++", "random", "moments", "uniform" or array of shape (n_clusters, n_features)
    n_clusters, n_init, max_iter, tol, min_cluster_size, scaling, bounds, random_state
        As those of :class:`SecureKMeans`; any number of starts goes with a ``random_state``.

    Attributes
    ----------
    cluster_centers_, labels_, inertia_, n_iter_, counts_, withheld_, n_features_in_, feature_names_in_
        As those of :class:`SecureKMeans`.

    Examples
    --------
    >>> from secure_kmeans import PlaintextKMeans
    >>> model = PlaintextKMeans(n_clusters=2, random_state=0)
    >>> model.fit_predict([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0], [4.0, 1.0]])
    array([0, 0, 0, 1])
    """

    cluster_centers_: np.ndarray
    counts_: np.ndarray
    inertia_: float

    def __init__(
        self,
        n_clusters: int = USUAL_CLUSTERS,
        *,
        init: Init | np.ndarray = INIT,
        n_init: int = N_INIT,
        max_iter: int = MAX_ITER,
        tol: float = TOL,
        min_cluster_size: int = LEAST_SIZE,
        scaling: ScalingMethod = SCALING,
        bounds: Bounds | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.min_cluster_size = min_cluster_size
        self.scaling = scaling
        self.bounds = bounds
        self.random_state = random_state

    def fit(self, X: Any, y: None = None) -> Self:
        """Cluster rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : ignored

        Raises
        ------
        DataError, JobError
            Both are ValueError.
        """
        del y
        table = validated(self, X, "X", reset=True)
        with naming_parameters():
            clustering = propose_clustering(
                [table], self.n_clusters, **self._clustering_keys(len(table.columns), Clustering.INITS)
            )
            check_bounds(table, clustering.scaling)
            check_all_tables(clustering, [table])
        seed = seed_of(self.random_state)
        runs = run_in_the_clear(clustering, table.rows, fresh_seed() if seed is None else seed)
        run = runs[number_of_best(runs)]
        model = conclude(clustering, table.rows, run)
        fitted = Fitted(clustering, model.grid_centroids, model.tie_order)
        self._keep_model(fitted, model.centroids, model.sizes, model.withheld, model.labels)
        self.inertia_ = inertia(table.rows, model.labels, model.centroids)
        self.n_iter_ = run.n_iter
        self._all_centroids = FixedPoint(clustering.precision_bits).encode(run.centroids)[model.tie_order]
        remarks = remarks_on(
            clustering, cluster_centers=model.centroids, withheld=model.withheld, converged=run.converged
        )
        warn_of(remarks, advice_on_digits(clustering, [table]))
        return self

    def _parts_of(self, X: Any) -> Parts:
        return Parts.of([validated(self, X, "X", reset=False)])

    def _labels_by_all(self, parts: Parts) -> np.ndarray:
        """Label rows by all centroids, which here are known."""
        fitted = self._fitted
        return label_rows(fitted.clustering, self._all_centroids.tolist(), parts.rows, fitted.tie_order)
