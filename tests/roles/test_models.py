"""A party's share of a model in its state folder."""

import hashlib
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from secure_kmeans.errors import JobError, StateError
from secure_kmeans.job import Party, Scaling
from secure_kmeans.protocols.shk.job import ShkJob
from secure_kmeans.roles.models import KeptModel, keep_model, model_for, models_in
from secure_kmeans.roles.states import StateFolder
from tests.protocols.toy.installed import install_for_test, job_of_mean

SESSION, OTHER = "5e" * 32, "0f" * 32
FITTED = ShkJob.of(
    parties=Party.named("north", "south"),
    columns=("a", "b"),
    n_clusters=2,
    scaling=Scaling.of(lower=(0.0, 0.0), upper=(1.0, 1.0)),
    precision_bits=20,
    disclose={"centroids": "nobody"},
)
JOB = FITTED.prediction(SESSION)
SHARE = bytes(range(48))


def model_with(**changes: Any) -> KeptModel:
    values: dict[str, Any] = {
        "job": FITTED,
        "party": "north",
        "session": SESSION,
        "started": datetime(2026, 3, 1, tzinfo=UTC),
    }
    return KeptModel(**(values | {"share": SHARE} | changes))


def refusal(folder: Path, job: ShkJob = JOB, party: str = "north") -> str:
    with pytest.raises((StateError, JobError)) as caught:
        model_for(job, job.model or "", party, [folder])
    said = str(caught.value)
    assert "\n" not in said
    return said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    made.mkdir(mode=0o700)
    return made


def test_what_is_kept_is_found_again_and_only_its_owner_can_read_it(folder: Path) -> None:
    file = keep_model(folder, model_with())
    assert (file.name, stat.S_IMODE(file.stat().st_mode)) == (f"model-{SESSION[:16]}", 0o600)
    assert [path.name for path in folder.iterdir()] == [file.name]
    assert models_in(folder) == [model_with()]
    assert model_for(JOB, SESSION, "north", [folder / "none", folder]) == SHARE


def test_the_models_of_several_runs_stay_the_latest_last(folder: Path) -> None:
    later = model_with(session=OTHER, started=datetime(2026, 3, 2, tzinfo=UTC), share=b"other")
    keep_model(folder, later)
    keep_model(folder, model_with())
    assert models_in(folder) == [model_with(), later]
    assert model_for(JOB, SESSION, "north", [folder]) == SHARE


def test_the_end_of_a_run_does_not_remove_it(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "new" / "state", FITTED, "north", b"t" * 32, 1000) as states:
        states.save(bytes(32), 1, b"state")
        keep_model(states.path, model_with())
        states.clear()
    with StateFolder(states.path, FITTED, "north", b"t" * 32, 1000) as again:  # another run, which ends without a state
        assert again.checkpoints() == ()
    assert models_in(states.path) == [model_with()]
    assert not list(states.path.glob("*.state"))


class TestRefusals:
    def test_no_model(self, folder: Path) -> None:
        assert refusal(folder) == (
            f"{folder}: there is no model of session {SESSION[:16]}, which the job names; name the folder in which "
            '"north" kept the states of that run'
        )

    def test_a_model_of_another_session(self, folder: Path) -> None:
        keep_model(folder, model_with(session=OTHER))
        assert f"there is model-{OTHER[:16]}, but no model of session {SESSION[:16]}" in refusal(folder)

    def test_a_model_of_another_session_that_begins_alike(self, folder: Path) -> None:
        keep_model(folder, model_with(session=SESSION[:16] + OTHER[16:]))
        assert f"but no model of session {SESSION[:16]}" in refusal(folder)

    def test_the_share_of_another_party(self, folder: Path) -> None:
        keep_model(folder, model_with(party="south"))
        assert refusal(folder).endswith('this is the share of "south", not of "north"')

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"columns": ("b", "a")}, "columns: the job differs in it from the run whose model it takes"),
            ({"n_clusters": 3}, "n_clusters: the job differs"),
            ({"precision_bits": 19}, "precision_bits: the job differs"),
            ({"scaling": Scaling.of(lower=(0.0, 0.0), upper=(1.0, 2.0))}, "scaling: the job differs"),
            ({"parties": Party.named("north", "west")}, "parties: the model is of north, south; a prediction needs"),
        ],
    )
    def test_a_job_that_differs_in_what_the_model_depends_on(
        self, folder: Path, changes: dict[str, Any], says: str
    ) -> None:
        keep_model(folder, model_with())
        assert refusal(folder, JOB.model_copy(update=changes)).startswith(says)

    def test_a_model_of_another_protocol(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install_for_test(tmp_path / "installed", monkeypatch)
        keep_model(folder, model_with(job=job_of_mean()))
        assert refusal(folder) == 'protocol: the model is of "mean", the job of "shk"'

    def test_addresses_and_timeout_may_differ(self, folder: Path) -> None:
        keep_model(folder, model_with())
        parties = (Party(name="north", address="10.0.0.1:7"), Party(name="south"))
        job = JOB.model_copy(update={"parties": parties, "timeout": 7.0})
        assert model_for(job, SESSION, "north", [folder]) == SHARE

    def test_a_folder_that_others_may_enter(self, folder: Path) -> None:
        keep_model(folder, model_with())
        folder.chmod(0o750)
        assert refusal(folder).startswith(f"{folder}: others may enter this folder, which holds a share of a model")
        with pytest.raises(StateError, match="chmod 700 it"):
            models_in(folder)

    def test_a_damaged_file(self, folder: Path) -> None:
        file = keep_model(folder, model_with())
        whole = file.read_bytes()
        for position in range(0, len(whole), 7):
            file.write_bytes(whole[:position])
            assert refusal(folder).startswith(f"{file}: this share of a model was cut off or changed")
            file.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            assert refusal(folder).startswith(f"{file}: this share of a model was cut off or changed")

    @pytest.mark.parametrize(
        "content", [{"job": "{}"}, {"job": "[1]"}, {"job": "no JSON"}, {"session": "5E"}, {"new": 1}]
    )
    def test_a_file_of_another_version(self, folder: Path, content: dict[str, Any]) -> None:
        values = {"job": FITTED.model_dump_json(), "party": "north", "session": SESSION, "started": 1.0, "share": b""}
        payload = msgspec.msgpack.encode(values | content)
        file = folder / f"model-{SESSION[:16]}"
        file.write_bytes(hashlib.sha256(payload).digest() + payload)
        assert refusal(folder) == f"{file}: another version of the program wrote this share of a model"

    def test_a_folder_in_which_nothing_can_be_written(self, folder: Path) -> None:
        folder.rmdir()
        with pytest.raises(StateError, match="the share of the model cannot be kept"):
            keep_model(folder, model_with())
