"""A fit whose centroids nobody sees, and predictions by its model, each role in a process of its own."""

import os
import signal
from pathlib import Path

import pytest
from roles_apart import PARTIES, ROLES

from tests.system.apart import Apart

NOBODY = 'disclose = { centroids = "nobody" }'


@pytest.fixture
def fitted(apart: Apart) -> Apart:
    """The roles after such a fit; the dealer has the job file of the predictions, too."""
    prepare(apart)
    apart.start_all()
    apart.wait_until_all_end_well()
    hand_out(apart)
    return apart


def prepare(apart: Apart) -> None:
    apart.prepare(public=False)
    job = apart.folder / "job.toml"
    job.write_text(f"{NOBODY}\n{job.read_text()}")


def hand_out(apart: Apart) -> None:
    """The job file of the predictions, which is the same at all parties, to all roles."""
    written = [(apart.folder / "results" / "job" / party / "job-predict.toml").read_text() for party in PARTIES]
    assert written[0] == written[1]
    (apart.folder / "job-predict.toml").write_text(written[0])


def predict(apart: Apart, *options: str) -> None:
    for role in ROLES:
        apart.start(role, *(options if role in PARTIES else ()), job="job-predict.toml")


def labels(folder: Path, run: str) -> dict[str, str]:
    return {party: (folder / "results" / run / party / f"labels_{party}.csv").read_text() for party in PARTIES}


def models(apart: Apart, party: str) -> list[Path]:
    return sorted((apart.folder / "state" / "job" / party).glob("model-*"))


def test_the_rows_of_the_fit_get_its_labels(fitted: Apart) -> None:
    (kept,) = {path.name for party in PARTIES for path in models(fitted, party)}
    report = (fitted.folder / "results" / "job" / "lab" / "report.json").read_text()
    assert f'"session": "{kept.removeprefix("model-")}' in report
    assert 'cluster_centers": null' in report
    predict(fitted)
    fitted.wait_until_all_end_well()
    assert labels(fitted.folder, "job-predict") == labels(fitted.folder, "job")
    assert not (fitted.folder / "state" / "job-predict").exists()
    assert "report.sig" in fitted.files("results/job-predict/lab")


def test_a_fit_that_was_resumed(apart: Apart) -> None:
    prepare(apart)
    apart.start_all()
    apart.wait_for("clinic", "iterations 2 ")
    apart.roles["dealer"].signal(signal.SIGKILL)
    apart.assert_others_name("dealer")
    assert models(apart, "clinic") == models(apart, "lab") == []
    apart.start_all("--resume")
    apart.wait_until_all_end_well()
    hand_out(apart)
    predict(apart)
    apart.wait_until_all_end_well()
    assert labels(apart.folder, "job-predict") == labels(apart.folder, "job")


def test_a_party_without_its_share_says_so_before_anything_is_sent(fitted: Apart) -> None:
    (kept,) = models(fitted, "lab")
    elsewhere = fitted.folder / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    kept.rename(elsewhere / kept.name)
    lab = fitted.start("lab", job="job-predict.toml")
    fitted.wait_until_ended("lab")
    assert lab.status == 2
    assert f"there is no model of session {kept.name.removeprefix('model-')}, which the job names" in lab.last_line
    assert "waiting for" not in lab.output
    for role in ("clinic", "dealer"):
        fitted.start(role, job="job-predict.toml")
    fitted.start("lab", "--state", "elsewhere", job="job-predict.toml")
    fitted.wait_until_all_end_well()
    assert labels(fitted.folder, "job-predict") == labels(fitted.folder, "job")


def test_a_full_disk_fails_the_run_for_all(apart: Apart) -> None:
    """A party that cannot keep its share of the model ends the run before any party has a result."""
    prepare(apart)

    def refuse() -> None:
        from secure_kmeans.roles import run

        def full(_folder: Path, _model: object) -> Path:
            raise OSError(28, os.strerror(28), "state")

        setattr(run, "keep_model", full)  # noqa: B010 -- mypy does not let a module be assigned to

    for role in ROLES:
        apart.start(role, before=refuse if role == "lab" else None)
    apart.assert_others_name("lab", "No space left on device")
