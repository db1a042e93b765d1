from typing import Any

import numpy as np
import pytest

from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.rounds import Opening
from tests.mpc.roles_in_threads import DEALER, Run, shares_of

VALUES = np.array([5, -(2**63), 2**63 - 1])


def opens(core: Core, values: np.ndarray, seed: int = 0, times: int = 1, **options: Any) -> Any:
    """A step that opens shares of the same values again and again, and returns what it learnt last."""
    opened = None
    for _ in range(times if core.takes_part else 0):
        opened = yield Opening(shares_of(values, core.parties, core.rank, seed), **options)
    return opened


def xor_share(planes: np.ndarray, parties: int, rank: int) -> np.ndarray:
    generator = np.random.default_rng(1)
    shares = [generator.integers(0, 2**64, planes.shape, dtype=np.uint64) for _ in range(parties - 1)]
    return [*shares, np.bitwise_xor.reduce([planes, *shares]), planes][rank]


def between(run: Run, sender: int, receiver: int) -> list[int]:
    """Bytes of each message."""
    return [part.nbytes for part in run.sent.get((f"party_{sender}", f"party_{receiver}"), [])]


@pytest.mark.parametrize("parties", [2, 3, 5, 10])
def test_all_parties_learn_the_value_in_one_round(parties: int) -> None:
    run = Run(parties, lambda core: core.execute(opens(core, VALUES)))
    for opened in run.returned[:-1]:
        assert opened.tolist() == VALUES.tolist()
    assert run.rounds == 1
    assert run.bytes_sent == ((parties - 1) * 24, 0)
    assert between(run, 0, 1) == [24]


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("size", range(1, 9))
def test_numbers_travel_in_so_many_bytes(parties: int, size: int) -> None:
    generator = np.random.default_rng(size)
    values = generator.integers(-(2**63), 2**63, (7, 3))
    run = Run(parties, lambda core: core.execute(opens(core, values, size=size)))
    for opened in run.returned[:-1]:
        assert opened.shape == values.shape
        assert [number % 256**size for number in opened.ravel().tolist()] == [
            number % 256**size for number in values.ravel().tolist()
        ]
    assert run.bytes_sent == ((parties - 1) * 21 * size, 0)


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("count", [3, 2**15 + 7])
def test_planes_are_opened_by_xor(parties: int, count: int) -> None:
    planes = np.random.default_rng(2).integers(0, 2**64, (2, count), dtype=np.uint64)

    def opens_planes(core: Core) -> Any:
        return (yield Opening(xor_share(planes, core.parties, core.rank))) if core.takes_part else None

    for opened in Run(parties, lambda core: core.execute(opens_planes(core))).returned[:-1]:
        assert opened.dtype == np.uint64
        np.testing.assert_array_equal(opened, planes)


def test_steps_side_by_side_share_their_rounds() -> None:
    planes = np.arange(4, dtype=np.uint64).reshape(1, 4)

    def mixed(core: Core) -> Any:
        if core.takes_part:
            yield Opening(xor_share(planes, core.parties, core.rank))
            return (yield Opening(shares_of(VALUES, core.parties, core.rank), 3))
        return None

    def nothing(core: Core) -> Any:
        yield from ()
        return "at once"

    run = Run(2, lambda core: core.together(opens(core, VALUES, times=3), nothing(core), mixed(core)))
    for first, second, third in run.returned[:-1]:
        assert first.tolist() == VALUES.tolist()
        assert second == "at once"
        assert (third % 2**24).tolist() == (VALUES % 2**24).tolist()
    assert run.rounds == 3
    assert between(run, 0, 1) == between(run, 1, 0) == [24 + 32, 24 + 9, 24]


def test_a_step_that_opens_nothing_takes_no_round() -> None:
    def nothing(core: Core) -> Any:
        yield from ()
        return core.rank

    run = Run(2, lambda core: (core.together(), core.execute(nothing(core))))
    assert run.returned == [([], 0), ([], 1), ([], 2)]
    assert run.rounds == 0
    assert run.sent == {}


def test_the_share_that_is_opened_is_left_as_it_was() -> None:
    def body(core: Core) -> Any:
        share = shares_of(VALUES, core.parties, core.rank)
        before = share.copy()

        def step() -> Any:
            return (yield Opening(share)) if core.takes_part else None

        core.execute(step())
        return (share == before).all()

    assert all(Run(3, body).returned)


@pytest.mark.parametrize("size", [8, 5])
@pytest.mark.parametrize(("parties", "to"), [(2, 0), (2, 1), (3, 1), (10, 9)])
def test_what_one_party_may_learn_reaches_nobody_else(parties: int, to: int, size: int) -> None:
    run = Run(parties, lambda core: core.execute(opens(core, VALUES, to=to, size=size)))
    for rank, opened in enumerate(run.returned[:-1]):
        expected = VALUES % 2**40 if rank == to and size == 5 else VALUES * (rank == to)
        assert (opened % 2**40 if size == 5 else opened).tolist() == expected.tolist()
        assert run.traffic[rank].rounds == 1
        assert run.traffic[rank].bytes_sent == (0 if rank == to else 3 * size)
        for other in range(parties):
            assert sum(between(run, rank, other)) == (3 * size if other == to != rank else 0)


def test_openings_to_all_and_to_several_share_a_round() -> None:
    def body(core: Core) -> Any:
        return core.together(
            opens(core, VALUES, seed=0, to=2, size=7),
            opens(core, 3 * VALUES[:2], seed=1),
            opens(core, VALUES[:1], seed=2, to=0),
        )

    run = Run(3, body)
    for rank, (to_last, to_all, to_first) in enumerate(run.returned[:-1]):
        assert (to_last % 2**56).tolist() == (VALUES % 2**56 * (rank == 2)).tolist()
        assert to_all.tolist() == (3 * VALUES[:2]).tolist()
        assert to_first.tolist() == (VALUES[:1] * (rank == 0)).tolist()
        assert [sum(between(run, rank, other)) for other in range(3) if other != rank] == [
            16 + 8 * (other == 0) + 21 * (other == 2) for other in range(3) if other != rank
        ]
    assert run.rounds == 1
    assert run.bytes_sent == (16 + 16 + 21, 0)


@pytest.mark.parametrize("parties", [3, 4, 5, 10])
def test_a_large_opening_goes_in_parts_from_three_parties_on(parties: int) -> None:
    values = np.random.default_rng(3).integers(-(2**63), 2**63, (parties, 2**15))
    run = Run(parties, lambda core: core.execute(opens(core, values)))
    for rank in range(parties):
        np.testing.assert_array_equal(run.returned[rank], values)
        assert run.traffic[rank].rounds == 2
        assert run.traffic[rank].bytes_sent == (parties - 1) * values.nbytes * 2 // parties
        assert between(run, rank, (rank + 1) % parties) == [2**18, 2**18]


def test_large_openings_of_all_kinds_in_uneven_parts() -> None:
    values = np.random.default_rng(4).integers(-(2**63), 2**63, (2**14 + 1, 5))
    planes = np.random.default_rng(5).integers(0, 2**64, (3, 11), dtype=np.uint64)

    def opens_planes(core: Core) -> Any:
        return (yield Opening(xor_share(planes, core.parties, core.rank))) if core.takes_part else None

    def body(core: Core) -> Any:
        return core.together(opens(core, values, size=7), opens_planes(core), opens(core, VALUES[:2]))

    run = Run(3, body)
    for packed, bits, whole in run.returned[:-1]:
        np.testing.assert_array_equal(packed % 2**56, values % 2**56)
        np.testing.assert_array_equal(bits, planes)
        assert whole.tolist() == VALUES[:2].tolist()
    assert run.rounds == 2
    total = 7 * values.size + planes.nbytes + 16
    assert sum(traffic.bytes_sent for traffic in run.traffic) == 3 * 2 * total * 2 // 3


@pytest.mark.parametrize(
    ("parties", "count", "rounds"), [(2, 2**15 + 1, 1), (2, 2**17, 1), (3, 2**15, 1), (3, 2**15 + 1, 2)]
)
def test_a_round_is_saved_up_to_2_to_the_18_bytes_and_between_two(parties: int, count: int, rounds: int) -> None:
    values = np.arange(count)
    run = Run(parties, lambda core: core.execute(opens(core, values)))
    np.testing.assert_array_equal(run.returned[0], values)
    assert run.rounds == rounds


def test_the_dealer_has_no_part_in_openings() -> None:
    run = Run(3, lambda core: core.execute(opens(core, VALUES)))
    assert run.returned[-1] is None
    assert run.traffic[-1].rounds == 0
    assert not any(DEALER in line for line in run.sent)
