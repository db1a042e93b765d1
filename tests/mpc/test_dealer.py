"""Steps with a dealer: what is opened and sent looks uniform, and roles that only draw stay in step."""

from typing import Any

import numpy as np
import pytest

from secure_kmeans.mpc import comparison
from secure_kmeans.mpc.core import Core
from tests.mpc.roles_in_threads import DEALER, Run, recorded, shares_of
from tests.mpc.steps import STEPS

ZEROS = np.zeros((13, 150), dtype=np.int64)


def assert_uniform(data: np.ndarray) -> None:
    """Chi-square over 256 bytes: 255 on average, the standard deviation is 22.6, so 400 is 6.4 of them away."""
    counts = np.bincount(data, minlength=256)
    expected = data.size / 256
    assert expected >= 5
    assert ((counts - expected) ** 2 / expected).sum() < 400


def test_the_test_of_uniformity_can_fail() -> None:
    data = np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8)
    assert_uniform(data)
    data[::12] = 0
    with pytest.raises(AssertionError):
        assert_uniform(data)


@pytest.mark.parametrize("name", STEPS)
def test_what_is_opened_and_what_is_dealt_look_uniform_where_all_values_are_0(name: str) -> None:
    opened: list[tuple[np.ndarray, int]] = []

    def body(core: Core) -> Any:
        share = shares_of(ZEROS, core.parties, core.rank)
        return core.execute(recorded(STEPS[name](core, share), opened if core.rank == 0 else []))

    run = Run(2, body)
    assert len(opened) == run.rounds
    values = [numbers.view(np.uint8).reshape(-1, 8)[:, :size].ravel() for numbers, size in opened]
    dealt = [part.reshape(-1).view(np.uint8) for part in run.sent[DEALER, "party_1"]]
    for parts in (values, dealt):
        for part in parts:
            if part.size >= 1280:
                assert_uniform(part)
        assert_uniform(np.concatenate(parts))
    words = [part.view(np.uint64) for part in (*values, *dealt) if part.size % 8 == 0]
    assert len(np.unique(np.concatenate(words))) == sum(map(len, words))


@pytest.mark.parametrize("name", STEPS)
def test_the_dealer_receives_nothing_and_sends_to_the_last_party_alone(name: str) -> None:
    run = Run(3, lambda core: core.execute(STEPS[name](core, shares_of(ZEROS, core.parties, core.rank))))
    assert {line for line in run.sent if DEALER in line} == {(DEALER, "party_2")}
    assert run.traffic[-1].rounds == 0


def shapes(returned: Any) -> Any:
    return [shapes(part) for part in returned] if isinstance(returned, tuple) else (returned.shape, returned.dtype)


def nothing_but_zeros(returned: Any) -> bool:
    return all(map(nothing_but_zeros, returned)) if isinstance(returned, tuple) else not returned.any()


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("parties", [2, 3])
def test_a_party_that_only_draws_stays_in_step_with_the_dealer(name: str, parties: int) -> None:
    values = np.arange(ZEROS.size).reshape(ZEROS.shape) - 900

    def body(core: Core) -> np.ndarray:
        share = shares_of(values, parties, core.rank)
        with core.drawing_only():
            assert not core.takes_part
            drawn = core.execute(STEPS[name](core, share))
        assert core.takes_part is not core.is_dealer
        assert core.traffic.rounds == 0
        found = core.execute(STEPS[name](core, share))
        assert shapes(found) == shapes(drawn)
        if core.is_dealer:
            assert nothing_but_zeros((drawn, found))
        return core.execute(comparison.less_than(core, share, core.public(np.full_like(values, 7)), 20))

    assert Run(parties, body).opened().tolist() == (values < 7).astype(int).tolist()
