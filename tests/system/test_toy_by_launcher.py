"""A protocol that lives in the tests alone, from a job file through the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.protocols.toy.faulty import FAULT
from tests.protocols.toy.installed import COLUMNS, PARTIES, ROOT, install, tables
from tests.protocols.toy.mean import ADDER


class Place:
    """A folder with a job file, the parties' tables, and the package that brings the protocol."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = install(folder / "installed")
        for party, table in zip(PARTIES, tables(), strict=True):
            pd.DataFrame(table.rows, columns=list(COLUMNS)).to_csv(folder / f"{party}.csv", index=False)

    def write_job(self, protocol: str) -> None:
        parties = "".join(f'[[parties]]\nname = "{party}"\n' for party in PARTIES)
        (self.folder / "job.toml").write_text(f'protocol = "{protocol}"\ncolumns = {list(COLUMNS)}\n{parties}')

    def launch(self, *arguments: str, fault: str = "") -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": self.path, FAULT: fault}
        command = [sys.executable, str(ROOT / "launcher.py"), *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def report(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.folder / "results" / "job" / "report.json").read_text())
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def means() -> list[float]:
    found: list[float] = np.concatenate([table.rows for table in tables()]).mean(axis=0).tolist()
    return found


def test_a_job_file_of_a_protocol_that_another_package_brings(place: Place) -> None:
    place.write_job("mean")
    done = place.launch("job.toml")
    assert (done.returncode, done.stderr) == (0, "")
    report = place.report()
    assert (report["version"], report["protocol"]) == (3, "mean")
    assert report["result"] == {"means": pytest.approx(means(), abs=1e-6)}
    assert report["plaintext"] == {"means": pytest.approx(means(), abs=1e-12)}
    assert report["n_samples"] == {"clinic": 4, "lab": 5, "ward": 6}
    for disclosure in ("row counts", "total of a column", "mean of a column", "rows above the mean"):
        assert disclosure in done.stdout
    assert not list((place.folder / "state").rglob("*.state"))


def test_killed_it_is_named_and_resumed(place: Place) -> None:
    place.write_job("faulty mean")
    killed = place.launch("job.toml", fault=f"{ADDER}:die:3")
    assert killed.returncode == 1
    assert killed.stderr == f'launcher.py: role "{ADDER}" failed: its process ended without a word\n'
    assert len(list((place.folder / "state" / "job").rglob("*.state"))) == 2 * len(PARTIES)
    resumed = place.launch("job.toml", "--resume")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert place.report()["result"] == {"means": pytest.approx(means(), abs=1e-6)}
    assert not list((place.folder / "state").rglob("*.state"))


def test_more_than_was_announced_is_refused(place: Place) -> None:
    place.write_job("faulty mean")
    refused = place.launch("job.toml", fault="lab:entry")
    assert refused.returncode == 1
    assert '"a secret" was to be disclosed to all, which the job does not announce' in refused.stderr
    assert not (place.folder / "results" / "job" / "report.json").exists()


def test_nothing_to_resume_from(place: Place) -> None:
    place.write_job("mean")
    refused = place.launch("job.toml", "--resume")
    assert refused.returncode == 2
    assert "there is no state to resume from; start the run anew" in refused.stderr
    assert not (place.folder / "state").exists()


def test_it_is_checked(place: Place) -> None:
    place.write_job("mean")
    checked = place.launch("check", "job.toml", "--party", "lab", "--table", "lab.csv")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "total of a column" in checked.stdout
