"""The attack by several parties of SMO07 together: on real runs of both modes, in processes."""

import json

import attack_leader_and_neighbour as attack
import pytest
import taps_of_smo07 as taps
from click.testing import CliRunner

from tests.experiments.scripts import run_script


@pytest.fixture(scope="module")
def of_aggregate() -> attack.Attack:
    known = taps.known_after_a_run("aggregate", attack.PARTIES, 8, seed=3)
    return attack.Attack(taps.job_of("aggregate", attack.PARTIES), known, 8 * attack.PARTIES)


def test_whose_numbers_are_found() -> None:
    ended = CliRunner().invoke(attack.main, ["--rows", "8", "--json"], catch_exceptions=False)
    assert ended.exit_code == 0
    found = json.loads(ended.stdout)["found"]
    by_mode = {mode: {tuple(each["coalition"]): each["finds"] for each in of} for mode, of in found.items()}
    paillier, aggregate = by_mode["paillier"], by_mode["aggregate"]
    assert (paillier[1,], paillier[1, 2], paillier[1, 3], paillier[1, 4], paillier[1, 5]) == ([], [], [2], [5], [])
    assert paillier[1, 2, 4] == [3, 5]
    assert paillier[2, 3, 4, 5] == []
    assert {coalition for coalition, finds in aggregate.items() if finds} == {(1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 4, 5)}
    totals = {tuple(each["coalition"]) for each in found["aggregate"] if each["finds_total"]}
    assert totals == {each for each in aggregate if {1, 2} <= set(each)}


def test_masked_numbers_show_nothing_but_to_all_others_together(of_aggregate: attack.Attack) -> None:
    own = of_aggregate.known[3].own
    assert of_aggregate.without_known_masks(3, (0, 1, 2, 4)) == own
    for coalition in [(0,), (0, 1), (0, 2), (0, 4), (0, 1, 2), (0, 1, 4), (0, 2, 4)]:
        for left, numbers in zip(of_aggregate.without_known_masks(3, coalition), own, strict=True):
            assert not set(left) & set(numbers)


def test_an_attack_does_not_read_what_only_its_target_has(of_aggregate: attack.Attack) -> None:
    known = list(of_aggregate.known)
    known[2] = taps.Known(masks=known[2].masks)
    blind = attack.Attack(of_aggregate.job, known, 8 * attack.PARTIES)
    coalition = (0, 1, 3, 4)
    assert blind.found_by(coalition)[2] == of_aggregate.known[2].own


def test_what_is_found_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: attack.Measured = {"paillier": {(0, 2): [attack.TOTAL, 1]}, "aggregate": {(0, 1): [attack.TOTAL]}}
    assert attack.judged(measured) == (True, True)
    assert attack.judged({"paillier": {(0, 2): [attack.TOTAL]}, "aggregate": {(0, 1): [2]}}) == (False, False)
    monkeypatch.setattr(attack, "measure", lambda *_: {"paillier": {(0, 2): []}, "aggregate": {(0, 2): []}})
    assert CliRunner().invoke(attack.main, [], catch_exceptions=False).exit_code == 1


def test_the_script_starts() -> None:
    assert "Find the numbers of single parties" in run_script("attack_leader_and_neighbour.py", "--help")
