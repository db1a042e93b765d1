"""A loop whose batch shrinks, at parties and at a dealer that is ahead of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secure_kmeans.errors import ProtocolError
from secure_kmeans.protocols.lookahead import TURNS_AHEAD, Lookahead, ScheduleLine, members_among


class _Line(ScheduleLine):
    """A line in memory: what is told is kept, and heard from the front."""

    def __init__(self, told: list[Any]) -> None:
        self.told = told

    def tell(self, value: Any) -> None:
        self.told.append(value)

    def hear(self) -> Any:
        return self.told.pop(0)


def party(stops_after: Sequence[int], turns: int, *, has_dealer: bool = True) -> tuple[list[list[int]], list[Any]]:
    """A party's batches, and what it tells; member i stops in turn ``stops_after[i]``."""
    line = _Line([])
    ahead = Lookahead(line, is_dealer=False, has_dealer=has_dealer, turns=turns)
    turn, batches = 0, []

    def running() -> np.ndarray:
        return np.array([i for i, last in enumerate(stops_after) if turn <= last], dtype=np.int64)

    for batch in ahead.batches(running):
        batches.append(batch.tolist())
        passed = not running().size
        turn += 1
        ahead.announce(running(), passed=passed)
    return batches, line.told


def dealer(told: list[Any], members: int, turns: int) -> list[list[int]]:
    """The dealer's batches, where it hears ``told``, all of it."""
    line = _Line(list(told))
    ahead = Lookahead(line, is_dealer=True, has_dealer=True, turns=turns)
    batches = []
    for batch in ahead.batches(lambda: np.arange(members)):
        batches.append(batch.tolist())
        ahead.announce(np.arange(members), passed=False)
    assert line.told == [], "something was told that the dealer does not hear"
    return batches


def test_a_member_that_stops_leaves_the_batch_two_turns_later() -> None:
    batches, told = party([0, 3], turns=10)
    assert batches == [[0, 1], [0, 1], [1], [1], [1]]
    assert told == [[1], [1], [1], []]  # then the parties pass over the turn that was dealt ahead, and tell nothing
    assert dealer(told, 2, 10) == batches


def test_without_a_dealer_a_member_that_stops_is_gone_at_once() -> None:
    batches, _ = party([0, 2], turns=10, has_dealer=False)
    assert batches == [[0, 1], [1], [1]]


def test_the_turns_are_used_up() -> None:
    batches, told = party([9, 9], turns=3)
    assert batches == [[0, 1]] * 3
    assert dealer(told, 2, 3) == batches


def test_the_last_turn_is_known() -> None:
    ahead = Lookahead(_Line([]), is_dealer=False, has_dealer=True, turns=2)
    last = [ahead.is_last(np.arange(1)) for _ in ahead.batches(lambda: np.arange(1))]
    assert last == [False, True]
    alone = Lookahead(_Line([]), is_dealer=False, has_dealer=False, turns=5)
    next(alone.batches(lambda: np.arange(1)))
    assert alone.is_last(np.arange(0))
    assert not alone.is_last(np.arange(1))


@given(st.lists(st.integers(0, 8), min_size=1, max_size=6), st.integers(1, 12))
def test_dealer_and_parties_have_the_same_batches(stops_after: list[int], turns: int) -> None:
    batches, told = party(stops_after, turns)
    assert dealer(told, len(stops_after), turns) == batches
    for turn, batch in enumerate(batches):
        at = max(0, turn - TURNS_AHEAD + 1)  # what was known two turns before
        known = [i for i, last in enumerate(stops_after) if at <= last] if turn >= TURNS_AHEAD else None
        assert batch == (list(range(len(stops_after))) if known is None else known)


@pytest.mark.parametrize("told", [[2], ["0"], [True], 0, None, {"0": 0}, [[0]], [0.0]])
def test_the_dealer_refuses_members_that_it_does_not_know(told: Any) -> None:
    with pytest.raises(ProtocolError, match="the first party told the dealer something that is no list of restarts"):
        members_among(told, np.array([0, 1]))


def test_members_come_back_in_order() -> None:
    assert members_among([3, 0], np.array([0, 1, 3])).tolist() == [0, 3]
    assert members_among([], np.array([0])).dtype == np.int64


# --------------------------------------------------------------------------------------------------- two kinds of turns


def party_with_flags(
    flags: Sequence[bool], turns: int, stops_after: int, *, first: bool
) -> tuple[list[bool], list[Any]]:
    """A party's kinds of turns, and what it tells; it announces ``flags[i]`` after turn i."""
    line, found, turn = _Line([]), [], 0
    ahead = Lookahead(line, is_dealer=False, has_dealer=True, turns=turns, flag=first)

    def running() -> np.ndarray:
        return np.arange(1 if turn <= stops_after else 0)

    for _ in ahead.batches(running):
        found.append(ahead.flag)
        passed = not running().size
        flag, turn = flags[turn], turn + 1
        ahead.announce(running(), passed=passed, flag=flag)
    return found, line.told


def dealer_with_flags(told: list[Any], turns: int, *, first: bool) -> list[bool]:
    line = _Line(list(told))
    ahead = Lookahead(line, is_dealer=True, has_dealer=True, turns=turns, flag=first)
    found = []
    for _ in ahead.batches(lambda: np.arange(1)):
        found.append(ahead.flag)
        ahead.announce(np.arange(1), passed=False)
    assert line.told == [], "something was told that the dealer does not hear"
    return found


def test_a_kind_that_is_announced_is_taken_two_turns_later() -> None:
    found, told = party_with_flags([True, False, True, False, False, False], 6, 99, first=True)
    assert found == [True, True, True, False, True, False]
    assert told[:3] == [[[0], True], [[0], False], [[0], True]]
    assert dealer_with_flags(told, 6, first=True) == found


@given(st.lists(st.booleans(), min_size=12, max_size=12), st.integers(0, 12), st.integers(1, 12), st.booleans())
def test_dealer_and_parties_take_the_same_kinds(flags: list[bool], stops_after: int, turns: int, first: bool) -> None:
    found, told = party_with_flags(flags, turns, stops_after, first=first)
    assert dealer_with_flags(told, turns, first=first) == found
    assert found == [first if turn < TURNS_AHEAD else flags[turn - TURNS_AHEAD] for turn in range(len(found))]


@pytest.mark.parametrize("told", [[0], [[0]], [[0], 1], [[0], None], [[0], True, True], None, "turn", {"0": True}])
def test_the_dealer_refuses_what_is_no_kind_of_turn(told: Any) -> None:
    with pytest.raises(ProtocolError, match="the first party told the dealer something that is no kind of turn"):
        dealer_with_flags([told], 4, first=True)


def test_in_a_loop_of_two_kinds_members_are_checked_as_well() -> None:
    with pytest.raises(ProtocolError, match="something that is no list of restarts"):
        dealer_with_flags([[[1], True]], 4, first=True)


def test_a_loop_of_one_kind_tells_no_kind() -> None:
    _, told = party([1], turns=4)
    assert told == [[0], []]
    ahead = Lookahead(_Line([]), is_dealer=False, has_dealer=True, turns=1)
    assert ahead.flag is False
