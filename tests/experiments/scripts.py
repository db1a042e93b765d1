"""Experiments, started as a person starts them."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 100


def run_script(name: str, *options: object, status: int = 0, folder: Path | None = None) -> str:
    """The standard output of ``python experiments/NAME``; nothing is printed on its standard error."""
    command = [sys.executable, str(REPOSITORY / "experiments" / name), *map(str, options)]
    done = subprocess.run(
        command,
        cwd=folder or REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stderr) == (status, ""), done.stdout + done.stderr
    return done.stdout
