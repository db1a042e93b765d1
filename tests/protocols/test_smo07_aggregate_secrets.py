"""What each party of the mode "aggregate" of SMO07 sees, by exact arguments.

1. What all parties send depends on totals alone: for other numbers with the same totals there are masks, equally
   likely, with which every message of the run is the same, byte by byte. So not even a coalition of all parties but
   two sees more than the sum of the numbers of these two.
2. A number that the first two parties open to each other has a mask word of its own, used nowhere earlier. Only the
   result has none.
3. All others receive the results and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from secure_kmeans.crypto.prg import Prg
from secure_kmeans.errors import ProtocolError
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.rounds import Step
from secure_kmeans.protocols.smo07 import aggregate, on_two_shares
from secure_kmeans.protocols.smo07.aggregate import LOW_BITS, MASKS, AggregateMode
from tests.mpc.roles_in_threads import key_between, names_of
from tests.mpc.test_masks import opened_by, without_a_mask_of_their_own
from tests.protocols.aggregating import LARGEST, WIDEST, at_each_party
from tests.threads import MemoryMesh, Threads

PARTIES = 5
Q, D = 4, 2
BOUND = 1 << 80
TOTAL_BITS = 256


class Numbers:
    """Private numbers of all parties: of two iterations, and of the end of a run."""

    def __init__(self, seed: int = 1) -> None:
        generator = np.random.default_rng(seed)
        self.counts = generator.integers(50, 100, (PARTIES, 3, Q))  # of two iterations, and of the sizes
        self.sums = generator.integers(-(1 << 30), 1 << 30, (PARTIES, 2, Q, D))
        self.totals = [[int(each) << 190 for each in row] for row in generator.integers(-1000, 1000, (PARTIES, 2))]
        halves = generator.integers(1 << 20, 1 << 21, (PARTIES, 3, 2))
        self.inertias = [[(int(high) << LOW_BITS) + int(low) for high, low in row] for row in halves]

    def moved(self, one: int, other: int) -> Numbers:
        """The same totals, but numbers of two parties are exchanged for others."""
        found, generator = Numbers(), np.random.default_rng(9)
        for array, most in ((found.counts, 40), (found.sums, 1 << 29)):
            step = generator.integers(-most, most, array.shape[1:])
            array[one] += step
            array[other] -= step
        for position, step in enumerate(generator.integers(1, 1 << 40, 2).tolist()):
            found.totals[one][position] += step << 100
            found.totals[other][position] -= step << 100
        for start, (high, low) in enumerate(generator.integers(-(1 << 18), 1 << 18, (3, 2)).tolist()):
            found.inertias[one][start] += (high << LOW_BITS) + low
            found.inertias[other][start] -= (high << LOW_BITS) + low
        return found

    def drawings(self, rank: int) -> list[list[int]]:
        """A party's numbers as they are masked: an entry for each drawing from a stream; the integers come last."""
        turns = [np.concatenate([self.sums[rank, turn], self.counts[rank, turn, :, None]], axis=1) for turn in (0, 1)]
        parts = [[each >> LOW_BITS, each & ((1 << LOW_BITS) - 1)] for each in self.inertias[rank]]
        flat = [
            *(turn.reshape(-1).tolist() for turn in turns),
            self.counts[rank, 2].tolist(),
            [part for both in parts for part in both],
        ]
        return [*flat, self.totals[rank]]


def run(numbers: Numbers, **options: Any) -> Threads:
    """Two iterations, the sizes, the best start and totals."""
    least = 5
    otherwise = np.zeros((Q, D), dtype=np.int64)

    def body(mode: AggregateMode, rank: int) -> Any:
        counts, sums = numbers.counts[rank], numbers.sums[rank]
        return [
            *(
                mode.means(sums[i], counts[i], otherwise, largest=LARGEST, least=least, iteration=i + 1).tolist()
                for i in (0, 1)
            ),
            mode.sizes(counts[2], least),
            mode.best(numbers.inertias[rank], BOUND),
            mode.totals(numbers.totals[rank], [1 << 240] * 2),
        ]

    threads = at_each_party(PARTIES, body, WIDEST, **options)
    assert all(answer == threads.answers[0] for answer in threads.answers)
    return threads


def stream_less(pair: tuple[int, int], steps: Sequence[Sequence[int]]) -> type[Prg]:
    """Streams of which one, of two parties, has other words: less by a step each, at both parties alike.

    The step of an entry of ``steps`` is of one drawing. The last entry is of integers of 256 bits.
    """
    names = names_of(PARTIES)
    key = key_between(names[pair[0]], names[pair[1]], MASKS)

    class Less(Prg):
        def __init__(self, own: bytes) -> None:
            super().__init__(own)
            self._left = [list(each) for each in steps] if own == key else None

        def fill(self, target: np.ndarray) -> None:
            super().fill(target)
            if self._left is None:
                return
            step, bits = self._left.pop(0), 64 if self._left else TOTAL_BITS
            drawn = bytes(target.data.cast("B"))
            assert len(drawn) == len(step) * bits // 8
            size = bits // 8
            words = [int.from_bytes(drawn[size * i : size * (i + 1)], "little") for i in range(len(step))]
            changed = [(word - less) % (1 << bits) for word, less in zip(words, step, strict=True)]
            target.data.cast("B")[:] = b"".join(word.to_bytes(size, "little") for word in changed)

    return Less


def sent_by_all(threads: Threads) -> dict[tuple[str, str], list[Any]]:
    """All messages, as lists."""
    return {line: [part.tolist() for part in sent] for line, sent in threads.sent.items()}


# ------------------------------------------------------------------------------------------------------ pairwise masks


@pytest.mark.parametrize("pair", list(combinations(range(PARTIES), 2)))
def test_all_messages_are_the_same_for_other_numbers_under_other_masks(
    pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every number of the two parties changes by a step of its own, and every word of their stream by the same step.

    A word that covered two numbers could not change by both of their steps.
    """
    before, after = Numbers(), Numbers().moved(*pair)
    steps = [
        [[new - old for old, new in zip(*both, strict=True)] for both in zip(*runs, strict=True)]
        for runs in ((before.drawings(rank), after.drawings(rank)) for rank in pair)
    ]
    assert [[-step for step in each] for each in steps[1]] == steps[0]
    flat = [step for each in steps[0] for step in each]
    assert len(set(flat)) > 0.9 * len(flat) - 10
    expected = sent_by_all(run(before))
    assert sent_by_all(run(after)) != expected
    monkeypatch.setattr(aggregate, "Prg", stream_less(pair, steps[0]))
    assert sent_by_all(run(after)) == expected


def test_equal_numbers_of_two_iterations_are_masked_by_different_words() -> None:
    numbers = Numbers()
    numbers.sums[:, 1], numbers.counts[:, 1] = numbers.sums[:, 0], numbers.counts[:, 0]
    for rank in range(2, PARTIES):
        first, second, *_ = run(numbers).sent[f"party_{rank}", "party_0"]
        assert first.shape == second.shape == (Q, D + 1)
        assert not set(first.reshape(-1).tolist()) & set(second.reshape(-1).tolist())


@pytest.mark.parametrize("numbers", [Numbers(1), Numbers(2)])
def test_what_parties_send_to_the_first_one_has_as_many_ones_as_zeros(numbers: Numbers) -> None:
    """Of uniform bits more than 6 standard deviations are off with a probability below 2 exp(-18), by Hoeffding."""
    sessions = range(8)
    words = [
        part.reshape(-1).view(np.uint8)
        for session in sessions
        for rank in range(1, PARTIES)
        for part in run(numbers, mesh=mesh_of(session)).sent[f"party_{rank}", "party_0"]
    ]
    bits = np.unpackbits(np.concatenate(words))
    assert bits.size > 50_000
    assert abs(bits.sum() - bits.size / 2) < 3 * bits.size**0.5


def mesh_of(session: int) -> type[MemoryMesh]:
    """A mesh with other keys in each session."""

    class OfSession(MemoryMesh):
        def key_for(self, peer: str, purpose: str) -> bytes:
            return key_between(self.me, peer, purpose, str(session))

    return OfSession


# ------------------------------------------------------------------------------------------------- the steps on shares

STEPS: Mapping[str, Callable[[Core, np.ndarray], Step[Any]]] = {
    "means": lambda core, v: on_two_shares.means(core, v[:1, :1], v[2, 8:9], np.ones((1, 1), np.int64), 1000, 1),
    "means of large clusters": lambda core, v: on_two_shares.means(
        core, v[:1, :1], v[2, 8:9], np.ones((1, 1), np.int64), 1000, 5
    ),
    "sizes": lambda core, v: on_two_shares.sizes(core, v[2, 6:], 4),
    "the best start": lambda core, v: on_two_shares.first_smallest(core, v[2, :4, None], LOW_BITS, 1000),
    "the best start, in parts": lambda core, v: on_two_shares.first_smallest(core, v[:2, 2:4], LOW_BITS, 1 << 60),
}


@pytest.mark.parametrize("name", STEPS)
def test_only_the_result_is_opened_without_a_mask_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, _ = opened_by(STEPS[name], monkeypatch)
    result = {(len(opened) - 1, position) for position in range(opened[-1][0].size)}
    assert without_a_mask_of_their_own(STEPS[name], monkeypatch) == result


# ------------------------------------------------------------------------------------------------------ who sees what


def test_the_parties_after_the_second_receive_the_results_and_nothing_else() -> None:
    threads = run(Numbers())
    *means, sizes, best, totals = threads.answers[0]
    expected = [*means, sizes, [best], totals]
    for rank in range(2, PARTIES):
        lines = [line for line in threads.sent if line[1] == f"party_{rank}"]
        assert lines == [("party_0", f"party_{rank}")]
        *parts, last = threads.sent[lines[0]]
        found = [int.from_bytes(row.tobytes(), "little", signed=True) for row in last]
        assert [*(part.tolist() for part in parts), found] == expected


def test_only_the_first_two_and_the_dealer_send_to_the_second() -> None:
    assert {sender for sender, receiver in run(Numbers()).sent if receiver == "party_1"} == {"party_0", "party_4"}


def check_what_others_see(one: Numbers, other: Numbers) -> None:
    """Of different totals with the same results: what all but the first two receive, and what the dealer sends."""
    first, second = run(one), run(other)
    assert first.answers == second.answers
    before, after = sent_by_all(first), sent_by_all(second)
    assert before["party_0", "party_1"] != after["party_0", "party_1"]
    same = [line for line in before if line[1] not in ("party_0", "party_1") or line == ("party_4", "party_1")]
    assert len(same) == PARTIES - 2 + 1
    assert {line: before[line] for line in same} == {line: after[line] for line in same}


def test_others_do_not_see_what_is_rounded_away() -> None:
    one, other = Numbers(), Numbers()
    totals, counts = one.sums.sum(axis=0), one.counts.sum(axis=0)[:2, :, None]
    at_the_end = (totals + counts // 2) % counts == counts - 1
    other.sums[1] += np.where(at_the_end, -1, 1)
    check_what_others_see(one, other)


def test_others_do_not_see_the_numbers_of_small_clusters() -> None:
    """Fewer than 5 rows, in both iterations and in the sizes at the end."""
    one, other = Numbers(), Numbers()
    for numbers in (one, other):
        numbers.sums[:, :, 2], numbers.counts[:, :, 2] = 0, 0
    one.sums[1, :, 2], one.counts[1, :, 2] = 1 << 20, 4
    other.sums[3, :, 2], other.counts[3, :, 2] = -(1 << 20), 1
    check_what_others_see(one, other)


def test_messages_have_the_same_lengths_whatever_the_numbers() -> None:
    def lengths(numbers: Numbers) -> dict[tuple[str, str], list[int]]:
        return {line: [part.nbytes for part in sent] for line, sent in run(numbers).sent.items()}

    assert lengths(Numbers(1)) == lengths(Numbers(2))


def test_a_second_computation_under_the_same_keys_is_refused() -> None:
    with pytest.raises(ProtocolError, match="key"):
        at_each_party(3, lambda mode, _: AggregateMode(mode._context, WIDEST))
