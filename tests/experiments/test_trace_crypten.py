"""The tables of docs/crypten.md, and what the document says in words, are those of a fresh trace."""

import json
import re
from typing import Any, Final

import pytest
import trace_crypten
from click.testing import CliRunner

from tests.documents import ROOT

TEXT: Final = (ROOT / "docs" / "crypten.md").read_text(encoding="utf-8")
NEVER: Final = re.compile(
    r"matmul|get_plain_text|reveal|beaver|_ltz|\.(lt|le|gt|ge|eq|argmin|div|reciprocal|square|to)$|ttp_request|TTPServer"
)
"""Functions of CrypTen that open something, need messages or truncate."""
ARITHMETIC: Final = re.compile(r"MPCTensor\.(add|sub|mul|neg|sum|__getitem__|__setitem__|reshape)$")


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """The counts, as the script prints them."""
    ended = CliRunner().invoke(trace_crypten.main, ["--json"])
    assert ended.exit_code == 0, ended.output
    counts: dict[str, Any] = json.loads(ended.stdout)
    return counts


def test_the_document_has_the_tables_of_a_fresh_trace(found: dict[str, Any]) -> None:
    assert TEXT.split("## The calls")[1].split("\n\n", 2)[2].strip() == trace_crypten.markdown_of(found)


def test_both_parties_make_the_same_calls(found: dict[str, Any]) -> None:
    assert list(found) == ["launcher", "party_0", "party_1", "dealer"]
    assert found["party_0"]["functions"] == found["party_1"]["functions"]


def test_crypten_starts_the_roles(found: dict[str, Any]) -> None:
    assert found["launcher"]["functions"]["crypten.mpc.context.run_multiprocess"][trace_crypten.START] == 1


def test_rows_enter_by_the_sharing_of_zero(found: dict[str, Any]) -> None:
    entered = "crypten.mpc.primitives.arithmetic.ArithmeticSharedTensor.PRZS"
    assert found["party_0"]["functions"][entered][trace_crypten.ROWS] == 2, "once for each party's rows"
    assert entered not in found["dealer"]["functions"]


@pytest.mark.parametrize("role", ["party_0", "dealer"])
def test_nothing_is_opened_compared_or_multiplied_by_crypten(found: dict[str, Any], role: str) -> None:
    functions = found[role]["functions"]
    assert [name for name in functions if NEVER.search(name)] == []
    assert len([name for name in functions if ARITHMETIC.search(name)]) >= 6


def test_an_iteration_of_all_starts_calls_no_arithmetic_of_crypten(found: dict[str, Any]) -> None:
    called = {
        name for name, counts in found["party_0"]["functions"].items() if counts[trace_crypten.FIRST] and "MPC" in name
    }
    assert not [name for name in called if re.search(r"MPCTensor\.(add|sub|mul|neg|sum)$", name)]
    assert found["party_0"]["iterations"] > 3


def test_the_totals_in_the_text(found: dict[str, Any]) -> None:
    stated = [int(number.replace(",", "")) for number in re.findall(r"some ([\d,]+000|[\d,]+00)\b", TEXT)]
    measured, own = [], []
    for role in ("party_0", "dealer"):
        functions = found[role]["functions"].values()
        measured.append(sum(sum(counts.values()) for counts in functions))
        own.append(found[role]["own"])
    assert stated[::2] == pytest.approx(measured, rel=0.1)
    assert stated[1::2] == pytest.approx(own, rel=0.7), "they vary: a line that has to wait is asked again"


def test_text_for_a_person() -> None:
    ended = CliRunner().invoke(trace_crypten.main, [])
    assert ended.exit_code == 0, ended.output
    assert "A party: functions that this package calls" in ended.stdout
    assert re.search(r"The dealer: [\d,]+ calls of CrypTen's functions", ended.stdout)
