"""What the estimators refuse, and in which words: a message names the parameter and holds no value of a table."""

from __future__ import annotations

import datetime
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from secure_kmeans import DataError, JobError, PlaintextKMeans, SecureKMeans

SECRET: Final = 987.125
FRAME: Final = pd.DataFrame({"age": [1.0, 2, 3, 4, 5, 6], "income": [SECRET, 2, 3, 4, 5, 6]})
DAYS: Final = ["2987-01-01", "2987-01-02"]

TABLES: Final[dict[str, tuple[Any, str]]] = {
    "text": ([[SECRET, "mr 987"], [1, 2]], 'X: column "x1", row 1: this is text, not a number'),
    "one dimension": ([SECRET, 1, 2], "X: a 2D table is needed, of shape (n_samples, n_features), not 1D"),
    "a number": (SECRET, "X: a 2D table is needed, of shape (n_samples, n_features), not 0D"),
    "a word": ("987", "X: a 2D table is needed, of shape (n_samples, n_features), not 0D"),
    "nothing": (None, "X: a 2D table is needed, of shape (n_samples, n_features), not 0D"),
    "three dimensions": (np.full((2, 2, 2), SECRET), "X: Found array with dim 3"),
    "complex": (np.array([[SECRET + 1j], [1]]), "X: Complex data not supported; give real numbers"),
    "ragged": ([[SECRET, 1], [2]], "X: the rows of a table need equally many cells"),
    "ragged tables": ([[[SECRET, 1], [2]], [[1, 2], [3, 4]]], "the rows of a table need equally many cells"),
    "NaN": ([[SECRET, np.nan], [1, 2]], 'X: column "x1", row 1: a value is missing (NaN)'),
    "masked": (np.ma.array([[SECRET], [1]], mask=[[True], [False]]), 'X: column "x0", row 1: a value is missing (NaN)'),
    "nullable": (pd.DataFrame({"a": pd.array([987, None], dtype="Int64")}), 'X: column "a", row 2: a value is missing'),
    "infinite": ([[1, 2], [SECRET, np.inf]], 'X: column "x1", row 2: the number is infinite (inf)'),
    "too large": ([[SECRET * 1e20, 1], [1, 2]], 'X: column "x0", row 1: the number is too large for the fixed point'),
    "a dictionary": (np.array([[{"a": SECRET}], [1]], dtype=object), "X: a cell is of type dict"),
    "a callable": (lambda: SECRET, "X: a cell is of type function"),
    "dates": (pd.DataFrame({"x": [1, 2], "day": pd.to_datetime(DAYS)}), 'X: column "day" holds dates or times'),
    "dates alone": (pd.DataFrame({"day": pd.to_datetime(DAYS)}), 'X: column "day" holds dates or times'),
    "periods": (pd.DataFrame({"p": pd.period_range("2987", "2989", freq="Y")}), 'X: column "p" holds dates or times'),
    "durations": (pd.DataFrame({"p": pd.to_timedelta([987, 2], unit="s")}), 'X: column "p" holds dates or times'),
    "an array of dates": (np.array([DAYS], dtype="M8[D]"), "X: it holds dates or times"),
    "a list of dates": ([[np.datetime64(day)] for day in DAYS], "X: it holds dates or times"),
    "Python's dates": (
        [[datetime.date(2987, 1, 1)], [datetime.date(2987, 1, 2)]],
        'X: column "x0" holds dates or times',
    ),
    "doubled names": (
        pd.DataFrame([[SECRET, 1, 2]], columns=["a", "b", "a"]),
        "X: column 3 has the name of an earlier one; rename it",
    ),
    "mixed names": (pd.DataFrame([[SECRET, 1]], columns=["a", 1]), "X: the names of some columns are text"),
    "a row as header": (
        pd.DataFrame([[1, 2]], columns=["987.125", "5"]),
        "X: the names of its columns look like a row",
    ),
    "categories": (pd.DataFrame({"c": pd.Categorical(["987 a", "b"])}), "X: column 1, row 1: this is text"),
    "sparse": (scipy.sparse.csr_array([[SECRET, 0.0], [1.0, 0.0]]), "X: Sparse data was passed"),
    "no rows": (np.empty((0, 2)), "X: Found array with 0 sample(s)"),
    "no columns": (np.empty((3, 0)), "X: Found array with 0 feature(s)"),
    "one row": ([[SECRET, 2.0]], "X: "),
}


def refusal(call: Any, *arguments: Any, **options: Any) -> str:
    """The message of a refusal, which is the package's own error."""
    with pytest.raises((DataError, JobError)) as caught:
        call(*arguments, **options)
    assert isinstance(caught.value, ValueError)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, "the traceback shows another message"
    return str(caught.value)


@pytest.mark.parametrize("estimator", [PlaintextKMeans, SecureKMeans])
@pytest.mark.parametrize("name", TABLES)
def test_tables_that_are_refused(estimator: type, name: str) -> None:
    X, expected = TABLES[name]
    message = refusal(estimator(2).fit, X)
    assert expected in message
    assert "987" not in message


@pytest.fixture(scope="module")
def model() -> PlaintextKMeans:
    return PlaintextKMeans(2, random_state=0).fit(FRAME)


class TestNewRows:
    @pytest.mark.parametrize("method", ["predict", "transform", "score"])
    @pytest.mark.parametrize(
        ("X", "expected"),
        [
            (FRAME[["income", "age"]], "X: The feature names should match those that were passed during fit."),
            (FRAME[["age"]], "X: The feature names should match"),
            (FRAME.rename(columns={"income": "height"}), "X: The feature names should match"),
            (FRAME.rename(columns={"income": "987.125"}), "X: the names of its columns look like a row of data"),
            (FRAME.astype(str).replace("987.125", "mr 987"), 'X: column "income", row 1: this is text'),
            (FRAME.replace(6, np.nan), 'X: column "age", row 6: a value is missing (NaN)'),
            (FRAME * 1e30, 'X: column "age", row 1: the number is too large for the fixed point'),
        ],
    )
    def test_refused_as_in_a_fit(self, model: PlaintextKMeans, method: str, X: Any, expected: str) -> None:
        message = refusal(getattr(model, method), X)
        assert expected in message
        assert "987" not in message

    def test_too_few_columns(self, model: PlaintextKMeans) -> None:
        with pytest.warns(UserWarning, match="X does not have valid feature names"):
            message = refusal(model.predict, [[SECRET]])
        assert message.startswith("X has 1 features, but PlaintextKMeans is expecting 2 features as input")

    def test_far_outside_the_bounds(self, model: PlaintextKMeans) -> None:
        message = refusal(model.predict, FRAME.replace(5.0, 987e9))
        expected = 'X: column "age", row 5: the number is too far outside the bounds that the model was fitted with'
        assert message.startswith(expected)
        assert "987" not in message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"n_clusters": 0}, "n_clusters: it should be a whole number of at least 1"),
        ({"n_clusters": "3"}, "n_clusters: it should be a whole number of at least 1"),
        ({"n_clusters": 7}, "X: 6 rows do not suffice for 7 clusters; use fewer clusters"),
        ({"init": "best"}, "init: Input should be 'farthest', 'k-means++'"),
        ({"init": print}, 'init: it should be "farthest", "k-means++", "random"'),
        ({"init": datetime.date(2020, 1, 1)}, 'init: it should be "farthest"'),
        (
            {"init": [[1, 2]]},
            "init: an array of shape (n_clusters, n_features) = (2, 2) is needed, not of shape (1, 2)",
        ),
        ({"init": [[np.nan, 1], [1, 2]]}, "init: every coordinate should be a finite number"),
        ({"init": [[1e30, 1], [1, 2]]}, 'init: centroid 0 lies outside the bounds of column "age"'),
        ({"n_init": "auto"}, "n_init: Input should be a valid integer"),
        ({"max_iter": 0}, "max_iter: Input should be greater than or equal to 1"),
        ({"tol": np.nan}, "tol: Input should be a finite number"),
        ({"min_cluster_size": 0}, "min_cluster_size: Input should be greater than or equal to 1"),
        ({"scaling": "standard"}, 'scaling: it should be "uniform", "minmax" or "none"'),
        ({"scaling": None}, 'scaling: it should be "uniform", "minmax" or "none"'),
        ({"bounds": 1}, "bounds: two sequences are needed, the lower and the upper bound of every column"),
        ({"bounds": ((0.0,), (1.0,))}, "bounds: there are bounds for 1 column, but 2 to cluster by"),
        ({"bounds": ((9, 9), (1, 1))}, "bounds: column 1: its lower bound is above its upper bound"),
        ({"bounds": ((0, 0), (9, 9))}, 'X: column "income", row 1: the number is outside the agreed bounds'),
        ({"random_state": -1}, "random_state: it should be a whole number from 0 to"),
        ({"random_state": 1.5}, "random_state: it should be a whole number, a numpy.random.RandomState or None"),
    ],
)
@pytest.mark.parametrize("estimator", [PlaintextKMeans, SecureKMeans])
def test_parameters_of_both(estimator: type, options: dict[str, Any], expected: str) -> None:
    message = refusal(estimator(**({"n_clusters": 2} | options)).fit, FRAME)
    assert message.startswith(expected)
    assert "987" not in message


@pytest.mark.parametrize(
    ("estimator", "names"),
    [
        (PlaintextKMeans(2), ["farthest", "k-means++", "random", "moments", "uniform"]),
        (SecureKMeans(2), ["farthest", "k-means++", "random"]),
        (SecureKMeans(2, split="columns"), ["farthest", "k-means++", "random"]),
        (SecureKMeans(2, protocol="smo07"), ["moments", "uniform"]),
    ],
)
def test_a_wrong_start_is_refused_with_the_list_of_those_that_can_be(estimator: Any, names: list[str]) -> None:
    for init in ("best", "farthest", "moments"):
        if init not in names:
            message = refusal(estimator.set_params(init=init).fit, FRAME)
            *first, last = (f"'{name}'" for name in names)
            assert message == f"init: Input should be {', '.join(first)} or {last}"
    listed = ", ".join(f'"{name}"' for name in names)
    message = refusal(estimator.set_params(init=3).fit, FRAME)
    assert message == f"init: it should be {listed} or an array of shape (n_clusters, n_features)"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"n_parties": 1}, "n_parties: a secure run takes 2 to 10 parties, not 1"),
        ({"n_parties": 11}, "n_parties: a secure run takes 2 to 10 parties, not 11"),
        ({"n_parties": FRAME}, "n_parties: it should be a whole number from 2 to 10"),
        ({"n_parties": 7}, "X: n_samples=6 should be >= n_parties=7; use fewer parties"),
        ({"min_cluster_size": 17}, "min_cluster_size: more than 16 only with hidden sizes; set hide_counts"),
        ({"hide_counts": "yes"}, "hide_counts: Input should be a valid boolean"),
        ({"hide_counts": True, "reveal_inertia": True}, "reveal_inertia: with it the sizes can follow"),
        ({"hide_counts": True, "resolution": (1,)}, "resolution: 1 number for 2 columns; give one for each"),
        ({"resolution": 3}, "resolution: a sequence of numbers is needed, one for each column"),
        ({"resolution": (1, 1)}, "resolution: without hidden sizes"),
        ({"disclose_centroids": "some"}, 'disclose_centroids: it should be "all" or "nobody"'),
        ({"disclose_centroids": "nobody", "reveal_inertia": True}, "disclose_centroids: the losses are made from"),
        ({"engine": "fast"}, "engine: Input should be 'secure' or 'crypten'"),
        ({"engine": "crypten"}, 'random_state: the engine "crypten" draws no secret starts'),
        ({"timeout": 0}, "timeout: Input should be greater than or equal to 1"),
    ],
)
def test_parameters_of_the_secure_one(options: dict[str, Any], expected: str) -> None:
    assert refusal(SecureKMeans(**({"n_clusters": 2} | options)).fit, FRAME).startswith(expected)


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        ([FRAME, FRAME, FRAME], "X: 3 tables for n_parties=2; give one table for each party"),
        ([FRAME, FRAME[:0]], "X[1]: Found array with 0 sample(s)"),
        ([FRAME, FRAME[["age"]]], "X[1]: The feature names should match"),
        ([FRAME, None], "X[1]: a 2D table is needed"),
        ([FRAME, FRAME.replace(4, np.nan)], 'X[1]: column "age", row 4: a value is missing (NaN)'),
        ([FRAME, [[1, 2], [2, "mr 987"]]], 'X[1]: column "x1", row 2: this is text'),
        ([FRAME[:1], FRAME[:1]], "X[0], X[1]: 2 rows do not suffice for 3 clusters; use fewer clusters"),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_lists_of_tables(X: Any, expected: str) -> None:
    message = refusal(SecureKMeans(3).fit, X)
    assert message.startswith(expected)
    assert "987" not in message


def test_rows_are_numbered_as_in_the_table_not_as_in_a_party() -> None:
    message = refusal(SecureKMeans(2, bounds=((0, 0), (5, 1000))).fit, FRAME)
    assert message.startswith('X: column "age", row 6: the number is outside the agreed bounds')
