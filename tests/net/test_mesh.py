import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_kmeans.errors import ProtocolError, RoleError
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.net.messages import Done, Kind
from tests.net.lines import Task, at_once, eventually, meshes

DTYPES = [kind.name.lower() for kind in Kind if kind >= Kind.UINT8]
EDGE = 8192 // 8  # the most numbers of 8 bytes that are sent in one piece with their header


@pytest.fixture
def two() -> Iterator[tuple[Mesh, Mesh]]:
    with meshes("a", "b") as roles:
        yield roles["a"], roles["b"]


@pytest.fixture
def three() -> Iterator[tuple[Mesh, Mesh, Mesh]]:
    with meshes("a", "b", "c") as roles:
        yield roles["a"], roles["b"], roles["c"]


def numbers(size: int, seed: int = 0, dtype: str = "int64") -> np.ndarray:
    drawn = np.random.default_rng(seed).integers(0, 256, size * np.dtype(dtype).itemsize, dtype=np.uint8)
    return (drawn & 1).view(bool) if dtype == "bool" else drawn.view(dtype)


def swap(one: Mesh, other: Mesh, sizes: tuple[int, int]) -> bool:
    """Exchange numbers, ``sizes[0]`` from one role and ``sizes[1]`` from the other; whether they arrive as sent."""
    sent = numbers(sizes[0], 1), numbers(sizes[1], 2)
    targets = np.zeros(sizes[1], np.int64), np.zeros(sizes[0], np.int64)
    at_once(
        lambda: one.exchange({other.me: sent[0]}, {other.me: targets[0]}),
        lambda: other.exchange({one.me: sent[1]}, {one.me: targets[1]}),
    )
    return np.array_equal(targets[0], sent[1]) and np.array_equal(targets[1], sent[0])


def break_lines(mesh: Mesh) -> None:
    """End all lines of a role at once, as when its machine fails."""
    channels = [*mesh._channels.values(), *(peer.channel for peer in mesh._watch._peers.values())]

    def end() -> None:
        for channel in channels:
            channel.line._socket.shutdown(socket.SHUT_RDWR)

    mesh._watch._command(end)  # in the thread of its watch, so that it cannot report the first end meanwhile


def failure(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(RoleError) as caught:
        call()
    return caught.value.role, caught.value.reason


class TestExchange:
    @pytest.mark.parametrize("size", [0, 1, 5, EDGE - 1, EDGE, EDGE + 1, 2 * EDGE, 100_000])
    def test_numbers_of_every_size_cross(self, two: tuple[Mesh, Mesh], size: int) -> None:
        assert swap(*two, (size, size))

    def test_numbers_of_different_sizes_cross(self, two: tuple[Mesh, Mesh]) -> None:
        for sizes in [(0, 100_000), (1, EDGE + 1), (300_000, 3), (EDGE, 0)]:
            assert swap(*two, sizes)

    def test_many_megabytes_cross_at_once(self, two: tuple[Mesh, Mesh]) -> None:
        assert swap(*two, (1 << 20, (1 << 20) + 3))

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_numbers_of_every_kind(self, two: tuple[Mesh, Mesh], dtype: str) -> None:
        one, other = two
        sent = numbers(3, 3, dtype), numbers(5000, 4, dtype)
        targets = np.zeros(3, dtype), np.zeros(5000, dtype)

        def send() -> None:
            for each in sent:
                one.exchange({"b": each}, {})

        def receive() -> None:
            for target in targets:
                other.receive("a", target)

        at_once(send, receive)
        assert [target.tobytes() for target in targets] == [each.tobytes() for each in sent]

    @settings(max_examples=20)
    @given(st.lists(st.integers(0, 3000) | st.integers(EDGE - 2, EDGE + 2), max_size=6))
    def test_rounds_of_any_sizes(self, sizes: tuple[int, int]) -> None:
        with meshes("a", "b") as roles:
            for size in sizes:
                assert swap(roles["a"], roles["b"], (size, size))

    def test_every_shape_arrives_in_its_shape(self, two: tuple[Mesh, Mesh]) -> None:
        one, other = two
        sent = numbers(24).reshape(2, 3, 4)
        target = np.zeros((2, 3, 4), np.int64)
        at_once(lambda: one.exchange({"b": sent}, {}), lambda: other.receive("a", target))
        assert np.array_equal(target, sent)
        empty = np.zeros((0, 5), np.int64)
        at_once(lambda: one.exchange({"b": empty}, {}), lambda: other.receive("a", empty.copy()))

    @pytest.mark.parametrize("size", [1, EDGE, 400_000])
    def test_three_roles_exchange_with_all(self, three: tuple[Mesh, Mesh, Mesh], size: int) -> None:
        sent = {mesh.me: numbers(size, position) for position, mesh in enumerate(three)}

        def take_part(mesh: Mesh) -> bool:
            others = [role for role in mesh.roles if role != mesh.me]
            targets = {role: np.zeros(size, np.int64) for role in others}
            mesh.exchange(dict.fromkeys(others, sent[mesh.me]), targets)
            return all(np.array_equal(targets[role], sent[role]) for role in others)

        assert at_once(*(lambda mesh=mesh: take_part(mesh) for mesh in three)) == [True] * 3

    def test_three_roles_in_a_ring(self, three: tuple[Mesh, Mesh, Mesh]) -> None:
        size = 400_000

        def take_part(position: int) -> bool:
            mesh, target = three[position], np.zeros(size, np.int64)
            after, before = (position + 1) % 3, (position - 1) % 3
            mesh.exchange({three[after].me: numbers(size, position)}, {three[before].me: target})
            return np.array_equal(target, numbers(size, before))

        assert at_once(*(partial(take_part, position) for position in range(3))) == [True] * 3

    def test_posted_numbers_are_sent_during_a_wait(self, three: tuple[Mesh, Mesh, Mesh]) -> None:
        one, other, third = three
        size = 1 << 20
        target, answer = np.zeros(size, np.int64), np.zeros(1, np.int64)

        def ask() -> None:
            one.post("c", numbers(size))
            one.receive("b", answer)  # which answers only when the third has received all numbers

        def relay() -> None:
            other.receive("c", np.zeros(1, np.int64))
            other.exchange({"a": np.array([7])}, {})

        def answer_to_second() -> None:
            third.receive("a", target)
            third.exchange({"b": np.array([1])}, {})

        at_once(ask, relay, answer_to_second)
        assert answer == 7
        assert np.array_equal(target, numbers(size))

    def test_flush_ends_when_everything_is_sent(self, two: tuple[Mesh, Mesh]) -> None:
        one, other = two
        size = 1 << 20
        one.post("b", numbers(size))
        flushing = Task(one.flush)
        assert not flushing.ended
        target = np.zeros(size, np.int64)
        other.receive("a", target)
        flushing.result()
        assert np.array_equal(target, numbers(size))

    @pytest.mark.parametrize(
        "unsent", [np.zeros(3, np.uint64), np.zeros(3, ">i8"), np.array(["x"]), np.zeros((4, 4), np.int64)[:, ::2]]
    )
    def test_numbers_that_would_arrive_as_others_are_not_sent(self, two: tuple[Mesh, Mesh], unsent: np.ndarray) -> None:
        with pytest.raises((TypeError, ValueError)):
            two[0].post("b", unsent)
        assert swap(*two, (3, 3))

    def test_the_others_can_see_whom_it_waits_for(self, two: tuple[Mesh, Mesh]) -> None:
        one, other = two
        waiting = Task(lambda: one.receive("b", np.zeros(1, np.int64)))
        eventually(lambda: one.traffic.waits_for == "b")
        other.exchange({"a": np.zeros(1, np.int64)}, {})
        waiting.result()
        assert one.traffic.waits_for == ""


class TestObjects:
    @pytest.mark.parametrize("value", [None, True, 1.5, "é", b"\x00", [1, [2]], {"x": {"y": []}}, "x" * 1_000_000])
    def test_they_arrive_as_they_were(self, two: tuple[Mesh, Mesh], value: object) -> None:
        one, other = two

        def send() -> int:
            size = one.post_object("b", value)
            one.flush()
            return size

        size, received = at_once(send, lambda: other.receive_object("a"))
        assert received == value
        assert size >= len(repr(value)) // 10

    def test_they_arrive_between_numbers_in_order(self, two: tuple[Mesh, Mesh]) -> None:
        one, other = two
        big = numbers(100_000)

        def send() -> None:
            one.post_object("b", {"shape": [2]})
            one.post("b", big)
            one.post_object("b", "end")
            one.flush()

        def receive() -> tuple[Any, bool, Any]:
            target = np.zeros(100_000, np.int64)
            first = other.receive_object("a")
            other.receive("a", target)
            return first, np.array_equal(target, big), other.receive_object("a")

        assert at_once(send, receive)[1] == ({"shape": [2]}, True, "end")

    def test_what_is_not_plain_is_not_sent(self, two: tuple[Mesh, Mesh]) -> None:
        with pytest.raises(TypeError, match=r"^a value of type set is not sent$"):
            two[0].post_object("b", {1})
        assert swap(*two, (3, 3))


class TestMisbehaving:
    @pytest.mark.parametrize("size", [0, 3, EDGE + 1])
    def test_another_number_of_numbers_names_the_role(self, three: tuple[Mesh, Mesh, Mesh], size: int) -> None:
        one, other, third = three
        other.post("a", numbers(size))
        reason = f"it sent a frame of {8 * size} bytes of INT64 where 32 of INT64 were expected"
        assert failure(lambda: one.receive("b", np.zeros(4, np.int64))) == ("b", reason)
        assert failure(lambda: third.receive("a", np.zeros(4, np.int64))) == ("b", reason)
        assert failure(lambda: other.receive("a", np.zeros(4, np.int64))) == ("b", reason)

    def test_another_kind_of_numbers_names_the_role(self, two: tuple[Mesh, Mesh]) -> None:
        one, other = two
        other.post("a", np.zeros(4))
        expected = ("b", "it sent a frame of 32 bytes of FLOAT64 where 32 of INT64 were expected")
        assert failure(lambda: one.receive("b", np.zeros(4, np.int64))) == expected

    def test_an_object_where_numbers_are_expected(self, two: tuple[Mesh, Mesh]) -> None:
        one, other = two
        other.post_object("a", 1)
        expected = ("b", "it sent a frame of 1 bytes of OBJECT where 32 of INT64 were expected")
        assert failure(lambda: one.receive("b", np.zeros(4, np.int64))) == expected

    def test_numbers_where_an_object_is_expected(self, two: tuple[Mesh, Mesh]) -> None:
        one, other = two
        other.post("a", np.zeros(4))
        expected = ("b", "it sent a frame of kind FLOAT64 where OBJECT was expected")
        assert failure(lambda: one.receive_object("b")) == expected

    def test_an_object_that_is_none(self, two: tuple[Mesh, Mesh]) -> None:
        one, other = two
        other._post(other._channels["a"], Kind.OBJECT, b"\xd4\x01\x00")
        expected = ("b", "it sent an object that is not made of plain values")
        assert failure(lambda: one.receive_object("b")) == expected


class TestKey:
    def test_it_is_the_same_at_both_ends_and_nowhere_else(self, three: tuple[Mesh, Mesh, Mesh]) -> None:
        one, other, third = three
        key, another = one.key("b", "coins"), one.key("c", "coins")
        assert len(key) == 32
        assert other.key("a", "coins") == key
        assert len({key, another, other.key("c", "coins")}) == 3
        assert third.key("a", "coins") == another

    def test_it_differs_by_purpose(self, two: tuple[Mesh, Mesh]) -> None:
        keys = {two[0].key("b", purpose) for purpose in ("coins", "masks", "")}
        assert len(keys) == 3

    def test_it_differs_by_session(self, two: tuple[Mesh, Mesh]) -> None:
        one, other = two
        one.session = b"\x01" * 32
        assert one.key("b", "coins") != other.key("a", "coins")

    def test_it_differs_on_another_line(self, two: tuple[Mesh, Mesh]) -> None:
        with meshes("a", "b") as again:
            assert again["a"].session == two[0].session
            assert again["a"].key("b", "coins") != two[0].key("b", "coins")

    def test_it_is_given_once(self, three: tuple[Mesh, Mesh, Mesh]) -> None:
        one, *_ = three
        for peer, purpose in (("b", "coins"), ("b", "masks"), ("c", "coins")):
            one.key(peer, purpose)
        with pytest.raises(ProtocolError, match='the key with role "b" for "coins" was given before in this session'):
            one.key("b", "coins")


class TestEnd:
    def test_all_finish_and_report_what_they_did(self, three: tuple[Mesh, Mesh, Mesh]) -> None:
        for position, mesh in enumerate(three):
            mesh.traffic.rounds, mesh.traffic.bytes_sent = position, 10 * position
        done = at_once(*(mesh.finish for mesh in three))
        each = {"a": Done(0, 0), "b": Done(1, 10), "c": Done(2, 20)}
        assert done == [{role: it for role, it in each.items() if role != mesh.me} for mesh in three]
        at_once(*(mesh.close for mesh in three))
        assert [mesh.failure for mesh in three] == [None] * 3

    def test_finishing_waits_for_all(self, three: tuple[Mesh, Mesh, Mesh]) -> None:
        one, other, third = three
        tasks = [Task(one.finish), Task(other.finish)]
        eventually(lambda: third._watch.done().keys() == {"a", "b"})
        assert not any(task.ended for task in tasks)
        third.finish()
        for task in tasks:
            task.result()

    def test_the_first_to_finish_may_close_first(self, two: tuple[Mesh, Mesh]) -> None:
        one, other = two

        def leave() -> None:
            one.finish()
            one.close()

        task = Task(leave)
        other.finish()
        other.close()
        task.result()
        assert other.failure is None

    def test_numbers_that_were_posted_are_sent_before_the_end(self, two: tuple[Mesh, Mesh]) -> None:
        one, other = two
        size = 1 << 20
        one.post("b", numbers(size))
        target = np.zeros(size, np.int64)

        def last() -> None:
            other.receive("a", target)
            other.finish()

        at_once(one.finish, last)
        assert np.array_equal(target, numbers(size))

    def test_a_role_that_fails_is_named_at_all_others_with_its_reason(self, three: tuple[Mesh, Mesh, Mesh]) -> None:
        one, other, third = three
        tasks = [
            Task(lambda: one.receive("b", np.zeros(1, np.int64))),
            Task(lambda: third.receive_object("a")),
            Task(lambda: third._watch.wait(lambda: False)),
        ]
        other.fail("out of memory")
        for task in tasks:
            error = task.error()
            assert isinstance(error, RoleError)
            assert (error.role, error.reason) == ("b", "out of memory")
            assert str(error) == 'role "b" failed: out of memory'
        assert other.failure is not None
        assert str(other.failure) == 'role "b" failed: out of memory'

    def test_it_is_named_though_its_lines_end_right_after(self, three: tuple[Mesh, Mesh, Mesh]) -> None:
        one, other, third = three
        task = Task(lambda: one.receive("b", np.zeros(1, np.int64)))
        other.fail("out of memory")
        closing = Task(other.close)
        error = task.error()
        assert isinstance(error, RoleError)
        assert (error.role, error.reason) == ("b", "out of memory")
        assert failure(lambda: third.finish()) == ("b", "out of memory")
        at_once(one.close, third.close)
        closing.result()

    @pytest.mark.parametrize("waiting", ["receive", "receive_object", "flush", "finish"])
    def test_a_role_that_vanishes_is_named_wherever_the_others_are(
        self, three: tuple[Mesh, Mesh, Mesh], waiting: str
    ) -> None:
        one, other, third = three
        if waiting == "flush":
            one.post("c", numbers(1 << 20))
        task = Task(
            {
                "receive": lambda: one.receive("c", np.zeros(1, np.int64)),
                "receive_object": lambda: one.receive_object("c"),
                "flush": one.flush,
                "finish": one.finish,
            }[waiting]
        )
        break_lines(other)
        error = task.error()
        assert isinstance(error, RoleError)
        assert (error.role, error.reason) == ("b", "its connection broke")
        assert failure(lambda: third.finish())[0] == "b"

    def test_a_role_that_vanishes_while_it_is_sent_to(self, two: tuple[Mesh, Mesh]) -> None:
        one, other = two
        one.post("b", numbers(1 << 20))
        break_lines(other)
        assert failure(one.flush) == ("b", "its connection broke")

    def test_after_a_failure_nothing_more_is_sent_or_received(self, two: tuple[Mesh, Mesh]) -> None:
        one, other = two
        other.fail("out of memory")
        eventually(lambda: one.failure is not None)
        for call in (lambda: one.receive("b", np.zeros(1, np.int64)), lambda: one.receive_object("b"), one.finish):
            assert failure(call) == ("b", "out of memory")

    def test_a_reason_arrives_as_text_that_can_be_printed(self, two: tuple[Mesh, Mesh]) -> None:
        one, other = two
        other.fail("caf\udce9\x1b[2J")
        assert failure(lambda: one.receive("b", np.zeros(1, np.int64))) == ("b", "caf??[2J")
