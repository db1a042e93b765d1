import contextlib
import os
import socket
from functools import partial
from typing import Any

import msgspec
import pytest

from secure_kmeans.net import meeting
from secure_kmeans.net.door import MOST_CALLERS
from secure_kmeans.net.messages import Hello, Ready, Refusal
from secure_kmeans.net.tls import LostError
from tests.net.gathering import (
    Gather,
    Gathering,
    Log,
    ServersJob,
    answers,
    failure_of,
    pass_time,
    reachable,
    wait_for_the_end,
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
    soon,
    write_all,
)

CLOCKED = meeting
"""The module whose time is the fixture ``clock``."""


class TestDifferences:
    """Most tests have no helper: where one takes part, its report of a failure may arrive first."""

    def both(
        self, gathering: Gathering, first: dict[str, Any], second: dict[str, Any]
    ) -> tuple[tuple[str, str], tuple[str, str]]:
        one, other = gathering.start("a", **first), gathering.start("b", **second)
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
        reason = "its job differs from this role's in columns (number 2); use the same job file"
        assert self.both(gathering, {}, {"job": changed}) == (("b", reason), ("a", reason))

    def test_resuming_and_not(self, gather: Gather) -> None:
        with_it = "it resumes a run, this role starts anew; start all parties alike"
        without = "it starts anew, this role resumes a run; start all parties alike"
        assert self.both(gather(), {"resume": True}, {}) == (("b", without), ("a", with_it))

    def test_a_party_that_does_not_say_whether_it_resumes(self, gather: Gather) -> None:
        gathering = gather()
        task = gathering.start("b")
        eventually(lambda: reachable(gathering, "b"))
        caller = call(gathering.job, "a", "b")
        caller.send_message(msgspec.structs.replace(hello(gathering.job, "a"), resume=None), soon())
        reason = 'it does not say whether it resumes a run, but "a" keeps states to resume from'
        assert failure_of(task) == ("a", reason)
        caller.line.close()

    def test_a_helper_that_says_it_resumes(self, gather: Gather) -> None:
        gathering = gather(job_class=ServersJob)
        task = gathering.start("keys")
        eventually(lambda: reachable(gathering, "keys"))
        caller = call(gathering.job, "adder", "keys")
        caller.send_message(msgspec.structs.replace(hello(gathering.job, "adder"), resume=True), soon())
        expected = "it says that it resumes a run and names 0 states to resume from"
        assert failure_of(task) == ("adder", f'{expected}, but "adder" keeps none')
        caller.line.close()

    def test_another_version(self, gather: Gather) -> None:
        gathering = gather()
        task = gathering.start("b")
        eventually(lambda: reachable(gathering, "b"))
        caller = call(gathering.job, "a", "b")
        caller.send_message(msgspec.structs.replace(hello(gathering.job, "a"), program="0.0.1"), soon())
        own = caller.receive_message(soon())
        assert isinstance(own, Hello)
        assert failure_of(task) == ("a", f"it runs version 0.0.1 of secure_kmeans, this role version {own.program}")
        caller.line.close()

    def test_another_job_where_a_helper_takes_part(self, gather: Gather) -> None:
        gathering = gather()
        changed = gathering.job.model_copy(update={"n_clusters": 3})
        tasks = [gathering.start("a"), gathering.start("b", job=changed), gathering.start("dealer", wait=2.0)]
        reason = "its job differs from this role's in n_clusters; use the same job file"
        for task in tasks[:2]:
            assert failure_of(task)[1] == reason
        assert failure_of(tasks[2])[0] in ("a", "b")  # which of them depends on how far the meeting was

    def test_text_from_a_peer_cannot_control_the_terminal(self, gather: Gather, log: Log) -> None:
        gathering = gather()
        task = gathering.start("b")
        eventually(lambda: reachable(gathering, "b"))
        caller = call(gathering.job, "a", "b")
        caller.send_message(msgspec.structs.replace(hello(gathering.job, "a"), program="\x1b[2J\n"), soon())
        own = caller.receive_message(soon())
        assert isinstance(own, Hello)
        role, reason = failure_of(task)
        expected = f"it runs version ?[2J? of secure_kmeans, this role version {own.program}"
        assert (role, reason) == ("a", expected)
        eventually(lambda: any("refused a connection" in line for line in log()))
        assert all(line.isprintable() for line in log())
        caller.line.close()


class TestCertificates:
    def test_a_wrong_certificate_at_an_address(self, gather: Gather) -> None:
        gathering = gather().listen("b")
        task = gathering.start("a")
        answers(gathering, "b", identity_of("stranger")).close()
        role, reason = failure_of(task)
        shown, due = identity_of("stranger").fingerprint, identity_of("b").fingerprint
        host, port = gathering.bound["b"].getsockname()
        assert role == "b"
        assert reason == (f"at {host}:{port} it showed a certificate with the fingerprint {shown}, the job says {due}")

    def test_a_wrong_certificate_of_ones_own(self, gather: Gather, clock: Clock) -> None:
        gathering = gather()
        gathering.start("b", wait=100.0)
        role, reason = failure_of(gathering.start("a", identity=identity_of("stranger")))
        pass_time(clock, lambda: all(task.ended for task in gathering.tasks))
        shown = identity_of("stranger").fingerprint
        assert role == "b"
        assert reason == (
            f"it did not accept this role's certificate, whose fingerprint is {shown}: compare it with the job"
        )

    def test_another_partys_certificate(self, gather: Gather) -> None:
        gathering = gather().listen("b")
        task = gathering.start("a")
        answers(gathering, "b", identity_of("a")).close()
        role, reason = failure_of(task)
        assert role == "b"
        assert f"it showed a certificate with the fingerprint {identity_of('a').fingerprint}" in reason

    def test_a_party_that_calls_itself_by_anothers_name(self, gather: Gather) -> None:
        gathering = gather()
        task = gathering.start("dealer")
        eventually(lambda: reachable(gathering, "dealer"))
        caller = call(gathering.job, "b", "dealer")
        caller.send_message(hello(gathering.job, "a"), soon())
        assert failure_of(task) == ("b", 'it calls itself "a", but shows the certificate of "b"')
        caller.line.close()


class TestSecondComers:
    def test_two_processes_for_a_role(self, gather: Gather) -> None:
        gathering = gather()
        task = gathering.start("b")
        eventually(lambda: reachable(gathering, "b"))
        callers = [call(gathering.job, "a", "b") for _ in range(2)]
        for caller, line in zip(callers, ("control", "data"), strict=True):
            caller.send_message(hello(gathering.job, "a", line, nonce=os.urandom(32)), soon())
        wait_for_the_end(callers[0])
        assert failure_of(task) == ("a", "two processes use its certificate")
        callers[1].line.close()

    def test_a_second_process_is_refused_and_the_run_goes_on(self, gather: Gather, log: Log) -> None:
        gathering = gather()
        meshes = gathering.start_all()
        role, reason = failure_of(gathering.start("a"))
        assert role in ("b", "dealer")
        assert reason == 'it refused the connection: "a" is connected already'
        assert works(meshes)
        assert any(line.endswith(': a second connection under the name of "a"') for line in log())

    @pytest.mark.parametrize("line", ["control", "data"])
    def test_a_second_connection_under_a_name_is_refused_and_the_run_unharmed(self, gather: Gather, line: str) -> None:
        gathering = gather()
        meshes = gathering.start_all()
        caller = call(gathering.job, "a", "b")
        caller.send_message(hello(gathering.job, "a", line), soon())
        assert caller.receive_message(soon()) == Refusal('"a" is connected already')
        with pytest.raises(LostError):
            caller.receive_message(soon())
        caller.line.close()
        assert works(meshes)

    def test_a_second_connection_before_all_have_met(self, gather: Gather, log: Log) -> None:
        gathering = gather()
        tasks = [gathering.start("a"), gathering.start("b")]
        eventually(lambda: log().count("a is connected") and log().count("b is connected"))
        caller = call(gathering.job, "a", "b")
        caller.send_message(hello(gathering.job, "a", nonce=os.urandom(32)), soon())
        assert caller.receive_message(soon()) == Refusal('"a" is connected already')
        caller.line.close()
        tasks.append(gathering.start("dealer"))
        assert works([task.result() for task in tasks])

    def test_a_known_party_that_does_not_say_hello(self, gather: Gather, log: Log) -> None:
        gathering = gather()
        tasks = [gathering.start("b"), gathering.start("dealer")]
        eventually(lambda: reachable(gathering, "b"))
        caller = call(gathering.job, "a", "b")
        caller.send_message(Ready(bytes(32)), soon())
        with pytest.raises(LostError):
            caller.receive_message(soon())
        eventually(lambda: any(line.endswith(": it did not say Hello") for line in log()))
        tasks.append(gathering.start("a"))
        assert works([task.result() for task in tasks])

    def test_a_role_that_sends_others_a_different_hello_is_named(self, gather: Gather) -> None:
        gathering = gather()
        tasks = [gathering.start("b"), gathering.start("dealer")]
        callers = []
        for role in ("b", "dealer"):
            eventually(partial(reachable, gathering, role))
            nonce = os.urandom(32)
            for line in ("control", "data"):
                caller = call(gathering.job, "a", role)
                caller.send_message(hello(gathering.job, "a", line, nonce=nonce), soon())
                assert isinstance(caller.receive_message(soon()), Hello)
                callers.append(caller)
                if line == "control":
                    caller.send_message(Ready(bytes(32)), soon())
        at_once(*(partial(wait_for_the_end, caller) for caller in callers[::2]))
        for task in tasks:
            assert failure_of(task)[1] == "it is in another session: it sent other roles a different Hello"
        for caller in callers[1::2]:
            caller.line.close()

    def test_a_door_that_answers_with_something_else_is_named(self, gather: Gather) -> None:
        gathering = gather().listen("b")
        task = gathering.start("a")
        line = answers(gathering, "b", identity_of("b"))
        write_all(line, b"x" * 100)
        assert failure_of(task) == ("b", "it sent something that is no frame")
        line.close()


class TestStrangers:
    def test_random_bytes_at_every_port_while_a_run_goes_on(self, gather: Gather) -> None:
        gathering = gather()
        meshes = gathering.start_all()
        for size in (1, 100, 50_000):
            for role in ("b", "dealer"):
                with socket.create_connection(gathering.bound[role].getsockname(), timeout=PATIENCE) as stranger:
                    with contextlib.suppress(OSError):
                        stranger.sendall(os.urandom(size))
                    assert works(meshes)
        done = at_once(*(mesh.finish for mesh in meshes))
        assert len(done) == 3

    def test_random_bytes_while_the_roles_meet(self, gather: Gather) -> None:
        gathering = gather().listen("b", "dealer")
        strangers = []
        for role in ("b", "dealer"):
            for size in (0, 3, 1000):
                stranger = socket.create_connection(gathering.bound[role].getsockname(), timeout=PATIENCE)
                stranger.sendall(os.urandom(size))
                strangers.append(stranger)
        assert works(gathering.start_all())
        for stranger in strangers:
            stranger.close()

    def test_hundreds_of_idle_connections_do_not_block_a_party(self, gather: Gather) -> None:
        gathering = gather()
        tasks = [gathering.start("b"), gathering.start("dealer")]
        crowd = []
        for role in ("b", "dealer"):
            eventually(partial(reachable, gathering, role))
            address = gathering.bound[role].getsockname()
            crowd += [socket.create_connection(address, timeout=PATIENCE) for _ in range(100)]
        assert MOST_CALLERS < 100
        tasks.append(gathering.start("a"))
        assert works([task.result() for task in tasks])
        for stranger in crowd:
            stranger.close()

    def test_a_later_role_is_refused_where_it_calls_an_earlier_one(self, gather: Gather) -> None:
        gathering = gather()
        meshes = gathering.start_all()
        caller = call(gathering.job, "dealer", "b")  # the dealer only listens
        with pytest.raises((LostError, ConnectionError)):
            caller.receive_message(soon())
        assert works(meshes)
