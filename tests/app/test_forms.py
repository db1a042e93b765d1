import os
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secure_kmeans.net.identity import new_identity
from secure_kmeans.protocols import protocol_of, read_job
from secure_kmeans.report.sections import KMeansReport, PredictionReport
from secure_kmeans.roles.models import KeptModel, keep_model
from tests.app.conftest import Answer, Call, Mistake, folded
from tests.app.in_this_process import shares_of

SCRIPT = Path(__file__).resolve().parents[2] / "launcher.py"
SESSION = "5e" * 32
ROLES = ("clinic", "lab", "dealer")
CLINIC = [[1, 2], [2, 1], [1, 1]]
LAB = [[9, 9], [8, 9], [9, 8], [8, 8]]
JOB = """
columns = ["age", "dose"]
n_clusters = 2
min_cluster_size = 1

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


Launch = Callable[..., Answer]
Refused = Callable[..., str]


@pytest.fixture
def launch(call: Call) -> Launch:
    """The answer of the launcher with these arguments."""
    return lambda *arguments: call("launcher.py", *arguments)


@pytest.fixture
def refused(mistake: Mistake) -> Refused:
    """The line with which the launcher refuses these arguments."""
    return lambda *arguments: mistake("launcher.py", *arguments)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job, its identities and its tables in the current folder."""
    monkeypatch.chdir(tmp_path)
    fingerprints = {role: new_identity(Path("keys") / role).fingerprint for role in ROLES}
    Path("job.toml").write_text(JOB.format(**fingerprints))
    write_table("clinic.csv", CLINIC)
    write_table("lab.csv", LAB)
    return tmp_path


def write_table(path: str, rows: Any, columns: Sequence[str] = ("age", "dose")) -> None:
    pd.DataFrame(rows, columns=list(columns)).to_csv(path, index=False)


def change_job(before: str, after: str) -> None:
    text = Path("job.toml").read_text()
    assert before in text
    Path("job.toml").write_text(text.replace(before, after))


def entries(path: Path) -> set[str]:
    return {each.name for each in path.iterdir()}


class TestNewIdentity:
    def test_it_prints_the_fingerprint_and_nobody_else_may_read_the_key(self, launch: Launch, place: Path) -> None:
        status, out, error = launch("new-identity", "hospital")
        assert (status, error) == (0, "")
        folder = place / "hospital"
        fingerprint = (folder / "fingerprint").read_text().strip()
        assert fingerprint in out.splitlines()
        assert entries(folder) == {"key.pem", "certificate.pem", "fingerprint"}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
        assert "PRIVATE KEY" not in out

    def test_the_job_takes_its_fingerprint(self, launch: Launch) -> None:
        launch("new-identity", "lab", "--folder", "another")
        change_job(Path("keys/lab/fingerprint").read_text().strip(), Path("another/fingerprint").read_text().strip())
        status, out, _ = launch("check", "job.toml", "--identity", "another")
        assert status == 0
        assert 'another: the identity of "lab" in this job' in out

    def test_a_key_is_never_overwritten(self, launch: Launch, refused: Refused, place: Path) -> None:
        launch("new-identity", "hospital")
        before = (place / "hospital" / "key.pem").read_bytes()
        assert refused("new-identity", "hospital") == (
            "hospital: this exists already; choose another name, or remove it"
        )
        assert (place / "hospital" / "key.pem").read_bytes() == before

    def test_a_file_in_the_way(self, refused: Refused) -> None:
        assert refused("new-identity", "x", "--folder", "lab.csv/x").startswith("lab.csv/x: ")
        assert refused("new-identity", "lab.csv").startswith("lab.csv: this exists already")

    @pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a/b", "..", "all\n"])
    def test_a_name_that_no_role_can_have(self, refused: Refused, place: Path, name: str) -> None:
        refused("new-identity", name, "--folder", "x")
        assert not (place / "x").exists()

    @pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--secret"]])
    def test_wrong_arguments(self, refused: Refused, arguments: list[str]) -> None:
        refused("new-identity", *arguments)


class TestCheck:
    def test_what_fits_and_what_will_be_disclosed(self, launch: Launch) -> None:
        status, out, error = launch("check", "job.toml", "--table", "lab.csv", "--identity", "keys/lab")
        assert (status, error) == (0, "")
        assert f"a job of clinic, lab, digest {read_job('job.toml').digest.hex()}" in out
        assert 'keys/lab: the identity of "lab" in this job' in out
        assert "lab.csv: 4 rows, 2 columns, which fit the job" in out
        assert "consider" not in out
        table = folded(out)
        assert "A run will disclose this, and nothing else" in table
        for disclosure in protocol_of("shk").disclosures(read_job("job.toml")):
            assert disclosure.what in table
            assert disclosure.when in table

    def test_the_dealer_has_no_table(self, launch: Launch) -> None:
        status, out, _ = launch("check", "job.toml", "--party", "dealer", "--identity", "keys/dealer")
        assert status == 0
        assert 'keys/dealer: the identity of "dealer"' in out

    def test_without_an_identity_it_warns(self, launch: Launch) -> None:
        status, out, _ = launch("check", "job.toml")
        assert status == 0
        assert "consider no identity was checked" in out

    def test_fewer_rows_than_clusters_and_a_coarse_column_are_warned_about(self, launch: Launch) -> None:
        write_table("lab.csv", [[1, 1]])
        assert "consider 1 row for 2 clusters" in launch("check", "job.toml", "--table", "lab.csv")[1]
        write_table("lab.csv", np.column_stack([np.arange(9) / 1e12, np.arange(9)]))
        out = launch("check", "job.toml", "--table", "lab.csv")[1]
        assert "consider columns that lose most of their values in the fixed point: age" in out

    def test_rows_outside_the_bounds(self, refused: Refused) -> None:
        write_table("lab.csv", [[1, 1], [987.25, 2]])
        said = refused("check", "job.toml", "--table", "lab.csv")
        assert said.startswith("lab.csv: ")
        assert '"age"' in said
        assert "bounds" in said
        assert "987" not in said

    @pytest.mark.parametrize(
        ("columns", "says"),
        [(("age", "weight"), 'there is no column "dose"'), (("dose", "years"), 'there is no column "age"')],
    )
    def test_wrong_columns(self, refused: Refused, columns: tuple[str, ...], says: str) -> None:
        write_table("lab.csv", LAB, columns)
        assert says in refused("check", "job.toml", "--table", "lab.csv")

    def test_a_cell_that_is_no_number(self, refused: Refused) -> None:
        Path("lab.csv").write_text("age,dose\n1,secretname\n")
        said = refused("check", "job.toml", "--table", "lab.csv")
        assert said == 'lab.csv: column "dose", row 1: this is text, not a number; correct it, or choose other columns'

    def test_no_table(self, refused: Refused) -> None:
        assert refused("check", "job.toml", "--table", "none.csv").startswith("none.csv: there is no such file")

    def test_an_identity_that_the_job_does_not_name(self, refused: Refused) -> None:
        fingerprint = new_identity(Path("strange")).fingerprint
        said = refused("check", "job.toml", "--identity", "strange")
        assert said.startswith(f"strange: its fingerprint is {fingerprint}, which the job does not name")

    def test_the_identity_of_another_role(self, refused: Refused) -> None:
        said = refused("check", "job.toml", "--party", "clinic", "--identity", "keys/lab")
        assert said.startswith("keys/lab: its fingerprint is ")
        assert 'for "clinic"' in said

    def test_an_identity_that_is_none_or_open_to_others(self, refused: Refused) -> None:
        assert refused("check", "job.toml", "--identity", "nowhere").endswith("make one with new-identity")
        Path("keys/lab/key.pem").chmod(0o640)
        assert "others may read this key" in refused("check", "job.toml", "--identity", "keys/lab")
        Path("keys/lab/key.pem").write_text("secretname")
        Path("keys/lab/key.pem").chmod(0o600)
        assert refused("check", "job.toml", "--identity", "keys/lab") == (
            "keys/lab: its key or certificate cannot be read; make a new identity"
        )

    def test_an_unknown_party(self, refused: Refused) -> None:
        expected = 'the job has no role "bank"; it has clinic, lab, dealer'
        assert refused("check", "job.toml", "--party", "bank") == expected
        assert refused("check", "job.toml", "--party", "bank", "--identity", "keys/lab") == expected

    def test_a_job_that_is_none(self, refused: Refused) -> None:
        assert refused("check", "none.toml") == "none.toml: No such file or directory"
        change_job("n_clusters = 2", "n_clusters = 0")
        assert refused("check", "job.toml").startswith("job.toml: n_clusters: ")

    def test_roles_that_cannot_find_each_other(self, refused: Refused) -> None:
        change_job('address = "127.0.0.1:7103"', "")
        assert refused("check", "job.toml", "--identity", "keys/lab").startswith('"dealer" has no address')

    def test_a_prediction_needs_no_table(self, launch: Launch) -> None:
        change_job("min_cluster_size = 1", f'task = "predict"\nmodel = "{SESSION}"')
        status, out, _ = launch("check", "job.toml", "--party", "lab", "--identity", "keys/lab")
        assert status == 0
        table = folded(out)
        assert "number of rows of each party" in table
        assert "labels of its own rows" in table
        assert "centroids" not in table


class TestOneRole:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--party", "bank", "--identity", "keys/lab"], 'the job has no role "bank"'),
            (["--party", "lab"], 'no identity of "lab" is named; name the folder that new-identity made'),
            (["--party", "lab", "--identity", "nowhere"], "nowhere/key.pem: No such file or directory"),
            (["--party", "lab", "--identity", "keys/clinic"], "keys/clinic: its fingerprint is "),
            (
                ["--party", "lab", "--identity", "keys/lab"],
                'no table of "lab" is named; name the file of its rows by --table',
            ),
            (["--party", "lab", "--identity", "keys/lab", "--table", "x.csv"], "x.csv: there is no such file"),
            (["--party", "lab", "--table", "lab.csv", "--table", "lab.csv"], "--table: with --party, name one file"),
            (
                ["--party", "dealer", "--identity", "keys/dealer", "--table", "lab.csv"],
                '"dealer" is no party and has no use for a table; leave it out',
            ),
            (["--party", "dealer", "--resume"], '"dealer" is no party and has no use for a run to resume'),
            (["--party", "lab", "--skip-plaintext"], "--skip-plaintext is for all roles on this machine"),
            (["--party", "lab", "--wait", "-1"], "Invalid value for '--wait'"),
            (["--party"], "Option '--party' requires an argument"),
        ],
    )
    def test_a_mistake_is_told_before_anything_is_written(
        self, refused: Refused, place: Path, arguments: list[str], says: str
    ) -> None:
        before = entries(place)
        assert refused("job.toml", *arguments).startswith(says)
        assert entries(place) == before

    def test_a_job_without_places(self, refused: Refused) -> None:
        change_job('address = "127.0.0.1:7102"', "")
        said = refused("job.toml", "--party", "lab", "--identity", "keys/lab", "--table", "lab.csv")
        assert said == '"lab" has no address; every role needs one to run on a machine of its own'

    def test_nothing_to_resume_from(self, refused: Refused) -> None:
        clinic = ["--party", "clinic", "--identity", "keys/clinic", "--table", "clinic.csv", "--log", "log.txt"]
        said = refused("job.toml", *clinic, "--resume")
        assert said.startswith("state/job/clinic: there is no state")
        assert "start the run anew" in said

    def test_a_state_folder_that_others_may_enter(self, refused: Refused, place: Path) -> None:
        (place / "open").mkdir()
        (place / "open").chmod(0o755)
        lab = ["--party", "lab", "--identity", "keys/lab", "--table", "lab.csv", "--log", "log.txt"]
        assert "others may enter this folder" in refused("job.toml", *lab, "--state", "open")

    def test_an_address_to_listen_on_that_is_none(self, refused: Refused) -> None:
        lab = ["--party", "lab", "--identity", "keys/lab", "--table", "lab.csv", "--log", "log.txt"]
        assert "listen: " in refused("job.toml", *lab, "--listen", "7102")


class TestAllRoles:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--table", "lab.csv"], "--table lab.csv: without --party, write NAME=FILE for each party"),
            (["--table", "=lab.csv"], "--table =lab.csv: without --party, write NAME=FILE for each party"),
            (["--table", "bank=lab.csv"], 'the job has no party "bank"; it has clinic, lab'),
            (["--table", "lab=lab.csv", "--table", "lab=lab.csv"], '--table: "lab" is named twice'),
            (["--table", "lab=x.csv"], "x.csv: there is no such file"),
            (["--identity", "keys/lab"], "--identity is for one role: name it with --party"),
            (["--party", "lab", "extra"], "Got unexpected extra argument"),
            (["--secret"], "No such option"),
        ],
    )
    def test_a_mistake_is_told_before_anything_is_written(
        self, refused: Refused, place: Path, arguments: list[str], says: str
    ) -> None:
        before = entries(place)
        assert refused("job.toml", *arguments).startswith(says)
        assert entries(place) == before

    @pytest.mark.usefixtures("in_this_process")
    def test_an_environment_variable_may_stand_for_another_form(
        self, launch: Launch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SECURE_KMEANS_IDENTITY", "keys/lab")
        monkeypatch.setenv("SECURE_KMEANS_OUTPUT", "elsewhere")
        assert launch("job.toml")[0] == 0
        assert Path("elsewhere/report.json").exists()

    def test_a_table_is_missing_beside_the_job(self, refused: Refused) -> None:
        Path("lab.csv").unlink()
        assert refused("job.toml") == ('lab.csv: there is no such file; name the table of "lab", or put it there')

    def test_rows_outside_the_bounds(self, refused: Refused) -> None:
        write_table("clinic.csv", [[1, 11], [2, 2]])
        assert refused("job.toml").startswith('clinic.csv: column "dose"')

    @pytest.mark.usefixtures("in_this_process")
    def test_a_prediction(self, launch: Launch, place: Path) -> None:
        fitted = read_job("job.toml")
        change_job("min_cluster_size = 1", f'task = "predict"\nmodel = "{SESSION}"')
        grid = (np.array([[1, 1], [9, 9]]) * 2.0 ** fitted.model_dump()["precision_bits"] / 10).astype(int).tolist()
        for party, share in zip(fitted.names, shares_of(grid, 2), strict=True):
            folder = place / "state" / "fit" / party
            folder.mkdir(mode=0o700, parents=True)
            keep_model(folder, KeptModel(fitted, party, SESSION, datetime(2026, 1, 2, tzinfo=UTC), share))
        Path("clinic.csv").unlink()  # it has no new rows
        status, out, error = launch("job.toml")
        assert (status, error) == (0, "")
        assert "Labels of 4 rows of 2 parties; only its owner learned the label of a row" in out
        report = PredictionReport.load(place / "results" / "job" / "report.json")
        assert {entry.what for entry in report.ledger} == {"number of rows of each party", "labels of its own rows"}
        assert pd.read_csv(place / "results" / "job" / "labels_lab.csv")["cluster"].tolist() == [1, 1, 1, 1]

    @pytest.mark.parametrize("job", ["none.toml", "keys", "lab.csv", "clinic"])
    def test_no_job(self, refused: Refused, job: str) -> None:
        assert refused(job).startswith(f"{job}: ")


def start(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TMPDIR": str(folder), "COLUMNS": "200"}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, text=True, capture_output=True, timeout=100, check=False
    )


class TestProcesses:
    def test_all_roles_of_a_job_with_tables_beside_it(self, place: Path) -> None:
        pd.DataFrame(LAB, columns=["age", "dose"]).to_parquet("lab.parquet")
        Path("lab.csv").unlink()
        done = start("job.toml", folder=place)
        assert (done.returncode, done.stderr) == (0, "")
        report = KMeansReport.load(place / "results" / "job" / "report.json")
        assert report.parties == ("clinic", "lab")
        assert report.result.counts == [4, 3]
        assert report.agreement is not None
        assert report.agreement.label_agreement == 1.0
        assert (report.result.cluster_centers or [])[0] == pytest.approx([8.5, 8.5], abs=1e-6)
        assert not list(place.rglob("*.state"))

    def test_nothing_to_resume_from(self, place: Path) -> None:
        done = start("job.toml", "--resume", folder=place)
        said = done.stderr
        assert (done.returncode, said.count("\n")) == (2, 1), said
        assert "Will be disclosed" in done.stdout  # each party's own process opens its states, after this
        assert "there is no state" in said
        assert "start the run anew" in said
        assert not list(place.rglob("*.state"))
        assert not list(place.rglob("report.json"))

    @pytest.mark.parametrize("arguments", [["new-identity", "keys"], ["job.toml", "--party", "bank"]])
    def test_a_mistake_is_one_line(self, place: Path, arguments: list[str]) -> None:
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
    def test_each_form_explains_itself(self, launch: Launch, arguments: list[str], usage: str) -> None:
        status, out, error = launch(*arguments)
        assert (status, error) == (0, "")
        assert out.startswith(usage)
        assert all(len(line) <= 100 for line in out.splitlines())
