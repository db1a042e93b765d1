import threading
import time as real_time
from collections.abc import Callable

import pytest

from secure_kmeans.errors import RoleError
from secure_kmeans.net import watch as watch_module
from secure_kmeans.net.failures import printable
from secure_kmeans.net.messages import Abort, Alive, Done, Hello, Kind, Message, Ready, Refusal, pack_header
from secure_kmeans.net.tls import LostError
from secure_kmeans.net.watch import Watch
from tests.net.lines import (
    Clock,
    Task,
    channel_pair,
    eventually,
    soon,
    write_all,
)
from tests.net.peers import LONG, SESSION, Peer, Watching, alive, failure_of, has_alarm

CLOCKED = watch_module
"""The module whose time is the fixture ``clock``."""


class TestWhatIsHeard:
    def test_ready_and_done_of_each_role(self, watching: Watching) -> None:
        watch, lab, shop = watching("lab", "shop")
        assert (watch.sessions(), watch.done()) == ({}, {})
        lab.send(Ready(SESSION))
        shop.send(alive(), Ready(bytes(32)), alive())
        assert watch.sessions() == {"lab": SESSION, "shop": bytes(32)}
        lab.send(Done(12, 345))
        assert watch.done() == {"lab": Done(12, 345)}
        watch.check()
        assert not has_alarm(watch)

    def test_messages_from_before_the_line_was_added_are_received(self, watching: Watching) -> None:
        watch, _ = watching("lab")
        here, there = channel_pair("me", "shop")
        for message in (alive(), Ready(SESSION), Done(1, 2)):
            there.send_message(message, soon())
        watch.add(here)
        watch.wait(lambda: "shop" in watch.done())
        assert watch.sessions() == {"shop": SESSION}
        there.line.close()

    def test_waiting_ends_when_it_is_satisfied(self, watching: Watching) -> None:
        watch, lab = watching("lab")
        waiting = Task(lambda: watch.wait(lambda: "lab" in watch.sessions()))
        assert not waiting.ended
        lab.send(Ready(SESSION))
        waiting.result()


class TestWhatIsTold:
    def test_the_activity_of_this_role(self, watching: Watching) -> None:
        watch, lab = watching("lab")
        lab.receive(Alive)
        watch.traffic.waits_for = "lab"
        watch.traffic.waited()
        watch.traffic.waited()
        watch.traffic.sent(100)
        watch.traffic.sent(20.0)
        while (message := lab.receive(Alive)).waits_for != "lab":
            pass
        assert (message.rounds, message.bytes_sent) == (2, 120)
        assert message.cpu_s >= 0

    def test_ready_and_done_to_all(self, watching: Watching) -> None:
        watch, *peers = watching("lab", "shop")
        watch.tell_ready(SESSION)
        watch.traffic.rounds, watch.traffic.bytes_sent = 7, 89
        watch.tell_done()
        for peer in peers:
            assert peer.receive(Ready | Done) == Ready(SESSION)
            assert peer.receive(Ready | Done) == Done(7, 89)

    def test_a_failure_to_all_and_once(self, watching: Watching) -> None:
        watch, *peers = watching("lab", "shop")
        watch.fail(RoleError("me", "out of memory"))
        watch.fail(RoleError("lab", "something that follows from it"))
        for peer in peers:
            assert peer.receive(Abort) == Abort("me", "out of memory")
        assert failure_of(watch) == ("me", "out of memory")
        closing = Task(watch.close)
        for peer in peers:
            with pytest.raises(LostError):
                peer.receive(Abort)
            peer.line.close()
        closing.result()

    def test_a_failure_to_a_role_that_connects_later(self, watching: Watching) -> None:
        watch, _ = watching("lab")
        watch.fail(RoleError("me", "out of memory"))
        shop = Peer(watch, "shop")
        assert shop.receive(Abort) == Abort("me", "out of memory")
        shop.line.close()

    def test_a_long_reason_is_cut(self, watching: Watching) -> None:
        watch, lab = watching("lab")
        watch.fail(RoleError("me", "x" * 5000))
        assert lab.receive(Abort).reason == "x" * 1000

    def test_a_reason_with_bytes_that_are_no_text_is_reported(self, watching: Watching) -> None:
        watch, lab = watching("lab")
        watch.fail(RoleError("me", "/data/caf\udce9.csv: No such file or directory"))
        assert lab.receive(Abort) == Abort("me", "/data/caf?.csv: No such file or directory")

    def test_a_failure_is_reported_though_another_thread_closes_at_once(
        self, watching: Watching, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watch, lab = watching("lab")
        command = watch._command

        def close() -> None:
            monkeypatch.undo()
            watch.close()

        def late(call: Callable[[], None]) -> None:
            if threading.current_thread() is not threading.main_thread():
                real_time.sleep(0.3)
            command(call)

        monkeypatch.setattr(watch, "_command", late)
        failing = Task(lambda: watch.fail(RoleError("me", "out of memory")))
        with pytest.raises(RoleError):
            watch.wait(lambda: False)
        closing = Task(close)
        assert lab.receive(Abort) == Abort("me", "out of memory")
        lab.line.close()
        failing.result()
        closing.result()

    def test_a_failure_is_reported_to_a_role_that_connects_at_the_same_moment(
        self, watching: Watching, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watch, _ = watching("lab")
        here, there = channel_pair("me", "shop")
        command = watch._command

        def joined(call: Callable[[], None]) -> None:
            command(call)
            command(lambda: watch._add(here))
            real_time.sleep(0.3)

        monkeypatch.setattr(watch, "_command", joined)
        watch.fail(RoleError("me", "out of memory"))
        monkeypatch.undo()
        while not isinstance(message := there.receive_message(soon()), Abort):
            pass
        assert message == Abort("me", "out of memory")
        there.line.close()

    def test_reports_from_before_the_end_arrive(self, watching: Watching) -> None:
        watch, lab = watching("lab")
        watch.tell_ready(SESSION)
        watch.tell_done()
        closing = Task(watch.close)
        assert lab.receive(Ready | Done) == Ready(SESSION)
        assert lab.receive(Ready | Done) == Done(0, 0)
        with pytest.raises(LostError, match=r"^it closed its connection$"):
            lab.receive(Done)
        lab.line.close()
        closing.result()

    def test_two_watches_close_together(self) -> None:
        one, other = Watch("a", ["b"], LONG), Watch("b", ["a"], LONG)
        here, there = channel_pair()
        one.add(here)
        other.add(there)
        for watch in (one, other):
            watch.tell_ready(SESSION)
            watch.tell_done()
        one.wait(lambda: bool(one.done()))
        other.wait(lambda: bool(other.done()))
        for task in [Task(one.close), Task(other.close)]:
            task.result()
        assert one.failure is None
        assert other.failure is None


class TestAbort:
    def test_the_reason_is_kept(self, watching: Watching) -> None:
        watch, lab, shop = watching("lab", "shop")
        lab.send(Abort("lab", "out of memory"))
        assert failure_of(watch) == ("lab", "out of memory")
        eventually(lambda: has_alarm(watch))
        assert shop.receive(Abort) == Abort("lab", "out of memory")

    def test_another_role_may_be_named_as_the_cause(self, watching: Watching) -> None:
        watch, lab, _ = watching("lab", "shop")
        lab.send(Abort("shop", "it closed its connection"))
        assert failure_of(watch) == ("shop", "it closed its connection")

    def test_that_may_be_this_role(self, watching: Watching) -> None:
        watch, lab = watching("lab")
        lab.send(Abort("me", "it sent nonsense"))
        assert failure_of(watch) == ("me", "it sent nonsense")

    def test_a_failure_of_an_unknown_role_counts_as_the_senders(self, watching: Watching) -> None:
        watch, lab = watching("lab")
        lab.send(Abort("somebody", "x"))
        assert failure_of(watch) == ("lab", "x")

    def test_it_cannot_control_a_terminal(self, watching: Watching) -> None:
        watch, lab = watching("lab")
        lab.send(Abort("lab", "\x1b[2J\x1b]0;mine\x07\r\nall is well \u202e\x9b1m é 数"))
        assert failure_of(watch)[1] == "?[2J?]0;mine???all is well ??1m é 数"

    def test_a_role_that_is_done_can_still_end_the_run(self, watching: Watching) -> None:
        watch, lab = watching("lab")
        lab.send(Ready(SESSION), Done(1, 2), Abort("lab", "its disk is full"))
        assert failure_of(watch) == ("lab", "its disk is full")

    @pytest.mark.parametrize("text", ["plain", "é 数 😀", ""])
    def test_text_is_printable(self, text: str) -> None:
        assert printable(text) == text


class TestOutOfOrder:
    @pytest.mark.parametrize(
        "messages",
        [
            [Done(1, 2)],
            [Ready(SESSION), Ready(SESSION)],
            [Refusal("no")],
            [Hello("1", "lab", "control", {}, bytes(32), bytes(32), False, ())],
        ],
        ids=["done before ready", "ready twice", "refusal", "hello"],
    )
    def test_a_message_that_is_not_expected(self, watching: Watching, messages: list[Message]) -> None:
        watch, lab = watching("lab")
        for message in messages:
            lab.channel.send_message(message, soon())
        assert failure_of(watch) == ("lab", "it sent a message that was not expected")

    @pytest.mark.parametrize(
        ("frame", "reason"),
        [
            (pack_header(Kind.MESSAGE, 0, 1) + b"\xc1", "it sent a message that this program does not know"),
            (pack_header(Kind.INT64, 0, 8) + bytes(8), "it sent a frame of kind INT64 where MESSAGE was expected"),
            (
                pack_header(Kind.MESSAGE, 1, 1) + b"\xc1",
                "it sent a frame with the wrong number: one was repeated, or one is missing",
            ),
            (b"x" * 16, "it sent something that is no frame"),
            (
                pack_header(Kind.MESSAGE, 0, 2**63),
                "it sent a frame of 9223372036854775808 bytes, where at most 1048576 are allowed",
            ),
        ],
    )
    def test_what_is_no_message(self, watching: Watching, frame: bytes, reason: str) -> None:
        watch, lab = watching("lab")
        write_all(lab.line, frame)
        assert failure_of(watch) == ("lab", reason)


class TestGivingUp:
    def test_a_run_that_does_not_end_by_itself_is_given_up(self, watching: Watching, clock: Clock) -> None:
        given_up: list[RoleError] = []
        watch, _ = watching("lab", give_up=given_up.append)
        watch.fail(RoleError("lab", "lost"))
        clock.jump(4)
        eventually(lambda: has_alarm(watch))
        assert not given_up
        clock.jump(2)
        eventually(lambda: given_up)
        assert given_up == [watch.failure]

    def test_the_others_get_a_report_before(self, watching: Watching, clock: Clock) -> None:
        given_up: list[RoleError] = []
        watch, lab = watching("lab", give_up=given_up.append)
        watch.fail(RoleError("me", "out of memory"))
        assert lab.receive(Abort) == Abort("me", "out of memory")
        clock.jump(6)
        eventually(lambda: given_up)

    def test_a_run_that_ends_by_itself_is_not(self, watching: Watching, clock: Clock) -> None:
        given_up: list[RoleError] = []
        watch, lab = watching("lab", give_up=given_up.append)
        watch.fail(RoleError("lab", "lost"))
        lab.receive(Abort)
        lab.line.close()
        watch.close()
        clock.jump(60)
        assert not watch._thread.is_alive()
        assert not given_up

    def test_no_run_is_given_up_too_early(self, clock: Clock) -> None:
        class Slow(Watch):
            """A watch whose failing thread is slow, so that its own thread runs in between."""

            def __setattr__(self, name: str, value: object) -> None:
                super().__setattr__(name, value)
                if name == "failure" and value is not None:
                    real_time.sleep(0.6)

        given_up: list[RoleError] = []
        clock.jump(1000)
        watch = Slow("me", ["lab"], LONG, given_up.append)
        watch.fail(RoleError("lab", "lost"))
        assert not given_up
        watch.close()


class TestBlame:
    def test_another_roles_report_counts_first(self, watching: Watching) -> None:
        watch, lab, _ = watching("lab", "shop")
        lab.send(Abort("lab", "out of memory"))
        failure = watch.blame("shop", "it closed its connection")
        assert (failure.role, failure.reason) == ("lab", "out of memory")

    def test_without_a_report_the_lost_role_is_named(self, watching: Watching) -> None:
        watch, lab = watching("lab")
        failure = watch.blame("lab", "it closed its connection")
        assert (failure.role, failure.reason) == ("lab", "it closed its connection")
        assert failure is watch.failure
        assert lab.receive(Abort) == Abort("lab", "it closed its connection")
