from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

from secure_kmeans import PlaintextKMeans, SecureKMeans
from secure_kmeans.errors import DataError, SecureKMeansError
from secure_kmeans.job import USUAL_CLUSTERS, Clustering, Init, Scaling, ScalingMethod
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.conclusion import conclude
from secure_kmeans.plaintext.kmeans import number_of_best

X = make_blobs(120, 3, centers=4, cluster_std=2.5, random_state=2)[0]
FOUR = np.array([[1.0, 1.0], [1.0, 2.0], [4.0, 1.0], [4.0, 2.0]])


def test_scikit_learns_own_checks() -> None:
    check_estimator(PlaintextKMeans(), on_fail="raise")


class TestFit:
    def test_hand_computed(self) -> None:
        model = PlaintextKMeans(2, bounds=((0.0, 0.0), (4.0, 4.0)), init=FOUR[[0, 3]]).fit(FOUR)
        assert model.cluster_centers_.tolist() == [[1.0, 1.5], [4.0, 1.5]]
        assert model.labels_.tolist() == [0, 0, 1, 1]
        assert model.counts_.tolist() == [2, 2]
        assert model.inertia_ == 1.0
        assert model.n_iter_ == 2

    @pytest.mark.parametrize("scaling", ["uniform", "minmax", "none"])
    @pytest.mark.parametrize("init", ["farthest", "k-means++", "random"])
    def test_the_same_as_the_functions(self, init: Init, scaling: ScalingMethod) -> None:
        options: dict[str, Any] = {"init": init, "n_init": 4, "max_iter": 50, "tol": 1e-9}
        model = PlaintextKMeans(4, scaling=scaling, random_state=8, **options).fit(X)
        agreed = Scaling.of(method=scaling, lower=tuple(X.min(axis=0)), upper=tuple(X.max(axis=0)))
        # Unscaled: 4 * 4 * 3 * 17^2 < 2^14, and (62 - 14) / 2 = 24.
        assert agreed.largest <= 17
        columns = ("x0", "x1", "x2")
        clustering = Clustering.of(columns=columns, n_clusters=4, scaling=agreed, precision_bits=24, **options)
        runs = run_in_the_clear(clustering, X, 8)
        best = runs[number_of_best(runs)]
        concluded = conclude(clustering, X, best)
        np.testing.assert_array_equal(model.cluster_centers_, concluded.centroids)
        np.testing.assert_array_equal(model.labels_, concluded.labels)
        np.testing.assert_array_equal(model.counts_, sorted(best.sizes, reverse=True))
        assert model.n_iter_ == best.n_iter
        assert model.inertia_ == pytest.approx(((X - model.cluster_centers_[model.labels_]) ** 2).sum(), rel=1e-12)

    def test_against_scikit_learn(self) -> None:
        start = X[[3, 50, 80, 110]]
        model = PlaintextKMeans(4, init=start, tol=0.0, max_iter=300).fit(X)
        theirs = KMeans(4, init=start, n_init=1, tol=0, max_iter=300, algorithm="lloyd").fit(X)
        order = np.argsort(-np.bincount(theirs.labels_))  # ours stand in the order of their sizes
        np.testing.assert_array_equal(order[model.labels_], theirs.labels_)
        # The means are those of rows in 40 fractional bits of each column's range.
        np.testing.assert_allclose(model.cluster_centers_, theirs.cluster_centers_[order], rtol=0, atol=1e-10)
        assert model.inertia_ == pytest.approx(theirs.inertia_, rel=1e-12)

    def test_a_random_state_repeats_a_fit(self) -> None:
        first, again = (PlaintextKMeans(6, init="random", n_init=1, random_state=4).fit(X) for _ in range(2))
        np.testing.assert_array_equal(first.cluster_centers_, again.cluster_centers_)
        others = [PlaintextKMeans(6, init="random", n_init=1, random_state=seed).fit(X) for seed in range(5)]
        assert len({other.inertia_ for other in others}) > 1

    def test_a_random_state_may_be_a_generator(self) -> None:
        one, same = (PlaintextKMeans(4, random_state=np.random.RandomState(1)).fit(X) for _ in range(2))
        np.testing.assert_array_equal(one.labels_, same.labels_)

    def test_names_of_a_frame(self) -> None:
        model = PlaintextKMeans(2, random_state=0).fit(pd.DataFrame(FOUR, columns=["income", "spending"]))
        assert model.feature_names_in_.tolist() == ["income", "spending"]
        assert model.n_features_in_ == 2

    def test_unscaled_large_numbers(self) -> None:
        model = PlaintextKMeans(2, scaling="none", init="farthest", random_state=0).fit(FOUR * 1e5)
        assert model.inertia_ == pytest.approx(1e10, rel=1e-9)

    def test_one_row(self) -> None:
        model = PlaintextKMeans(1, random_state=0).fit([[3.0, 4.0]])
        assert model.cluster_centers_.tolist() == [[3.0, 4.0]]
        assert model.inertia_ == 0.0


class TestPredict:
    def test_rows_of_the_fit_keep_their_labels(self) -> None:
        model = PlaintextKMeans(4, random_state=0)
        labels = model.fit_predict(X)
        np.testing.assert_array_equal(model.predict(X), labels)
        np.testing.assert_array_equal(model.predict(X[:7]), labels[:7])

    def test_new_rows(self) -> None:
        model = PlaintextKMeans(2, init=FOUR[[0, 3]]).fit(FOUR)
        assert model.predict([[-50.0, 0.0], [2.4, 9.0], [2.6, 9.0], [2.5, 1.5]]).tolist() == [0, 0, 1, 0]

    def test_not_before_fit(self) -> None:
        with pytest.raises(NotFittedError):
            PlaintextKMeans().predict(X)


class TestParameters:
    @pytest.mark.parametrize("estimator", [PlaintextKMeans, SecureKMeans])
    def test_defaults_are_those_of_the_job(self, estimator: type) -> None:
        parameters = estimator().get_params()
        assert parameters["n_clusters"] == USUAL_CLUSTERS
        for key in ("init", "n_init"):
            assert parameters[key] in (None, Clustering.default_of(key))  # None: the protocol's own
        for key in ("max_iter", "tol"):
            assert parameters[key] == Clustering.default_of(key)
        assert parameters["scaling"] == Scaling.default_of("method")

    def test_get_set_and_clone(self) -> None:
        model = PlaintextKMeans(3, init="random", tol=0.5)
        assert model.get_params() == {
            "n_clusters": 3,
            "init": "random",
            "n_init": 5,
            "max_iter": 100,
            "tol": 0.5,
            "min_cluster_size": 1,
            "scaling": "uniform",
            "bounds": None,
            "random_state": None,
        }
        assert model.set_params(n_clusters=4, scaling="minmax") is model
        copy = clone(model.fit(X))
        assert copy.get_params() == model.get_params()
        assert not hasattr(copy, "labels_")

    def test_fit_leaves_parameters_as_they_are(self) -> None:
        bounds = ((-20.0, -20.0, -20.0), (20.0, 20.0, 20.0))
        model = PlaintextKMeans(4, bounds=bounds, random_state=0).fit(X)
        assert model.bounds is bounds
        assert model.random_state == 0

    def test_fewer_rows_than_clusters(self) -> None:
        with pytest.raises(DataError, match=r"^X: 4 rows do not suffice for 5 clusters; use fewer clusters$"):
            PlaintextKMeans(5).fit(FOUR)

    @pytest.mark.parametrize(
        "parameters",
        [
            {"n_clusters": 0},
            {"init": "kmeans++"},
            {"init": FOUR},
            {"init": [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]},
            {"init": [[1.0, np.nan], [2.0, 2.0]]},
            {"init": [[1e30, 1.0], [2.0, 2.0]]},
            {"n_init": 0},
            {"max_iter": 0},
            {"tol": -1.0},
            {"scaling": "standard"},
            {"bounds": ((0.0,), (9.0,))},
            {"bounds": ((0.0, 0.0), (2.0, 2.0))},
            {"random_state": -1},
        ],
        ids=lambda parameters: next(iter(parameters)),
    )
    def test_parameters_that_are_refused(self, parameters: dict[str, Any]) -> None:
        with pytest.raises(SecureKMeansError):
            PlaintextKMeans(**({"n_clusters": 2} | parameters)).fit(FOUR)
