"""The benchmark of Paillier's encryption, in its smallest form."""

import json

import benchmark_paillier
import pytest
from click.testing import CliRunner

from tests.experiments.scripts import run_script


def test_every_operation_is_measured() -> None:
    found = json.loads(run_script("benchmark_paillier.py", "--bits", 2048, "--times", 1, "--json"))
    medians = found["medians"]["2048"]
    assert (found["compared"], list(found["medians"])) == (True, ["2048"])
    assert all(value > 0 for each in medians.values() for value in each.values())
    assert sum("ratio" in each for each in medians.values()) == 9
    assert medians["encryption, short exponent, table"]["ms"] < medians["encryption, textbook"]["ms"]
    assert found["break_even"]["2048"] > 0


def test_without_the_other_library_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_paillier, "phe", None)
    shown = CliRunner().invoke(benchmark_paillier.main, ["--bits", "2048", "--times", "1"])
    assert shown.exit_code == 0, shown.output
    assert "is not installed, so nothing is compared: pip install phe" in " ".join(shown.output.split())
