"""The figures of docs/performance.md, of one small shape."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import benchmark
import pandas as pd
import performance
import pytest
from click.testing import CliRunner

RUN = subprocess.run
PEER = "Peer=echo 1.5 s/iter for {samples} rows, 0.5 s/iter, 0.7 s/iter"


@pytest.fixture(autouse=True)
def _one_small_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performance, "CENTRE", {"samples": 200, "features": 2, "clusters": 2, "parties": 2})
    monkeypatch.setattr(performance, "SWEEPS", {"samples": [200]})
    monkeypatch.setattr(performance, "RACE", [(200, 2, 2)])
    monkeypatch.setattr(performance, "iterations_of", lambda _samples: 2)
    monkeypatch.setattr("performance.subprocess.run", _run_here)


def _run_here(command: list[str], **options: Any) -> SimpleNamespace | subprocess.CompletedProcess[str]:
    """A peer as it is called, and our own script in this process, in which what it imports is loaded already."""
    if str(performance.BENCHMARK) not in command:
        return RUN(command, **options)
    ended = CliRunner().invoke(benchmark.main, command[2:], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return SimpleNamespace(stdout=ended.stdout)


def test_tables_and_a_picture_are_written(tmp_path: Path) -> None:
    ended = CliRunner().invoke(performance.main, ["--repeats", "1", "--peer", PEER, "--output", str(tmp_path / "out")])
    assert ended.exit_code == 0, ended.output
    race = pd.read_csv(tmp_path / "out" / "race.csv").iloc[0]
    assert list(race.index[:3]) == ["samples", "features", "clusters"]
    assert set(race.index[3:]) == {"secure", "secure, 18 bits", "Peer", "engine crypten"}
    assert race["Peer"] == 0.7
    assert (race > 0).all()
    sweep = pd.read_csv(tmp_path / "out" / "performance.csv").iloc[0]
    assert (sweep["axis"], sweep["samples"]) == ("samples", 200)
    assert 8 < sweep["rounds_per_iteration"] <= 12
    assert (tmp_path / "out" / "performance.png").read_bytes().startswith(b"\x89PNG")
    assert "samples = 200: " in ended.output
