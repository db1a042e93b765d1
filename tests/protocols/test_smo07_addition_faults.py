"""What parties can send in an addition besides what they should, and what they can find in what they receive."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from secure_kmeans.crypto.paillier import PrivateKey, signed
from secure_kmeans.errors import RoleError
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.smo07 import addition
from secure_kmeans.protocols.smo07.addition import multi_party_addition, product_at_leader
from secure_kmeans.protocols.smo07.frames import BINDING_BYTES, bound, label_of
from tests.protocols.adding import BITS, Added, add, at_each_party, forging, job_of, key_for, small_key

PUBLIC = small_key().public_key
N = int(PUBLIC.n)
OTHER_SESSION = bytes([7]) * 32
SIZE = PUBLIC.ciphertext_bytes
FOREIGN = "of another addition, step or key, or that were changed on their way"


def label(step: bytes, to: int, *, number: int = 1, session: bytes = bytes(32), fingerprint: bytes = b"") -> bytes:
    """The label of a message of an addition of one value."""
    return label_of(step, label_of(session, fingerprint or PUBLIC.fingerprint, number, 1), to)


def encoded(number: int) -> bytes:
    """A number where a ciphertext under the key should be."""
    return number.to_bytes(SIZE, "big")


def with_binding(label: bytes, item: bytes) -> Callable[[bytes], bytes]:
    """A message with a right binding and any item in place of a ciphertext."""
    return lambda _frame: bound(label, item)


def flipped(position: int) -> Callable[[bytes], bytes]:
    return lambda frame: frame[:position] + bytes([frame[position] ^ 1]) + frame[position + 1 :]


UP = label(addition._UP, 1)
DOWN = label(addition._DOWN, 1)
CIPHERTEXT = PUBLIC.encrypt(5).to_bytes()
MESSAGES = {"up": ("a", "b", 0), "further up": ("b", "c", 0), "down": ("c", "b", 0), "to the leader": ("b", "a", 0)}


class TestCiphertexts:
    @pytest.mark.parametrize("message", MESSAGES)
    @pytest.mark.parametrize("position", [0, BINDING_BYTES, -1], ids=["binding", "first byte", "last byte"])
    def test_a_changed_one_is_refused(self, message: str, position: int) -> None:
        sender, to, number = MESSAGES[message]
        place = position if position >= 0 else BINDING_BYTES + SIZE - 1
        with pytest.raises(RoleError, match=rf'^role "{sender}" failed: it sent ciphertexts {FOREIGN}$'):
            add([[1], [2], [3]], mesh=forging(sender, to, number, flipped(place)))

    @pytest.mark.parametrize(
        ("item", "reason"),
        [
            (encoded(0), "out of range"),
            (encoded(N * N), "out of range"),
            (encoded(N * N + 1), "out of range"),
            (encoded(3 * N), "not coprime to N"),
            (encoded(int(small_key()._p)), "not coprime to N"),
        ],
        ids=["0", "N^2", "N^2 + 1", "3 N", "p"],
    )
    @pytest.mark.parametrize("way", ["up", "down"])
    def test_one_that_cannot_be_is_refused_by_name(self, way: str, item: bytes, reason: str) -> None:
        sender, label = ("a", UP) if way == "up" else ("c", DOWN)
        reason = f"it sent something that cannot be used: the ciphertext is {reason}"
        with pytest.raises(RoleError, match=f'^role "{sender}" failed: {reason}'):
            add([[1], [2], [3]], mesh=forging(sender, "b", 0, with_binding(label, item)))

    @pytest.mark.parametrize("bytes_more", [-1, 1, SIZE])
    def test_one_of_another_length_is_refused(self, bytes_more: int) -> None:
        frame = with_binding(UP, CIPHERTEXT.ljust(SIZE + 1, b"\0")[: SIZE + bytes_more].ljust(SIZE + bytes_more))
        with pytest.raises(RoleError, match=r'^role "a" failed: it sent something else than was expected'):
            add([[1], [2], [3]], mesh=forging("a", "b", 0, frame))

    @pytest.mark.parametrize(
        "foreign",
        [
            label(addition._UP, 1, fingerprint=small_key(BITS, 1).public_key.fingerprint),
            label(addition._UP, 1, session=OTHER_SESSION),
            label(addition._UP, 1, number=2),
            label(addition._UP, 2),
            label(addition._DOWN, 1),
        ],
        ids=["key", "session", "addition", "receiver", "direction"],
    )
    def test_one_for_another_purpose_is_refused(self, foreign: bytes) -> None:
        with pytest.raises(RoleError, match=rf'^role "a" failed: it sent ciphertexts {FOREIGN}$'):
            add([[1], [2], [3]], mesh=forging("a", "b", 0, with_binding(foreign, CIPHERTEXT)))
        assert add([[1], [2], [3]], mesh=forging("a", "b", 0, with_binding(UP, CIPHERTEXT))).totals == [10]


class TestReplays:
    @pytest.mark.parametrize(("sender", "to"), [("a", "b"), ("b", "c"), ("c", "b"), ("b", "a")])
    def test_a_message_of_the_addition_before_is_refused(self, sender: str, to: str) -> None:
        earlier: list[bytes] = []

        def replay(frame: bytes) -> bytes:
            return earlier[0]

        def part(context: Context[Any]) -> None:
            key = key_for(context)
            multi_party_addition(context, [1], key=key)
            earlier.extend(each.tobytes() for each in sent.get((sender, to), []) if not isinstance(each, bytes))
            multi_party_addition(context, [1], key=key)

        sent: dict[tuple[str, str], list[Any]] = {}

        class Replaying(forging(sender, to, 1, replay)):  # type: ignore[misc]
            def __init__(self, post: Any, me: str) -> None:
                super().__init__(post, me)
                nonlocal sent
                sent = post.sent

        with pytest.raises(RoleError, match=rf'^role "{sender}" failed: it sent ciphertexts {FOREIGN}$'):
            at_each_party(job_of(3), part, mesh=Replaying)

    @pytest.mark.parametrize(("sender", "to"), [("a", "b"), ("b", "c"), ("c", "b"), ("b", "a")])
    def test_a_message_of_another_session_is_refused(self, sender: str, to: str) -> None:
        arrays = [each for each in add([[1], [2], [3]]).threads.sent[sender, to] if isinstance(each, np.ndarray)]
        with pytest.raises(RoleError, match=rf'^role "{sender}" failed: it sent ciphertexts {FOREIGN}$'):
            add(
                [[1], [2], [3]],
                session=OTHER_SESSION,
                mesh=forging(sender, to, 0, lambda _frame: arrays[0].tobytes()),
            )


class TestShown:
    """What is sent to the leader at the end."""

    @pytest.mark.parametrize("residue", [0, int(small_key()._p), N, N + 1], ids=["0", "p", "N", "N + 1"])
    def test_a_share_that_is_no_unit_is_refused(self, residue: int) -> None:
        share = label_of(addition._SHARE, label_of(bytes(32), PUBLIC.fingerprint, 1, 1), 2)
        frame = bound(share, residue.to_bytes(BITS // 8, "big"))
        with pytest.raises(RoleError, match=r'^role "c" failed: it sent a share that is no unit modulo N$'):
            add([[1], [2], [3]], mesh=forging("c", "a", 0, lambda _frame: frame))

    def test_shares_of_another_addition_are_refused(self) -> None:
        def part(context: Context[Any]) -> None:
            key = key_for(context)
            first, second = (multi_party_addition(context, [1], key=key) for _ in range(2))
            product_at_leader(context, first if context.role.name == "c" else second)

        with pytest.raises(RoleError, match=rf'^role "c" failed: it sent shares {FOREIGN}$'):
            at_each_party(job_of(3), part)


def received(added: Added, sender: str, to: str, number: int = 0) -> Any:
    """A ciphertext that one party received, of an addition of one value."""
    arrays = [each for each in added.threads.sent[sender, to] if isinstance(each, np.ndarray)]
    return PUBLIC.ciphertext(arrays[number].tobytes()[BINDING_BYTES:])


def opened(added: Added, sender: str, to: str) -> int:
    """What the owner of the key finds in a ciphertext."""
    return signed(int(small_key().decrypt(received(added, sender, to))), N)


class TestViews:
    def test_the_leader_finds_the_sum_times_units(self) -> None:
        added = add([[5], [6], [7], [8]])
        l_1 = added.shares[0].residues[0]
        units = [shares.residues[0] for shares in added.shares[1:]]
        assert opened(added, "b", "a") == signed(l_1, N)
        assert l_1 * units[0] * units[1] * units[2] % N == 26
        assert l_1 != add([[5], [6], [7], [8]]).shares[0].residues[0]

    def test_the_leader_sees_that_a_sum_is_zero(self) -> None:
        assert add([[5], [-9], [4]]).shares[0].residues == (0,)

    def test_the_leader_with_the_third_party_learns_the_second_one_s_input(self) -> None:
        assert opened(add([[5], [6], [7], [8]]), "b", "c") - 5 == 6

    def test_the_leader_with_both_neighbours_learns_an_input(self) -> None:
        added = add([[5], [6], [7], [8]])
        assert opened(added, "c", "d") - opened(added, "b", "c") == 7

    def test_the_leader_with_the_last_but_one_learns_the_last_one_s_input_from_the_sum(self) -> None:
        added = add([[5], [6], [7], [8]])
        assert added.totals[0] - opened(added, "b", "c") - 7 == 8

    def test_of_two_parties_the_leader_learns_the_other_s_input(self) -> None:
        assert add([[5], [6]]).totals[0] - 5 == 6

    def test_on_the_way_down_all_are_masked_by_units(self) -> None:
        """The largest of these is a proper residue: one of 64 bits would be seen with probability 2^-191."""
        added = add([[5], [6], [7], [8]])
        for sender, to in (("d", "c"), ("c", "b"), ("b", "a")):
            assert abs(opened(added, sender, to)) > 1 << 64

    def test_no_message_is_the_same_in_another_addition(self) -> None:
        first, second = (
            {each.tobytes() for sent in run.threads.sent.values() for each in sent if isinstance(each, np.ndarray)}
            for run in (add([[5], [6], [7]]), add([[5], [6], [7]]))
        )
        assert len(first) == 6
        assert not first & second


class TestRandomParts:
    """Why steps 5 and 6 add an encryption of 0: who has the key also sees the random part of a ciphertext."""

    @pytest.fixture
    def key(self) -> PrivateKey:
        return small_key()

    def squares_modulo_p(self, key: PrivateKey) -> set[bool]:
        """Whether the random parts of what the leader decrypts are squares modulo p, of some additions."""
        p = int(key._p)
        added = [add([[1], [2]]) for _ in range(30)]
        return {pow(int(received(each, "b", "a")._value), (p - 1) // 2, p) == 1 for each in added}

    def test_a_power_alone_shows_that_its_exponent_is_even(
        self, key: PrivateKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unit = pow(2, -1, N)  # the exponent is 2
        monkeypatch.setattr(addition, "random_unit", lambda _n: unit)
        assert self.squares_modulo_p(key) == {True, False}
        monkeypatch.setattr(addition._Ring, "_zeros", lambda ring: [ring.public.encrypt(0) * 2] * ring.count)
        assert self.squares_modulo_p(key) == {True}
