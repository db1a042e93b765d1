import hashlib

import numpy as np
import pytest

from secure_kmeans.job import DEALER
from secure_kmeans.mpc import argmin, comparison, division, products, truncation
from secure_kmeans.mpc.dealer import Dealer, Lines, Receiver
from secure_kmeans.net.watch import Traffic
from tests.mpc.roles_in_threads import Run, shares_of


class ToParties(Lines):
    """The dealer's: it waits for nobody."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, np.ndarray]] = []

    def post(self, peer, numbers):
        self.sent.append((peer, numbers.copy()))

    def receive(self, peer, target):
        pytest.fail("the dealer waits")


class FromDealer(Lines):
    """A party's."""

    def __init__(self, sent: list[np.ndarray]) -> None:
        self.unread = list(sent)

    def post(self, peer, numbers):
        pytest.fail("a party sends")

    def receive(self, peer, target):
        came = self.unread.pop(0)
        assert (peer, came.shape, came.dtype) == (DEALER, target.shape, target.dtype)
        target[...] = came


class Deal:
    """The dealer's part first, then every party's."""

    def __init__(self, parties: int, body, salt: str = "") -> None:
        names = [f"party_{rank}" for rank in range(parties)]

        def key_of(name: str):
            return lambda peer, purpose: hashlib.sha256(repr((sorted([name, peer]), purpose, salt)).encode()).digest()

        self.traffic, lines = Traffic(), ToParties()
        self.dealer = body(Dealer(lines, key_of(DEALER), names, self.traffic))
        self.sent = lines.sent
        self.shares = []
        for name in names:
            came = FromDealer([part for peer, part in lines.sent if peer == name])
            self.shares.append(body(Receiver(came, key_of(name), last=name == names[-1])))
            assert not came.unread


def numbers(*shape: int) -> np.ndarray:
    values = np.random.default_rng(6).integers(-(2**63), 2**63, shape)
    values.reshape(-1)[:4] = [0, -1, 2**63 - 1, -(2**63)][: values.size]
    return values


EVERY = pytest.mark.parametrize("parties", range(2, 11))


@EVERY
def test_shares_add_up_to_what_is_dealt(parties):
    values, planes = numbers(3, 5), numbers(2, 3, 2).view(np.uint64)

    def body(provider):
        return [
            provider.uniform(4, 2),
            provider.dealt((3, 5), lambda: values),
            provider.uniform_planes(2, 3),
            provider.dealt_planes((2, 3, 2), lambda: planes),
            provider.uniform(3),
        ]

    deal = Deal(parties, body)
    ring, dealt, bits, dealt_bits, more = (list(part) for part in zip(*deal.shares, strict=True))
    assert sum(ring).tolist() == deal.dealer[0].tolist()
    assert sum(dealt).tolist() == values.tolist()
    assert np.bitwise_xor.reduce(bits).tolist() == deal.dealer[2].tolist()
    assert np.bitwise_xor.reduce(dealt_bits).tolist() == planes.tolist()
    assert sum(more).tolist() == deal.dealer[4].tolist()
    assert [part.dtype for part in deal.shares[0]] == [np.int64, np.int64, np.uint64, np.uint64, np.int64]
    assert not deal.dealer[1].any()
    assert not deal.dealer[3].any()
    assert deal.dealer[1].shape == (3, 5)
    assert deal.dealer[3].shape == (2, 3, 2)


@EVERY
def test_only_the_last_party_is_sent_what_is_missing(parties):
    def body(provider):
        provider.uniform(9)
        provider.uniform_planes(9)
        provider.dealt((2, 3), lambda: numbers(2, 3))
        provider.dealt((5,), lambda: numbers(5), 3)
        provider.dealt_planes((4, 1), lambda: numbers(4, 1).view(np.uint64))
        provider.dealt((0, 7), lambda: numbers(0, 7))

    deal = Deal(parties, body)
    assert [peer for peer, _ in deal.sent] == [f"party_{parties - 1}"] * 3
    assert [part.nbytes for _, part in deal.sent] == [8 * 6, 3 * 5, 8 * 4]
    assert (deal.traffic.bytes_sent, deal.traffic.rounds) == (8 * 6 + 3 * 5 + 8 * 4, 0)


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("size", range(1, 9))
def test_numbers_are_dealt_modulo_their_size(parties, size):
    values = numbers(7, 3)
    deal = Deal(parties, lambda provider: provider.dealt((7, 3), lambda: values, size))
    assert (sum(share.astype(object) for share in deal.shares) % 256**size).tolist() == [
        [value % 256**size for value in row] for row in values.tolist()
    ]
    assert deal.traffic.bytes_sent == 21 * size


def test_parties_compute_nothing_that_is_dealt():
    computed = []

    def body(provider):
        provider.dealt((2,), lambda: computed.append(provider) or numbers(2))
        provider.dealt_planes((2,), lambda: computed.append(provider) or numbers(2).view(np.uint64))

    Deal(3, body)
    assert [type(provider) for provider in computed] == [Dealer, Dealer]


def test_the_same_keys_deal_the_same_and_others_something_else():
    def body(provider):
        return provider.uniform(50), provider.dealt((50,), lambda: np.zeros(50, dtype=np.int64))

    first, again, other = Deal(3, body), Deal(3, body), Deal(3, body, salt="other")
    same, different = np.stack(first.shares), np.stack(other.shares)
    assert same.tolist() == np.stack(again.shares).tolist()
    assert np.intersect1d(same, different).size == 0
    assert first.sent[0][1].tolist() == again.sent[0][1].tolist()
    assert np.intersect1d(first.sent[0][1], other.sent[0][1]).size == 0


def test_no_number_is_drawn_twice_by_any_party():
    def body(provider):
        return np.stack([provider.uniform(50), provider.uniform_planes(50).view(np.int64), provider.uniform(50)])

    drawn = np.stack(Deal(10, body).shares)
    assert len(np.unique(drawn)) == drawn.size


def assert_uniform(data: np.ndarray) -> None:
    """Chi-square over 256 bytes: 255 on average, the standard deviation is 22.6, so 400 is 6.4 of them away."""
    counts = np.bincount(data, minlength=256)
    expected = data.size / 256
    assert expected >= 5
    assert ((counts - expected) ** 2 / expected).sum() < 400


def test_the_test_of_uniformity_can_fail():
    data = np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8)
    assert_uniform(data)
    data[::12] = 0
    with pytest.raises(AssertionError):
        assert_uniform(data)


def counts_of(core, v: np.ndarray) -> np.ndarray:
    return v[:, 0] + core.public(np.full(len(v), 5))


def sums(core, v):
    X = yield from products.fixed(core, v.T)
    return (yield from products.sums(core, v, X, 5))


def labels(core, v):
    X = yield from products.fixed(core, v.T)
    C = yield from products.masked(core, v.T[:6].reshape(2, 3, -1))
    D = yield from products.masked(core, v.T[6:12].reshape(2, 3, -1))
    masks = products.masked_scores(core, X, C).reshape(2, -1)
    planes = yield from argmin.argmin_of_masked(core, masks, 40)
    return planes, products.scores(core, X, C), products.movement(core, C, D)


def divided(core, v):
    waiting = yield from division.dividend(core, v, 5)
    return (yield from division.quotient(core, waiting, np.arange(1, len(v) + 1), 1000, 10**6))


STEPS = {
    "multiply": lambda core, v: products.multiply(core, v, v),
    "matmul": lambda core, v: products.matmul(core, v, v.T),
    "squares": products.squares,
    "sums": sums,
    "labels": labels,
    "less_than": lambda core, v: comparison.less_than(core, v, v, 40),
    "negative": lambda core, v: comparison.negative(core, v.reshape(-1), 17),
    "to_integers": lambda core, v: comparison.to_integers(core, v.view(np.uint64), 64 * v.shape[1], 3),
    "argmin": lambda core, v: argmin.argmin_one_hot(core, v[:6], 40),
    "tournament": lambda core, v: argmin.argmin_one_hot(core, v, 40),
    "truncate": lambda core, v: truncation.truncate(core, v, 20),
    "shift_right": lambda core, v: truncation.shift_right(core, v.reshape(-1), 20),
    "quotient": divided,
    "divide_by_secret": lambda core, v: division.divide_by_secret(core, v, counts_of(core, v), v, 1000),
}
ALL = pytest.mark.parametrize("name", STEPS)
ZEROS = np.zeros((13, 150), dtype=np.int64)


def recorded(step, opened: list):
    """The step, and the bytes of what it opens."""
    try:
        opening = next(step)
        while True:
            answer = yield opening
            opened.append(answer.reshape(-1).view(np.uint8).reshape(-1, 8)[:, : opening.size].ravel())
            opening = step.send(answer)
    except StopIteration as end:
        return end.value


@ALL
def test_what_is_opened_and_what_is_dealt_look_uniform_where_all_values_are_0(name):
    opened = []

    def body(core):
        share = shares_of(ZEROS, core.parties, core.rank)
        return core.execute(recorded(STEPS[name](core, share), opened if core.rank == 0 else []))

    run = Run(2, body)
    assert len(opened) == run.rounds
    for value in opened:
        if value.size >= 1280:
            assert_uniform(value)
    assert_uniform(np.concatenate(opened))
    dealt = [part.reshape(-1).view(np.uint8) for part in run.sent[DEALER, "party_1"]]
    for part in dealt:
        if part.size >= 1280:
            assert_uniform(part)
    assert_uniform(np.concatenate(dealt))
    words = [part.view(np.uint64) for part in (*opened, *dealt) if part.size % 8 == 0]
    assert len(np.unique(np.concatenate(words))) == sum(map(len, words))


@ALL
def test_the_dealer_hears_nothing_and_tells_the_last_party_alone(name):
    run = Run(3, lambda core: core.execute(STEPS[name](core, shares_of(ZEROS, core.parties, core.rank))))
    assert {line for line in run.sent if DEALER in line} == {(DEALER, "party_2")}
    assert run.traffic[-1].rounds == 0


def shapes(returned) -> object:
    return [shapes(part) for part in returned] if isinstance(returned, tuple) else (returned.shape, returned.dtype)


@ALL
@pytest.mark.parametrize("parties", [2, 3])
def test_who_passes_over_a_step_keeps_in_step(name, parties):
    values = np.arange(ZEROS.size).reshape(ZEROS.shape) - 900

    def body(core):
        share = shares_of(values, parties, core.rank)
        with core.drawing_only():
            assert not core.takes_part
            passed = core.execute(STEPS[name](core, share))
        assert core.takes_part is not core.is_dealer
        assert core.traffic.rounds == 0
        made = core.execute(STEPS[name](core, share))
        assert shapes(made) == shapes(passed)
        return core.execute(comparison.less_than(core, share, core.public(np.full_like(values, 7)), 20))

    assert Run(parties, body).opened().tolist() == (values < 7).astype(int).tolist()
