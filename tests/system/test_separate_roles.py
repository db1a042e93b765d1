import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from roles_apart import CENTROIDS, PARTIES

from secure_kmeans import PlaintextKMeans
from secure_kmeans.net.identity import new_identity
from tests.system.apart import Apart

LAUNCHER = Path(__file__).resolve().parents[2] / "launcher.py"


def test_three_roles_in_any_order_find_what_the_plaintext_finds(apart: Apart) -> None:
    apart.prepare()
    apart.start("lab")
    apart.start("dealer")
    apart.wait_for("lab", "waiting for clinic")
    options = ("--party", "clinic", "--table", "clinic.csv", "--identity", "clinic", "--yes")
    late = subprocess.Popen(  # a process as a person starts it; the others are forks, which spare the imports
        [sys.executable, LAUNCHER, "job.toml", *options],
        cwd=apart.folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        _out, error = late.communicate(timeout=90)
    finally:
        late.kill()
    assert late.returncode == 0, error
    apart.wait_until_all_end_well()

    found = apart.results()
    labels = {party: found[party].pop("labels") for party in PARTIES}
    assert found["clinic"] == found["lab"]
    assert [entry["to"] for entry in found["lab"]["ledger"] if entry["to"] in PARTIES] == list(PARTIES)
    tables = {party: pd.read_csv(apart.folder / f"{party}.csv") for party in PARTIES}
    rows = pd.concat(tables.values())
    start = np.array(CENTROIDS, dtype=float)
    plain = PlaintextKMeans(3, init=start, scaling="minmax", bounds=((0, 0), (100, 10))).fit(rows)
    assert np.array(found["lab"]["result"]["cluster_centers"]) == pytest.approx(plain.cluster_centers_, abs=1e-4)
    assert found["lab"]["result"]["counts"] == plain.counts_.tolist()
    assert found["lab"]["result"]["inertia"] == pytest.approx(plain.inertia_, rel=1e-6)
    assert found["lab"]["result"]["n_iter"] == plain.n_iter_
    own = {party: [int(line.split(",")[1]) for line in labels[party].split()[1:]] for party in PARTIES}
    assert own["clinic"] + own["lab"] == plain.labels_.tolist()

    files = {"centroids.csv", "report.json", "report.sig"}
    assert set(apart.files("results/job/lab")) == files | {"labels_lab.csv"}
    assert set(apart.files("results/job/clinic")) == files | {"labels_clinic.csv", "clusters.png", "convergence.png"}
    assert {path.name for path in (apart.folder / "results/job").iterdir()} == set(PARTIES)
    assert not list((apart.folder / "state").rglob("*.state"))
    assert not any((apart.folder / "state/job" / party).exists() for party in PARTIES)


@pytest.mark.parametrize(
    ("victim", "witness", "moment"),
    [
        ("clinic", "lab", "all roles have met"),
        ("lab", "clinic", "initialisation 2"),
        ("dealer", "lab", "iterations 1 "),
        ("clinic", "lab", "iterations 2 "),
    ],
)
def test_a_role_that_is_killed_is_named_by_all_others(apart: Apart, victim: str, witness: str, moment: str) -> None:
    apart.prepare(public="initialisation" not in moment)
    apart.start_all()
    apart.wait_for(witness, moment)
    apart.roles[victim].signal(signal.SIGKILL)
    apart.assert_others_name(victim)


def test_a_role_that_is_killed_before_all_have_met_is_named(apart: Apart) -> None:
    apart.prepare()
    apart.start("dealer")
    apart.start("lab")
    apart.wait_for("dealer", "lab is connected")
    apart.wait_for("lab", "dealer is connected")
    apart.roles["dealer"].signal(signal.SIGKILL)
    apart.assert_others_name("dealer")


def test_a_role_that_is_killed_when_all_are_done_takes_no_result_from_the_others(apart: Apart, calm: Apart) -> None:
    apart.prepare()
    apart.start_all()
    apart.wait_for("lab", "done:")
    apart.roles["lab"].signal(signal.SIGKILL)
    apart.wait_until_ended("clinic", "dealer")
    assert apart.roles["clinic"].status == apart.roles["dealer"].status == 0
    assert apart.results()["clinic"] == calm.results()["clinic"]


def test_a_role_that_hangs_is_named_after_the_timeout_and_never_writes_a_result(apart: Apart) -> None:
    apart.prepare(timeout=3.0)
    apart.start_all()
    apart.wait_for("clinic", "iterations 1 ")
    lab = apart.roles["lab"]
    lab.signal(signal.SIGSTOP)
    try:
        apart.wait_until_ended("clinic", "dealer", seconds=3 + 10)
        apart.assert_others_name("lab", "it has not answered for 3 seconds")
    finally:
        lab.signal(signal.SIGCONT)
    apart.wait_until_ended("lab")
    assert lab.status == 1
    apart.assert_ended_cleanly("lab")


@pytest.mark.parametrize(("victim", "number"), [("lab", signal.SIGTERM), ("dealer", signal.SIGINT)])
def test_a_role_that_is_interrupted_says_so_to_the_others(apart: Apart, victim: str, number: int) -> None:
    apart.prepare(public=False)
    apart.start_all()
    apart.wait_for("clinic", "initialisation 2")
    apart.roles[victim].signal(number)
    apart.assert_others_name(victim, "it was interrupted")
    apart.wait_until_ended(victim)
    assert apart.roles[victim].status == 130
    apart.assert_ended_cleanly(victim)


def test_a_run_that_was_cut_off_twice_is_resumed_to_the_same_result(apart: Apart, calm: Apart) -> None:
    apart.prepare()
    for options, victim, moment in (((), "lab", "iterations 1 "), (("--resume",), "dealer", "iterations 2 ")):
        apart.start_all(*options)
        apart.wait_for("clinic", moment)
        apart.roles[victim].signal(signal.SIGKILL)
        apart.assert_others_name(victim)
    apart.start_all("--resume")
    apart.wait_until_all_end_well()
    assert "resumed after iteration" in apart.roles["lab"].output
    assert "iterations 1 of" not in apart.roles["lab"].output
    assert apart.results() == calm.results()
    assert not list((apart.folder / "state").rglob("*.state"))


def test_parties_that_do_not_all_resume_are_told_which_one_differs(apart: Apart) -> None:
    apart.prepare()
    apart.start_all()
    apart.wait_for("clinic", "iterations 1 ")
    apart.roles["dealer"].signal(signal.SIGKILL)
    apart.assert_others_name("dealer")
    kept = apart.files("state")
    apart.start("lab", "--resume")
    apart.start("clinic")  # and no dealer: it passes on what one party finds, which may arrive before the other looks
    apart.wait_until_ended("lab", "clinic")
    assert 'role "lab" failed: it resumes a run, this role starts anew' in apart.roles["clinic"].last_line
    assert 'role "clinic" failed: it starts anew, this role resumes a run' in apart.roles["lab"].last_line
    assert {apart.roles[party].status for party in PARTIES} == {1}
    assert apart.files("state") == kept


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("n_clusters = 3", "n_clusters = 4", "its job differs from this role's in n_clusters"),
        (
            'columns = ["age", "dose"]',
            'columns = ["age", "dosis"]',
            "its job differs from this role's in columns (number 2)",
        ),
    ],
)
def test_parties_of_different_jobs_name_each_other_and_the_difference(
    apart: Apart, old: str, new: str, difference: str
) -> None:
    apart.prepare(public=False)
    job = (apart.folder / "job.toml").read_text()
    apart.start("clinic")
    apart.wait_for("clinic", "digest")
    (apart.folder / "job.toml").write_text(job.replace(old, new))
    table = (apart.folder / "lab.csv").read_text()
    (apart.folder / "lab.csv").write_text(table.replace("dose", "dosis") if "dosis" in new else table)
    apart.start("lab")
    apart.assert_others_name("clinic", difference)
    apart.wait_until_ended("clinic")
    assert apart.roles["clinic"].status == 1
    assert f'role "lab" failed: {difference}' in apart.roles["clinic"].last_line


def test_a_role_with_another_certificate_than_the_job_names_is_refused_on_both_sides(apart: Apart) -> None:
    apart.prepare()
    apart.start("clinic")
    apart.wait_for("clinic", "digest")
    shutil.rmtree(apart.folder / "lab")
    expected = (apart.folder / "job.toml").read_text()
    fingerprint = new_identity(apart.folder / "lab").fingerprint
    apart.start("lab")  # whose job still names the old certificate
    apart.wait_until_ended("lab")
    assert apart.roles["lab"].status == 2
    assert f"its fingerprint is {fingerprint}, the job names" in apart.roles["lab"].last_line

    old = expected.split('name = "lab"')[1].split('fingerprint = "')[1][:64]
    (apart.folder / "job.toml").write_text(expected.replace(old, fingerprint))
    apart.start("lab")
    apart.wait_until_ended("clinic")
    assert apart.roles["clinic"].status == 1
    assert f'role "lab" failed: at 127.0.0.1:{apart.ports["lab"]} it showed a certificate with the fingerprint ' in (
        apart.roles["clinic"].last_line
    )
    apart.wait_for("lab", "refused a connection")
    assert "it did not accept this role's certificate" in apart.roles["lab"].output


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    path.mkdir(mode=0o700)
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", path], check=True)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@pytest.mark.parametrize(("option", "status"), [("--output", 1), ("--state", 2)])
def test_a_disk_without_room_is_told_before_the_run(apart: Apart, option: str, status: int) -> None:
    apart.prepare()
    with small_disk(apart.folder / "small", "256k"):
        apart.start("lab", "--wait", "1")
        clinic = apart.start("clinic", option, "small/own")
        apart.wait_until_ended("clinic")
    assert clinic.status == status
    assert "small/own" in clinic.last_line
    assert "is connected" not in clinic.output
    apart.assert_others_name("clinic", "it did not connect within 1 second")


def test_a_place_that_cannot_be_written_is_told_before_the_run(apart: Apart) -> None:
    apart.prepare()
    for option, status in (("--output", 1), ("--state", 2)):
        clinic = apart.start("clinic", option, "job.toml/own")
        apart.wait_until_ended("clinic")
        assert clinic.status == status
        assert "job.toml/own" in clinic.last_line
        assert "Traceback" not in clinic.output


def test_a_disk_that_fills_up_ends_the_run_for_all(apart: Apart) -> None:
    apart.prepare()
    with small_disk(apart.folder / "small", "1500k"):
        apart.start("lab")
        apart.start("clinic", "--state", "small/own")
        apart.wait_for("clinic", "lab is connected")
        with suppress(OSError), (apart.folder / "small/junk").open("wb", buffering=0) as junk:
            while True:
                junk.write(bytes(4096))
        apart.start("dealer")
        apart.assert_others_name("clinic")
        apart.wait_until_ended("clinic")
    assert apart.roles["clinic"].status == 2
    assert "No space left on device; the state cannot be kept" in apart.roles["clinic"].last_line
