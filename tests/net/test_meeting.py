import contextlib
import logging
import multiprocessing
import os
import re
import socket
import threading

import msgspec
import numpy as np
import pytest

from secure_kmeans.errors import RoleError
from secure_kmeans.job import DEALER
from secure_kmeans.net import meeting
from secure_kmeans.net.door import MOST_CALLERS, Door
from secure_kmeans.net.loopback import Loopback
from secure_kmeans.net.meeting import Attendance, listen, meet
from secure_kmeans.net.messages import Abort, Checkpoint, Done, Hello, Ready, Refusal
from secure_kmeans.net.tls import LostError, RejectedError, TlsLine
from secure_kmeans.net.watch import Watch
from tests.net.lines import (
    PATIENCE,
    Clock,
    Task,
    at_once,
    call,
    eventually,
    hello,
    identity_of,
    job_of,
    soon,
    write_all,
)

ROLES = ("a", "b", DEALER)


class Gathering:
    """A job of two parties and the dealer, and those of them who have set out for the meeting."""

    def __init__(self, **values: Any) -> None:
        self.job, self.bound = job_of("a", "b", **values)
        self.met = []
        self.tasks = []

    def listens(self, *roles: str) -> Self:
        for role in roles:
            self.bound[role].listen(1024)
        return self

    def comes(self, role: str, *, job: Job | None = None, identity: Identity = None, **brings: Any) -> Task:
        """A role sets out; its task returns its mesh."""

        def attend() -> Mesh:
            listener = None
            if role != "a":
                self.listens(role)
                listener = self.bound[role]
            attendance = Attendance(
                job=job or self.job,
                role=role,
                identity=identity or identity_of(role),
                listener=listener,
                **({"wait": PATIENCE} | brings),
            )
            mesh = meet(attendance)
            self.met.append(mesh)
            return mesh

        task = Task(attend)
        self.tasks.append(task)
        return task

    def all_come(self, **brings: Any) -> list[Mesh]:
        tasks = [self.comes(role, **brings) for role in ROLES]
        return [task.result() for task in tasks]

    def end(self) -> None:
        for task in self.tasks:
            with contextlib.suppress(Exception):
                task.result()
        at_once(*(mesh.close for mesh in self.met))
        self.met = []
        for each in self.bound.values():
            each.close()


@pytest.fixture
def gather() -> Iterator[Gather]:
    made = []

    def make(**values: Any) -> Gathering:
        made.append(Gathering(**values))
        return made[-1]

    yield make
    for gathering in made:
        gathering.end()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(meeting, "time", clock)
    return clock


def pass_time(clock: Clock, condition: Callable[[], object]) -> None:
    """Let the clock of those who meet run ahead until something has happened."""

    def ahead() -> object:
        clock.jump(2)
        return condition()

    eventually(ahead)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    caplog.set_level(logging.INFO, logger="secure_kmeans.net")
    return lambda: [record.getMessage() for record in caplog.records]


def works(meshes: Sequence[Mesh]) -> bool:
    """Whether each role can still talk with each other one."""

    def talk(mesh: Mesh) -> bool:
        others = [role for role in mesh.roles if role != mesh.me]
        sent = np.arange(3000) + mesh.roles.index(mesh.me)
        targets = {role: np.zeros(3000, np.int64) for role in others}
        mesh.exchange(dict.fromkeys(others, sent), targets)
        return all(np.array_equal(targets[role], np.arange(3000) + mesh.roles.index(role)) for role in others)

    return at_once(*(lambda mesh=mesh: talk(mesh) for mesh in meshes)) == [True] * len(meshes)


def failure_of(task: Task) -> tuple[str, str]:
    error = task.error()
    assert isinstance(error, RoleError), error
    return error.role, error.reason


class TestAllMeet:
    def test_they_are_in_one_session_and_can_talk(self, gather: Gather) -> None:
        meshes = gather().all_come()
        assert [mesh.me for mesh in meshes] == list(ROLES)
        assert [mesh.roles for mesh in meshes] == [ROLES] * 3
        assert len({mesh.session for mesh in meshes}) == 1
        assert len(meshes[0].session) == 32
        assert [mesh.checkpoint for mesh in meshes] == [None] * 3
        assert works(meshes)
        done = at_once(*(mesh.finish for mesh in meshes))
        assert done[0] == {"b": Done(0, 0), DEALER: Done(0, 0)}

    def test_no_session_is_like_another(self, gather: Gather) -> None:
        gathering = gather()
        other = gather()
        assert gathering.all_come()[0].session != other.all_come()[0].session

    def test_a_session_is_not_repeated_by_the_same_roles(self, gather: Gather) -> None:
        first = gather()
        sessions = {first.all_come()[0].session}
        first.end()
        again = gather()
        again.job = first.job.model_copy(update={"parties": again.job.parties, "dealer": again.job.dealer})
        sessions.add(again.all_come()[0].session)
        assert len(sessions) == 2

    def test_more_parties(self) -> None:
        roles = ("a", "b", "c", "d", DEALER)
        job, bound = job_of(*roles[:-1])
        for role in roles[1:]:
            bound[role].listen(64)
        brought = [
            Attendance(job, role, identity_of(role), listener=bound[role] if role != "a" else None, wait=PATIENCE)
            for role in roles
        ]
        meshes = at_once(*(lambda each=each: meet(each) for each in brought))
        assert works(meshes)
        at_once(*(mesh.close for mesh in meshes))
        bound["a"].close()

    def test_they_agree_on_the_last_state_that_all_hold(self, gather: Gather) -> None:
        gathering = gather()
        states = [Checkpoint(number, b"s" * 32) for number in range(4)]
        held = {"a": states[1:3], "b": states[2:], DEALER: ()}
        tasks = [gathering.comes(role, resume=True, checkpoints=held[role]) for role in ROLES]
        assert [task.result().checkpoint for task in tasks] == [states[2]] * 3

    def test_in_whatever_order_they_come(self, gather: Gather, log: Log, clock: Clock) -> None:
        gathering = gather()
        tasks = [gathering.comes("a", wait=None)]
        pass_time(clock, lambda: any(line.startswith("waiting for b (127.0.0.1:") for line in log()))
        tasks.append(gathering.comes("b"))
        eventually(lambda: "b is connected" in log())
        assert not tasks[0].ended
        tasks.append(gathering.comes(DEALER))
        assert works([task.result() for task in tasks])

    def test_the_first_party_may_be_the_last_to_come(self, gather: Gather, log: Log, clock: Clock) -> None:
        gathering = gather()
        tasks = [gathering.comes(DEALER, wait=None), gathering.comes("b", wait=None)]
        eventually(lambda: log().count("b is connected") and log().count("dealer is connected"))
        pass_time(clock, lambda: any(re.fullmatch(r"waiting for a \(127.*\): it has not come", line) for line in log()))
        tasks.append(gathering.comes("a"))
        assert works([task.result() for task in tasks])

    def test_processes_of_their_own_meet(self, tmp_path: Path) -> None:
        job, _ = job_of("a", "b")
        loopback = Loopback(job, tmp_path)
        forked = multiprocessing.get_context("fork")

        def live(role: str, answer: Connection) -> None:
            mesh = loopback.meet(role)
            target = np.zeros(3, np.int64)
            if role != DEALER:
                mesh.exchange({"b" if role == "a" else "a": np.arange(3)}, {"b" if role == "a" else "a": target})
            mesh.finish()
            mesh.close()
            answer.send((mesh.session, target.tolist()))

        answers, processes = [], []
        for role in ROLES:
            here, there = forked.Pipe(duplex=False)
            processes.append(forked.Process(target=live, args=(role, there)))
            processes[-1].start()
            there.close()  # so that the end of a process ends the waiting for its answer
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
    def test_who_is_missing_is_named_when_the_waiting_ends(
        self, gather: Gather, log: Log, clock: Clock, missing: str
    ) -> None:
        gathering = gather()
        here = [role for role in ROLES if role != missing]
        tasks = [gathering.comes(role, wait=100.0) for role in here]
        eventually(lambda: all(f"{role} is connected" in log() for role in here))
        pass_time(clock, lambda: all(task.ended for task in tasks))
        for task in tasks:
            assert failure_of(task) == (missing, "it did not connect within 100 seconds")

    def test_a_role_that_listens_and_says_nothing(self, gather: Gather) -> None:
        gathering = gather(timeout=1.0).listens("b")
        task = gathering.comes("a")
        assert failure_of(task) == ("b", "it has not answered for 1 seconds")

    def test_who_gives_up_first_says_whom_it_missed(self, gather: Gather, log: Log, clock: Clock) -> None:
        gathering = gather()
        tasks = [gathering.comes("b", wait=None), gathering.comes(DEALER, wait=100.0)]
        eventually(lambda: log().count("b is connected") and log().count("dealer is connected"))
        pass_time(clock, lambda: all(task.ended for task in tasks))
        for task in tasks:
            assert failure_of(task) == ("a", "it did not connect within 100 seconds")

    def test_who_comes_to_a_run_that_has_failed_is_told_so(
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
        task = gathering.comes(DEALER, wait=0.0)
        eventually(lambda: reachable(gathering, DEALER))
        eventually(lambda: "close" in waiting)
        caller = call(gathering.job, "a", DEALER)
        caller.send_message(hello(gathering.job, "a"), soon())
        answer = caller.receive_message(soon())
        caller.line.close()
        answered.set()
        assert failure_of(task) == ("a", "it did not connect within 0 seconds")
        assert answer == Abort("a", "it did not connect within 0 seconds")

    def test_a_port_of_somebody_else_is_tried_again_and_told_once(self, gather: Gather, log: Log) -> None:
        gathering = gather().listens("b")
        task = gathering.comes("a")
        for _ in range(3):
            caller, _ = gathering.bound["b"].accept()
            caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            caller.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while caller.recv(1000):
                    pass
            caller.close()
        told = [line for line in log() if line.startswith("cannot reach b yet: TLS failed (")]
        assert len(told) == 1
        tasks = [task, gathering.comes("b"), gathering.comes(DEALER)]
        assert works([task.result() for task in tasks])

    def test_a_control_line_that_is_heard_late_is_told_all_the_same(
        self, gather: Gather, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add = Watch.add

        def late(watch: Watch, channel: Channel) -> None:
            if (watch.me, channel.peer) == ("b", "a"):
                eventually(lambda: watch.me in told)
            add(watch, channel)

        def tell(watch: Watch, session: bytes) -> None:
            told.append(watch.me)
            real(watch, session)

        told, real = [], Watch.tell_ready
        monkeypatch.setattr(Watch, "add", late)
        monkeypatch.setattr(Watch, "tell_ready", tell)
        gathering = gather()
        tasks = [gathering.comes(role, wait=5.0) for role in ROLES]
        eventually(lambda: told or any(task.ended for task in tasks))
        told.append("b")  # where a role waits with telling until it hears all, it must hear them first
        assert works([task.result() for task in tasks])


class TestDifferences:
    """Of the parties alone: where the dealer takes part, its word may be heard first."""

    def both(
        self, gathering: Gathering, first: dict[str, Any], second: dict[str, Any]
    ) -> tuple[tuple[str, str], tuple[str, str]]:
        one, other = gathering.comes("a", **first), gathering.comes("b", **second)
        return failure_of(one), failure_of(other)

    def test_another_job(self, gather: Gather) -> None:
        gathering = gather()
        changed = gathering.job.model_copy(update={"n_clusters": 3, "seed": 1})
        reason = "its job differs from this role's in n_clusters, seed; use the same job file"
        assert self.both(gathering, {}, {"job": changed}) == (("b", reason), ("a", reason))

    def test_another_address(self, gather: Gather) -> None:
        gathering = gather()
        party = gathering.job.parties[0].model_copy(update={"address": "127.0.0.1:1"})
        changed = gathering.job.model_copy(update={"parties": (party, gathering.job.parties[1])})
        reason = "its job differs from this role's in parties; use the same job file"
        assert self.both(gathering, {}, {"job": changed}) == (("b", reason), ("a", reason))

    def test_other_columns(self, gather: Gather) -> None:
        gathering = gather()
        changed = gathering.job.model_copy(update={"columns": ("x", "z")})
        told = 'its job calls column 2 "{}", this role\'s "{}"; use the same job file'
        expected = ("b", told.format("z", "y")), ("a", told.format("y", "z"))
        assert self.both(gathering, {}, {"job": changed}) == expected

    def test_resuming_and_not(self, gather: Gather) -> None:
        with_it = "it was started with --resume, this role without it; start all parties alike"
        without = "it was started without --resume, this role with it; start all parties alike"
        assert self.both(gather(), {"resume": True}, {}) == (("b", without), ("a", with_it))

    def test_another_version(self, gather: Gather) -> None:
        gathering = gather()
        task = gathering.comes("b")
        eventually(lambda: reachable(gathering, "b"))
        caller = call(gathering.job, "a", "b")
        caller.send_message(msgspec.structs.replace(hello(gathering.job, "a"), program="0.0.1"), soon())
        own = caller.receive_message(soon()).program
        assert failure_of(task) == ("a", f"it runs version 0.0.1 of secure_kmeans, this role version {own}")
        caller.line.close()

    def test_in_front_of_the_dealer(self, gather: Gather) -> None:
        gathering = gather()
        changed = gathering.job.model_copy(update={"n_clusters": 3})
        tasks = [gathering.comes("a"), gathering.comes("b", job=changed), gathering.comes(DEALER, wait=2.0)]
        reason = "its job differs from this role's in n_clusters; use the same job file"
        for task in tasks[:2]:
            assert failure_of(task)[1] == reason
        assert failure_of(tasks[2])[0] in ("a", "b")  # what it tells depends on how far it had met them

    def test_whatever_differs_cannot_steer_the_terminal(self, gather: Gather, log: Log) -> None:
        gathering = gather()
        task = gathering.comes("b")
        eventually(lambda: reachable(gathering, "b"))
        caller = call(gathering.job, "a", "b")
        caller.send_message(msgspec.structs.replace(hello(gathering.job, "a"), columns=("x", "\x1b[2J\n")), soon())
        role, reason = failure_of(task)
        assert (role, reason) == ("a", 'its job calls column 2 "?[2J?", this role\'s "y"; use the same job file')
        eventually(lambda: any("refused a connection" in line for line in log()))
        assert all(line.isprintable() for line in log())
        caller.line.close()


def reachable(gathering: Gathering, role: str) -> bool:
    """Whether a role listens."""
    try:
        socket.create_connection(gathering.bound[role].getsockname(), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def hears_the_end(caller: Channel) -> None:
    """Listen until the other side closes, and close then."""
    with contextlib.suppress(LostError):
        while True:
            caller.receive_message(soon())
    caller.line.close()


def answers(gathering: Gathering, role: str, identity: Identity) -> TlsLine:
    """Play a role's door once, with this identity."""
    accepted, _ = gathering.bound[role].accept()
    line = TlsLine(accepted, identity, {identity_of("a").fingerprint}, server=True)
    with contextlib.suppress(RejectedError):
        line.shake_hands(soon())
    return line


class TestCertificates:
    def test_a_wrong_certificate_at_an_address(self, gather: Gather) -> None:
        gathering = gather().listens("b")
        task = gathering.comes("a")
        answers(gathering, "b", identity_of("stranger")).close()
        role, reason = failure_of(task)
        shown, due = identity_of("stranger").fingerprint, identity_of("b").fingerprint
        host, port = gathering.bound["b"].getsockname()
        assert role == "b"
        assert reason == (f"at {host}:{port} it showed a certificate with the fingerprint {shown}, the job says {due}")

    def test_a_wrong_certificate_of_ones_own(self, gather: Gather, clock: Clock) -> None:
        gathering = gather()
        gathering.comes("b", wait=100.0)
        role, reason = failure_of(gathering.comes("a", identity=identity_of("stranger")))
        pass_time(clock, lambda: all(task.ended for task in gathering.tasks))
        shown = identity_of("stranger").fingerprint
        assert role == "b"
        assert reason == (
            f"it did not accept this role's certificate, whose fingerprint is {shown}: compare it with the job"
        )

    def test_another_partys_certificate(self, gather: Gather) -> None:
        gathering = gather().listens("b")
        task = gathering.comes("a")
        answers(gathering, "b", identity_of("a")).close()
        role, reason = failure_of(task)
        assert role == "b"
        assert f"it showed a certificate with the fingerprint {identity_of('a').fingerprint}" in reason

    def test_a_party_that_calls_itself_by_anothers_name(self, gather: Gather) -> None:
        gathering = gather()
        task = gathering.comes(DEALER)
        eventually(lambda: reachable(gathering, DEALER))
        caller = call(gathering.job, "b", DEALER)
        caller.send_message(hello(gathering.job, "a"), soon())
        assert failure_of(task) == ("b", 'it calls itself "a", but shows the certificate of "b"')
        caller.line.close()


class TestSecondComers:
    def test_two_processes_for_a_role(self, gather: Gather) -> None:
        gathering = gather()
        task = gathering.comes("b")
        eventually(lambda: reachable(gathering, "b"))
        callers = [call(gathering.job, "a", "b") for _ in range(2)]
        for caller, line in zip(callers, ("control", "data"), strict=True):
            caller.send_message(hello(gathering.job, "a", line, nonce=os.urandom(32)), soon())
        hears_the_end(callers[0])
        assert failure_of(task) == ("a", "two processes use its certificate")
        callers[1].line.close()

    def test_a_second_process_is_refused_and_the_run_goes_on(self, gather: Gather, log: Log) -> None:
        gathering = gather()
        meshes = gathering.all_come()
        role, reason = failure_of(gathering.comes("a"))
        assert role in ("b", DEALER)
        assert reason == 'it refused the connection: "a" is connected already'
        assert works(meshes)
        assert any(line.endswith(': a second connection under the name of "a"') for line in log())

    @pytest.mark.parametrize("line", ["control", "data"])
    def test_a_second_connection_under_a_name_is_refused_and_the_run_unharmed(
        self, gather: Gather, line: TlsLine
    ) -> None:
        gathering = gather()
        meshes = gathering.all_come()
        caller = call(gathering.job, "a", "b")
        caller.send_message(hello(gathering.job, "a", line), soon())
        assert caller.receive_message(soon()) == Refusal('"a" is connected already')
        with pytest.raises(LostError):
            caller.receive_message(soon())
        caller.line.close()
        assert works(meshes)

    def test_a_second_connection_before_all_have_met(self, gather: Gather, log: Log) -> None:
        gathering = gather()
        tasks = [gathering.comes("a"), gathering.comes("b")]
        eventually(lambda: log().count("a is connected") and log().count("b is connected"))
        caller = call(gathering.job, "a", "b")
        caller.send_message(hello(gathering.job, "a", nonce=os.urandom(32)), soon())
        assert caller.receive_message(soon()) == Refusal('"a" is connected already')
        caller.line.close()
        tasks.append(gathering.comes(DEALER))
        assert works([task.result() for task in tasks])

    def test_a_known_party_that_does_not_say_hello(self, gather: Gather, log: Log) -> None:
        gathering = gather()
        tasks = [gathering.comes("b"), gathering.comes(DEALER)]
        eventually(lambda: reachable(gathering, "b"))
        caller = call(gathering.job, "a", "b")
        caller.send_message(Ready(bytes(32)), soon())
        with pytest.raises(LostError):
            caller.receive_message(soon())
        eventually(lambda: any(line.endswith(": it did not say Hello") for line in log()))
        tasks.append(gathering.comes("a"))
        assert works([task.result() for task in tasks])

    def test_a_role_that_tells_others_something_else_is_found_out(self, gather: Gather) -> None:
        gathering = gather()
        tasks = [gathering.comes("b"), gathering.comes(DEALER)]
        callers = []
        for role in ("b", DEALER):
            eventually(lambda role=role: reachable(gathering, role))
            nonce = os.urandom(32)
            for line in ("control", "data"):
                caller = call(gathering.job, "a", role)
                caller.send_message(hello(gathering.job, "a", line, nonce=nonce), soon())
                assert isinstance(caller.receive_message(soon()), Hello)
                callers.append(caller)
                if line == "control":
                    caller.send_message(Ready(bytes(32)), soon())
        at_once(*(lambda caller=caller: hears_the_end(caller) for caller in callers[::2]))
        for task in tasks:
            assert failure_of(task)[1] == "it is in another session: it sent other roles a different Hello"
        for caller in callers[1::2]:
            caller.line.close()

    def test_a_door_that_answers_with_something_else_is_named(self, gather: Gather) -> None:
        gathering = gather().listens("b")
        task = gathering.comes("a")
        line = answers(gathering, "b", identity_of("b"))
        write_all(line, b"x" * 100)
        assert failure_of(task) == ("b", "it sent something that is no frame")
        line.close()


class TestStrangers:
    def test_random_bytes_at_every_port_while_a_run_goes_on(self, gather: Gather) -> None:
        gathering = gather()
        meshes = gathering.all_come()
        for size in (1, 100, 50_000):
            for role in ("b", DEALER):
                with socket.create_connection(gathering.bound[role].getsockname(), timeout=PATIENCE) as stranger:
                    with contextlib.suppress(OSError):
                        stranger.sendall(os.urandom(size))
                    assert works(meshes)
        done = at_once(*(mesh.finish for mesh in meshes))
        assert len(done) == 3

    def test_random_bytes_while_the_roles_meet(self, gather: Gather) -> None:
        gathering = gather().listens("b", DEALER)
        strangers = []
        for role in ("b", DEALER):
            for size in (0, 3, 1000):
                stranger = socket.create_connection(gathering.bound[role].getsockname(), timeout=PATIENCE)
                stranger.sendall(os.urandom(size))
                strangers.append(stranger)
        assert works(gathering.all_come())
        for stranger in strangers:
            stranger.close()

    def test_hundreds_of_idle_connections_do_not_keep_a_party_out(self, gather: Gather) -> None:
        gathering = gather()
        tasks = [gathering.comes("b"), gathering.comes(DEALER)]
        crowd = []
        for role in ("b", DEALER):
            eventually(lambda role=role: reachable(gathering, role))
            address = gathering.bound[role].getsockname()
            crowd += [socket.create_connection(address, timeout=PATIENCE) for _ in range(100)]
        assert MOST_CALLERS < 100
        tasks.append(gathering.comes("a"))
        assert works([task.result() for task in tasks])
        for stranger in crowd:
            stranger.close()

    def test_a_pinned_party_of_another_role_cannot_come_in_where_it_dials_nobody(self, gather: Gather) -> None:
        gathering = gather()
        meshes = gathering.all_come()
        caller = call(gathering.job, DEALER, "b")  # the dealer only listens
        with pytest.raises((LostError, ConnectionError)):
            caller.receive_message(soon())
        assert works(meshes)


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
        gathering = gather().listens("b")
        attendance = Attendance(gathering.job, "b", identity_of("b"), resume=False, wait=PATIENCE)
        address = gathering.job.parties[1].address
        with pytest.raises(OSError, match="Address already in use") as caught:
            meet(attendance)
        assert caught.value.filename == f"cannot listen on {address}"


def test_a_role_listens_at_its_address_in_the_job(gather: Gather) -> None:
    gathering = gather()
    gathering.bound["b"].close()
    tasks = [gathering.comes("a"), gathering.comes(DEALER)]
    attendance = Attendance(gathering.job, "b", identity_of("b"), resume=False, wait=PATIENCE)
    mesh = meet(attendance)
    gathering.met.append(mesh)
    assert works([*(task.result() for task in tasks), mesh])
