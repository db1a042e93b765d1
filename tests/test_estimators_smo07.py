"""SecureKMeans with the protocol SMO07, its roles in threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.utils.estimator_checks import check_estimator

from secure_kmeans import JobError, PlaintextKMeans, SecureKMeans
from secure_kmeans.protocols.smo07 import Smo07Job
from tests.estimators_in_threads import roles_in_threads
from tests.protocols.leading import without_protection

ROWS = make_blobs(60, centers=3, n_features=2, cluster_std=0.8, random_state=3)[0]
OUTLIER = np.append(ROWS, [[60.0, 60.0]], axis=0)


@pytest.fixture(autouse=True, scope="module")
def _threads() -> Iterator[None]:
    with roles_in_threads():
        yield


@pytest.fixture
def _clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """What both modes return does not depend on the mode, and this one is the fastest."""
    without_protection(monkeypatch)


def model_of(n_clusters: int = 3, **options: Any) -> SecureKMeans:
    return SecureKMeans(n_clusters, protocol="smo07", **({"random_state": 0} | options))


def what(model: SecureKMeans) -> set[str]:
    return {entry.what for entry in model.report_.ledger}


@pytest.mark.usefixtures("_clear")
class TestFit:
    def test_scikit_learns_own_checks(self) -> None:
        check_estimator(SecureKMeans(protocol="smo07", n_init=1), on_fail="raise")

    @pytest.mark.parametrize("scaling", ["uniform", "minmax", "none"])
    @pytest.mark.parametrize("init", ["moments", "uniform", ROWS[[0, 20, 40]]])
    def test_the_same_model_as_the_baseline(self, init: Any, scaling: Any) -> None:
        options: dict[str, Any] = {"init": init, "scaling": scaling, "n_init": 3, "random_state": 5}
        plain = PlaintextKMeans(3, **options).fit(ROWS)
        secure = model_of(n_parties=4, reveal_sizes=True, reveal_inertia=True, **options).fit(ROWS)
        assert secure.cluster_centers_ is not None
        assert secure.counts_ is not None
        # The means have 30 fractional bits of each column's range, those of the baseline 40.
        assert secure.cluster_centers_ == pytest.approx(plain.cluster_centers_, abs=1e-7)
        assert secure.labels_.tolist() == plain.labels_.tolist()
        assert secure.counts_.tolist() == plain.counts_.tolist()
        assert secure.n_iter_ == plain.n_iter_
        assert secure.inertia_ == pytest.approx(plain.inertia_, rel=1e-9)

    def test_three_parties_in_the_usual_mode(self) -> None:
        model = model_of().fit(ROWS)
        assert model.report_.protocol == "smo07"
        assert [len(labels) for labels in model.labels_by_party_] == [20, 20, 20]
        assert (model.report_.result.init, model.report_.result.mode) == ("moments", "paillier")
        assert model.report_.result.leader == model.report_.parties[0]
        assert model.common_rows_ is None

    def test_sizes_and_inertia_are_disclosed_on_demand_alone(self) -> None:
        hidden, shown = model_of().fit(ROWS), model_of(reveal_sizes=True, reveal_inertia=True).fit(ROWS)
        assert (hidden.counts_, hidden.inertia_) == (None, None)
        assert not {"final cluster sizes", "inertia"} & what(hidden)
        assert shown.counts_ is not None
        assert shown.counts_.tolist() == [20, 20, 20]
        assert {"final cluster sizes", "inertia"} <= what(shown)

    def test_a_small_cluster_keeps_a_center_and_its_size_is_not_known(self) -> None:
        start = [*ROWS[[0, 20, 40]], [50.0, 50.0]]
        bounds = ((-20.0, -20.0), (60.0, 60.0))
        with pytest.warns(UserWarning, match="Cluster 3 is of fewer than 5 rows, and its centroid is not their mean"):
            model = model_of(4, init=start, bounds=bounds, min_cluster_size=5, reveal_sizes=True).fit(OUTLIER)
        assert model.cluster_centers_ is not None
        assert model.counts_ is not None
        assert model.cluster_centers_[3] == pytest.approx([50.0, 50.0], abs=1e-4)
        assert np.isnan(model.counts_[3])
        assert model.counts_[:3].tolist() == [20, 20, 20]
        assert model.withheld_.tolist() == []
        assert model.predict(OUTLIER).tolist() == model.labels_.tolist()
        assert model.labels_[-1] == 3

    def test_twenty_parties(self) -> None:
        model = model_of(n_parties=20).fit(list(np.array_split(ROWS, 20)))
        assert len(model.labels_by_party_) == 20
        assert model.labels_.tolist() == model_of(n_parties=20).fit(ROWS).labels_.tolist()

    def test_new_rows(self) -> None:
        model = model_of(reveal_inertia=True).fit(ROWS)
        assert model.predict(ROWS).tolist() == model.labels_.tolist()
        assert model.cluster_centers_ is not None
        assert model.predict(model.cluster_centers_).tolist() == [0, 1, 2]
        assert model.score(ROWS) == pytest.approx(-(model.inertia_ or 0.0), rel=1e-6)
        assert model.transform(ROWS[:4]).shape == (4, 3)
        assert model.to_sklearn().predict(ROWS).tolist() == model.labels_.tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"n_parties": 2}, "n_parties: each of two parties can subtract its own rows"),
        ({"n_parties": 21}, "n_parties: a secure run takes 2 to 20 parties, not 21"),
        ({"n_parties": 2, "mode": "aggregate"}, 'mode: "aggregate" needs three parties or more'),
        ({"mode": "clear"}, "mode: Input should be 'paillier' or 'aggregate'"),
        ({"mode": "aggregate", "key_bits": 3072}, 'key_bits: the mode "aggregate" has no key; leave it out'),
        ({"fresh_keys": "never"}, "fresh_keys: Input should be 'iteration' or 'run'"),
        ({"key_bits": 1024}, "key_bits: Input should be 2048 or 3072"),
        ({"reveal_sizes": "yes"}, "reveal_sizes: Input should be a valid boolean"),
        ({"hide_counts": True}, "hide_counts: smo07 hides the sizes unless reveal_sizes is set; leave it out"),
        ({"resolution": (1, 1)}, "resolution: smo07 discloses all digits of the centers; leave it out"),
        ({"engine": "crypten"}, "engine: smo07 has no choice of it; leave it out"),
        ({"disclose_centroids": "nobody"}, "disclose_centroids: with smo07 all parties know the centers"),
        ({"hide_labels": True}, "hide_labels: it is only for parties that hold columns"),
        ({"split": "columns"}, 'protocol: with split="columns" it should be "svk"'),
        ({"protocol": "svk"}, 'protocol: with split="rows" it should be "shk" or "smo07"'),
        ({"protocol": "shk", "mode": "paillier"}, 'mode: it is only for protocol="smo07"; leave it out'),
        ({"protocol": "shk", "reveal_sizes": True}, 'reveal_sizes: it is only for protocol="smo07"; leave it out'),
        ({"protocol": "svk", "split": "columns", "key_bits": 2048}, 'key_bits: it is only for protocol="smo07"'),
        ({"protocol": 7}, 'protocol: with split="rows" it should be'),
    ],
)
def test_parameters_that_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(JobError) as caught:
        SecureKMeans(2, **({"protocol": "smo07"} | options)).fit(ROWS)
    assert str(caught.value).startswith(expected)


@pytest.mark.usefixtures("_clear")
def test_two_parties_that_accept_it() -> None:
    assert len(model_of(n_parties=2, accept_two_parties=True).fit(ROWS).labels_by_party_) == 2


def test_the_protocol_follows_from_the_split() -> None:
    assert SecureKMeans(3, n_init=1).fit(ROWS).report_.protocol == "shk"
    assert SecureKMeans(3, n_init=1, protocol="shk").fit(ROWS).report_.protocol == "shk"
    assert SecureKMeans(3, n_init=1, split="columns", protocol="svk").fit(ROWS).report_.protocol == "svk"


@pytest.mark.parametrize("parameter", ["mode", "fresh_keys", "key_bits"])
def test_none_is_the_default_of_the_job(parameter: str) -> None:
    assert SecureKMeans().get_params()[parameter] is None
    assert Smo07Job.default_of(parameter) is not None
