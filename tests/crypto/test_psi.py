"""Primitives of private set intersection: known answers, refusals, and what two parties' scalars do together."""

import hashlib
import os
from collections.abc import Sequence
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secure_kmeans.crypto import psi
from secure_kmeans.crypto.psi import (
    InvalidElementError,
    RepeatedTagError,
    Scalars,
    Workers,
    common_positions,
    digest_of_identifier,
    digest_of_list,
    encoded,
    hash_to_group,
    raise_to,
    random_digest,
    random_order,
    tags_of,
)

# RFC 9496, appendix A.3: 64 bytes, and their element
OF_DIGESTS = (
    (
        "5d1be09e3d0c82fc538112490e35701979d99e06ca3e2b5b54bffe8b4dc772c1"
        "4d98b696a1bbfb5ca32c436cc61c16563790306c79eaca7705668b47dffe5bb6",
        "3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46",
    ),
    (
        "f116b34b8f17ceb56e8732a60d913dd10cce47a6d53bee9204be8b44f6678b27"
        "0102a56902e2488c46120e9276cfe54638286b9e4b3cdb470b542d46c2068d38",
        "f26e5b6f7d362d2d2a94c5d0e7602cb4773c95a2e5c31a64f133189fa76ed61b",
    ),
    (
        "8422e1bbdaab52938b81fd602effb6f89110e1e57208ad12d9ad767e2e25510c"
        "27140775f9337088b982d83d7fcf0b2fa1edffe51952cbe7365e95c86eaf325c",
        "006ccd2a9e6867e6a2c5cea83d3302cc9de128dd2a9a57dd8ee7b9d7ffe02826",
    ),
    (
        "ac22415129b61427bf464e17baee8db65940c233b98afce8d17c57beeb7876c2"
        "150d15af1cb1fb824bbd14955f2b57d08d388aab431a391cfc33d5bafb5dbbaf",
        "f8f0c87cf237953c5890aec3998169005dae3eca1fbb04548c635953c817f92a",
    ),
    (
        "165d697a1ef3d5cf3c38565beefcf88c0f282b8e7dbd28544c483432f1cec767"
        "5debea8ebb4e5fe7d6f6e5db15f15587ac4d4d4a1de7191e0c1ca6664abcc413",
        "ae81e7dedf20a497e10c304a765c1767a42d6e06029758d2d7e8ef7cc4c41179",
    ),
    (
        "a836e6c9a9ca9f1e8d486273ad56a78c70cf18f0ce10abb1c7172ddd605d7fd2"
        "979854f47ae1ccf204a33102095b4200e5befc0465accc263175485f0e17ea5c",
        "e2705652ff9f5e44d3e841bf1c251cf7dddb77d140870d1ab2ed64f1a9ce8628",
    ),
    (
        "2cdc11eaeb95daf01189417cdddbf95952993aa9cb9c640eb5058d09702c7462"
        "2c9965a697a3b345ec24ee56335b556e677b30e6f90ac77d781064f866a3c982",
        "80bd07262511cdde4863f8a7434cef696750681cb9510eea557088f76d9e5065",
    ),
)
# RFC 9496, appendix A.1: the first multiples of the generator
MULTIPLES = (
    "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
    "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
    "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
)
# RFC 9496, appendix A.2, one of each kind, and the identity
INVALID = {
    "not canonical": "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "too large": "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "negative": "0100000000000000000000000000000000000000000000000000000000000000",
    "no square": "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
    "negative product": "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",
    "s is -1": "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "identity": "00" * 32,
}


def as_elements(*encoded: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex("".join(encoded)), dtype=np.uint8).reshape(-1, 32)


def as_scalar(number: int) -> bytes:
    return number.to_bytes(32, "little")


class TestIdentifiers:
    @pytest.mark.parametrize(
        ("one", "other", "equal"),
        [
            ("Jos\u00e9", "Jose\u0301", True),  # composed and decomposed
            ("\u212b", "\u00c5", True),  # the sign for one angstrom is the letter
            ("Jose", "Jos\u00e9", False),
            ("7", "007", False),
            ("a", "A", False),
            ("\ufb01", "fi", False),  # a ligature is another character: NFC, not NFKC
            ("1", "1 ", False),
        ],
    )
    def test_they_are_compared_after_nfc(self, one: str, other: str, equal: bool) -> None:
        assert (encoded(one) == encoded(other)) == equal
        assert (digest_of_identifier(one) == digest_of_identifier(other)) == equal

    def test_a_lone_surrogate_has_a_digest_too(self) -> None:
        assert digest_of_identifier("\ud800") != digest_of_identifier("\ud801")

    @pytest.mark.parametrize(
        ("one", "other"), [(["ab", "c"], ["a", "bc"]), (["a", "b"], ["b", "a"]), (["a"], ["a", ""]), ([], [""])]
    )
    def test_lists_are_encoded_unambiguously(self, one: list[str], other: list[str]) -> None:
        assert digest_of_list(one) != digest_of_list(other)
        assert digest_of_list(["Jose\u0301"]) == digest_of_list(["Jos\u00e9"])

    def test_an_identifier_and_a_list_of_it_have_nothing_in_common(self) -> None:
        assert len({digest_of_identifier("a"), digest_of_list(["a"]), hashlib.sha512(b"a").digest()}) == 3

    def test_padding_is_never_the_same(self) -> None:
        assert len({random_digest() for _ in range(100)}) == 100
        assert len(random_digest()) == 64


class TestOrder:
    @pytest.mark.parametrize("size", [0, 1, 2, 1000])
    def test_it_holds_every_number_once(self, size: int) -> None:
        assert sorted(random_order(size).tolist()) == list(range(size))

    def test_all_orders_are_equally_likely(self) -> None:
        orders = [tuple(random_order(3).tolist()) for _ in range(3000)]
        counts = [orders.count(each) for each in set(orders)]
        assert len(counts) == 6
        assert sum((count - 500) ** 2 / 500 for count in counts) < 40  # chi-square, 5 degrees: 1.5e-7


class TestGroup:
    def test_known_answers_of_the_hash(self) -> None:
        digests, elements = zip(*OF_DIGESTS, strict=True)
        assert hash_to_group(map(bytes.fromhex, digests)).tolist() == as_elements(*elements).tolist()

    def test_known_answers_of_the_products(self) -> None:
        once = as_elements(MULTIPLES[0])
        for number, expected in enumerate(MULTIPLES, start=1):
            assert raise_to(as_scalar(number), once).tobytes().hex() == expected

    @pytest.mark.parametrize("encoded", INVALID.values(), ids=INVALID.keys())
    def test_what_encodes_no_element_is_refused(self, encoded: str) -> None:
        with pytest.raises(InvalidElementError):
            raise_to(Scalars.draw().share, as_elements(MULTIPLES[0], encoded, MULTIPLES[1]))

    def test_scalars_are_fresh_hidden_and_below_the_order(self) -> None:
        drawn = [Scalars.draw() for _ in range(20)]
        secrets = [int.from_bytes(part, "little") for each in drawn for part in (each.share, each.blinding)]
        assert len(set(secrets)) == 40
        assert max(secrets) < 2**252 + 27742317777372353535851937790883648493
        assert max(secrets) > 2**248
        assert {repr(each) for each in drawn} == {"Scalars(hidden)"}

    def test_the_blinding_comes_off_and_the_shares_of_the_key_stay(self) -> None:
        hashed = hash_to_group([digest_of_identifier(text) for text in ("ann", "bob", "eve")])
        parties = [Scalars.draw() for _ in range(3)]
        expected = reduce(lambda elements, each: raise_to(each.share, elements), parties, hashed)
        for number, own in enumerate(parties):
            elements = raise_to(own.blinding, hashed)
            for other in parties[:number] + parties[number + 1 :]:
                elements = raise_to(other.share, elements)
            assert raise_to(own.last, elements).tolist() == expected.tolist()

    def test_tags_are_of_one_session(self) -> None:
        elements = as_elements(*MULTIPLES)
        tags = [tags_of(session, elements) for session in (bytes(32), bytes(31) + b"\1")]
        assert tags[0].shape == (3, 16)
        assert not set(map(bytes, tags[0])) & set(map(bytes, tags[1]))
        expected = hashlib.sha256(b"secure_kmeans psi tag 1\0" + bytes(32) + bytes(elements[1])).digest()
        assert bytes(tags[0][1]) == expected[:16]


def as_tags(numbers: Sequence[int]) -> np.ndarray:
    return np.array([list(number.to_bytes(16, "big")) for number in numbers], dtype=np.uint8).reshape(-1, 16)


class TestCommonPositions:
    def test_by_hand(self) -> None:
        lists = [as_tags([5, 3, 9]), as_tags([9, 8, 5, 7]), as_tags([1, 5, 9])]
        positions = common_positions(lists)
        assert sorted(map(tuple, positions.T.tolist())) == [(0, 2, 1), (2, 0, 2)]

    @given(st.lists(st.lists(st.integers(0, 30), unique=True), min_size=2, max_size=5))
    def test_they_are_the_intersection_in_an_order_of_the_tags_alone(self, lists: list[list[int]]) -> None:
        positions = common_positions([as_tags(each) for each in lists])
        found = [[numbers[position] for position in each] for numbers, each in zip(lists, positions, strict=True)]
        assert set(found[0]) == set.intersection(*map(set, lists))
        assert all(each == found[0] for each in found)
        again = common_positions([as_tags(each[::-1]) for each in lists])
        assert [lists[0][::-1][position] for position in again[0]] == found[0]

    def test_all_16_bytes_count(self) -> None:
        one, other = 1 << 64 | 5, 2 << 64 | 5
        assert common_positions([as_tags([one, 1 << 64]), as_tags([other, 1])]).shape == (2, 0)

    @pytest.mark.parametrize(
        ("lists", "repeating"),
        [([[1, 2, 1], [1]], 0), ([[1], [3, 1, 3]], 1), ([[1], [1], [1, 1]], 2), ([[1, 1], [2]], 0)],
    )
    def test_a_list_that_repeats_a_tag_is_refused(self, lists: list[list[int]], repeating: int) -> None:
        with pytest.raises(RepeatedTagError) as caught:
            common_positions([as_tags(each) for each in lists])
        assert caught.value.position == repeating


class TestWorkers:
    @pytest.mark.parametrize("cores", [1, 3])
    def test_results_are_in_the_order_of_tasks_and_rows(self, monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)), raising=False)
        monkeypatch.setattr(psi, "_PART", 4)
        numbers = np.arange(30)
        with Workers() as workers:
            found = workers.compute([(lambda rows: rows * 2, numbers), (lambda rows: rows + 1, numbers[:3])])
        assert [each.tolist() for each in found] == [(numbers * 2).tolist(), [1, 2, 3]]

    def test_a_refusal_in_a_thread_is_raised(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1}, raising=False)
        monkeypatch.setattr(psi, "_PART", 2)
        elements = as_elements(*MULTIPLES, INVALID["identity"], *MULTIPLES)
        with Workers() as workers, pytest.raises(InvalidElementError):
            workers.compute([(lambda rows: raise_to(as_scalar(7), rows), elements)])
