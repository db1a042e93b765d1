"""SMO07 as a user runs it: all roles here, each on its own, killed and resumed; and without torch and CrypTen."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from roles_apart import PATIENCE, RoleProcess, blamed, draw_nothing, free_ports, import_all, start, wait_until

from secure_kmeans.net.identity import new_identity
from secure_kmeans.report.sections import KMeansReport
from tests.system.test_launcher import ROOT, launch, left_over, run

MODES = ("paillier", "aggregate")
PARTIES = ("clinic", "lab", "practice")
JOB = """\
protocol = "smo07"
columns = ["age", "dose"]
n_clusters = 14
max_iter = 15
n_init = {n_init}
seed = 3
mode = "{mode}"
fresh_keys = "run"
reveal_inertia = true

[scaling]
method = "minmax"
lower = [0, 0]
upper = [100, 10]
"""
ABSENT = '''
import os, sys


class Absent:
    """Two packages that are not installed, and a list of the attempts to import them."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "crypten"):
            with open(os.environ["ATTEMPTS"], "a") as attempts:
                attempts.write(name + "\\n")
            raise ModuleNotFoundError(name, name=name)
        return None


sys.meta_path.insert(0, Absent())
with open(os.environ["ATTEMPTS"], "a") as attempts:
    attempts.write("")
'''

ESTIMATOR = """\
from secure_kmeans import SecureKMeans
model = SecureKMeans(2, protocol="smo07", mode="{mode}", n_init=1, init=[[0.0], [9.0]])
print(model.fit_predict([[[0.0], [1.0]], [[0.5], [9.0]], [[8.0], [8.5]]]))
"""


@pytest.mark.parametrize("mode", MODES[:1])
def test_the_mall_customers_of_three_parties(tmp_path: Path, mode: str) -> None:
    out = run("--protocol", "smo07", "--mode", mode, "--seed", 1, "--reveal-sizes", folder=tmp_path)
    results = tmp_path / "results" / "mall_customers"
    report = KMeansReport.load(results / "report.json")
    found = report.result
    assert report.agreement is not None
    assert report.agreement.label_agreement == report.agreement.adjusted_rand == 1.0
    assert report.agreement.max_centroid_error == 0.0
    assert report.parties == ("party_0", "party_1", "party_2")
    assert set(report.communication) == set(report.parties)
    assert (found.mode, found.leader, found.init, found.withheld, found.inertia) == (
        mode,
        "party_0",
        "moments",
        [],
        None,
    )
    labels = [pd.read_csv(results / f"labels_{party}.csv")["cluster"] for party in report.parties]
    assert found.counts == np.bincount(pd.concat(labels)).tolist()
    assert pd.read_csv(results / "centroids.csv")["size"].tolist() == found.counts
    assert (results / "convergence.png").stat().st_size > 1000
    before, after = " ".join(out.split()).split("Encrypted k-means on 200 rows")
    for entry in report.ledger:
        assert entry.what in before
        assert entry.what in after
    to_leader = [entry.what for entry in report.ledger if entry.to == "party_0" and entry.iteration == 2]
    assert to_leader == (["sums and sizes of the clusters"] if mode == "paillier" else [])
    for part in (before, after):
        assert f"mode {mode}: " in part
        assert "leader party_0, the first party" in part
    assert "dealer" not in out
    assert left_over(tmp_path) == left_over(results) == []


@pytest.mark.parametrize("mode", MODES[1:])
def test_neither_torch_nor_crypten_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(ABSENT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("ATTEMPTS", str(tmp_path / "attempts"))
    out = run("--protocol", "smo07", "--mode", mode, folder=tmp_path)
    assert "100 % of the labels" in out
    assert (tmp_path / "attempts").read_text() == "", "in the parent and in each role, which is a fork of it"
    fitted = subprocess.run(
        [sys.executable, "-c", ESTIMATOR.format(mode=mode)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (fitted.returncode, fitted.stdout, fitted.stderr) == (0, "[0 0 0 1 1 1]\n", "")
    assert (tmp_path / "attempts").read_text() == ""
    with launched("--seed", 1, folder=tmp_path) as other:
        _, error = other.communicate(timeout=PATIENCE)
        assert other.returncode == 1
        assert "crypten" in error, "where it is needed, the hook takes it away"


@contextmanager
def launched(*arguments: object, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The launcher in a process that does not outlive the context."""
    process = launch(*arguments, folder=folder)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Hosts:
    """Three parties on machines of their own."""

    def __init__(self, folder: Path, mode: str, n_init: int) -> None:
        self.folder = folder
        self.roles: dict[str, RoleProcess] = {}
        text = JOB.format(mode=mode, n_init=n_init)
        if mode == "aggregate":
            text = text.replace('fresh_keys = "run"\n', "")
        rows = np.random.default_rng(5).uniform((0, 0), (100, 10), (2000, 2)).round(3)
        for party, port, own in zip(PARTIES, free_ports(3), np.split(rows, [1200, 1990]), strict=True):
            fingerprint = new_identity(folder / party).fingerprint
            text += f'[[parties]]\nname = "{party}"\naddress = "127.0.0.1:{port}"\nfingerprint = "{fingerprint}"\n'
            pd.DataFrame(own, columns=["age", "dose"]).to_csv(folder / f"{party}.csv", index=False)
        (folder / "job.toml").write_text(text)

    def start(self, *options: str) -> None:
        for party in PARTIES:
            self.roles[party] = start(self.folder, party, *options, run="resumed" if options else "run")

    def ends(self) -> dict[str, int | None]:
        """Each party's exit status."""
        assert wait_until(lambda: all(role.ended() for role in self.roles.values()), PATIENCE)
        return {party: role.status for party, role in self.roles.items()}

    def reports(self) -> dict[str, KMeansReport]:
        return {party: KMeansReport.load(self.folder / "results/job" / party / "report.json") for party in PARTIES}


@pytest.fixture
def hosts_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Hosts]]:
    """Parties that are forks of this process, which draw no pictures; none outlives the test."""
    import_all()
    draw_nothing(monkeypatch.setattr)
    made: list[Hosts] = []

    def make(mode: str, **options: int) -> Hosts:
        made.append(Hosts(tmp_path, mode, **options))
        return made[-1]

    yield make
    for role in [role for hosts in made for role in hosts.roles.values()]:
        role.kill()


@pytest.mark.parametrize("mode", MODES[:1])
def test_a_party_that_is_killed_is_named_and_the_run_goes_on(
    hosts_of: Callable[..., Hosts], tmp_path: Path, mode: str
) -> None:
    hosts = hosts_of(mode, n_init=2 if mode == "paillier" else 50)  # an iteration takes a while
    hosts.start()
    clinic = hosts.roles["clinic"]
    assert wait_until(lambda: "iterations 3 of" in clinic.output or clinic.ended(), PATIENCE), clinic.output
    hosts.roles["lab"].signal(signal.SIGKILL)
    assert hosts.ends() == {"clinic": 1, "lab": -signal.SIGKILL, "practice": 1}
    assert {blamed(hosts.roles[party]) for party in ("clinic", "practice")} == {"lab"}
    assert not list((tmp_path / "results").rglob("*.json"))
    assert all(list((tmp_path / "state/job" / party).glob("*.state")) for party in PARTIES)

    hosts.start("--resume")
    assert set(hosts.ends().values()) == {0}, {party: role.last_line for party, role in hosts.roles.items()}
    reports = hosts.reports()
    first = reports["clinic"]
    assert all(report.result == first.result for report in reports.values())
    assert "iterations 1 of" not in hosts.roles["practice"].output, "all parties had kept later ones"
    assert not list((tmp_path / "state/job").rglob("*.state"))
    learned = {entry.to for entry in first.ledger if entry.iteration is not None}
    assert learned == ({"all", "clinic"} if mode == "paillier" else {"all"})

    out = run("job.toml", "--output", "rehearsal", folder=tmp_path)
    assert "100 % of the labels" in out
    assert KMeansReport.load(tmp_path / "rehearsal" / "report.json").result == first.result


def test_check_verify_and_predict(hosts_of: Callable[..., Hosts], tmp_path: Path) -> None:
    hosts = hosts_of("aggregate", n_init=1)
    checked = run("check", "job.toml", "--table", "lab.csv", "--identity", "lab", folder=tmp_path)
    assert 'lab: the identity of "lab" in this job' in checked
    assert "lab.csv: 790 rows, 2 columns, which fit the job" in checked
    assert "leader clinic, the first party" in " ".join(checked.split())
    assert "dealer" not in checked
    hosts.start("--chunk-rows", "100")
    assert set(hosts.ends().values()) == {0}, {party: role.last_line for party, role in hosts.roles.items()}
    verified = run("verify", "results/job/lab/report.json", folder=tmp_path)
    assert '"lab" signed this report' in verified
    (tmp_path / "fewer.csv").write_text("".join((tmp_path / "lab.csv").read_text().splitlines(keepends=True)[:-3]))
    in_chunks = "--chunk-rows", 100
    again = run("check", "job.toml", "--table", "fewer.csv", *in_chunks, "--identity", "lab", folder=tmp_path)
    assert "fewer.csv: 787 rows, 2 columns, which fit the job" in again
    assert "differs from this one in 3 rows" in again, "the history has the run"
    run("predict", "results/job/lab/report.json", "--data", "lab.csv", folder=tmp_path)
    own, predicted = (
        pd.read_csv(tmp_path / "results/job/lab" / name) for name in ("labels_lab.csv", "prediction/labels_lab.csv")
    )
    assert own.equals(predicted)
    reading = [line for line in hosts.roles["lab"].output.splitlines() if "reading" in line]
    assert any("reading row 790 of 790" in line for line in reading), "before the roles meet"
    assert any("reading 790 of 790: " in line for line in reading), "in the run"


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ('init = "farthest"', "job.toml: init: Input should be 'moments' or 'uniform'"),
        ("hide_counts = true", "job.toml: hide_counts: "),
        ('dealer = { address = "127.0.0.1:7100" }', "job.toml: dealer: "),
        ('mode = "clear"', "job.toml: mode: Input should be 'paillier' or 'aggregate'"),
    ],
)
def test_keys_that_are_refused(tmp_path: Path, key: str, says: str) -> None:
    parties = "".join(f'[[parties]]\nname = "{party}"\n' for party in PARTIES)
    text = JOB.format(mode="paillier", n_init=1) + parties
    keys = "\n".join(line for line in text.splitlines() if line.split(" ")[0] != key.split(" ")[0])
    (tmp_path / "job.toml").write_text(f"{key}\n{keys}\n")
    with launched("job.toml", folder=tmp_path) as process:
        _, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 2
    assert says in error


def test_two_parties_are_refused_with_the_reason(tmp_path: Path) -> None:
    for party in PARTIES[:2]:
        pd.DataFrame(np.random.default_rng(1).random((20, 2)), columns=["age", "dose"]).to_csv(
            tmp_path / f"{party}.csv", index=False
        )
    files: list[Any] = ["--protocol", "smo07", "--data", "clinic.csv", "--data", "lab.csv", "--clusters", 2]
    with launched(*files, folder=tmp_path) as process:
        _, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 2
    assert "--parties: each of two parties can subtract its own rows from what it learns" in error
    assert "accept that by --accept-two-parties" in error
