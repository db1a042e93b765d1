"""Multi-party addition: sums as products of shares, by hand, as a property, with misbehaving parties, and its costs."""

import math
import secrets
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_kmeans.crypto.paillier import PrivateKey, ciphertext_bytes, public_key_bytes, random_unit, signed
from secure_kmeans.errors import ProtocolError, RoleError
from secure_kmeans.job import Party
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.smo07 import addition
from secure_kmeans.protocols.smo07.addition import (
    Shares,
    multi_party_addition,
    new_key,
    product_at_leader,
    room,
)
from tests.protocols.adding import BITS, add, at_each_party, fresh_key, job_of, key_for, small_key
from tests.protocols.toy.mean import MeanJob

N = small_key().public_key.n
MOST = 2 ** room(BITS, 6) - 1


class TestAnswers:
    def test_by_hand(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """5 - 3 + 7 = 9, and l_2 = l_3 = 3: so l_1 = 1."""
        monkeypatch.setattr(addition, "random_unit", lambda _n: 3)
        added = add([[5], [-3], [7]])
        assert [shares.residues for shares in added.shares] == [(1,), (3,), (3,)]
        assert added.totals == [9]

    def test_a_share_that_is_a_fraction(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """1 + 2 = 3, and l_2 = 2: l_1 is 3 / 2 modulo N, which is (N + 3) / 2."""
        monkeypatch.setattr(addition, "random_unit", lambda _n: 2)
        assert add([[1], [2]]).shares[0].residues == ((N + 3) // 2,)

    @pytest.mark.parametrize("parties", range(2, 7))
    @settings(max_examples=8, deadline=None)
    @given(data=st.data())
    def test_the_product_of_the_shares_is_the_sum(self, parties: int, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, 3))
        value = st.integers(-MOST, MOST) | st.sampled_from([0, 1, -1, MOST, -MOST])
        inputs = [data.draw(st.lists(value, min_size=count, max_size=count)) for _ in range(parties)]
        added = add(inputs)
        expected = [sum(each) for each in zip(*inputs, strict=True)]
        for position, total in enumerate(expected):
            product = math.prod(shares.residues[position] for shares in added.shares)
            assert (product - total) % N == 0
        assert added.totals == expected

    @pytest.mark.parametrize("sign", [1, -1])
    def test_the_largest_inputs_do_not_leave_the_room(self, sign: int) -> None:
        for parties in (2, 3, 4, 5):
            most = 2 ** room(BITS, parties) - 1
            assert parties * most < N / 2
            assert add([[sign * most]] * parties).totals == [sign * most * parties]

    def test_larger_inputs_are_refused_before_anything_is_sent(self) -> None:
        with pytest.raises(ProtocolError, match=r"a value has more than 252 bits, so that the sum could leave"):
            add([[0, 1 << room(BITS, 3)], [0, 0], [0, 0]])

    def test_twenty_parties(self) -> None:
        assert add([[rank, -rank] for rank in range(20)]).totals == [190, -190]

    def test_no_values(self) -> None:
        assert add([[], []]).totals == []

    def test_one_party(self) -> None:
        job = job_of(2).model_copy(update={"parties": Party.named("a")})

        def part(context: Context[Any]) -> list[int] | None:
            return product_at_leader(context, multi_party_addition(context, [-7, 7], key=key_for(context)))

        threads = at_each_party(job, part)
        assert (threads.answers, threads.sent) == ([[-7, 7]], {})

    def test_a_job_that_is_no_clustering_with_a_key_of_usual_size(self) -> None:
        job = MeanJob.of(parties=Party.named("x", "y", "z"), columns=("height",))

        def part(context: Context[Any]) -> Any:
            if context.role.name not in context.parties:
                return None
            shares = multi_party_addition(context, [context.rank - 7])
            assert shares.modulus.bit_length() == 2048
            return product_at_leader(context, shares)

        assert at_each_party(job, part).answers == [[-18], None, None, None]

    def test_signs(self) -> None:
        assert [signed(residue, 7) for residue in range(7)] == [0, 1, 2, 3, -3, -2, -1]


class TestShares:
    def test_the_product_of_two_sums(self) -> None:
        def part(context: Context[Any]) -> Any:
            key = key_for(context)
            a = multi_party_addition(context, [context.rank + 1, 5], key=key)
            b = multi_party_addition(context, [-10, context.rank], key=key)
            assert len(a * b) == 2
            return product_at_leader(context, a * b), product_at_leader(context, (a * b * b).chosen([1]))

        assert at_each_party(job_of(3), part).answers[0] == ([6 * -30, 15 * 3], [15 * 3 * 3])

    def test_only_the_chosen_ones_are_sent(self) -> None:
        def part(context: Context[Any]) -> Any:
            return product_at_leader(context, multi_party_addition(context, [4, 5], key=key_for(context)).chosen([1]))

        threads = at_each_party(job_of(2), part)
        assert threads.answers == [[10], None]
        assert threads.sent["b", "a"][-1].size == 32 + BITS // 8

    def test_shares_that_do_not_belong_together_are_refused(self) -> None:
        shares = Shares(35, (1, 2), bytes(32))
        with pytest.raises(ValueError, match="shares under two keys cannot be multiplied"):
            shares * Shares(33, (1, 2), bytes(32))
        with pytest.raises(ValueError, match="shares of 2 numbers cannot be multiplied by shares of 1"):
            shares * shares.chosen([0])

    def test_the_residues_are_not_shown(self) -> None:
        assert "41" not in repr(Shares(77, (41,), bytes(32)))

    def test_the_private_key_is_not_shown(self) -> None:
        key = addition.AdditionKey(small_key().public_key, small_key())
        assert "private" not in repr(key)


class TestUnits:
    def test_a_number_without_inverse_is_drawn_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        drawn = iter([0, 7, 22, 6])
        monkeypatch.setattr(secrets, "randbelow", lambda n: next(drawn) if n == 77 else pytest.fail("not below N"))
        assert random_unit(77) == 6

    def test_all_units_are_drawn_and_nothing_else(self) -> None:
        assert {random_unit(15) for _ in range(500)} == {1, 2, 4, 7, 8, 11, 13, 14}

    def test_every_value_has_its_own(self) -> None:
        for shares in add([[5, 5, 5]] * 3).shares:
            assert len(set(shares.residues)) == 3
            assert all(math.gcd(residue, N) == 1 for residue in shares.residues)


class TestCosts:
    @pytest.mark.parametrize("parties", [2, 3, 5])
    def test_rounds_and_bytes_are_as_stated(self, parties: int) -> None:
        added = add([[1, 2, 3]] * parties)
        key, ring = public_key_bytes(BITS) + 34, 32 + 3 * ciphertext_bytes(BITS)
        share = 32 + 3 * BITS // 8
        last = parties - 1
        for rank, traffic in enumerate(added.threads.traffic):
            assert traffic.rounds == (1 if rank in (0, last) else 2) + 1  # the shares; a new key
            own = ring * (1 if rank in (0, last) else 2) + (share if rank else last * key)
            assert traffic.bytes_sent == own
        arrays = sum(hasattr(each, "dtype") for sent in added.threads.sent.values() for each in sent)
        assert arrays == 2 * last + last  # the ring, and the shares


class TestKeys:
    def test_one_key_for_several_additions(self) -> None:
        def part(context: Context[Any]) -> Any:
            key = key_for(context)
            return [product_at_leader(context, multi_party_addition(context, [n], key=key)) for n in (1, 2)]

        threads = at_each_party(job_of(3), part)
        assert threads.answers[0] == [[3], [6]]
        assert sum(isinstance(each, bytes) for each in threads.sent["a", "b"]) == 1

    def test_without_a_key_each_addition_has_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(PrivateKey, "generate", fresh_key)

        def part(context: Context[Any]) -> int:
            return multi_party_addition(context, [1], key_bits=BITS).modulus

        first, second = (at_each_party(job_of(2), part).answers for _ in range(2))
        assert first[0] == first[1] != second[0]

    @pytest.mark.parametrize(
        ("sent", "reason"),
        [
            ([1, 2], "it sent something else than a public key"),
            (b"short", "it sent something else than a public key"),
            (bytes(64), "it sent keys of another addition, step or key, or that were changed on their way"),
        ],
    )
    def test_what_is_no_key_is_refused(self, sent: Any, reason: str) -> None:
        def part(context: Context[Any]) -> None:
            if context.rank == 0:
                context.mesh.post_object("b", sent)
            else:
                new_key(context, key_bits=BITS)

        with pytest.raises(RoleError, match=rf'^role "a" failed: {reason}$'):
            at_each_party(job_of(2), part)

    def test_a_key_of_another_size_is_refused(self) -> None:
        def part(context: Context[Any]) -> None:
            if context.rank == 0:
                new_key(context, key_bits=BITS, private=small_key())
            else:
                new_key(context, key_bits=2 * BITS)

        reason = "it sent something that cannot be used: the public key has 96 bytes, expected 192"
        with pytest.raises(RoleError, match=f'^role "a" failed: {reason}$'):
            at_each_party(job_of(2), part)
