import contextlib
import multiprocessing
import re
import socket
import threading
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from secure_kmeans.errors import JobError
from secure_kmeans.job import MOST_ROLES, Endpoint
from secure_kmeans.net import meeting
from secure_kmeans.net.channel import Channel
from secure_kmeans.net.door import Door
from secure_kmeans.net.loopback import Loopback
from secure_kmeans.net.meeting import Attendance, listen, meet
from secure_kmeans.net.messages import Abort, Checkpoint, Done
from secure_kmeans.net.watch import Watch
from tests.jobs import AnyJob
from tests.net.gathering import (
    ROLES,
    Gather,
    Log,
    ServersJob,
    failure_of,
    pass_time,
    reachable,
    works,
)
from tests.net.lines import (
    PATIENCE,
    Clock,
    at_once,
    call,
    eventually,
    hello,
    identity_of,
    job_of,
    soon,
)

CLOCKED = meeting
"""The module whose time is the fixture ``clock``."""


class ManyJob(AnyJob):
    MOST_PARTIES: ClassVar[int] = MOST_ROLES


class TestAllMeet:
    def test_they_are_in_one_session_and_can_talk(self, gather: Gather) -> None:
        meshes = gather().start_all()
        assert [mesh.me for mesh in meshes] == list(ROLES)
        assert [mesh.roles for mesh in meshes] == [ROLES] * 3
        assert len({mesh.session for mesh in meshes}) == 1
        assert len(meshes[0].session) == 32
        assert [mesh.checkpoint for mesh in meshes] == [None] * 3
        assert works(meshes)
        done = at_once(*(mesh.finish for mesh in meshes))
        assert done[0] == {"b": Done(0, 0), "dealer": Done(0, 0)}

    def test_no_session_is_like_another(self, gather: Gather) -> None:
        gathering = gather()
        other = gather()
        assert gathering.start_all()[0].session != other.start_all()[0].session

    def test_a_session_is_not_repeated_by_the_same_roles(self, gather: Gather) -> None:
        first = gather()
        session = first.start_all()[0].session
        listeners = {role: first.bound[role].dup() for role in ROLES[1:]}  # they go on listening
        first.end()
        again = [
            Attendance(first.job, role, identity_of(role), listener=listeners.get(role), wait=PATIENCE)
            for role in ROLES
        ]
        meshes = at_once(*(partial(meet, each) for each in again))
        assert len({mesh.session for mesh in meshes}) == 1
        assert meshes[0].session != session
        at_once(*(mesh.close for mesh in meshes))

    def test_four_parties_and_a_helper(self, gather: Gather) -> None:
        assert works(gather(("a", "b", "c", "d")).start_all())

    def test_as_many_roles_as_a_job_can_have(self, gather: Gather) -> None:
        gathering = gather([f"p{number:02}" for number in range(MOST_ROLES - 1)], ManyJob)
        assert len(gathering.roles) == MOST_ROLES
        meshes = gathering.start_all()
        assert [mesh.roles for mesh in meshes] == [gathering.roles] * MOST_ROLES
        assert len({mesh.session for mesh in meshes}) == 1
        assert works(meshes)
        done = at_once(*(mesh.finish for mesh in meshes))
        assert [len(each) for each in done] == [MOST_ROLES - 1] * MOST_ROLES

    def test_helpers_of_any_kind(self, gather: Gather) -> None:
        gathering = gather(("a", "b", "c"), ServersJob)
        states = [Checkpoint(number, b"s" * 32) for number in range(3)]
        tasks = [gathering.start(role, resume=True, checkpoints=states) for role in gathering.roles]
        meshes = [task.result() for task in tasks]
        assert meshes[0].roles == ("a", "b", "c", "adder", "keys")
        assert [mesh.checkpoint for mesh in meshes] == [states[-1]] * 5
        assert works(meshes)

    def test_they_agree_on_the_last_state_that_all_hold(self, gather: Gather) -> None:
        gathering = gather()
        states = [Checkpoint(number, b"s" * 32) for number in range(4)]
        held = {"a": states[1:3], "b": states[2:], "dealer": ()}
        tasks = [gathering.start(role, resume=True, checkpoints=held[role]) for role in ROLES]
        assert [task.result().checkpoint for task in tasks] == [states[2]] * 3

    def test_the_order_in_which_they_start_does_not_matter(self, gather: Gather, log: Log, clock: Clock) -> None:
        gathering = gather()
        tasks = [gathering.start("a", wait=None)]
        pass_time(clock, lambda: any(line.startswith("waiting for b (127.0.0.1:") for line in log()))
        tasks.append(gathering.start("b"))
        eventually(lambda: "b is connected" in log())
        assert not tasks[0].ended
        tasks.append(gathering.start("dealer"))
        assert works([task.result() for task in tasks])

    def test_the_first_party_may_start_last(self, gather: Gather, log: Log, clock: Clock) -> None:
        gathering = gather()
        tasks = [gathering.start("dealer", wait=None), gathering.start("b", wait=None)]
        eventually(lambda: log().count("b is connected") and log().count("dealer is connected"))
        pass_time(clock, lambda: any(re.fullmatch(r"waiting for a \(127.*\) to connect", line) for line in log()))
        tasks.append(gathering.start("a"))
        assert works([task.result() for task in tasks])

    def test_processes_meet(self, tmp_path: Path) -> None:
        job, _ = job_of("a", "b")
        loopback = Loopback(job, tmp_path)
        forked = multiprocessing.get_context("fork")

        def live(role: str, answer: Connection) -> None:
            mesh = loopback.meet(role)
            target = np.zeros(3, np.int64)
            if role != "dealer":
                mesh.exchange({"b" if role == "a" else "a": np.arange(3)}, {"b" if role == "a" else "a": target})
            mesh.finish()
            mesh.close()
            answer.send((mesh.session, target.tolist()))

        answers, processes = [], []
        for role in ROLES:
            here, there = forked.Pipe(duplex=False)
            processes.append(forked.Process(target=live, args=(role, there)))
            processes[-1].start()
            there.close()  # so that the wait for an answer ends with the process
            answers.append(here)
        assert all(answer.poll(PATIENCE) for answer in answers)
        sessions, targets = zip(*(answer.recv() for answer in answers), strict=True)
        for process in processes:
            process.join(PATIENCE)
        assert [process.exitcode for process in processes] == [0] * 3
        assert len(set(sessions)) == 1
        assert targets == ([0, 1, 2], [0, 1, 2], [0, 0, 0])


class TestWaiting:
    @pytest.mark.parametrize("missing", ROLES)
    def test_a_missing_role_is_named_when_the_wait_ends(
        self, gather: Gather, log: Log, clock: Clock, missing: str
    ) -> None:
        gathering = gather()
        here = [role for role in ROLES if role != missing]
        tasks = [gathering.start(role, wait=100.0) for role in here]
        eventually(lambda: all(f"{role} is connected" in log() for role in here))
        pass_time(clock, lambda: all(task.ended for task in tasks))
        for task in tasks:
            assert failure_of(task) == (missing, "it did not connect within 100 seconds")

    def test_a_role_that_listens_and_does_not_respond(self, gather: Gather) -> None:
        gathering = gather(timeout=1.0).listen("b")
        task = gathering.start("a")
        assert failure_of(task) == ("b", "it has not answered for 1 second")

    def test_the_first_to_give_up_names_the_missing_role(self, gather: Gather, log: Log, clock: Clock) -> None:
        gathering = gather()
        tasks = [gathering.start("b", wait=None), gathering.start("dealer", wait=100.0)]
        eventually(lambda: log().count("b is connected") and log().count("dealer is connected"))
        pass_time(clock, lambda: all(task.ended for task in tasks))
        for task in tasks:
            assert failure_of(task) == ("a", "it did not connect within 100 seconds")

    def test_a_role_that_connects_after_the_failure_gets_a_report(
        self, gather: Gather, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gathering = gather()
        answered = threading.Event()
        waiting, close = [], Door.close

        def late(door: Door) -> None:
            waiting.append("close")
            answered.wait(PATIENCE)
            close(door)

        monkeypatch.setattr(Door, "close", late)
        task = gathering.start("dealer", wait=0.0)
        eventually(lambda: reachable(gathering, "dealer"))
        eventually(lambda: "close" in waiting)
        caller = call(gathering.job, "a", "dealer")
        caller.send_message(hello(gathering.job, "a"), soon())
        answer = caller.receive_message(soon())
        caller.line.close()
        answered.set()
        assert failure_of(task) == ("a", "it did not connect within 0 seconds")
        assert answer == Abort("a", "it did not connect within 0 seconds")

    def test_another_program_at_the_address_is_tried_again_and_logged_once(self, gather: Gather, log: Log) -> None:
        gathering = gather().listen("b")
        task = gathering.start("a")
        for _ in range(3):
            caller, _ = gathering.bound["b"].accept()
            caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with contextlib.suppress(OSError):  # the other side may have hung up already
                caller.shutdown(socket.SHUT_WR)
                while caller.recv(1000):
                    pass
            caller.close()
        warnings = [line for line in log() if line.startswith("cannot reach b yet: TLS failed (")]
        assert len(warnings) == 1
        tasks = [task, gathering.start("b"), gathering.start("dealer")]
        assert works([task.result() for task in tasks])

    def test_a_control_line_that_is_added_late_gets_the_report_all_the_same(
        self, gather: Gather, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add = Watch.add

        def late(watch: Watch, channel: Channel) -> None:
            if (watch.me, channel.peer) == ("b", "a"):
                eventually(lambda: watch.me in reported)
            add(watch, channel)

        def tell(watch: Watch, session: bytes) -> None:
            reported.append(watch.me)
            real(watch, session)

        reported: list[str] = []
        real = Watch.tell_ready
        monkeypatch.setattr(Watch, "add", late)
        monkeypatch.setattr(Watch, "tell_ready", tell)
        gathering = gather()
        tasks = [gathering.start(role, wait=5.0) for role in ROLES]
        eventually(lambda: reported or any(task.ended for task in tasks))
        reported.append("b")  # a role that reports only after all lines are added must not wait for this one
        assert works([task.result() for task in tasks])


class TestJob:
    @pytest.mark.parametrize("what", ["address", "fingerprint"])
    def test_a_role_without_an_endpoint_is_named(self, what: str) -> None:
        job, bound = job_of("a", "b")
        endpoints = {role.name: Endpoint(address=role.address, fingerprint=role.fingerprint) for role in job.roles}
        endpoints["b"] = endpoints["b"].model_copy(update={what: None})
        reason = f'"b" has no {what}; every role needs one to run on a machine of its own'
        with pytest.raises(JobError, match=re.escape(reason)):
            meet(Attendance(job.with_endpoints(endpoints), "a", identity_of("a")))
        for each in bound.values():
            each.close()

    def test_a_job_too_long_to_be_compared(self) -> None:
        job, bound = job_of("a", "b", columns=tuple(f"column {number}" for number in range(25_000)))
        with pytest.raises(JobError, match=r"^the job has \d+ keys and elements of lists, too many to be compared"):
            meet(Attendance(job, "a", identity_of("a")))
        for each in bound.values():
            each.close()


class TestListen:
    def test_an_address_of_this_machine(self) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        with listen(f"127.0.0.1:{port}") as listener:
            assert listener.getsockname() == ("127.0.0.1", port)
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()

    def test_an_address_of_another_machine(self) -> None:
        with pytest.raises(OSError, match="Cannot assign requested address") as caught:
            listen("192.0.2.1:7100")
        assert caught.value.filename == "cannot listen on 192.0.2.1:7100"

    def test_an_address_in_use_ends_the_meeting_of_this_role(self, gather: Gather) -> None:
        gathering = gather().listen("b")
        attendance = Attendance(gathering.job, "b", identity_of("b"), resume=False, wait=PATIENCE)
        address = gathering.job.parties[1].address
        with pytest.raises(OSError, match="Address already in use") as caught:
            meet(attendance)
        assert caught.value.filename == f"cannot listen on {address}"


def test_a_role_listens_at_its_address_in_the_job(gather: Gather) -> None:
    gathering = gather()
    gathering.bound["b"].close()
    tasks = [gathering.start("a"), gathering.start("dealer")]
    attendance = Attendance(gathering.job, "b", identity_of("b"), resume=False, wait=PATIENCE)
    mesh = meet(attendance)
    gathering.met.append(mesh)
    assert works([*(task.result() for task in tasks), mesh])
