import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError

from secure_kmeans import PlaintextKMeans, SecureKMeans

ROOT = Path(__file__).resolve().parents[2]
ROWS = make_blobs(40, centers=3, n_features=2, random_state=3)[0]


def test_fit_and_predict_on_tables_of_two_parties() -> None:
    tables = [pd.DataFrame(ROWS[:15], columns=["income", "age"]), pd.DataFrame(ROWS[15:], columns=["income", "age"])]
    model = SecureKMeans(n_clusters=3, random_state=0)
    assert model.fit(tables) is model
    plain = PlaintextKMeans(n_clusters=3, random_state=0).fit(ROWS)
    assert model.labels_.tolist() == plain.labels_.tolist()
    assert [len(own) for own in model.labels_by_party_] == [15, 25]
    assert model.counts_ is not None
    assert model.counts_.tolist() == plain.counts_.tolist()
    assert model.cluster_centers_ is not None
    assert model.cluster_centers_.tolist() == plain.cluster_centers_.tolist()  # to the last bit
    assert model.inertia_ == pytest.approx(plain.inertia_, rel=1e-9)
    assert model.n_iter_ == plain.n_iter_
    assert model.n_features_in_ == 2
    assert model.feature_names_in_.tolist() == ["income", "age"]
    assert model.report_.agreement is None

    new = pd.DataFrame(model.cluster_centers_[[2, 0]] + 0.1, columns=["income", "age"])
    assert model.predict([new, new.iloc[:0]]).tolist() == [2, 0]


def test_a_model_that_nobody_sees_labels_rows_on_shares(capsys: pytest.CaptureFixture[str]) -> None:
    model = SecureKMeans(n_clusters=3, n_parties=3, disclose_centroids="nobody", verbose=1)
    labels = model.fit_predict(ROWS, groups=np.arange(len(ROWS)) % 3)
    assert model.cluster_centers_ is None
    assert sorted(np.bincount(labels).tolist()) == [13, 13, 14]
    assert model.predict(ROWS).tolist() == labels.tolist()
    assert capsys.readouterr().out == ""  # bars go to standard error


def test_tables_of_columns_with_identifiers_and_hidden_labels() -> None:
    bank = pd.DataFrame({"customer": [f"{number:03}" for number in range(40)], "income": ROWS[:, 0]})
    telecom = pd.DataFrame({"customer": bank["customer"], "calls": ROWS[:, 1]})[::-1]
    options = {"hide_labels": True, "disclose_labels": [0], "disclose_centroids": "nobody"}
    model = SecureKMeans(n_clusters=3, split="columns", id_column="customer", **options)  # type: ignore[arg-type]
    labels = model.fit_predict([bank[:30], telecom[:30]])
    assert (labels == -1).tolist() == [True] * 10 + [False] * 20
    assert model.cluster_centers_ is None
    assert model.labels_by_party_[1] is None
    assert model.predict([bank[:30], telecom]).tolist()[10:] == labels[10:].tolist()  # on shares, of more rows


def test_works_without_a_main_module_like_a_notebook_cell() -> None:
    script = """
import asyncio, numpy as np
from secure_kmeans import SecureKMeans

async def cell():
    rows = np.array([[1.0, 1.0], [1.0, 2.0], [4.0, 1.0], [4.0, 2.0]])
    return SecureKMeans(n_clusters=2, n_init=1, random_state=0).fit_predict(rows)

a, b, c, d = asyncio.run(cell())
print(a == b != c == d)
"""
    done = subprocess.run([sys.executable, "-"], input=script, cwd=ROOT, text=True, capture_output=True, timeout=100)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_parameters_follow_scikit_learn() -> None:
    model = SecureKMeans(4, n_parties=3, init=ROWS[:4], random_state=7)
    assert clone(model).get_params()["n_parties"] == 3
    assert model.set_params(tol=0.5).tol == 0.5
    with pytest.raises(NotFittedError):
        model.predict(ROWS)
