"""SecureKMeans whose parties hold columns, with its roles in threads; tests/system has a run in processes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from secure_kmeans import DataError, JobError, PlaintextKMeans, SecureKMeans
from secure_kmeans.plaintext.conclusion import label_rows
from secure_kmeans.protocols.svk import SvkJob
from tests.estimators_in_threads import roles_in_threads

ROWS: Final = np.concatenate(
    [make_blobs(size, 3, centers=[[at] * 3], random_state=at)[0] for size, at in ((25, 0), (20, 6), (15, 12))]
)
"""Three clusters of 25, 20 and 15 rows, in this order."""
LABELS: Final = [0] * 25 + [1] * 20 + [2] * 15
BANK: Final = pd.DataFrame(ROWS[:, :2], columns=["income", "age"])
TELECOM: Final = pd.DataFrame(ROWS[:, 2:], columns=["calls"])

IDS: Final = np.array([f"{number:03}" for number in range(60)])
OF_BANK: Final = np.random.default_rng(1).permutation([row for row in range(60) if row % 4])
OF_TELECOM: Final = np.random.default_rng(2).permutation([row for row in range(60) if row % 5])
"""The rows that each party has, in its own order. They share 15, 12 and 9 rows of the clusters."""


@pytest.fixture(autouse=True, scope="module")
def _threads() -> Iterator[None]:
    with roles_in_threads():
        yield


def model_of(n_clusters: int = 3, **options: Any) -> SecureKMeans:
    keys: dict[str, Any] = {"split": "columns", "random_state": 0} | options
    return SecureKMeans(n_clusters, **keys)


@pytest.fixture(scope="module")
def fitted(_threads: None) -> SecureKMeans:
    return model_of().fit([BANK, TELECOM])


def what(model: SecureKMeans) -> set[str]:
    return {entry.what for entry in model.report_.ledger}


def overlapping() -> list[pd.DataFrame]:
    """Tables of some of the rows each, with identifiers: in one as a column, in the other as the index."""
    bank = BANK.iloc[OF_BANK].assign(customer=IDS[OF_BANK])
    telecom = TELECOM.iloc[OF_TELECOM].set_axis(pd.Index(IDS[OF_TELECOM], name="customer"))
    return [bank, telecom]


@pytest.fixture(scope="module")
def aligned(_threads: None) -> SecureKMeans:
    return model_of(id_column="customer").fit(overlapping())


def test_scikit_learns_own_checks() -> None:
    check_estimator(model_of(n_init=1), on_fail="raise")


class TestAgainstTheBaseline:
    @pytest.mark.parametrize("scaling", ["uniform", "minmax", "none"])
    @pytest.mark.parametrize("init", ["farthest", "k-means++", "random"])
    def test_the_same_model(self, init: Any, scaling: Any) -> None:
        options: dict[str, Any] = {"init": init, "scaling": scaling, "n_init": 3, "random_state": 5}
        secure = model_of(n_parties=3, disclose_centroids="all", **options).fit(ROWS)
        plain = PlaintextKMeans(3, **options).fit(ROWS)
        assert secure.cluster_centers_ is not None
        assert secure.cluster_centers_.tolist() == plain.cluster_centers_.tolist()
        assert secure.labels_.tolist() == plain.labels_.tolist()
        assert secure.n_iter_ == plain.n_iter_
        assert secure.inertia_ == pytest.approx(plain.inertia_, rel=1e-9)

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"hide_labels": True},
            {"hide_labels": True, "disclose_labels": "all"},
            {"hide_labels": True, "disclose_centroids": "all"},
            {"hide_labels": True, "disclose_centroids": "nobody"},
        ],
    )
    def test_whatever_is_hidden(self, options: dict[str, Any]) -> None:
        model = model_of(**options).fit([BANK, TELECOM])
        plain = PlaintextKMeans(3, random_state=0).fit(ROWS)
        assert plain.labels_.tolist() == LABELS
        assert model.labels_ is None or model.labels_.tolist() == LABELS
        assert model.predict([BANK, TELECOM]).tolist() == LABELS
        assert model.counts_ is not None
        assert model.counts_.tolist() == [25, 20, 15]
        if model.cluster_centers_ is not None:
            assert model.cluster_centers_.tolist() == plain.cluster_centers_.tolist()

    def test_given_centers_to_begin_with(self) -> None:
        model = model_of(init=ROWS[[0, 30, 50]]).fit(ROWS)
        assert model.labels_.tolist() == LABELS
        assert model.report_.result.init == "given"


class TestTables:
    def test_one_table_is_cut_into_columns(self, fitted: SecureKMeans) -> None:
        model = model_of().fit(ROWS)
        assert [party["columns"] for party in model.report_.job.model_dump()["parties"]] == [["x0", "x1"], ["x2"]]
        assert model.labels_.tolist() == fitted.labels_.tolist()
        assert model.predict([ROWS[:, :2], ROWS[:, 2:]]).tolist() == LABELS
        assert not hasattr(model, "feature_names_in_")

    def test_names_of_all_columns(self, fitted: SecureKMeans) -> None:
        assert fitted.feature_names_in_.tolist() == ["income", "age", "calls"]
        assert fitted.n_features_in_ == 3
        assert fitted.predict(pd.concat([BANK, TELECOM], axis=1)).tolist() == LABELS

    def test_a_name_that_two_tables_use(self) -> None:
        tables = [BANK, TELECOM.rename(columns={"calls": "age"})]
        model = model_of().fit(tables)
        assert model.feature_names_in_.tolist() == ["income", "party_0.age", "party_1.age"]
        assert model.report_.columns == ["income", "party_0.age", "party_1.age"]
        assert model.predict(tables).tolist() == LABELS

    def test_a_frame_beside_an_array_gives_no_names(self) -> None:
        model = model_of().fit([BANK, TELECOM])
        model.fit([BANK, TELECOM.to_numpy()])
        assert not hasattr(model, "feature_names_in_")
        assert model.n_features_in_ == 3

    @pytest.mark.parametrize(
        ("X", "expected"),
        [
            (ROWS[:, :1], "X: n_features=1 should be >= n_parties=2; each party needs a column"),
            ([BANK, TELECOM, TELECOM], "X: 3 tables for n_parties=2; give one table for each party"),
            ([BANK, TELECOM[:9]], "X[0], X[1]: 60 rows and 9 rows; give tables of the same rows in the same order, or"),
            (
                [BANK, TELECOM.assign(calls=[1.0] * 4 + [np.nan] + [1.0] * 55)],
                'X[1]: column "calls", row 5: a value is missing',
            ),
            ([BANK[:2], TELECOM[:2]], "X[0]: 2 rows do not suffice for 3 clusters; use fewer clusters"),
        ],
    )
    def test_refused(self, X: Any, expected: str) -> None:
        with pytest.raises(DataError) as caught:
            model_of().fit(X)
        assert str(caught.value).startswith(expected)

    def test_a_row_outside_the_bounds(self) -> None:
        bounds = (ROWS.min(axis=0), [*ROWS.max(axis=0)[:2], 9.0])
        row = int((ROWS[:, 2] > 9).argmax()) + 1
        with pytest.raises(DataError, match=rf'^X\[1\]: column "calls", row {row}: the number is outside'):
            model_of(bounds=bounds).fit([BANK, TELECOM])
        with pytest.raises(DataError, match=rf'^X: column "x2", row {row}: the number is outside'):
            model_of(bounds=bounds).fit(ROWS)

    @pytest.mark.filterwarnings("error")
    def test_new_rows_are_refused_as_in_a_fit(self, fitted: SecureKMeans) -> None:
        with pytest.raises(DataError, match=r"^X\[1\]: The feature names should match"):
            fitted.predict([BANK, TELECOM.rename(columns={"calls": "visits"})])
        with pytest.raises(DataError, match=r"^X\[0\]: X has 1 features, but SecureKMeans is expecting 2 features"):
            model_of().fit(ROWS).predict([ROWS[:, :1], ROWS[:, 1:]])
        far = TELECOM.copy()
        far.iloc[6] = 1e9
        with pytest.raises(DataError, match=r'^X\[1\]: column "calls", row 7: the number is too far outside'):
            fitted.predict([BANK, far])


class TestIdentifiers:
    def test_labels_stand_in_the_order_of_each_table(self, aligned: SecureKMeans) -> None:
        common = np.intersect1d(OF_BANK, OF_TELECOM)
        expected = [np.where(np.isin(own, common), np.array(LABELS)[own], -1).tolist() for own in (OF_BANK, OF_TELECOM)]
        assert [labels is not None and labels.tolist() for labels in aligned.labels_by_party_] == expected
        assert aligned.labels_.tolist() == expected[0]
        assert aligned.counts_ is not None
        assert aligned.counts_.tolist() == [15, 12, 9]

    def test_numbers_of_the_common_rows(self, aligned: SecureKMeans) -> None:
        assert aligned.common_rows_ is not None
        of_bank, of_telecom = aligned.common_rows_
        assert OF_BANK[of_bank].tolist() == OF_TELECOM[of_telecom].tolist()
        assert of_bank.tolist() == sorted(of_bank)
        assert set(OF_BANK[of_bank]) == set(OF_BANK) & set(OF_TELECOM)

    def test_the_model_of_the_joined_rows(self) -> None:
        options: dict[str, Any] = {"init": "random", "n_init": 1, "max_iter": 1, "random_state": 3}
        bounds = (ROWS.min(axis=0), ROWS.max(axis=0))
        model = model_of(id_column="customer", bounds=bounds, disclose_centroids="all", **options)
        with pytest.warns(ConvergenceWarning, match="stopped after 1 iteration"):
            model.fit(overlapping())
        common = OF_BANK[np.isin(OF_BANK, OF_TELECOM)]
        with pytest.warns(ConvergenceWarning, match="stopped after 1 iteration"):
            plain = PlaintextKMeans(3, bounds=bounds, **options).fit(ROWS[common])
        assert model.cluster_centers_ is not None
        assert model.cluster_centers_.tolist() == plain.cluster_centers_.tolist()
        assert model.labels_[model.labels_ >= 0].tolist() == plain.labels_.tolist()
        assert model.inertia_ == pytest.approx(plain.inertia_, rel=1e-9)

    def test_new_rows(self, aligned: SecureKMeans) -> None:
        tables = overlapping()
        assert aligned.predict(tables).tolist() == aligned.labels_.tolist()
        distances = aligned.transform(tables)
        assert distances.shape == (45, 3)
        assert np.isnan(distances).all(axis=1).tolist() == (aligned.labels_ == -1).tolist()
        with pytest.raises(DataError, match=r"^X: the tables have no row in common"):
            aligned.predict([tables[0].assign(customer=tables[0]["customer"] + "b"), tables[1]])
        assert aligned.score(tables) == pytest.approx(-(aligned.inertia_ or 0), rel=1e-9)

    def test_new_rows_on_shares(self) -> None:
        tables = overlapping()
        model = model_of(id_column="customer", hide_labels=True, disclose_centroids="nobody").fit(tables)
        assert model.labels_ is None
        labels = model.predict(tables)
        assert labels[labels >= 0].tolist() == [LABELS[row] for row in OF_BANK if row in OF_TELECOM]
        more = [BANK.assign(customer=IDS), TELECOM.assign(customer=IDS)[::-1]]
        assert model.predict(more).tolist() == LABELS

    def test_the_columns_are_not_clustered_by(self, aligned: SecureKMeans) -> None:
        assert aligned.feature_names_in_.tolist() == ["income", "age", "calls"]
        assert aligned.n_features_in_ == 3

    def test_a_scikit_learn_model_has_the_labels_of_the_common_rows(self, aligned: SecureKMeans) -> None:
        theirs = aligned.to_sklearn()
        assert theirs.labels_.tolist() == [label for label in aligned.labels_ if label >= 0]

    def test_one_table(self) -> None:
        frame = pd.concat([BANK, TELECOM], axis=1).assign(customer=IDS)
        model = model_of(id_column="customer").fit(frame)
        assert model.labels_.tolist() == LABELS
        assert model.predict(frame[::-1]).tolist() == LABELS[::-1]

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (lambda bank: bank.drop(columns="customer"), 'X[0]: there is no column "customer"; set id_column to'),
            (
                lambda bank: bank[["income", "age"]].to_numpy(),
                "X[0]: id_column is the name of a column, so a DataFrame",
            ),
            (lambda bank: bank.assign(customer=IDS[[0] * 45]), 'X[0]: column "customer", rows 1 and 2: the identifier'),
            (lambda bank: bank.assign(customer=None), 'X[0]: column "customer", row 1: the identifier is missing'),
            (lambda bank: bank.assign(customer=bank["customer"] + " "), 'X[0]: column "customer", row 1: there are bl'),
            (
                lambda bank: bank.assign(customer=[f"b{number}" for number in range(45)]),
                "X: the tables have no row in common; write the identifiers of the same rows in the same way",
            ),
            (
                lambda bank: bank[bank["customer"].isin(["001", "002"])].assign(age=1),
                "X[0]: 2 rows do not suffice for 3 clusters",
            ),
            (
                lambda bank: bank[bank["customer"].isin(["001", "002", "005"])],
                "party_0, party_1: the tables have fewer than 3 rows in common, the least for this job: check that all "
                "of them name the same entities, and write their identifiers (id_column) in the same way",
            ),
        ],
    )
    def test_refused(self, change: Any, expected: str) -> None:
        bank, telecom = overlapping()
        with pytest.raises(DataError) as caught:
            model_of(id_column="customer").fit([change(bank), telecom])
        assert str(caught.value).startswith(expected)


class TestMethods:
    def test_of_scikit_learn(self, fitted: SecureKMeans) -> None:
        tables = [BANK, TELECOM]
        assert fitted.cluster_centers_ is not None
        expected = np.linalg.norm(ROWS[:, None] - fitted.cluster_centers_, axis=2)
        np.testing.assert_allclose(fitted.transform(tables), expected, rtol=1e-12)
        assert fitted.score(tables) == pytest.approx(-(fitted.inertia_ or 0), rel=1e-9)
        again = clone(fitted)
        assert again.get_params() == fitted.get_params()
        assert again.fit_predict(tables).tolist() == LABELS
        shown = again.set_output(transform="pandas").fit_transform(pd.concat(tables, axis=1))
        assert list(shown.columns) == fitted.get_feature_names_out().tolist()
        assert pickle.loads(pickle.dumps(fitted)).predict(tables).tolist() == LABELS

    def test_to_sklearn(self, fitted: SecureKMeans) -> None:
        theirs = fitted.to_sklearn()
        assert theirs.feature_names_in_.tolist() == ["income", "age", "calls"]
        assert theirs.predict(pd.concat([BANK, TELECOM], axis=1)).tolist() == theirs.labels_.tolist() == LABELS
        assert not hasattr(model_of(hide_labels=True).fit(ROWS).to_sklearn(), "labels_")

    def test_in_a_pipeline(self) -> None:
        pipeline = Pipeline([("scaler", StandardScaler()), ("kmeans", model_of(n_parties=3))]).fit(ROWS)
        assert pipeline.predict(ROWS).tolist() == pipeline["kmeans"].labels_.tolist() == LABELS

    def test_joined_centers_label_as_the_parties_do_on_shares(self, fitted: SecureKMeans) -> None:
        new = np.random.default_rng(0).uniform(-2, 14, (50, 3))
        local = model_of().fit(ROWS)
        on_shares = model_of(hide_labels=True, disclose_centroids="nobody").fit(ROWS)
        grid = local.report_.result.grid_centers
        assert grid is not None
        expected = label_rows(local._job, grid, new, local.report_.result.tie_order)
        assert local.predict(new).tolist() == on_shares.predict(new).tolist() == expected.tolist()


class TestDisclosures:
    def test_defaults_are_those_of_the_job(self) -> None:
        parameters = SecureKMeans().get_params()
        for key in ("max_iter", "tol", "hide_labels", "hide_counts", "resolution", "reveal_inertia"):
            assert parameters[key] == SvkJob.default_of(key), key
        assert (parameters["disclose_centroids"], parameters["disclose_labels"]) == (None, None)  # the job's

    def test_each_party_learns_its_own_columns(self, fitted: SecureKMeans) -> None:
        learned = {entry.to for entry in fitted.report_.ledger if entry.what == "final centroids in its own columns"}
        assert learned == {"party_0", "party_1"}
        assert "final centroids" not in what(fitted)

    def test_hidden_labels(self) -> None:
        model = model_of(hide_labels=True).fit(ROWS)
        assert (model.labels_, model.labels_by_party_, model.inertia_) == (None, [None, None], None)
        assert not what(model) & {"labels of all rows", "final labels of all rows"}
        with pytest.raises(JobError, match=r"^fit_predict: with hide_labels nobody learns the labels of the fit; set"):
            model.fit_predict(ROWS)

    def test_labels_for_one_party(self) -> None:
        model = model_of(hide_labels=True, disclose_labels=[1])
        assert model.fit_predict(ROWS).tolist() == LABELS
        assert model.labels_by_party_[0] is None
        assert model.labels_by_party_[1] is not None
        assert {entry.to for entry in model.report_.ledger if entry.what.startswith("final labels of all rows")} == {
            "party_1"
        }

    def test_hidden_sizes(self) -> None:
        model = model_of(hide_labels=True, hide_counts=True, resolution=(0.5, 0.5, 0.5)).fit(ROWS)
        assert (model.counts_, model.inertia_, model.labels_) == (None, None, None)
        labels = model.predict(ROWS)
        assert sorted(np.bincount(labels)) == [15, 20, 25]

    def test_a_small_cluster_is_withheld(self) -> None:
        rows = np.append(ROWS, [[60.0, 60.0, 60.0]], axis=0)
        with pytest.warns(ConvergenceWarning, match="Cluster 3 is of fewer than 5 rows"):
            model = model_of(4, hide_labels=True, min_cluster_size=5).fit(rows)
        assert model.withheld_.tolist() == [3]
        assert model.cluster_centers_ is not None
        assert np.isnan(model.cluster_centers_).all(axis=1).tolist() == [False, False, False, True]
        assert model.predict(rows).tolist() == [*LABELS, 3]

    def test_fewer_distinct_rows_than_clusters(self) -> None:
        rows = [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
        with pytest.warns(ConvergenceWarning, match="Cluster 2 is empty"):
            model = model_of().fit(rows)
        assert model.labels_.tolist() == model.predict(rows).tolist() == [1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"split": "cells"}, 'split: it should be "rows" or "columns"'),
        ({"split": np.array(["rows", "rows"])}, 'split: it should be "rows" or "columns"'),
        ({"split": "rows", "hide_labels": True}, "hide_labels: it is only for parties that hold columns; set split="),
        ({"split": "rows", "disclose_labels": "all"}, "disclose_labels: it is only for parties that hold columns"),
        ({"split": "rows", "id_column": "customer"}, "id_column: it is only for parties that hold columns"),
        ({"split": "rows", "disclose_centroids": "own"}, 'disclose_centroids: it should be "all" or "nobody" where'),
        ({"engine": "crypten"}, 'engine: it should be "secure" where the parties hold columns'),
        ({"disclose_centroids": "some"}, 'disclose_centroids: it should be "own", "all" or "nobody" where'),
        ({"disclose_centroids": "nobody"}, "disclose_centroids: with the labels each party knows the centroids in its"),
        ({"disclose_labels": "nobody"}, "disclose_labels: all parties see the labels of each iteration; set hide_la"),
        (
            {"disclose_labels": [2]},
            'disclose_labels: it should be "all", "nobody" or a list of numbers of parties, from',
        ),
        ({"disclose_labels": "party_0"}, 'disclose_labels: it should be "all", "nobody" or a list of numbers'),
        ({"hide_labels": True, "disclose_labels": [0, 1]}, "disclose_labels: name some of the parties, or write"),
        ({"hide_labels": "yes"}, "hide_labels: Input should be a valid boolean"),
        ({"hide_counts": True}, "hide_counts: the sizes follow from the labels; set hide_labels, too"),
        ({"hide_labels": True, "hide_counts": True, "resolution": (1,)}, "resolution: 1 number for 3 columns"),
        ({"hide_labels": True, "min_cluster_size": 17}, "min_cluster_size: more than 16 only with hidden sizes"),
        ({"hide_labels": True, "reveal_inertia": True}, "reveal_inertia: it is made from the labels"),
        ({"bounds": ((0.0,), (1.0,))}, "bounds: there are bounds for 1 column, but 3 to cluster by"),
        ({"id_column": 5}, "id_column: it should be the name of a column, or None"),
        ({"n_parties": 1}, "n_parties: a secure run takes 2 to 10 parties, not 1"),
    ],
)
def test_parameters_that_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(JobError) as caught:
        model_of(**options).fit(ROWS)
    assert str(caught.value).startswith(expected)


def test_groups_are_refused() -> None:
    with pytest.raises(DataError, match=r"^groups: each party has columns of all rows"):
        model_of().fit(ROWS, groups=[0] * 60)
