"""Alignment: rows found by their identifiers, the order compared, the costs, and peers that do not follow it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_kmeans.errors import DataError, MismatchError, ProtocolError, RoleError
from secure_kmeans.job import Role
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols import alignment, protocol_of
from secure_kmeans.protocols.alignment import check_same_order, common_rows
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.svk.job import DEALER
from secure_kmeans.roles.process import in_processes
from tests.protocols.aligning import align, at_each_role, context_of, forging, job_of
from tests.threads import MemoryMesh, Threads

ALL_INVALID = bytes(32), b"\xff" * 32
SETS = {
    "bank": ["ann", "7", "007", "Jos\u00e9", "eve", "bob"],
    "shop": ["eve", "Jose\u0301", "zoe", "7"],
    "clinic": ["jose", "7", "eve", "Jos\u00e9", "ann"],
}
COMMON = {"7", "eve", "Jos\u00e9"}


def message_at_each_role(sets: Mapping[str, Sequence[str]], part: Callable[[Context[Any]], Any]) -> Threads:
    """The messages of the MismatchErrors that all roles raise."""

    def take_part(context: Context[Any]) -> str:
        with pytest.raises(MismatchError) as caught:
            part(context)
        return str(caught.value)

    return at_each_role(tuple(sets), take_part)


class TestCommonRows:
    def test_by_hand(self) -> None:
        aligned = align(SETS)
        assert {name: sorted(rows) for name, rows in aligned.rows.items()} == {
            "bank": [1, 3, 4],
            "shop": [0, 1, 3],
            "clinic": [1, 2, 3],
        }
        bank, shop, clinic = ([SETS[name][row] for row in rows] for name, rows in aligned.rows.items())
        assert [text.replace("e\u0301", "\u00e9") for text in shop] == bank == clinic
        assert aligned.dealer.tolist() == [0, 0, 0]

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.lists(st.sampled_from("bcdefgh"), unique=True), min_size=2, max_size=5), st.data())
    def test_they_are_the_intersection_in_one_order(self, lists: list[list[str]], data: st.DataObject) -> None:
        sets = {f"party_{rank}": [*own[:2], "a", *own[2:]] for rank, own in enumerate(lists)}
        most = {name: data.draw(st.integers(len(own), 20)) for name, own in sets.items()}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(alignment, "BLOCK", data.draw(st.integers(1, 5)))
            aligned = align(sets, most=most)
        found = [[sets[name][row] for row in rows] for name, rows in aligned.rows.items()]
        assert set(found[0]) == set.intersection(*map(set, sets.values()))
        assert len(found[0]) == len(set(found[0])) == len(aligned.dealer)
        assert all(each == found[0] for each in found)

    def test_all_rows_in_another_order(self) -> None:
        names = [f"person {number}" for number in range(50)]
        aligned = align({"bank": names, "shop": names[::-1]}, most=50)
        assert sorted(aligned.rows["bank"]) == list(range(50))
        assert aligned.rows["shop"] == [49 - row for row in aligned.rows["bank"]]
        assert aligned.rows["bank"] not in (list(range(50)), list(range(49, -1, -1)))

    def test_the_order_says_nothing_of_the_rows(self) -> None:
        sets = {"bank": ["a", "b", "c"], "shop": ["a", "b", "c"]}
        firsts = [align(sets, most=3).rows["bank"][0] for _ in range(60)]
        assert set(firsts) == {0, 1, 2}  # fails by chance once in 10^10

    def test_ten_parties(self) -> None:
        sets = {f"party_{rank}": [f"{rank}", "all", f"{rank + 1}"] for rank in range(10)}
        assert list(align(sets, most=3).rows.values()) == [[1]] * 10

    def test_more_rows_than_agreed_on(self) -> None:
        with pytest.raises(DataError, match=r"the table has 6 rows, where the job allows 5 rows: .* larger most_rows"):
            align(SETS, most=5)

    def test_progress(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(alignment, "BLOCK", 2)
        steps: list[tuple[str, int, int]] = []
        align({"bank": ["a"], "shop": ["a"]}, progress=lambda *step: steps.append(step))
        assert sorted(steps) == [("alignment", done, 6) for done in range(1, 7) for _ in range(2)]


class TestTooFew:
    @pytest.mark.parametrize(("fewest", "counted"), [(4, "4 rows"), (100, "100 rows")])
    def test_all_roles_learn_that_and_no_more(self, fewest: int, counted: str) -> None:
        most = dict.fromkeys(SETS, 8)
        threads = message_at_each_role(
            SETS, lambda context: common_rows(context, SETS.get(context.role.name), most, fewest)
        )
        assert set(threads.answers) == {
            f"the tables have fewer than {counted} in common, the least for this job: check that all of them name the "
            "same entities, and write their identifiers (id) in the same way"
        }
        told = [numbers for (sender, _), sent in threads.sent.items() if sender == DEALER for numbers in sent]
        assert [numbers.tolist() for numbers in told] == [[-1]] * 3

    def test_as_many_as_needed(self) -> None:
        assert len(align(SETS, fewest=3).dealer) == 3

    def test_no_row_in_common(self) -> None:
        with pytest.raises(MismatchError, match="fewer than 1 row in common"):
            align({"bank": ["a", "7"], "shop": ["b", "007"]})

    def test_in_processes_of_their_own_no_role_blames_another(self) -> None:
        job = job_of(("bank", "shop"))

        def part(role: Role, mesh: Mesh) -> list[str]:
            ids = SETS.get(role.name)
            try:
                common_rows(context_of(job, role, mesh), ids, {"bank": 9000, "shop": 6}, 4)
            except MismatchError as error:
                return ["mismatch", str(error)]
            return []

        answers = in_processes(job, part, start=protocol_of("shk").start_roles)
        assert [answer[0] for answer in answers] == ["mismatch"] * 3
        assert len({answer[1] for answer in answers}) == 1


class TestCosts:
    @pytest.mark.parametrize("parties", [2, 3, 5, 10])
    @pytest.mark.parametrize("most", [1, 4, 9])
    def test_they_are_what_the_docstring_says(self, monkeypatch: pytest.MonkeyPatch, parties: int, most: int) -> None:
        monkeypatch.setattr(alignment, "BLOCK", 4)
        sets = {f"party_{rank}": ["x"] for rank in range(parties)}
        *each, dealer = align(sets, most=most).threads.traffic
        blocks, total, count = -(-most // 4), parties * most, 1
        sent = 32 * total + 16 * most + 32 * (parties - 1)
        assert {(one.rounds, one.bytes_sent) for one in each} == {(blocks + parties + 2, sent)}
        assert (dealer.rounds, dealer.bytes_sent) == (blocks, parties * (8 + 4 * count))

    def test_lists_of_different_lengths(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(alignment, "BLOCK", 4)
        most = {"bank": 20, "shop": 6, "clinic": 5}
        threads = align(SETS, most=most).threads
        assert [each.bytes_sent for each in threads.traffic] == [32 * 31 + 16 * size + 64 for size in most.values()] + [
            3 * (8 + 4 * 3)
        ]
        assert all(each.rounds <= 5 + 3 + 2 for each in threads.traffic)
        assert threads.traffic[-1].rounds == 5

    @pytest.mark.parametrize("parties", [2, 3, 10])
    def test_of_the_same_order(self, parties: int) -> None:
        names = [f"party_{rank}" for rank in range(parties)]
        threads = at_each_role(
            names, lambda context: check_same_order(context, ["a", "b"] if context.role.name in names else None)
        )
        *each, dealer = threads.traffic
        assert {(one.rounds, one.bytes_sent) for one in each} == {(parties + 1, 32 * parties + 16)}
        assert (dealer.rounds, dealer.bytes_sent) == (1, 8 * parties)


class TestSameOrder:
    def check(self, sets: Mapping[str, Sequence[str]]) -> Callable[[Context[Any]], None]:
        return lambda context: check_same_order(context, sets.get(context.role.name))

    def test_equal_lists(self) -> None:
        sets = {"bank": ["7", "Jos\u00e9"], "shop": ["7", "Jose\u0301"], "clinic": ["7", "Jos\u00e9"]}
        threads = at_each_role(tuple(sets), self.check(sets))
        assert threads.answers == [None] * 4

    @pytest.mark.parametrize(
        "other",
        [["b", "a"], ["a"], ["a", "b", "c"], ["ab", ""], ["a", "B"], []],
        ids=lambda ids: "-".join(ids) or "none",
    )
    def test_other_lists_are_refused_at_all_roles(self, other: list[str]) -> None:
        sets = {"bank": ["a", "b"], "shop": ["a", "b"], "clinic": other}
        threads = message_at_each_role(sets, self.check(sets))
        assert len(set(threads.answers)) == 1
        assert threads.answers[0].startswith("the tables do not have the same identifiers in the same order: sort all")

    def test_a_dealer_that_answers_something_else(self) -> None:
        sets = {"bank": ["a"], "shop": ["a"]}
        with pytest.raises(ProtocolError, match='role "dealer" did not answer whether all lists are equal'):
            at_each_role(tuple(sets), self.check(sets), mesh=forging(DEALER, lambda numbers: numbers + 6))


# ------------------------------------------------------------ misbehaving peers


def replace_first(row: bytes) -> Callable[[np.ndarray], np.ndarray]:
    def forge(elements: np.ndarray) -> np.ndarray:
        forged = elements.copy()
        forged[0] = np.frombuffer(row, dtype=np.uint8)
        return forged

    return forge


class TestMisbehavingPeers:
    @pytest.mark.parametrize("row", ALL_INVALID, ids=["identity", "no encoding"])
    @pytest.mark.parametrize("sender", SETS)
    def test_what_is_no_element(self, sender: str, row: bytes) -> None:
        with pytest.raises(ProtocolError, match=f'party "{sender}" sent something that is no element of the group'):
            align(SETS, mesh=forging(sender, replace_first(row), size=8 * 32))

    def test_a_block_of_another_length(self) -> None:
        with pytest.raises(RoleError, match="bank"):
            align(SETS, mesh=forging("bank", lambda elements: elements[1:], size=8 * 32))

    def test_a_party_that_repeats_a_tag(self) -> None:
        with pytest.raises(ProtocolError, match='party "shop" sent the same tag twice'):
            align(SETS, mesh=forging("shop", lambda tags: np.repeat(tags[:4], 2, axis=0), to=DEALER))

    def test_a_party_that_sends_tags_of_its_own_has_no_row_in_common(self) -> None:
        forge = forging("shop", lambda tags: np.arange(tags.size, dtype=np.uint8).reshape(tags.shape), to=DEALER)
        with pytest.raises(MismatchError):
            align(SETS, mesh=forge)

    @pytest.mark.parametrize(
        "forge",
        [
            lambda positions: np.array([positions[0], positions[1], positions[0]], dtype=np.int32),
            lambda positions: np.array([*positions[:2], 8], dtype=np.int32),
            lambda positions: np.array([-1, *positions[1:]], dtype=np.int32),
            lambda positions: np.array([2**31 - 1, *positions[1:]], dtype=np.int32),
        ],
        ids=["repeated", "too large", "negative", "far too large"],
    )
    def test_positions_that_cannot_be(self, forge: Callable[[np.ndarray], np.ndarray]) -> None:
        with pytest.raises(ProtocolError, match='role "dealer" sent positions of common rows that cannot be'):
            align(SETS, mesh=forging(DEALER, forge, to="shop", size=3))

    def test_positions_of_padding(self) -> None:
        sets = {"bank": ["a"], "shop": ["a"]}  # one of eight is a row

        def forge(positions: np.ndarray) -> np.ndarray:
            return (positions + 1) % 8

        with pytest.raises(ProtocolError, match='role "dealer" sent positions of common rows that cannot be'):
            align(sets, mesh=forging_positions(forge))

    @pytest.mark.parametrize("count", [0, 1, 5, -2, 2**62])
    def test_a_number_of_rows_that_cannot_be(self, count: int) -> None:
        forge = forging(DEALER, lambda _count: np.array([count]), to="shop", size=1)
        with pytest.raises(ProtocolError, match='role "dealer" sent a number of common rows that cannot be'):
            align(SETS, fewest=2, mesh=forge)

    @pytest.mark.parametrize("forge", [lambda positions: positions[::-1], lambda positions: np.roll(positions, 1)])
    def test_an_order_that_is_not_the_others(self, forge: Callable[[np.ndarray], np.ndarray]) -> None:
        with pytest.raises(ProtocolError, match=r"party \"\w+\" has other common rows, or in another order"):
            align(SETS, mesh=forging(DEALER, forge, to="clinic", size=3))


def forging_positions(forge: Callable[[np.ndarray], np.ndarray]) -> Callable[..., MemoryMesh]:
    return forging(DEALER, lambda numbers: forge(numbers) if numbers.dtype == np.int32 else numbers, to="bank")
