import json
import subprocess
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
KEYS = {
    "seconds_per_iteration",
    "bytes_sent_per_party_per_iteration",
    "dealer_bytes_per_iteration",
    "rounds_per_iteration",
    "peak_rss_mb",
    "max_centroid_error",
}


def run(script, *options):
    command = [sys.executable, str(EXPERIMENTS / script), *map(str, options), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("engine", ["secure", "crypten"])
def test_an_iteration_is_measured(engine):
    figures = run("benchmark.py", "--samples", 300, "--clusters", 3, "--iterations", 2, "--engine", engine)
    assert figures.keys() >= KEYS
    assert figures["iterations"] == 2
    assert figures["max_centroid_error_same_precision"] == 0
    assert figures["max_centroid_error"] < 2.0**-23
    assert figures["seconds_per_iteration"] > 0
    if engine == "secure":
        assert figures["rounds_per_iteration"] == 12
        assert 90 < figures["dealer_bytes_per_iteration"] / 300 < 120  # a row


def test_no_truncation_is_off_by_more_than_a_unit():
    assert run("truncation.py", "--millions", 1, "--parties", 3)["3"]["2^40"]["ours"] == 0
