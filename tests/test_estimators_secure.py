"""SecureKMeans with its roles in threads; tests/system has a run in processes."""

from __future__ import annotations

import doctest
import pickle
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from secure_kmeans import DataError, JobError, PlaintextKMeans, SecureKMeans
from secure_kmeans.estimators import plaintext, secure
from secure_kmeans.protocols.shk import ShkJob
from tests.estimators_in_threads import roles_in_threads

ROWS = make_blobs(60, centers=3, n_features=2, cluster_std=0.8, random_state=3)[0]
FRAME = pd.DataFrame(ROWS, columns=["income", "age"])
OUTLIER = np.append(ROWS, [[60.0, 60.0]], axis=0)


@pytest.fixture(autouse=True, scope="module")
def _threads() -> Iterator[None]:
    with roles_in_threads():
        yield


@pytest.fixture(scope="module")
def fitted(_threads: None) -> SecureKMeans:
    return SecureKMeans(3, random_state=0).fit(FRAME)


def what(model: SecureKMeans) -> set[str]:
    return {entry.what for entry in model.report_.ledger}


def test_scikit_learns_own_checks() -> None:
    check_estimator(SecureKMeans(n_init=1), on_fail="raise")


@pytest.mark.parametrize("module", [plaintext, secure])
def test_examples_of_the_docstrings(module: ModuleType) -> None:
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 1) == (0, True)


class TestAgainstTheBaseline:
    @pytest.mark.parametrize("scaling", ["uniform", "minmax", "none"])
    @pytest.mark.parametrize("init", ["farthest", "k-means++", "random"])
    def test_the_same_model(self, init: Any, scaling: Any) -> None:
        options: dict[str, Any] = {"init": init, "scaling": scaling, "n_init": 3, "random_state": 5}
        secure = SecureKMeans(4, n_parties=3, **options).fit(ROWS)
        plain = PlaintextKMeans(4, **options).fit(ROWS)
        assert secure.cluster_centers_ is not None
        assert secure.cluster_centers_.tolist() == plain.cluster_centers_.tolist()
        assert secure.labels_.tolist() == plain.labels_.tolist()
        assert secure.n_iter_ == plain.n_iter_
        assert secure.inertia_ == pytest.approx(plain.inertia_, rel=1e-9)

    def test_without_a_random_state_the_starts_are_secret(self) -> None:
        model = SecureKMeans(3).fit(ROWS)
        assert model.report_.result.seed is None
        assert "which rows the starts begin at" not in what(model)
        assert model.labels_.tolist() == model.predict(ROWS).tolist()

    def test_clusters_stand_in_the_order_of_their_sizes(self, fitted: SecureKMeans) -> None:
        assert fitted.counts_ is not None
        assert fitted.counts_.tolist() == sorted(np.bincount(fitted.labels_).tolist(), reverse=True)


class TestMethods:
    def test_distances_to_the_centers(self, fitted: SecureKMeans) -> None:
        assert fitted.cluster_centers_ is not None
        expected = np.linalg.norm(ROWS[:, None] - fitted.cluster_centers_, axis=2)
        np.testing.assert_allclose(fitted.transform(FRAME), expected, rtol=1e-12)
        np.testing.assert_array_equal(fitted.transform([FRAME[:7], FRAME[7:]]), fitted.transform(FRAME))
        assert fitted.transform(FRAME).argmin(axis=1).tolist() == fitted.labels_.tolist()

    def test_fit_transform_and_fit_predict(self) -> None:
        model = SecureKMeans(3, random_state=0)
        np.testing.assert_array_equal(model.fit_transform(FRAME), model.transform(FRAME))
        assert model.fit_predict(FRAME).tolist() == model.labels_.tolist()

    def test_score_is_minus_the_inertia(self, fitted: SecureKMeans) -> None:
        assert fitted.score(FRAME) == pytest.approx(-(fitted.inertia_ or 0), rel=1e-9)
        assert fitted.score(FRAME[:5]) > fitted.score(FRAME)

    def test_names_of_the_distances(self, fitted: SecureKMeans) -> None:
        names = ["securekmeans0", "securekmeans1", "securekmeans2"]
        assert fitted.get_feature_names_out().tolist() == names
        shown = clone(fitted).set_output(transform="pandas").fit_transform(FRAME)
        assert list(shown.columns) == names

    def test_a_fitted_estimator_can_be_pickled(self, fitted: SecureKMeans) -> None:
        again = pickle.loads(pickle.dumps(fitted))
        assert again.predict(FRAME).tolist() == fitted.labels_.tolist()

    def test_new_rows_of_one_party_alone(self, fitted: SecureKMeans) -> None:
        assert fitted.predict([FRAME[:4], FRAME[:0]]).tolist() == fitted.labels_[:4].tolist()

    @pytest.mark.parametrize("method", ["predict", "transform", "score", "to_sklearn"])
    def test_not_before_fit(self, method: str) -> None:
        with pytest.raises(NotFittedError):
            getattr(SecureKMeans(), method)(*[] if method == "to_sklearn" else [ROWS])


class TestGroups:
    GROUPS = np.random.default_rng(1).permutation(np.repeat(["north", "south", "east"], 20))

    def test_labels_stand_in_the_order_of_the_rows(self) -> None:
        parties = [ROWS[name == self.GROUPS] for name in ("east", "north", "south")]
        by_list = SecureKMeans(3, n_parties=3, random_state=0).fit(parties)
        by_label = SecureKMeans(3, n_parties=3, random_state=0).fit(ROWS, groups=self.GROUPS)
        assert by_label.cluster_centers_ is not None
        assert by_list.cluster_centers_ is not None
        assert by_label.cluster_centers_.tolist() == by_list.cluster_centers_.tolist()
        for rank, name in enumerate(("east", "north", "south")):
            own = by_label.labels_[name == self.GROUPS].tolist()
            assert own == by_list.labels_by_party_[rank].tolist() == by_label.labels_by_party_[rank].tolist()
        assert by_label.predict(ROWS).tolist() == by_label.labels_.tolist()
        assert by_label.fit_predict(ROWS, groups=self.GROUPS).tolist() == by_label.labels_.tolist()

    def test_in_a_pipeline(self) -> None:
        pipeline = Pipeline([("scaler", StandardScaler()), ("kmeans", SecureKMeans(3, n_parties=3, random_state=0))])
        pipeline.fit(FRAME, kmeans__groups=pd.Series(self.GROUPS, index=range(100, 160)))
        model = pipeline["kmeans"]
        assert [len(own) for own in model.labels_by_party_] == [20, 20, 20]
        assert pipeline.predict(FRAME).tolist() == model.labels_.tolist()

    @pytest.mark.parametrize(
        ("groups", "message"),
        [
            (["a"] * 59, r"^groups: 59 labels for 60 rows; give one for each row$"),
            (["a"] * 60, r"^groups: 1 label for n_parties=2; give each party's rows one of their own$"),
            ([None] + ["a"] * 59, r"^groups: row 1 has no label; name its party$"),
            ("north", r"^groups: one label of a party is needed for each row, of shape \(n_samples,\)$"),
            ([["a"]] * 60, r"^groups: one label of a party is needed for each row, of shape \(n_samples,\)$"),
        ],
    )
    def test_labels_that_are_refused(self, groups: Any, message: str) -> None:
        with pytest.raises(DataError, match=message):
            SecureKMeans(3).fit(ROWS, groups=groups)

    def test_not_beside_a_list_of_tables(self) -> None:
        with pytest.raises(DataError, match="leave groups out"):
            SecureKMeans(3).fit([ROWS[:30], ROWS[30:]], groups=["a"] * 60)


class TestDisclosures:
    def test_defaults_are_those_of_the_job(self) -> None:
        parameters = SecureKMeans().get_params()
        for key in ("max_iter", "tol", "hide_counts", "resolution", "reveal_inertia", "engine", "timeout"):
            assert parameters[key] == ShkJob.default_of(key), key
        assert parameters["disclose_centroids"] is None  # the job's
        assert parameters["min_cluster_size"] == 1

    def test_hidden_sizes(self) -> None:
        model = SecureKMeans(3, random_state=0, hide_counts=True, resolution=(0.5, 0.5)).fit(ROWS)
        assert model.counts_ is None
        assert model.inertia_ is None
        assert model.cluster_centers_ is not None
        assert "final cluster sizes" not in what(model)
        assert model.predict(ROWS).tolist() == model.labels_.tolist()
        assert not hasattr(model.to_sklearn(), "inertia_")

    def test_a_hidden_inertia(self) -> None:
        model = SecureKMeans(3, random_state=0, reveal_inertia=False).fit(ROWS)
        assert model.inertia_ is None
        assert "inertia" not in what(model)

    def test_a_model_that_nobody_sees(self) -> None:
        model = SecureKMeans(3, random_state=0, disclose_centroids="nobody").fit(ROWS)
        assert model.cluster_centers_ is None
        assert "final centroids" not in what(model)
        plain = PlaintextKMeans(3, random_state=0).fit(ROWS)  # clusters of one size stand in any order
        assert adjusted_rand_score(model.labels_, plain.labels_) == 1
        assert model.predict(ROWS).tolist() == model.labels_.tolist()
        assert model.predict([ROWS[:0], ROWS[:2]]).tolist() == model.labels_[:2].tolist()
        for call in (model.to_sklearn, lambda: model.transform(ROWS), lambda: model.score(ROWS)):
            with pytest.raises(JobError, match=r'the centers are not known with disclose_centroids="nobody"'):
                call()

    @pytest.mark.parametrize("estimator", [SecureKMeans, PlaintextKMeans])
    def test_a_small_cluster_is_withheld(self, estimator: type) -> None:
        with pytest.warns(ConvergenceWarning, match="Cluster 3 is of fewer than 5 rows"):
            model = estimator(4, random_state=0, min_cluster_size=5).fit(OUTLIER)
        assert model.withheld_.tolist() == [3]
        assert np.isnan(model.cluster_centers_).all(axis=1).tolist() == [False, False, False, True]
        assert np.isnan(model.counts_).tolist() == [False, False, False, True]
        assert model.labels_[-1] == 3
        assert model.predict(OUTLIER).tolist() == model.labels_.tolist()
        assert np.isnan(model.transform(OUTLIER)).any(axis=0).tolist() == [False, False, False, True]
        assert model.score(ROWS) == pytest.approx(-model.inertia_, rel=1e-9)
        with pytest.raises(JobError, match=r"^to_sklearn: .* clusters 3 are empty or withheld"):
            model.to_sklearn()

    @pytest.mark.parametrize("estimator", [SecureKMeans, PlaintextKMeans])
    def test_every_cluster_may_be_withheld(self, estimator: type) -> None:
        with pytest.warns(ConvergenceWarning, match="Clusters 0 and 1 are of fewer than 15 rows"):
            model = estimator(2, random_state=0, min_cluster_size=15).fit(ROWS[:14])
        assert np.isnan(model.cluster_centers_).all()
        assert model.predict(ROWS[:14]).tolist() == model.labels_.tolist()
        with pytest.raises(JobError, match="score: every cluster is withheld"):
            model.score(ROWS)


class TestWarnings:
    @pytest.mark.parametrize("estimator", [SecureKMeans, PlaintextKMeans])
    def test_fewer_distinct_rows_than_clusters(self, estimator: type) -> None:
        rows = [[0.0], [0.0], [1.0], [1.0], [1.0]]
        with pytest.warns(ConvergenceWarning, match=r"Cluster 2 is empty") as caught:
            model = estimator(3, random_state=0).fit(rows)
        assert [warning.filename for warning in caught] == [__file__]
        assert model.labels_.tolist() == model.predict(rows).tolist() == [1, 1, 0, 0, 0]
        assert model.withheld_.tolist() == [2]

    @pytest.mark.parametrize("estimator", [SecureKMeans, PlaintextKMeans])
    def test_max_iter_reached(self, estimator: type) -> None:
        with pytest.warns(ConvergenceWarning, match="stopped after 1 iteration, its limit"):
            model = estimator(3, random_state=0, max_iter=1).fit(ROWS)
        assert model.n_iter_ == 1

    def test_an_outlier_that_takes_the_digits(self) -> None:
        with pytest.warns(UserWarning, match="lose most of their values in the fixed point"):
            SecureKMeans(2, random_state=0).fit([[0.0], [1.0], [2.0], [3.0], [4.0], [1e12]])


class TestToSklearn:
    @pytest.mark.parametrize("estimator", [SecureKMeans, PlaintextKMeans])
    def test_a_fitted_kmeans(self, estimator: type) -> None:
        model = estimator(3, random_state=0).fit(FRAME)
        theirs = model.to_sklearn()
        assert isinstance(theirs, KMeans)
        np.testing.assert_array_equal(theirs.cluster_centers_, model.cluster_centers_)
        assert theirs.cluster_centers_ is not model.cluster_centers_
        assert theirs.labels_.tolist() == theirs.predict(FRAME).tolist() == model.labels_.tolist()
        assert (theirs.inertia_, theirs.n_iter_) == (model.inertia_, model.n_iter_)
        assert theirs.feature_names_in_.tolist() == ["income", "age"]
        assert theirs.n_features_in_ == 2
        np.testing.assert_allclose(theirs.transform(FRAME), model.transform(FRAME))
        assert theirs.score(FRAME) == pytest.approx(model.score(FRAME))
        assert theirs.get_feature_names_out().tolist() == ["kmeans0", "kmeans1", "kmeans2"]
        assert clone(theirs).fit(FRAME).labels_.tolist() == model.labels_.tolist()
