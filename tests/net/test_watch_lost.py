import threading

import pytest

from secure_kmeans.errors import RoleError
from secure_kmeans.net import watch as watch_module
from secure_kmeans.net.messages import Abort, Alive, Done, Ready
from secure_kmeans.net.tls import RejectedError, TlsLine
from tests.net.lines import (
    PATIENCE,
    Clock,
    Task,
    eventually,
    soon,
    write_all,
)
from tests.net.peers import SESSION, Watching, alive, failure_of, has_alarm, pass_time

CLOCKED = watch_module
"""The module whose time is the fixture ``clock``."""


class TestLost:
    def test_a_role_that_closes_its_line(self, watching: Watching) -> None:
        watch, lab, _ = watching("lab", "shop")
        lab.send(Ready(SESSION))
        lab.line.close()
        role, reason = failure_of(watch)
        assert role == "lab"
        assert reason in ("it closed its connection", "its connection broke")
        eventually(lambda: has_alarm(watch))

    def test_a_role_whose_connection_breaks(self, watching: Watching) -> None:
        watch, _, shop = watching("lab", "shop")
        shop.break_line()
        assert failure_of(watch) == ("shop", "its connection broke")

    def test_the_others_get_a_report_that_names_it(self, watching: Watching) -> None:
        watch, lab, shop = watching("lab", "shop")
        lab.break_line()
        assert shop.receive(Abort) == Abort("lab", "its connection broke")
        assert failure_of(watch)[0] == "lab"

    def test_a_message_after_done_does_no_harm(self, watching: Watching) -> None:
        watch, lab, shop = watching("lab", "shop")
        lab.send(Ready(SESSION), Done(1, 2))
        lab.channel.send_message(Done(3, 4), soon())
        eventually(lambda: watch._peers["lab"].gone)
        shop.send(Ready(SESSION))
        assert watch.done() == {"lab": Done(1, 2)}
        assert watch.failure is None

    def test_only_the_first_counts(self, watching: Watching) -> None:
        watch, lab, shop = watching("lab", "shop")
        lab.break_line()
        first = failure_of(watch)
        shop.break_line()
        shop.line.close()
        watch.fail(RoleError("me", "too late"))
        assert failure_of(watch) == first

    def test_an_end_after_done_is_no_loss(self, watching: Watching) -> None:
        watch, lab, shop = watching("lab", "shop")
        lab.send(Ready(SESSION), Done(1, 2))
        lab.line.close()
        shop.send(Ready(SESSION), alive(), Done(3, 4))  # received after the end of the other line
        shop.break_line()
        watch.wait(lambda: len(watch.done()) == 2)
        eventually(lambda: all(peer.gone for peer in watch._peers.values()))
        assert watch.failure is None
        assert not has_alarm(watch)

    def test_a_line_that_ends_with_any_error(self, watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
        watch, lab = watching("lab")

        def ended(line: TlsLine, target: memoryview) -> None:
            raise RejectedError("it did not accept this role's certificate")

        lab.receive(Alive)
        monkeypatch.setattr(TlsLine, "read_into", ended)
        write_all(lab.line, b"x")
        assert failure_of(watch) == ("lab", "it did not accept this role's certificate")

    def test_a_failure_ends_all_waiting(self, watching: Watching) -> None:
        watch, lab = watching("lab")
        waiting = Task(lambda: watch.wait(lambda: False))
        lab.break_line()
        assert isinstance(waiting.error(), RoleError)
        with pytest.raises(RoleError):
            watch.check()


class TestSilent:
    def test_silence_is_a_failure_after_the_timeout(self, watching: Watching, clock: Clock) -> None:
        watch, lab, shop = watching("lab", "shop", timeout=60.0)
        lab.send(Ready(SESSION))
        shop.send(Ready(SESSION))
        pass_time(watch, clock, 50)
        shop.send(alive(rounds=1))
        pass_time(watch, clock, 50)
        assert failure_of(watch) == ("lab", "it has not answered for 60 seconds")

    def test_a_real_second(self, watching: Watching) -> None:
        watch, _ = watching("lab", timeout=1.0)
        assert failure_of(watch) == ("lab", "it has not answered for 1 second")

    def test_a_role_that_reports_is_not_silent(self, watching: Watching, clock: Clock) -> None:
        watch, lab = watching("lab", timeout=60.0)
        lab.send(Ready(SESSION))
        for rounds in range(10):
            pass_time(watch, clock, 50)
            lab.send(alive(rounds=rounds))
        assert watch.failure is None

    def test_a_role_that_was_stopped_itself_blames_no_other(self, watching: Watching, clock: Clock) -> None:
        watch, lab = watching("lab", timeout=60.0)
        lab.send(Ready(SESSION), alive())
        woken = threading.Event()

        def sleep() -> None:  # as where the machine sleeps
            clock.jump(1000)
            woken.set()

        watch._command(sleep)
        assert woken.wait(PATIENCE)
        lab.send(alive())
        assert watch.failure is None
        pass_time(watch, clock, 100)
        assert failure_of(watch)[0] == "lab"

    def test_a_role_that_is_done_may_be_silent(self, watching: Watching, clock: Clock) -> None:
        watch, lab, shop = watching("lab", "shop", timeout=60.0)
        lab.send(Ready(SESSION), Done(1, 2))
        shop.send(Ready(SESSION))
        for rounds in range(5):
            pass_time(watch, clock, 50)
            shop.send(alive(rounds=rounds))
        assert watch.failure is None


class TestStandingStill:
    def test_a_role_that_reports_work_without_progress(self, watching: Watching, clock: Clock) -> None:
        watch, lab = watching("lab", timeout=60.0)
        lab.send(Ready(SESSION), alive())
        pass_time(watch, clock, 50)
        lab.send(alive(cpu_s=0.1))
        pass_time(watch, clock, 50)
        assert failure_of(watch) == ("lab", "it has made no progress for 60 seconds")

    def test_a_role_that_works(self, watching: Watching, clock: Clock) -> None:
        watch, lab = watching("lab", timeout=60.0)
        lab.send(Ready(SESSION), alive())
        for beat in range(1, 10):
            pass_time(watch, clock, 50)
            lab.send(alive(cpu_s=2.0 * beat))
        assert watch.failure is None

    def test_a_role_whose_rounds_go_on(self, watching: Watching, clock: Clock) -> None:
        watch, lab = watching("lab", timeout=60.0)
        lab.send(Ready(SESSION), alive())
        for beat in range(1, 10):
            pass_time(watch, clock, 50)
            lab.send(alive(rounds=beat))
        assert watch.failure is None

    def test_a_role_whose_lines_move(self, watching: Watching, clock: Clock) -> None:
        watch, lab = watching("lab", timeout=60.0)
        lab.send(Ready(SESSION), alive())
        for beat in range(1, 10):
            pass_time(watch, clock, 50)
            lab.send(alive(moved=beat))
        assert watch.failure is None

    def test_a_role_that_waits_for_another(self, watching: Watching, clock: Clock) -> None:
        watch, lab = watching("lab", timeout=60.0)
        lab.send(Ready(SESSION))
        for _ in range(10):
            pass_time(watch, clock, 50)
            lab.send(alive(waits_for="shop"))
        assert watch.failure is None

    def test_a_role_that_is_not_ready_yet(self, watching: Watching, clock: Clock) -> None:
        watch, lab = watching("lab", timeout=60.0)
        for _ in range(10):
            lab.send(alive())
            pass_time(watch, clock, 50)
        lab.send(alive())
        assert watch.failure is None

    def test_all_roles_wait_for_each_other(self, watching: Watching, clock: Clock) -> None:
        watch, lab, shop = watching("lab", "shop", timeout=60.0)
        watch.traffic.waits_for = "shop"
        for peer in (lab, shop):
            peer.send(Ready(SESSION), alive(waits_for="me"))
        for _ in range(3):
            pass_time(watch, clock, 50)
            lab.send(alive(waits_for="me"))
            shop.send(alive(waits_for="me"))
        assert watch.failure is None
        pass_time(watch, clock, 50)
        assert failure_of(watch) == ("shop", "the run has made no progress for 180 seconds")

    def test_as_long_as_one_works_the_others_may_wait(self, watching: Watching, clock: Clock) -> None:
        watch, lab, shop = watching("lab", "shop", timeout=60.0)
        watch.traffic.waits_for = "shop"
        for peer in (lab, shop):
            peer.send(Ready(SESSION))
        for beat in range(1, 10):
            pass_time(watch, clock, 50)
            lab.send(alive(waits_for="shop"))
            shop.send(alive(cpu_s=2.0 * beat))
        assert watch.failure is None
