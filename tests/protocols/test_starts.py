"""Secret starts: which rows they are, that they are uniform, and that neither side's part says anything about them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from secure_kmeans.job.coins import DrawGrid, SecretCoins
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.crypten_adapter import Shared, share_of, wrap
from secure_kmeans.mpc.engine import SecureEngine
from secure_kmeans.protocols import starts as starts_module
from secure_kmeans.protocols.starts import SecretStarts
from tests.mpc.roles_in_threads import DEALER, Run, shares_of


def run(parties: int, seed: int, n: int, starts: int, each: int = 1) -> Run:
    """The starting rows of a table whose row i holds i and 1000 - i."""
    rows = np.stack([np.arange(n), 1000 - np.arange(n)], axis=1)

    def body(core: Core) -> np.ndarray:
        coins = SecretCoins.draw(0 if core.is_dealer else seed, n, 2, starts)
        X = wrap(shares_of(rows, parties, core.rank))
        return share_of(core.execute(SecretStarts(coins, starts, each).rows(SecureEngine(core), X)))

    return Run(parties, body)


def numbers_of(found: Run) -> list[list[int]]:
    """The numbers of the starting rows of each start."""
    rows = found.opened().astype(int)
    assert (rows.sum(axis=2) == 1000).all(), "what was selected is no row"
    numbers: list[list[int]] = rows[:, :, 0].tolist()
    return numbers


@pytest.mark.parametrize("parties", [2, 3, 10])
def test_the_starts_begin_at_different_rows(parties: int) -> None:
    numbers = [number for [number] in numbers_of(run(parties, 1, 9, 9))]
    assert sorted(numbers) == list(range(9))


def test_the_rows_of_a_random_start_differ() -> None:
    for numbers in numbers_of(run(2, 1, 5, starts=20, each=4)):
        assert len(set(numbers)) == 4


def test_more_starts_than_rows() -> None:
    assert len(numbers_of(run(2, 1, 3, 7))) == 7


def test_blocks_of_one_hot_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts_module, "_ELEMENTS_AT_ONCE", 30)
    found = run(2, 1, 10, 8)
    assert found.rounds == 3
    numbers = [number for [number] in numbers_of(found)]
    assert [len(set(numbers[start : start + 3])) for start in (0, 3, 6)] == [3, 3, 2]


def dealt(monkeypatch: pytest.MonkeyPatch, positions: int) -> None:
    """Let the dealer draw the same positions again."""
    monkeypatch.setattr("secrets.SystemRandom", lambda: random.Random(positions))


def test_the_row_is_the_one_at_the_dealer_s_position_in_the_parties_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for positions in range(5):
        for seed in range(5):
            dealt(monkeypatch, positions)
            order = SecretCoins.draw(seed, 20, 2, 3).order
            expected = [[int(order[position])] for position in random.Random(positions).sample(range(20), 3)]
            assert numbers_of(run(2, seed, 20, 3)) == expected


def test_each_row_is_as_likely_for_every_position_of_the_dealer_and_for_every_order_of_the_parties() -> None:
    """Chi-square over 8 rows of 400 starts: 7 on average, the standard deviation is 3.7."""
    coins = [SecretCoins.draw(seed, 8, 2, 1).order for seed in range(400)]
    for position in range(8):
        counts = np.bincount([int(order[position]) for order in coins], minlength=8)
        assert ((counts - 50) ** 2 / 50).sum() < 35
    found = [numbers_of(run(2, 3, 8, 8)) for _ in range(50)]  # one order, positions of the operating system
    first = np.bincount([numbers[0][0] for numbers in found], minlength=8)
    assert (first > 0).sum() >= 5  # fewer once in 10^13 runs


def test_what_the_dealer_sends_does_not_depend_on_the_parties_coins(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = []
    for seed in (1, 2):
        dealt(monkeypatch, 5)
        found = run(3, seed, 30, 4)
        assert {line for line in found.sent if DEALER in line} == {(DEALER, "party_2")}
        messages.append([part.tolist() for part in found.sent[DEALER, "party_2"]])
    assert messages[0] == messages[1]


def test_what_the_parties_but_the_last_receive_of_a_position_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A party that is not the last hears nothing from the dealer; its shares are the same for other positions."""
    shares = []
    for positions in (1, 2):
        dealt(monkeypatch, positions)
        vectors = Run(3, lambda core: core.provider.one_hots(2, 10)).returned
        shares.append([share.tolist() for share in vectors[:2]])
    assert shares[0] == shares[1]


# ---------------------------------------------------------------------------------------------------------- the draws


def draws(parties: int, seed: int, bits: int, starts: int, totals: np.ndarray, number: int = 0) -> list[Any]:
    def body(core: Core) -> np.ndarray:
        coins = SecretCoins.draw(0 if core.is_dealer else seed, 5, 3, starts)
        shared: Shared = wrap(shares_of(totals, parties, core.rank))
        step = SecretStarts(coins, starts, 1).times_draws(SecureEngine(core), shared, number, DrawGrid(8, bits))
        return share_of(core.execute(step))

    products: list[Any] = Run(parties, body).opened()[:, 0].tolist()
    return products


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("bits", [22, 30])
def test_a_draw_lies_below_its_limit_and_multiplies_the_total(parties: int, bits: int) -> None:
    ones = np.ones((6, 1), dtype=np.int64)
    drawn = draws(parties, 4, bits, 6, ones)
    assert all(0 <= draw < 2**bits for draw in drawn)
    assert len(set(drawn)) == 6
    largest = (1 << 61 - bits) - 1
    assert draws(parties, 4, bits, 6, ones * largest) == [
        draw * largest for draw in drawn
    ]  # the same keys, so the same


def test_a_coin_turns_its_bit_over() -> None:
    """With the same mask the draws of two seeds differ by the XOR of their coins: neither side alone decides."""
    ones, grid = np.ones((6, 1), dtype=np.int64), DrawGrid(8, 22)
    for number in (0, 1):
        first, second = (draws(2, seed, 22, 6, ones, number) for seed in (4, 5))
        coins = [grid.round(SecretCoins.draw(seed, 5, 3, 6).draws[:, number]) for seed in (4, 5)]
        assert [one ^ other for one, other in zip(first, second, strict=True)] == (coins[0] ^ coins[1]).tolist()
