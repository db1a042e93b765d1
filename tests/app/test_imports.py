"""What is imported by each form that starts no run: each has to answer at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from secure_kmeans.net.identity import new_identity

ROOT = Path(__file__).resolve().parents[2]
SLOW = ("torch", "crypten", "numba", "matplotlib", "sklearn", "scipy", "rbcl")
MALLS = ROOT / "data" / "two_malls"

SCRIPT = f"""
import json, runpy, sys
sys.argv = json.loads(sys.argv[1])
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
    status = 0
except SystemExit as end:
    status = end.code
slow = [name for name in {SLOW} if name in sys.modules]
print(json.dumps([status, slow]))
"""


def imported_by(folder: Path, program: str, *arguments: str) -> tuple[int, list[str]]:
    """The exit status of a program, and the slow packages that it imported."""
    argv = json.dumps([str(ROOT / program), *arguments])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, argv], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    status, slow = json.loads(done.stdout.splitlines()[-1])
    return status or 0, slow


@pytest.mark.parametrize(
    ("program", "arguments", "status"),
    [
        ("launcher.py", ["--help"], 0),
        ("launcher.py", ["--version"], 0),
        ("launcher.py", ["job.toml", "--help"], 0),
        ("launcher.py", ["check", "--help"], 0),
        ("launcher.py", ["completion", "bash"], 0),
        ("launcher.py", ["new-identity", "clinic"], 0),
        ("launcher.py", ["check", str(MALLS / "job.toml"), "--table", str(MALLS / "north.csv")], 0),
        ("launcher.py", ["check", "none.toml"], 2),
        ("launcher.py", ["check", str(MALLS / "job.toml"), "--identity", "lab"], 2),
        ("launcher.py", ["verify", "none.json"], 2),
        ("launcher.py", ["none.toml"], 2),
        ("launcher.py", [str(MALLS / "job.toml"), "--party", "east"], 2),
        ("launcher.py", [str(MALLS / "job.toml"), "--party", "north", "--identity", "lab"], 2),
        ("launcher.py", ["--clusters", "0"], 2),
        ("launcher.py", ["--clusters", "201"], 2),
        ("launcher.py", ["--data", "none.csv"], 2),
        ("launcher.py", ["--bounds", "0:1,0:1"], 2),
        ("launcher.py", ["predict", "none.json", "--data", "none.csv"], 2),
        ("main.py", ["--help"], 0),
        ("main.py", ["--clusters", "201"], 2),
        ("experiments/elbow.py", ["--help"], 0),
        ("experiments/elbow.py", ["--data", "none.csv"], 2),
    ],
    ids=lambda value: (
        Path(value).name if isinstance(value, str) else " ".join(value) if isinstance(value, list) else ""
    ),
)
def test_nothing_slow_is_imported(tmp_path: Path, program: str, arguments: list[str], status: int) -> None:
    new_identity(tmp_path / "lab")
    assert imported_by(tmp_path, program, *arguments) == (status, [])


@pytest.mark.parametrize("module", ["secure_kmeans", "secure_kmeans.app.commands", "secure_kmeans.app.console"])
def test_a_web_page_can_import_the_commands_at_once(module: str) -> None:
    script = f"import {module}, sys; print([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
