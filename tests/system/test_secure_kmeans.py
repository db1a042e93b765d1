import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError

from secure_kmeans import DataError, JobError, PlaintextKMeans, SecureKMeans

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
    assert model.cluster_centers_.tolist() == plain.cluster_centers_.tolist()  # to the last bit
    assert model.inertia_ == pytest.approx(plain.inertia_, rel=1e-9)
    assert model.n_iter_ == plain.n_iter_
    assert model.n_features_in_ == 2
    assert model.feature_names_in_.tolist() == ["income", "age"]
    assert model.report_.agreement is None

    new = pd.DataFrame(model.cluster_centers_[[2, 0]] + 0.1, columns=["income", "age"])
    assert model.predict([new, new.iloc[:0]]).tolist() == [2, 0]


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


@pytest.mark.parametrize(
    ("options", "X", "error", "message"),
    [
        ({}, np.array([[1.0, np.nan]]), ValueError, "NaN"),
        ({}, [["a", "b"]], ValueError, "could not convert"),
        ({}, ROWS[:, 0], ValueError, "2D"),
        ({}, [ROWS, ROWS, ROWS], DataError, r"3 tables for n_parties=2; give one table for each party"),
        ({}, [ROWS, ROWS[:, :1]], ValueError, "1 features, but SecureKMeans is expecting 2"),
        ({"n_clusters": 41}, ROWS, DataError, "n_samples=40 should be >= n_clusters=41"),
        ({"n_clusters": 0}, ROWS, JobError, "n_clusters: Input should be greater than or equal to 1"),
        ({"n_parties": 1}, ROWS, JobError, "n_parties: a secure run takes 2 to 10 parties, not 1"),
        ({"n_parties": 11}, ROWS, JobError, "n_parties: a secure run takes 2 to 10 parties, not 11"),
        ({"init": "best"}, ROWS, JobError, "init: Input should be 'farthest', 'k-means"),
        ({"init": ROWS[:2]}, ROWS, JobError, "centroids: there must be 5 rows of 2 numbers"),
        ({"bounds": ((0.0,), (1.0,))}, ROWS, JobError, "bounds for 1 column"),
        ({"bounds": ((0, 0), (1, 1))}, ROWS, DataError, r'X: column "x0", row \d+: the number is outside the agreed'),
        ({"random_state": -1}, ROWS, JobError, "random_state: it should be a whole number from 0 to"),
    ],
)
def test_mistakes_are_told_before_anything_starts(
    options: dict[str, Any], X: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        SecureKMeans(**options).fit(X)
