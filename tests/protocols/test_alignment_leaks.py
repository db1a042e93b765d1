"""What travels during the alignment, and what others can do with it: nothing that can be guessed or compared."""

import hashlib
from collections.abc import Iterator
from functools import reduce
from typing import Any

import numpy as np
import pytest

from secure_kmeans.crypto.psi import (
    Scalars,
    digest_of_identifier,
    digest_of_list,
    encoded,
    hash_to_group,
    raise_to,
    tags_of,
)
from secure_kmeans.protocols.alignment import check_same_order
from secure_kmeans.protocols.svk.job import DEALER
from tests.protocols.aligning import align, at_each_role
from tests.threads import Threads

SETS = {
    "bank": ["ann", "7", "007", "eve", "bob"],
    "shop": ["eve", "zoe", "7"],
    "clinic": ["joe", "7", "eve", "ann"],
}
ONE = (1).to_bytes(32, "little")


class Secrets:
    """The scalars of all parties, which a test knows: drawn as ever, or with a blinding that is none."""

    def __init__(self, patch: pytest.MonkeyPatch, *, blinding: bool = True) -> None:
        self.drawn: list[Scalars] = []
        draw = Scalars.draw

        def noting() -> Scalars:
            drawn = draw()
            self.drawn.append(drawn if blinding else Scalars(drawn.share, ONE))
            return self.drawn[-1]

        patch.setattr(Scalars, "draw", noting)

    def of(self, listed: bytes, identifiers: list[str]) -> Scalars:
        """The scalars of the party that sent these elements of these identifiers."""
        for each in self.drawn:
            if set(rows(raise_to(each.blinding, hashed(identifiers)))) <= set(rows(elements(listed))):
                return each
        raise AssertionError("no party sent this list")


def hashed(identifiers: list[str]) -> np.ndarray:
    return hash_to_group(map(digest_of_identifier, identifiers))


def elements(listed: bytes) -> np.ndarray:
    return np.frombuffer(listed, dtype=np.uint8).reshape(-1, 32)


def rows(numbers: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in numbers]


def blocks(threads: Threads) -> Iterator[tuple[str, np.ndarray]]:
    """Every array of elements or tags, with its sender."""
    for (sender, _), sent in threads.sent.items():
        yield from ((sender, numbers) for numbers in sent if numbers.ndim == 2)


def all_bytes(threads: Threads) -> bytes:
    return b"|".join(numbers.tobytes() for sent in threads.sent.values() for numbers in sent)


def guesses(identifiers: list[str], session: bytes) -> Iterator[bytes]:
    """Everything of an identifier that somebody without a secret scalar can compute."""
    for identifier in identifiers:
        text = encoded(identifier)
        if len(text) > 2:
            yield text
        for name in ("md5", "sha1", "sha256", "sha512", "blake2b", "sha3_256"):
            yield hashlib.new(name, text).digest()[:16]
            yield hashlib.new(name, session + text).digest()[:16]
        yield digest_of_identifier(identifier)[:32]
        yield hashed([identifier]).tobytes()
        yield tags_of(session, hashed([identifier])).tobytes()


def guessed(threads: Threads, session: bytes) -> list[bytes]:
    travelled = all_bytes(threads)
    identifiers = sorted({identifier for own in SETS.values() for identifier in own})
    return [guess for guess in guesses(identifiers, session) if guess in travelled]


class TestWhatTravels:
    def test_nothing_that_can_be_guessed(self) -> None:
        session = bytes(range(32))
        assert guessed(align(SETS, session=session).threads, session) == []

    def test_without_a_blinding_every_identifier_could_be(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Secrets(monkeypatch, blinding=False)
        assert len(guessed(align(SETS).threads, bytes(32))) == 7  # all different identifiers, by H(x)

    def test_nothing_is_the_same_in_another_run(self) -> None:
        first, second = ({row for _, numbers in blocks(align(SETS).threads) for row in rows(numbers)} for _ in range(2))
        elements_and_tags = 3 * 3 * 8 + 3 * 8 - 2 * 2 - 1  # two tags are common to all parties, one to two
        assert len(first) == len(second) == elements_and_tags
        assert not first & second

    def test_neither_the_number_of_identifiers_nor_their_positions_show(self) -> None:
        one, many = (align({"bank": own, "shop": ["a"]}) for own in (["a"], list("abcdefgh")))
        for role in ("bank", "shop"):
            for other in ("bank", "shop", DEALER):
                shapes = [[numbers.shape for numbers in run.threads.sent.get((role, other), [])] for run in (one, many)]
                assert shapes[0] == shapes[1]
        assert one.threads.traffic[0].bytes_sent == many.threads.traffic[0].bytes_sent
        positions = {align({"bank": ["a"], "shop": ["a"]}).threads.sent[DEALER, "bank"][1][0] for _ in range(60)}
        assert len(positions) > 4  # the row of one identifier is at any of eight positions

    def test_of_the_ordered_lists_neither(self) -> None:
        lists = {"bank": ["ann", "bob"], "shop": ["ann", "bob"]}

        def part(context: Any) -> None:
            check_same_order(context, lists.get(context.role.name))

        threads, again = (at_each_role(tuple(lists), part) for _ in range(2))
        listed = hash_to_group([digest_of_list(lists["bank"])])
        travelled = all_bytes(threads)
        assert not [guess for guess in guesses(["ann", "bob"], bytes(32)) if guess in travelled]
        assert listed.tobytes() not in travelled
        assert tags_of(bytes(32), listed).tobytes() not in travelled
        first, second = ({row for _, numbers in blocks(run) for row in rows(numbers)} for run in (threads, again))
        assert not first & second


def found_by_coalition(threads: Threads, secrets: Secrets, guessing: list[str]) -> set[str]:
    """The identifiers of the bank that the two other parties together find among guesses.

    They know all that reached them, and their own secrets. They compare each list of the bank, as they received it and
    as it went back, with their guesses under every combination of their own scalars.
    """
    bank = secrets.of(threads.sent["bank", "shop"][0].tobytes(), SETS["bank"])
    others = [each for each in secrets.drawn if each is not bank]
    seen = {row for sender, numbers in blocks(threads) if sender != DEALER for row in rows(numbers)}
    own = [scalar for each in others for scalar in (each.share, each.blinding)]
    found = set()
    for chosen in range(1 << len(own)):
        scalars = [scalar for bit, scalar in enumerate(own) if chosen >> bit & 1]
        powers = reduce(lambda each, scalar: raise_to(scalar, each), scalars, hashed(guessing))
        found |= {guess for guess, row in zip(guessing, rows(powers), strict=True) if row in seen}
    return found


class TestCoalition:
    GUESSES = ("ann", "bob", "007", "nobody", "somebody")
    """Three of the bank's identifiers, of which the others do not have the last two, and two that it does not have."""

    def test_all_other_parties_together_recognise_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        secrets = Secrets(monkeypatch)
        sets = {"bank": SETS["bank"], "shop": ["7", "eve"], "clinic": ["eve", "7"]}
        aligned = align(sets)
        assert sorted(aligned.rows["bank"]) == [1, 3]
        assert found_by_coalition(aligned.threads, secrets, list(self.GUESSES)) == set()

    def test_without_the_blinding_they_find_every_guess(self, monkeypatch: pytest.MonkeyPatch) -> None:
        secrets = Secrets(monkeypatch, blinding=False)
        sets = {"bank": SETS["bank"], "shop": ["7", "eve"], "clinic": ["eve", "7"]}
        assert found_by_coalition(align(sets).threads, secrets, list(self.GUESSES)) == {"ann", "bob", "007"}

    def test_with_the_key_of_all_parties_tags_could_be_guessed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Why the dealer must have no share of the key, and no party may see the tags of another."""
        secrets = Secrets(monkeypatch)
        threads = align(SETS).threads
        tags = set(rows(threads.sent["bank", DEALER][0]))

        def recognised(shares: list[bytes]) -> list[str]:
            powers = reduce(lambda each, share: raise_to(share, each), shares, hashed(list(self.GUESSES)))
            guessed_tags = rows(tags_of(bytes(32), powers))
            return [guess for guess, tag in zip(self.GUESSES, guessed_tags, strict=True) if tag in tags]

        shares = [each.share for each in secrets.drawn]
        assert recognised(shares) == ["ann", "bob", "007"]
        for number in range(3):
            assert recognised(shares[:number] + shares[number + 1 :]) == []
