"""What both estimators do alike: labels, distances and scores of new rows, warnings, and a model of scikit-learn's."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from secure_kmeans.errors import JobError
from secure_kmeans.estimators.inputs import agreed_bounds, naming_parameters, start_of
from secure_kmeans.estimators.parts import NO_LABEL, Parts
from secure_kmeans.job import Clustering, Init, Scaling, ScalingMethod
from secure_kmeans.plaintext.conclusion import label_rows
from secure_kmeans.report.sections import centers_array

INIT: Final[Init] = Clustering.default_of("init")
N_INIT: Final[int] = Clustering.default_of("n_init")
MAX_ITER: Final[int] = Clustering.default_of("max_iter")
TOL: Final[float] = Clustering.default_of("tol")
SCALING: Final[ScalingMethod] = Scaling.default_of("method")
LEAST_SIZE: Final = 1
"""The estimators' ``min_cluster_size``: all rows are on one machine anyway."""


@dataclass(frozen=True)
class Fitted:
    """What labels of new rows follow from.

    Attributes
    ----------
    clustering : Clustering
    grid_centroids : (n_clusters, n_features) lists of int, or None
        An entry is None where a cluster is withheld; all is None where nobody learned the centroids.
    tie_order : sequence of int
        A number for each cluster: a row that is equally near to several belongs to the one with the lowest number.
    """

    clustering: Clustering
    grid_centroids: Sequence[Sequence[int] | None] | None
    tie_order: Sequence[int]

    def hides_labels(self, labels: np.ndarray | None) -> bool:
        """Whether a row of the fit belongs, or may belong, to a cluster whose centroid is not known."""
        if self.grid_centroids is None:
            return True
        unknown = [number for number, centroid in enumerate(self.grid_centroids) if centroid is None]
        return bool(unknown) if labels is None else bool(np.isin(labels, unknown).any())


class KMeansBase(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """The methods of a fitted k-means estimator."""

    cluster_centers_: np.ndarray | None
    labels_: np.ndarray | Any  # None with labels that nobody sees
    counts_: np.ndarray | None
    withheld_: np.ndarray
    inertia_: float | None
    n_iter_: int
    _fitted: Fitted

    @abstractmethod
    def _parts_of(self, X: Any) -> Parts:
        """New rows, checked, as one table for each party."""

    @abstractmethod
    def _labels_by_all(self, parts: Parts) -> np.ndarray:
        """Label rows where the known centroids do not suffice, in the order of X."""

    def predict(self, X: Any) -> np.ndarray:
        """The cluster of each row: that of the nearest centroid.

        Of the rows of the fit it returns ``labels_``. A cluster without rows attracts no new row, unless its center is
        known, or the rows are labelled on shares because a center is not known.

        Parameters
        ----------
        X : as for :meth:`fit`
            In a list of tables of rows each may have 0 rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            -1 for a row that has an identifier which not all tables have.

        Raises
        ------
        DataError
            Also for a row that is too far outside the ``bounds`` of the fit.
        """
        check_is_fitted(self)
        parts = self._parts_of(X)
        fitted = self._fitted
        with naming_parameters():
            parts.check_prediction(fitted.clustering)
            if fitted.grid_centroids is None or fitted.hides_labels(self.labels_):
                return self._labels_by_all(parts)
        return parts.in_given_order(label_rows(fitted.clustering, fitted.grid_centroids, parts.rows, fitted.tie_order))

    def transform(self, X: Any) -> np.ndarray:
        """The distance of each row to each center, in original units; NaN to a center that is withheld.

        Parameters
        ----------
        X : as for :meth:`predict`

        Returns
        -------
        ndarray of shape (n_samples, n_clusters)
            NaN for a row that has an identifier which not all tables have.

        Raises
        ------
        DataError
        JobError
            Where no center is disclosed.
        """
        check_is_fitted(self)
        parts = self._parts_of(X)
        return parts.in_given_order(cdist(parts.rows, self._centers("transform")))

    def score(self, X: Any, y: None = None) -> float:
        """Minus the inertia of rows: the sum of the squared distance of each to the nearest of the known centers.

        Rows that have an identifier which not all tables have are left out.

        Parameters
        ----------
        X : as for :meth:`predict`
        y : ignored

        Raises
        ------
        DataError
        JobError
            Where no center is disclosed.
        """
        del y
        check_is_fitted(self)
        parts = self._parts_of(X)
        centers = self._centers("score")
        known = centers[~np.isnan(centers).any(axis=1)]
        if not len(known):
            raise JobError("score: every cluster is withheld, so there is no center; use a smaller min_cluster_size")
        return -float(cdist(parts.rows, known, "sqeuclidean").min(axis=1).sum())

    def to_sklearn(self) -> KMeans:
        """A fitted :class:`sklearn.cluster.KMeans` with the same centers, labels, inertia and names of columns.

        Its ``predict`` agrees with this one's but for ties, which scikit-learn breaks otherwise.

        Raises
        ------
        JobError
            Where a center is withheld or not disclosed.
        """
        check_is_fitted(self)
        centers = self._centers("to_sklearn").copy()
        if len(self.withheld_):
            numbers = ", ".join(map(str, self.withheld_))
            raise JobError(
                f"to_sklearn: scikit-learn needs every center, but the clusters {numbers} are empty or withheld; "
                "use fewer n_clusters, or a smaller min_cluster_size"
            )
        model = KMeans(len(centers), init=centers.copy(), n_init=1, max_iter=self.max_iter, tol=self.tol)
        model.cluster_centers_ = centers
        if self.labels_ is not None:
            model.labels_ = self.labels_[self.labels_ != NO_LABEL].astype(np.int32)
        model.n_iter_ = self.n_iter_
        if self.inertia_ is not None:
            model.inertia_ = self.inertia_
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(model, name, getattr(self, name))
        model._n_features_out, model._n_threads = len(centers), 1
        return model

    @property
    def _n_features_out(self) -> int:
        """The number of columns of :meth:`transform`, of which scikit-learn makes names."""
        return len(self._fitted.tie_order)

    def _centers(self, method: str) -> np.ndarray:
        """The centers, NaN where withheld; refuses where nobody learned them."""
        if self.cluster_centers_ is None:
            raise JobError(f'{method}: the centers are not known with disclose_centroids="nobody"; leave it out')
        return self.cluster_centers_

    def _clustering_keys(self, n_features: int, inits: Sequence[Init]) -> dict[str, Any]:
        """The parameters that are keys of every clustering.

        Parameters
        ----------
        n_features : int
        inits : sequence of str
            The starts that can be chosen.

        Raises
        ------
        JobError
        """
        if (
            not isinstance(self.n_clusters, int | np.integer)
            or isinstance(self.n_clusters, bool)
            or self.n_clusters < 1
        ):
            raise JobError("n_clusters: it should be a whole number of at least 1")
        if not isinstance(self.scaling, str) or self.scaling not in get_args(ScalingMethod):
            raise JobError('scaling.method: it should be "uniform", "minmax" or "none"')
        start = start_of(self.init, self.n_clusters, n_features, inits)
        given = {"init": self.init, "n_init": self.n_init} if start is None else {"n_init": 1}
        return {name: value for name, value in given.items() if value is not None} | {
            "centroids": start,
            "max_iter": self.max_iter,
            "tol": self.tol,
            "min_cluster_size": self.min_cluster_size,
            "scaling": self.scaling,
            "bounds": agreed_bounds(self.bounds),
        }

    def _keep_model(
        self,
        fitted: Fitted,
        centroids: list[list[float] | None] | None,
        sizes: Sequence[int | None] | None,
        withheld: Sequence[int],
        labels: np.ndarray | None,
    ) -> None:
        """Set the attributes of a fitted estimator that both kinds have."""
        shape = fitted.clustering.n_clusters, len(fitted.clustering.columns)
        self._fitted = fitted
        self.labels_ = labels
        self.withheld_ = np.array(withheld, dtype=np.int64)
        self.cluster_centers_ = None if centroids is None else centers_array(centroids, *shape)
        self.counts_ = None if sizes is None else _counts(sizes)


def _counts(sizes: Sequence[int | None]) -> np.ndarray:
    """Sizes as whole numbers, or, where one is not known, as reals with NaN in its place."""
    if None in sizes:
        return np.array([np.nan if size is None else size for size in sizes])
    return np.array(sizes, dtype=np.int64)


def warn_of(remarks: Sequence[str], advice: Sequence[str]) -> None:
    """Warn, at the line that called ``fit``, of what a user should not overlook."""
    for line in advice:
        warnings.warn(line, UserWarning, stacklevel=3)
    for line in remarks:
        warnings.warn(line, ConvergenceWarning, stacklevel=3)
