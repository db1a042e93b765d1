"""Each kind of correlation, at the dealer and at all parties, against its function computed in Python."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_kmeans.mpc.circuits import Stage, comparison, pairs_of, winner
from secure_kmeans.mpc.dealer import DealingProvider, ReceivingProvider
from secure_kmeans.mpc.provider import CircuitMasks, Provider
from secure_kmeans.net.watch import Traffic
from tests.mpc.roles_in_threads import DEALER, key_between, names_of

EVERY = pytest.mark.parametrize("parties", [2, 3, 10])
Body = Callable[[Provider], Any]


class NoLines:
    """Lines that nobody may use; a test's lines allow what it needs."""

    def post(self, peer: str, numbers: np.ndarray) -> None:
        pytest.fail("a party sends")

    def receive(self, peer: str, target: np.ndarray) -> None:
        pytest.fail("the dealer waits")

    def exchange(self, outgoing: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        pytest.fail("a round")

    def flush(self) -> None:
        pytest.fail("a party sends")

    def post_object(self, peer: str, value: Any) -> int:
        pytest.fail("plain values")

    def receive_object(self, peer: str) -> Any:
        pytest.fail("plain values")


class FromDealer(NoLines):
    """The dealer's lines: it receives nothing."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, np.ndarray]] = []

    def post(self, peer: str, numbers: np.ndarray) -> None:
        self.sent.append((peer, numbers.copy()))

    def flush(self) -> None:
        pass


class ToParty(NoLines):
    """A party's lines: it sends nothing."""

    def __init__(self, sent: list[np.ndarray]) -> None:
        self.unread = list(sent)

    def receive(self, peer: str, target: np.ndarray) -> None:
        numbers = self.unread.pop(0)
        assert (peer, numbers.shape, numbers.dtype) == (DEALER, target.shape, target.dtype)
        target[...] = numbers


class Deal:
    """What a function of a provider returns at the dealer, which runs first, and at all parties.

    Attributes
    ----------
    dealer : what the dealer's side returns
    shares : list of what the parties' sides return
    sent : list of (party, array)
    bytes_sent : int
    """

    def __init__(self, parties: int, body: Body, salt: str = "") -> None:
        names = names_of(parties)
        traffic, lines = Traffic(), FromDealer()
        self.dealer = body(DealingProvider(lines, partial(key_between, DEALER, salt=salt), names, traffic))
        self.sent, self.bytes_sent = lines.sent, traffic.bytes_sent
        assert traffic.rounds == 0
        assert {peer for peer, _ in self.sent} <= {names[-1]}
        self.shares: list[Any] = []
        for name in names:
            line = ToParty([numbers for peer, numbers in lines.sent if peer == name])
            key = partial(key_between, name, salt=salt)
            self.shares.append(body(ReceivingProvider(line, key, DEALER, last=name == names[-1])))
            assert not line.unread


def exact(numbers: np.ndarray) -> np.ndarray:
    """Python's integers, which never wrap; read without sign."""
    return numbers.view(np.uint64).astype(object)


def total(shares: Sequence[np.ndarray], size: int = 8) -> list[Any]:
    """The sum of additive shares modulo 2^(8 size), from 0 on."""
    return (sum(map(exact, shares)) % 256**size).tolist()


def combined(planes: Sequence[np.ndarray]) -> np.ndarray:
    """The XOR of shares of bits."""
    return reduce(np.bitwise_xor, planes)


def bits_in(planes: np.ndarray, m: int) -> list[list[int]]:
    """The first m bits of each row of planes."""
    return [[int(row[number // 64]) >> number % 64 & 1 for number in range(m)] for row in planes]


# ------------------------------------------------------------------------------------------- masks and their sums


@EVERY
def test_the_dealer_knows_the_masks_that_the_parties_share(parties: int) -> None:
    deal = Deal(parties, lambda provider: (provider.uniform(4, 2), provider.uniform_planes(2, 3), provider.uniform(3)))
    numbers, planes, more = zip(*deal.shares, strict=True)
    assert total(numbers) == exact(deal.dealer[0]).tolist()
    assert combined(planes).tolist() == deal.dealer[1].tolist()
    assert total(more) == exact(deal.dealer[2]).tolist()
    assert [part.dtype for part in deal.shares[0]] == [np.int64, np.uint64, np.int64]
    assert (deal.bytes_sent, deal.sent) == (0, [])


def check(
    parties: int,
    masks: Sequence[tuple[int, ...]],
    call: Callable[..., np.ndarray],
    function: Callable[..., Any],
    bytes_sent: int,
    size: int = 8,
) -> None:
    """The parties' shares add up to a function of the exact masks, the dealer's are 0, and the bytes are as stated."""

    def body(provider: Provider) -> Any:
        handles = [provider.uniform(*shape) for shape in masks]
        return handles, call(provider, *handles), provider.uniform(2)

    deal = Deal(parties, body)
    handles, nothing, more = deal.dealer
    expected = np.asarray(function(*map(exact, handles)) % 256**size)
    assert total([shares for _, shares, _ in deal.shares], size) == expected.tolist()
    assert {shares.shape for _, shares, _ in deal.shares} == {nothing.shape} == {expected.shape}
    assert {shares.dtype for _, shares, _ in deal.shares} == {nothing.dtype} == {np.dtype(np.int64)}
    assert not nothing.any()
    assert deal.bytes_sent == sum(numbers.nbytes for _, numbers in deal.sent) == bytes_sent
    assert total([after for _, _, after in deal.shares]) == exact(more).tolist(), "the streams are out of step"


# --------------------------------------------------------------------------------------------- functions of numbers


@EVERY
@pytest.mark.parametrize(("count", "n"), [(1, 1), (3, 3), (4, 50), (5, 2)])
def test_one_hot_vectors(parties: int, count: int, n: int) -> None:
    deal = Deal(parties, lambda provider: (provider.one_hots(count, n), provider.uniform(2)))
    vectors = np.array(total([shares for shares, _ in deal.shares]), dtype=int)
    assert sorted(vectors.reshape(-1).tolist()) == [0] * (count * n - count) + [1] * count
    assert vectors.sum(axis=1).tolist() == [1] * count
    if count <= n:
        assert len({row.argmax() for row in vectors}) == count, "two positions are the same"
    assert not deal.dealer[0].any()
    assert deal.bytes_sent == 8 * count * n
    assert total([more for _, more in deal.shares]) == exact(deal.dealer[1]).tolist(), "the streams are out of step"


def test_the_positions_of_one_hot_vectors_are_uniform() -> None:
    """Chi-square over 20 positions of 2,000 vectors: 19 on average, the standard deviation is 6.2."""
    deal = Deal(2, lambda provider: provider.one_hots(2000, 20))
    counts = np.array(total(deal.shares), dtype=int).sum(axis=0)
    assert ((counts - 100) ** 2 / 100).sum() < 65


def test_the_positions_of_one_hot_vectors_do_not_follow_from_a_stream() -> None:
    """With the same keys other positions are dealt: 10 of 1,000 are the same once in 2.6 10^23 runs."""
    first, second = (np.array(total(Deal(2, lambda provider: provider.one_hots(10, 1000)).shares)) for _ in range(2))
    assert (first != second).any()


@EVERY
@pytest.mark.parametrize(("left", "right"), [((4, 1), (3,)), ((2, 1, 4), (3, 4)), ((6,), (1,)), ((0,), (1,))])
def test_products(parties: int, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    size = np.prod(np.broadcast_shapes(left, right), dtype=int)
    check(parties, [left, right], lambda it, a, b: it.products(a, b), lambda a, b: a * b, 8 * size)


@settings(max_examples=30)
@given(st.integers(2, 4), st.integers(1, 9), st.integers(1, 80), st.integers(1, 9))
def test_matrix_products(parties: int, q: int, m: int, c: int) -> None:
    check(parties, [(q, m), (m, c)], lambda it, a, b: it.matrix_products(a, b), lambda a, b: a @ b, 8 * q * c)


@EVERY
def test_a_linear_function_of_handles_is_a_handle(parties: int) -> None:
    check(
        parties,
        [(2, 3), (2, 3), (4, 3)],
        lambda it, a, b, c: it.matrix_products((-2 * a + b)[1:], c.T),
        lambda a, b, c: (-2 * a + b)[1:] @ c.T,
        8 * 4,
    )


@EVERY
def test_squares(parties: int) -> None:
    check(parties, [(3, 7)], lambda it, a: it.squares(a), lambda a: a * a, 8 * 21)


@EVERY
@pytest.mark.parametrize(("axes", "sums"), [([2], 6), ([1, 2], 2), ([0], 12)])
def test_sums_of_squares(parties: int, axes: list[int], sums: int) -> None:
    of = tuple(axes)
    check(parties, [(2, 3, 4)], lambda it, a: it.sums_of_squares(a, axes), lambda a: (a * a).sum(axis=of), 8 * sums)


@EVERY
@pytest.mark.parametrize("bits", [1, 20, 62])
def test_shift_and_top(parties: int, bits: int) -> None:
    check(
        parties,
        [(3, 5)],
        lambda it, a: np.stack(it.shift_and_top(a, bits)),
        lambda a: np.stack([a >> bits, a >> 63]),
        16 * 15,
    )


@EVERY
@pytest.mark.parametrize("size", range(1, 9))
def test_digits_and_top(parties: int, size: int) -> None:
    def call(it: Provider, a: np.ndarray) -> np.ndarray:
        digits, tops = it.digits_and_top(a, size)
        return np.concatenate([digits, tops[None]])

    check(
        parties,
        [(3, 5)],
        call,
        lambda a: np.stack([*(a >> 4 * digit & 15 for digit in range(2 * size)), a >> (8 * size - 1) & 1]),
        (16 * size + 8) * 15,
    )


@settings(max_examples=40)
@given(st.integers(2, 4), st.integers(1, 3), st.integers(1, 140), st.integers(1, 8))
def test_bits_as_integers(parties: int, rows: int, m: int, size: int) -> None:
    def body(provider: Provider) -> tuple[np.ndarray, np.ndarray]:
        planes = provider.uniform_planes(rows, -(-m // 64))
        return planes, provider.bits_as_integers(planes, m, size)

    deal = Deal(parties, body)
    planes, nothing = deal.dealer
    assert total([integers for _, integers in deal.shares], size) == bits_in(planes, m)
    assert not nothing.any()
    assert nothing.shape == (rows, m)
    assert deal.bytes_sent == size * rows * m


@EVERY
def test_a_uniform_mask_less_a_product(parties: int) -> None:
    def body(provider: Provider) -> Any:
        left, right = provider.uniform(3, 2), provider.uniform(2, 70)
        handle, shares = provider.uniform_less_product(left, right)
        return left, right, handle, shares.copy()

    deal = Deal(parties, body)
    left, right, mask, _ = deal.dealer
    expected = (exact(mask) - exact(left) @ exact(right)) % 2**64
    assert total([shares for *_, shares in deal.shares]) == expected.tolist()
    assert {shares.shape for *_, shares in deal.shares} == {mask.shape} == {(3, 70)}
    assert deal.bytes_sent == 0


# ------------------------------------------------------------------------------------------------ functions of bits


def products_of(stage: Stage, masks: np.ndarray) -> list[np.ndarray]:
    """The products that a stage's ``mask_steps`` list."""
    rows = list(masks)
    for left, right in stage.mask_steps:
        rows.append(rows[left] & rows[right])
    return rows[len(masks) :]


def check_stages(deal: Sequence[CircuitMasks], dealer: CircuitMasks, stages: Sequence[Stage], words: int) -> None:
    """The dealer's handles are the masks that the parties share, and the products are those of the masks."""
    assert [part.stage for part in dealer.stages] == list(stages)
    for number, (stage, masks, nothing) in enumerate(dealer.stages):
        assert masks.shape == (len(stage.opened), words)
        assert combined([shares.stages[number].masks for shares in deal]).tolist() == masks.tolist()
        products = combined([shares.stages[number].products for shares in deal])
        assert products.tolist() == [row.tolist() for row in products_of(stage, masks)]
        assert products.shape == nothing.shape
        assert not nothing.any()


@EVERY
@pytest.mark.parametrize("k", [2, 3, 6, 10])
def test_a_circuit_of_stages(parties: int, k: int) -> None:
    deal = Deal(parties, lambda provider: provider.circuit(winner(k), 3))
    check_stages(deal.shares, deal.dealer, winner(k), 3)
    assert deal.dealer.leaves.shape == (0, 3)
    assert deal.bytes_sent == 8 * 3 * sum(len(stage.mask_steps) for stage in winner(k))


def of_bits(masks: np.ndarray, bits: int) -> np.ndarray:
    return np.atleast_2d(exact(masks)) % 2**bits


def of_low_bits(masks: np.ndarray, bits: int) -> np.ndarray:
    return np.atleast_2d(exact(masks)) % 2 ** (bits - 1)


def of_differences(masks: np.ndarray, bits: int) -> np.ndarray:
    candidates = np.concatenate([0 * exact(masks[:1]), exact(masks)])
    return np.array(
        [(candidates[j] - candidates[i]) % 2**bits for i, j in zip(*pairs_of(len(candidates)), strict=True)]
    )


@EVERY
@pytest.mark.parametrize("bits", [2, 5, 6, 17, 18, 51, 64])
@pytest.mark.parametrize(
    ("kind", "shape", "function"),
    [
        ("bits", (1,), of_bits),
        ("bits", (130,), of_bits),
        ("low_bits", (65,), of_low_bits),
        ("difference_bits", (1, 70), of_differences),
        ("difference_bits", (3, 64), of_differences),
    ],
)
def test_bits_of_masks(
    parties: int, bits: int, kind: str, shape: tuple[int, ...], function: Callable[[np.ndarray, int], np.ndarray]
) -> None:
    circuit, m = comparison(bits), shape[-1]

    def body(provider: Provider) -> tuple[np.ndarray, CircuitMasks]:
        masks = provider.uniform(*shape)
        return masks, getattr(provider, kind)(masks, circuit)

    deal = Deal(parties, body)
    masks, dealer = deal.dealer
    numbers = function(masks, bits)
    words = len(numbers) * -(-m // 64)
    check_stages([shares for _, shares in deal.shares], dealer, circuit.stages, words)

    leaves = combined([shares.leaves for _, shares in deal.shares])
    assert leaves.shape == dealer.leaves.shape == (bits + len(circuit.leaves.mask_steps), words)
    assert not dealer.leaves.any()
    for bit, plane in enumerate(leaves[:bits].reshape(bits, len(numbers), -1)):
        assert bits_in(plane, m) == (numbers >> bit & 1).tolist()
    assert leaves[bits:].tolist() == [row.tolist() for row in products_of(circuit.leaves, leaves[:bits])]
    assert deal.bytes_sent == 8 * words * circuit.dealt_bits


# ------------------------------------------------------------------------------------------------------ the streams


def test_the_same_keys_deal_the_same_and_other_keys_something_else() -> None:
    def body(provider: Provider) -> tuple[np.ndarray, np.ndarray]:
        return provider.uniform(50), provider.squares(provider.uniform(50))

    first, again, other = Deal(3, body), Deal(3, body), Deal(3, body, salt="other")
    same, different = np.stack(first.shares), np.stack(other.shares)
    assert same.tolist() == np.stack(again.shares).tolist()
    assert np.intersect1d(same, different).size == 0
    assert first.sent[0][1].tolist() == again.sent[0][1].tolist()
    assert np.intersect1d(first.sent[0][1], other.sent[0][1]).size == 0


def test_no_number_is_drawn_twice_by_any_party() -> None:
    def body(provider: Provider) -> np.ndarray:
        return np.stack([provider.uniform(50), provider.uniform_planes(50).view(np.int64), provider.uniform(50)])

    drawn = np.stack(Deal(10, body).shares)
    assert len(np.unique(drawn)) == drawn.size
