"""Every command and job file that the documents show is executed, in a folder like a checkout."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secure_kmeans.protocols import read_job
from secure_kmeans.report.sections import KMeansReport

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SLOW = re.compile(r"experiments/\w+\.py|main\.py --elbow")
"""These run for minutes. Here they are only asked for help, which still refuses an option that does not exist."""
PORTS = ("7100", "7101", "7102")
WHOLE = pytest.mark.timeout(360)
"""A page with many commands takes minutes on a machine with other work."""


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands_in(block: str) -> list[str]:
    """The commands of a block of shell, one for each line; a loop is one command."""
    if "done\n" in block:
        return [block]
    lines = block.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


class Checkout:
    """A folder with the project's files, in which commands are executed as the documents show them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("launcher.py", "main.py", "secure_kmeans", "data", "experiments"):
            (folder / name).symlink_to(ROOT / name)
        for place in (folder / ".venv" / "bin", folder / "bin"):
            place.mkdir(parents=True)
            python = place / "python"
            python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
            python.chmod(0o755)
        installed = folder / "bin" / "secure-kmeans"
        installed.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{folder}/launcher.py" "$@"\n')
        installed.chmod(0o755)
        self.environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "COLUMNS": "120"}

    def start(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-ec", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, command: str, status: int = 0) -> str:
        done = subprocess.run(
            ["bash", "-ec", command], cwd=self.folder, env=self.environment, text=True, capture_output=True, timeout=100
        )
        assert done.returncode == status, f"{command}\n{done.stderr}"
        return done.stdout + done.stderr

    def use_free_ports(self) -> None:
        """Other tests may use the ports of the example."""
        job = self.folder / "job.toml"
        text = job.read_text()
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
        for port, free in zip(PORTS, sockets, strict=True):
            assert f":{port}" in text
            text = text.replace(f":{port}", f":{free.getsockname()[1]}")
            free.close()
        job.write_text(text)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout with the tables that the documents speak of."""
    generator = np.random.default_rng(0)

    def table(*columns: str, rows: int = 30) -> pd.DataFrame:
        return pd.DataFrame(generator.uniform(0, 50, (rows, len(columns))), columns=list(columns))

    table("name", "age", "visits").to_csv(tmp_path / "customers.csv", index=False)
    table("age", "dose").to_csv(tmp_path / "clinic.csv", index=False)
    table("age", "dose").to_parquet(tmp_path / "lab.parquet")
    return Checkout(tmp_path)


class Reader:
    """A person who follows a document from its top: starts roles side by side, and makes every role's identity."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.roles: list[subprocess.Popen[str]] = []
        self.executed: list[str] = []

    def follow(self, document: Path) -> None:
        for block in blocks(document, "sh"):
            for command in commands_in(block):
                self.execute(command)
                self.executed.append(command)
        self.wait_for_roles()

    def execute(self, command: str) -> None:
        if command.startswith("pip install "):
            check_installation(command)
        elif command.startswith("make "):
            assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        elif "--resume" in command:
            self.wait_for_roles()
            assert "there is no state" in self.checkout.run(command, status=2)  # the run before did not fail
        elif "--party" in command:
            self.roles.append(self.checkout.start(command))
        elif re.search("results/|state/", command):  # of roles that have to end first
            self.wait_for_roles()
            self.checkout.run(command)
        elif SLOW.search(command):
            assert "Usage: " in self.checkout.run(f"{command} --help")
        else:
            self.checkout.run(command)
            self._as_the_comment_says(command)

    def _as_the_comment_says(self, command: str) -> None:
        if "# and south, and dealer" in command:
            for other in ("south", "dealer"):
                self.checkout.run(command.replace("north", other))
        if re.match(r"cp data/\w+/job\.toml", command):
            self.checkout.use_free_ports()
        if "# then paste the fingerprints" in command:
            (loop,) = (block for block in blocks(ROOT / "docs" / "deployment.md", "sh") if "sed -i" in block)
            self.checkout.run(loop)

    def wait_for_roles(self) -> None:
        for role in self.roles:
            _, error = role.communicate(timeout=100)
            assert role.returncode == 0, error
        self.roles.clear()

    def end(self) -> None:
        for role in self.roles:
            role.kill()
            role.communicate()


def check_installation(command: str) -> None:
    """What the command names exists, in the release that is locked. Nothing is installed here."""
    arguments = command.split("#")[0].split()[2:]
    for argument in arguments:
        if argument == ".":
            assert (ROOT / "pyproject.toml").exists()
        elif not argument.startswith("-"):
            locked = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("requirements*.txt"))
            assert (ROOT / argument).exists() or argument in locked
    assert arguments


@pytest.fixture
def reader(checkout: Checkout) -> Iterator[Reader]:
    """A reader who leaves no role behind."""
    person = Reader(checkout)
    yield person
    person.end()


def results_of(folder: Path, *names: str) -> list[KMeansReport]:
    return [KMeansReport.load(folder / "results" / name / "report.json") for name in names]


@WHOLE
def test_the_readme(reader: Reader, tmp_path: Path) -> None:
    reader.follow(ROOT / "README.md")
    north, south, split, two = results_of(tmp_path, "job/north", "job/south", "customers", "clinic+lab")
    assert north.result == south.result
    assert north.result.seed is None  # the starts are secret, and the best of five is not always the same
    assert len(split.parties) == 3
    assert two.parties == ("clinic", "lab")
    assert len(reader.executed) >= 9


@WHOLE
def test_the_deployment(reader: Reader, tmp_path: Path) -> None:
    reader.follow(ROOT / "docs" / "deployment.md")
    north, south = results_of(tmp_path, "job/north", "job/south")
    assert north.result == south.result
    assert [role.fingerprint for role in north.roles] == [
        (tmp_path / role / "fingerprint").read_text().strip() for role in ("north", "south", "dealer")
    ]
    assert any("--resume" in command for command in reader.executed)


@WHOLE
def test_the_bank_and_the_telecom(reader: Reader, tmp_path: Path) -> None:
    reader.follow(ROOT / "docs" / "vertical-data.md")
    bank, telecom, rehearsal = results_of(tmp_path, "job/bank", "job/telecom", "job")
    assert bank.result.counts == telecom.result.counts == rehearsal.result.counts == [102, 84, 66, 48]
    assert rehearsal.agreement is not None
    assert rehearsal.agreement.label_agreement == 1.0
    assert [role.fingerprint for role in bank.roles] == [
        (tmp_path / role / "fingerprint").read_text().strip() for role in ("bank", "telecom", "dealer")
    ]
    assert any("--party dealer" in command for command in reader.executed)


FOLLOWED = ("README.md", "deployment.md", "vertical-data.md")
"""Documents with a test of their own."""


@pytest.mark.parametrize(
    "document",
    [each for each in DOCUMENTS if blocks(each, "sh") and each.name not in FOLLOWED],
    ids=lambda document: document.name,
)
def test_every_other_document(reader: Reader, document: Path) -> None:
    reader.follow(document)
    assert reader.executed


@pytest.mark.parametrize(
    ("document", "block"),
    [(document, block) for document in DOCUMENTS for block in blocks(document, "python")],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_python(document: Path, block: str) -> None:
    corners = np.array([[0, 0], [0, 90], [90, 0], [90, 90], [45, 45]])  # the same clusters from every start
    rows = corners[np.arange(24) % 5] + np.random.default_rng(3).uniform(0, 9, (24, 2))
    known: dict[str, Any] = {"table_a": rows[:12], "table_b": rows[12:], "X": rows, "X_new": rows[:3]}
    known["party_of_each_row"] = ["a", "b"] * 12
    bank = pd.DataFrame({"customer": [f"{number:03d}" for number in range(24)], "income": rows[:, 0]})
    telecom = pd.DataFrame({"minutes": rows[:, 1], "customer": bank["customer"]})[::-1]
    known |= {"bank": bank, "telecom": telecom, "new_of_bank": bank[:3], "new_of_telecom": telecom[-3:]}
    exec(compile(block, str(document), "exec"), known)
    if document.name == "multi-party-addition.md":
        assert (known["mean"], known["others"]) == (42.5, [None, None])
    else:
        assert len(known["model"].labels_) == 24


@pytest.mark.parametrize(
    ("document", "block"),
    [(document, block) for document in DOCUMENTS for block in blocks(document, "toml")]
    + [(job, job.read_text(encoding="utf-8")) for job in sorted((ROOT / "data").rglob("*.toml"))],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_job_files(document: Path, block: str, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(block)
    assert read_job(tmp_path / "job.toml").names, document


def test_the_job_file_of_the_three_malls_runs_here(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run("python launcher.py data/three_malls/job.toml")
    (report,) = results_of(tmp_path, "job")
    assert report.agreement is not None
    assert report.agreement.label_agreement == 1.0


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_options_and_programs_in_the_text_exist(document: Path) -> None:
    sources = [*(ROOT / "secure_kmeans" / "app").glob("*.py"), *(ROOT / "experiments").glob("*.py")]
    options = set(re.findall(r"--[a-z][a-z-]+", "\n".join(path.read_text(encoding="utf-8") for path in sources)))
    options |= {"--help", "--version"}
    for code in re.findall(r"`([^`\n]+)`", document.read_text(encoding="utf-8")):
        program = re.match(r"(?:python )?((?:experiments/)?\w+\.py) ", f"{code} ")
        if program and ("/" in program[1] or code.startswith("python ")):
            assert (ROOT / program[1]).exists(), code
        if program or code.startswith("--"):
            assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", code)) <= options, code
