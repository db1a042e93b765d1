import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secure_kmeans.job import Role
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.roles.process import in_processes
from tests.protocols.toy.installed import PARTIES, install_for_test, job_of_mean

JOB = job_of_mean()


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_for_test(tmp_path / "installed", monkeypatch)


def failure_of(part: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        in_processes(JOB, part)
    return str(caught.value)


def test_answers_come_in_the_order_of_the_job_from_processes_of_their_own() -> None:
    answers = in_processes(JOB, lambda role, mesh: [role.name, role.kind, list(mesh.roles), os.getpid()])
    names = [role.name for role in JOB.roles]
    assert [answer[:3] for answer in answers] == [[role.name, role.kind.value, names] for role in JOB.roles]
    assert len({answer[3] for answer in answers} | {os.getpid()}) == len(names) + 1


def test_the_roles_have_met() -> None:
    def part(role: Role, mesh: Mesh) -> float:
        if role.name == PARTIES[0]:
            mesh.post(PARTIES[1], np.array([2.5]))
        elif role.name == PARTIES[1]:
            received = np.empty(1)
            mesh.receive(PARTIES[0], received)
            return float(received[0])
        return 0.0

    assert in_processes(JOB, part) == [0.0, 2.5, 0.0, 0.0]


def test_a_role_that_raised_by_itself_comes_before_those_that_lost_it() -> None:
    def part(role: Role, mesh: Mesh) -> None:
        if role.name == "lab":
            raise LookupError("the reason of its own")
        mesh.receive("lab", np.empty(1))

    said = failure_of(part)
    assert said.startswith('role "lab" failed:\nTraceback')
    assert said.endswith("LookupError: the reason of its own\n")


def test_a_failed_assertion_is_shown() -> None:
    def part(role: Role, mesh: Mesh) -> None:
        assert mesh.roles.index(role.name) == 0, "only the first is first"

    assert "AssertionError: only the first is first" in failure_of(part)


def test_a_role_whose_process_died() -> None:
    def part(role: Role, mesh: Mesh) -> None:
        if role.name == "adder":
            os.kill(os.getpid(), signal.SIGKILL)
        mesh.receive("adder", np.empty(1))

    assert failure_of(part) == 'role "adder" failed:\nits process ended without an answer'


def test_an_answer_has_to_be_a_json_value() -> None:
    assert "TypeError: Object of type" in failure_of(lambda role, mesh: {role.name})


def test_another_way_to_start_processes() -> None:
    started: list[int] = []

    def start(roles: int, role: Any) -> bool:
        from secure_kmeans.protocols import protocol_of

        started.append(roles)
        return protocol_of("mean").start_roles(roles, role)

    assert in_processes(JOB, lambda role, mesh: 1, start=start) == [1] * 4
    assert started == [4]
