"""The comparison of truncations, in its smallest form: a thousand values in the place of a million."""

import json

import pytest
import truncation
from click.testing import CliRunner

from tests.experiments.scripts import run_script

VALUES = 1000


@pytest.fixture(autouse=True)
def _few_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truncation, "AT_ONCE", VALUES)


def test_crypten_s_truncation_is_wrong_for_large_values_and_this_project_s_never() -> None:
    ended = CliRunner().invoke(truncation.main, ["--millions", "2", "--parties", "3", "--json"])
    assert ended.exit_code == 0
    found = json.loads(ended.stdout)["3"]
    assert found["2^40"] == {"ours": 0, "crypten": 0}
    assert found["2^60"]["ours"] == 0
    assert 0.01 < found["2^60"]["crypten"] / (2 * VALUES) < 0.06  # the mean of |x| / 2^64 is 1 / 32


def test_wrong_quotients_of_this_project_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truncation, "measure", lambda _parties, _engine, _millions: {"2^40": 500})
    ended = CliRunner().invoke(truncation.main, ["--millions", "1", "--parties", "2"])
    assert ended.exit_code == 1
    assert ["2", "2^40", "500", "500"] in [line.split() for line in ended.stdout.splitlines()]


def test_the_script_starts() -> None:
    assert "off by more than a unit" in run_script("truncation.py", "--help")
