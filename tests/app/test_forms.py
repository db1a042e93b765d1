import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import launcher
from secure_kmeans.job import read_job
from secure_kmeans.net.identity import new_identity
from secure_kmeans.report import Report

SCRIPT = Path(launcher.__file__).resolve()
ROLES = ("clinic", "lab", "dealer")
CLINIC = [[1, 2], [2, 1], [1, 1]]
LAB = [[9, 9], [8, 9], [9, 8], [8, 8]]
JOB = """
columns = ["age", "dose"]
n_clusters = 2
seed = 3

[[parties]]
name = "clinic"
address = "127.0.0.1:7101"
fingerprint = "{clinic}"

[[parties]]
name = "lab"
address = "127.0.0.1:7102"
fingerprint = "{lab}"

[dealer]
address = "127.0.0.1:7103"
fingerprint = "{dealer}"

[scaling]
lower = [0, 0]
upper = [10, 10]
"""


@pytest.fixture
def call(monkeypatch, capsys):
    """Exit status, standard output and standard error of the launcher with these arguments."""

    def called(*arguments):
        monkeypatch.setattr(sys, "argv", ["somewhere/launcher.py", *map(str, arguments)])
        status = 0
        try:
            launcher.main()
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return called


@pytest.fixture
def mistake(call):
    """The one line that a mistake prints; nothing else is printed, and the exit status is 2."""

    def said(*arguments):
        status, out, error = call(*arguments)
        assert "Traceback" not in error
        assert (status, out, error.count("\n")) == (2, "", 1), error
        assert error.startswith("launcher.py: ")
        return error.removeprefix("launcher.py: ").rstrip("\n")

    return said


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A job, its identities and its tables in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    fingerprints = {role: new_identity(Path("keys") / role).fingerprint for role in ROLES}
    Path("job.toml").write_text(JOB.format(**fingerprints))
    write_table("clinic.csv", CLINIC)
    write_table("lab.csv", LAB)
    return tmp_path


def write_table(path: str, rows, columns=("age", "dose")) -> None:
    pd.DataFrame(rows, columns=list(columns)).to_csv(path, index=False)


def change_job(before: str, after: str) -> None:
    text = Path("job.toml").read_text()
    assert before in text
    Path("job.toml").write_text(text.replace(before, after))


def entries(path: Path) -> set[str]:
    return {each.name for each in path.iterdir()}


class TestNewIdentity:
    def test_it_prints_the_fingerprint_and_nobody_else_may_read_the_key(self, call, place):
        status, out, error = call("new-identity", "hospital")
        assert (status, error) == (0, "")
        folder = place / "hospital"
        fingerprint = (folder / "fingerprint").read_text().strip()
        assert fingerprint in out.splitlines()
        assert entries(folder) == {"key.pem", "certificate.pem", "fingerprint"}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
        assert "PRIVATE KEY" not in out

    def test_the_job_takes_its_fingerprint(self, call):
        call("new-identity", "lab", "--folder", "another")
        change_job(Path("keys/lab/fingerprint").read_text().strip(), Path("another/fingerprint").read_text().strip())
        status, out, _ = call("check", "job.toml", "--identity", "another")
        assert status == 0
        assert 'another: the identity of "lab" in this job' in out

    def test_a_key_is_never_overwritten(self, call, mistake, place):
        call("new-identity", "hospital")
        before = (place / "hospital" / "key.pem").read_bytes()
        assert mistake("new-identity", "hospital") == (
            "hospital: this exists already; choose another name, or remove it"
        )
        assert (place / "hospital" / "key.pem").read_bytes() == before

    def test_a_file_in_the_way(self, mistake):
        assert mistake("new-identity", "x", "--folder", "lab.csv/x").startswith("lab.csv/x: ")
        assert mistake("new-identity", "lab.csv").startswith("lab.csv: this exists already")

    @pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a/b", "..", "all\n"])
    def test_a_name_that_no_role_can_have(self, mistake, place, name):
        mistake("new-identity", name, "--folder", "x")
        assert not (place / "x").exists()

    @pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--secret"]])
    def test_wrong_arguments(self, mistake, arguments):
        mistake("new-identity", *arguments)


class TestCheck:
    def test_what_fits_and_what_will_be_disclosed(self, call):
        status, out, error = call("check", "job.toml", "--table", "lab.csv", "--identity", "keys/lab")
        assert (status, error) == (0, "")
        assert f"a job of clinic, lab, digest {read_job('job.toml').digest.hex()}" in out
        assert 'keys/lab: the identity of "lab" in this job' in out
        assert "lab.csv: 4 rows, 2 columns, all within the bounds" in out
        assert "consider" not in out
        assert "All parties will learn the number of rows of each party" in out
        assert "gloo" not in out

    def test_the_dealer_has_no_table(self, call):
        status, out, _ = call("check", "job.toml", "--party", "dealer", "--identity", "keys/dealer")
        assert status == 0
        assert 'keys/dealer: the identity of "dealer"' in out

    def test_without_an_identity_it_warns(self, call):
        status, out, _ = call("check", "job.toml")
        assert status == 0
        assert "consider no identity was checked" in out

    def test_fewer_rows_than_clusters_and_a_coarse_column_are_warned_about(self, call):
        write_table("lab.csv", [[1, 1]])
        assert "consider 1 rows for 2 clusters" in call("check", "job.toml", "--table", "lab.csv")[1]
        write_table("lab.csv", np.column_stack([np.arange(9) / 1e12, np.arange(9)]))
        out = call("check", "job.toml", "--table", "lab.csv")[1]
        assert "consider columns that lose most of their values in the fixed point: age" in out

    def test_a_transport_that_encrypts_nothing_is_warned_about(self, call):
        change_job("seed = 3", 'seed = 3\ntransport = "gloo"')
        assert "gloo, which encrypts nothing" in call("check", "job.toml")[1]

    def test_rows_outside_the_bounds(self, mistake):
        write_table("lab.csv", [[1, 1], [987.25, 2]])
        said = mistake("check", "job.toml", "--table", "lab.csv")
        assert said.startswith("lab.csv: ")
        assert '"age"' in said
        assert "bounds" in said
        assert "987" not in said

    @pytest.mark.parametrize(
        ("columns", "says"),
        [(("age", "weight"), 'there is no column "dose"'), (("dose", "years"), 'there is no column "age"')],
    )
    def test_wrong_columns(self, mistake, columns, says):
        write_table("lab.csv", LAB, columns)
        assert says in mistake("check", "job.toml", "--table", "lab.csv")

    def test_a_cell_that_is_no_number(self, mistake):
        Path("lab.csv").write_text("age,dose\n1,secretname\n")
        said = mistake("check", "job.toml", "--table", "lab.csv")
        assert said == 'lab.csv: column "dose", row 1: this is text, not a number; correct it, or choose other columns'

    def test_no_table(self, mistake):
        assert mistake("check", "job.toml", "--table", "none.csv").startswith("none.csv: there is no such file")

    def test_an_identity_that_the_job_does_not_name(self, mistake):
        fingerprint = new_identity(Path("strange")).fingerprint
        said = mistake("check", "job.toml", "--identity", "strange")
        assert said.startswith(f"strange: its fingerprint is {fingerprint}, which the job does not name")

    def test_the_identity_of_another_role(self, mistake):
        said = mistake("check", "job.toml", "--party", "clinic", "--identity", "keys/lab")
        assert said.startswith("keys/lab: its fingerprint is ")
        assert 'for "clinic"' in said

    def test_an_identity_that_is_none_or_open_to_others(self, mistake):
        assert mistake("check", "job.toml", "--identity", "nowhere").endswith("make one with new-identity")
        Path("keys/lab/key.pem").chmod(0o640)
        assert "others may read this key" in mistake("check", "job.toml", "--identity", "keys/lab")
        Path("keys/lab/key.pem").write_text("secretname")
        Path("keys/lab/key.pem").chmod(0o600)
        assert mistake("check", "job.toml", "--identity", "keys/lab") == (
            "keys/lab: its key or certificate cannot be read; make a new identity"
        )

    def test_an_unknown_party(self, mistake):
        expected = '--party: the job has no role "bank"; it has clinic, lab, dealer'
        assert mistake("check", "job.toml", "--party", "bank") == expected
        assert mistake("check", "job.toml", "--party", "bank", "--identity", "keys/lab") == expected

    def test_a_job_that_is_none(self, mistake):
        assert mistake("check", "none.toml") == "none.toml: No such file or directory"
        change_job("n_clusters = 2", "n_clusters = 0")
        assert mistake("check", "job.toml").startswith("job.toml: n_clusters: ")

    def test_roles_that_cannot_find_each_other(self, mistake):
        change_job('address = "127.0.0.1:7103"', "")
        assert mistake("check", "job.toml", "--identity", "keys/lab").startswith('"dealer" has no address')

    def test_a_prediction_needs_no_table(self, call):
        change_job("seed = 3", 'task = "predict"\ncentroids = [[1, 1], [9, 9]]')
        status, out, _ = call("check", "job.toml", "--party", "lab", "--identity", "keys/lab")
        assert status == 0
        assert "All parties will learn the number of rows of each party; each party the labels of its own rows" in out


class TestOneRole:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--party", "bank", "--identity", "keys/lab"], '--party: the job has no role "bank"'),
            (["--party", "lab"], "--identity: name the folder that new-identity made"),
            (["--party", "lab", "--identity", "nowhere"], "nowhere/key.pem: No such file or directory"),
            (["--party", "lab", "--identity", "keys/clinic"], "keys/clinic: its fingerprint is "),
            (["--party", "lab", "--identity", "keys/lab"], "--table: name the file with this party's rows"),
            (["--party", "lab", "--identity", "keys/lab", "--table", "x.csv"], "x.csv: there is no such file"),
            (["--party", "lab", "--table", "lab.csv", "--table", "lab.csv"], "--table: with --party, name one file"),
            (["--party", "lab", "--wait", "-1"], "Invalid value for '--wait'"),
            (["--party"], "Option '--party' requires an argument"),
        ],
    )
    def test_a_mistake_is_told_before_anything_is_written(self, mistake, place, arguments, says):
        before = entries(place)
        assert mistake("job.toml", *arguments).startswith(says)
        assert entries(place) == before

    def test_a_job_without_places(self, mistake):
        change_job('address = "127.0.0.1:7102"', "")
        said = mistake("job.toml", "--party", "lab", "--identity", "keys/lab", "--table", "lab.csv")
        assert said == '"lab" has no address; every role needs one to run on a machine of its own'

    def test_nothing_to_resume_from(self, mistake):
        clinic = ["--party", "clinic", "--identity", "keys/clinic", "--table", "clinic.csv", "--log", "log.txt"]
        said = mistake("job.toml", *clinic, "--resume")
        assert said.startswith("state/job/clinic: there is no state")
        assert "start without --resume" in said

    def test_a_state_folder_that_others_may_enter(self, mistake, place):
        (place / "open").mkdir()
        (place / "open").chmod(0o755)
        lab = ["--party", "lab", "--identity", "keys/lab", "--table", "lab.csv", "--log", "log.txt"]
        assert "others may enter this folder" in mistake("job.toml", *lab, "--state", "open")

    def test_an_address_to_listen_on_that_is_none(self, mistake):
        lab = ["--party", "lab", "--identity", "keys/lab", "--table", "lab.csv", "--log", "log.txt"]
        assert "--listen" in mistake("job.toml", *lab, "--listen", "7102")


class TestAllRoles:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--table", "lab.csv"], "--table lab.csv: without --party, write NAME=FILE for each party"),
            (["--table", "=lab.csv"], "--table =lab.csv: without --party, write NAME=FILE for each party"),
            (["--table", "bank=lab.csv"], '--table: the job has no party "bank"; it has clinic, lab'),
            (["--table", "lab=lab.csv", "--table", "lab=lab.csv"], '--table: "lab" is named twice'),
            (["--table", "lab=x.csv"], "x.csv: there is no such file"),
            (["--party", "lab", "extra"], "Got unexpected extra argument"),
            (["--secret"], "No such option"),
        ],
    )
    def test_a_mistake_is_told_before_anything_is_written(self, mistake, place, arguments, says):
        before = entries(place)
        assert mistake("job.toml", *arguments).startswith(says)
        assert entries(place) == before

    def test_a_table_is_missing_beside_the_job(self, mistake):
        Path("lab.csv").unlink()
        assert mistake("job.toml") == ('lab.csv: there is no such file; name the table of "lab" with --table lab=FILE')

    def test_rows_outside_the_bounds(self, mistake):
        write_table("clinic.csv", [[1, 11], [2, 2]])
        assert mistake("job.toml").startswith('clinic.csv: column "dose"')

    def test_a_prediction(self, mistake):
        change_job("seed = 3", 'task = "predict"\ncentroids = [[1, 1], [9, 9]]')
        assert mistake("job.toml") == "job.toml: a prediction is run by each party with --party"

    @pytest.mark.parametrize("job", ["none.toml", "keys", "lab.csv", "clinic"])
    def test_no_job(self, mistake, job):
        assert mistake(job).startswith(f"{job}: ")


def start(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TMPDIR": str(folder), "COLUMNS": "200"}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, text=True, capture_output=True, timeout=100, check=False
    )


class TestProcesses:
    def test_all_roles_of_a_job_with_tables_beside_it(self, place):
        pd.DataFrame(LAB, columns=["age", "dose"]).to_parquet("lab.parquet")
        Path("lab.csv").unlink()
        done = start("job.toml", folder=place)
        assert (done.returncode, done.stderr) == (0, "")
        report = Report.load(place / "results" / "job" / "report.json")
        assert report.parties == ["clinic", "lab"]
        assert sorted(report.counts) == [3, 4]
        assert report.agreement.label_agreement == 1.0
        assert sorted(map(sorted, report.cluster_centers))[1] == pytest.approx([8.5, 8.5], abs=1e-6)
        assert not list(place.rglob("*.state"))

    def test_nothing_to_resume_from(self, place):
        done = start("job.toml", "--resume", folder=place)
        said = done.stderr
        assert (done.returncode, done.stdout, said.count("\n")) == (2, "", 1), said
        assert "there is no state" in said
        assert "start without --resume" in said
        assert not list(place.rglob("*.state"))
        assert not list(place.rglob("report.json"))

    @pytest.mark.parametrize("arguments", [["new-identity", "keys"], ["job.toml", "--party", "bank"]])
    def test_a_mistake_is_one_line(self, place, arguments):
        done = start(*arguments, folder=place)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert done.stderr.startswith("launcher.py: ")

    @pytest.mark.parametrize(
        ("arguments", "usage"),
        [
            (["--help"], "Usage: launcher.py [OPTIONS]"),
            (["job.toml", "--help"], "Usage: launcher.py [OPTIONS] JOB"),
            (["new-identity", "-h"], "Usage: launcher.py new-identity [OPTIONS] NAME"),
            (["check", "-h"], "Usage: launcher.py check [OPTIONS] JOB"),
        ],
    )
    def test_each_form_explains_itself(self, call, arguments, usage):
        status, out, error = call(*arguments)
        assert (status, error) == (0, "")
        assert out.startswith(usage)
        assert all(len(line) <= 100 for line in out.splitlines())
