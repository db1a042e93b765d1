"""The benchmark of the transport, in its smallest form."""

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_both_transports_are_measured() -> None:
    command = [sys.executable, "experiments/benchmark_transport.py", "--megabytes", "1", "--times", "1", "--json"]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    lines = {"small", "small_crypten", "large_both", "large_one"}
    assert found["megabytes"] == 1
    assert found["medians"]["TLS 1.3"].keys() == lines
    assert found["medians"]["Gloo"].keys() == lines | {"small_gloo_all_gather"}
    assert all(value > 0 for each in found["medians"].values() for value in each.values())
