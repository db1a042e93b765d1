from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from secure_kmeans.job.ledger import ALL, Entry
from secure_kmeans.job.model import KMeansModel, KMeansOwn, KMeansResult
from secure_kmeans.job.result import Costs, no_progress

MODEL = KMeansModel(
    centroids=[[2.0], [1.0], None],
    grid_centroids=[[512], [256], None],
    withheld=[2],
    sizes=[7, 5, None],
    inertia=0.5,
    mean_distance=None,
    n_iter=3,
    converged=True,
    best_restart=0,
    seed=7,
    sizes_by_iteration=[[6, None, None], [7, 5, None]],
)


def a_result() -> KMeansResult:
    own = KMeansOwn(labels=[0, 1, 1], seconds_by_iteration=[0.5])
    return KMeansResult(role="a", n_samples={"a": 3}, common=MODEL, own=own, ledger=[Entry(what="inertia", to=ALL)])


def test_json_and_back_keeps_the_parts_of_a_protocol() -> None:
    result = a_result().finished(session="0a", costs={"a": Costs(rounds=2, bytes_sent=9)})
    assert KMeansResult.model_validate_json(result.model_dump_json()) == result
    assert '"labels":[0,1,1]' in result.model_dump_json()


def test_json_keeps_what_is_withheld_apart_from_what_is_hidden() -> None:
    hidden = MODEL.model_copy(update={"centroids": None, "grid_centroids": None, "sizes": None, "withheld": []})
    assert KMeansModel.model_validate_json(hidden.model_dump_json()) == hidden
    assert '"sizes":[7,5,null]' in MODEL.model_dump_json()


def test_the_end_of_a_run_adds_to_a_result() -> None:
    started = datetime(2026, 1, 2, tzinfo=UTC)
    finished = a_result().finished(session="0a", seconds=1.5, started=started)
    assert (finished.session, finished.seconds, finished.started) == ("0a", 1.5, started)
    assert finished.common == a_result().common
    assert a_result().session == ""


def test_cannot_be_changed() -> None:
    result = a_result()
    with pytest.raises(ValidationError, match="frozen"):
        result.role = "b"
    assert result.role == "a"


def test_progress_can_be_ignored() -> None:
    no_progress("iterations", 1, 2)
    assert a_result().costs == {}
