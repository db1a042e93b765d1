"""What a role may use in a run: exchanges between parties, public coins, and disclosures to be received."""

from typing import Any

import numpy as np
import pytest

from secure_kmeans.errors import ProtocolError, RoleError
from secure_kmeans.job import SEEDS, Role
from secure_kmeans.job.ledger import ALL, OWNER, Disclosure, Ledger, When
from secure_kmeans.job.result import no_progress
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.base import Context
from tests.protocols.toy.installed import PARTIES, job_of_mean
from tests.protocols.toy.mean import ADDER, MeanJob
from tests.threads import Threads, threads_of

TO_ALL = Disclosure("to all", ALL, When.BEFORE)
TO_ADDER = Disclosure("to the adder", ADDER, When.EACH)
TO_OWNER = Disclosure("to its owner", OWNER, When.END)


def at_all_roles(part: Any, job: MeanJob | None = None) -> Threads:
    """Call ``part(context)`` at each role; ``part`` tells the roles apart."""
    job = job or job_of_mean()

    def take_part(role: Role, mesh: Mesh) -> Any:
        ledger = Ledger((TO_ALL, TO_ADDER, TO_OWNER))
        return part(Context(job, role, None, mesh, ledger, no_progress, None, lambda _iteration, _state: None))

    return threads_of(job, take_part)


def at_parties(part: Any) -> Any:
    return lambda context: part(context) if context.role.name in PARTIES else None


def test_names_and_ranks() -> None:
    threads = at_all_roles(lambda context: (context.role.name, context.rank, context.parties))
    assert threads.answers == [(name, rank, PARTIES) for rank, name in enumerate((*PARTIES, ADDER))]


def test_numbers_of_all_parties_are_exchanged_in_rank_order() -> None:
    threads = at_all_roles(at_parties(lambda context: context.exchange(np.array([context.rank, 7]))))
    expected = [[0, 7], [1, 7], [2, 7]]
    assert [[numbers.tolist() for numbers in answer] for answer in threads.answers[:3]] == [expected] * 3
    assert [(traffic.rounds, traffic.bytes_sent) for traffic in threads.traffic] == [(1, 32)] * 3 + [(0, 0)]


def test_the_coins_of_the_job() -> None:
    threads = at_all_roles(at_parties(lambda context: context.toss_coins()), job_of_mean(seed=8))
    assert threads.answers[:3] == [8] * 3
    assert {traffic.rounds for traffic in threads.traffic} == {0}


def test_all_parties_toss_the_same_coins_and_never_the_same_again() -> None:
    threads = at_all_roles(at_parties(lambda context: (context.toss_coins(), context.toss_coins())))
    assert len(set(threads.answers[:3])) == 1
    first, second = threads.answers[0]
    assert first != second
    assert 0 <= min(first, second) <= max(first, second) < SEEDS
    assert [traffic.rounds for traffic in threads.traffic] == [4, 4, 4, 0]


def test_a_party_that_changes_its_coin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Context._exchange_bytes

    def dishonest(self: Context[Any], own: bytes) -> list[bytes]:
        return honest(self, bytes(32) if self.role.name == "lab" else own)

    monkeypatch.setattr(Context, "_exchange_bytes", dishonest)
    with pytest.raises(ProtocolError, match='party "lab" did not keep to its coin: nothing was computed'):
        at_all_roles(at_parties(lambda context: context.toss_coins()))


@pytest.mark.parametrize(
    ("disclosure", "iteration", "receiver", "to"),
    [(TO_ALL, None, "lab", ALL), (TO_ADDER, 3, ADDER, ADDER), (TO_OWNER, None, "lab", "lab")],
    ids=["all", "helper", "owner"],
)
def test_a_received_disclosure_has_a_line_in_the_ledger(
    disclosure: Disclosure, iteration: int | None, receiver: str, to: str
) -> None:
    def part(context: Context[MeanJob]) -> Any:
        if context.role.name == "clinic":
            context.send(receiver, np.array([5.0]))
        if context.role.name != receiver:
            return None
        received = context.receive("clinic", np.empty(1), disclosure=disclosure, iteration=iteration)
        return received.tolist(), [(entry.to, entry.iteration) for entry in context.ledger.entries]

    threads = at_all_roles(part)
    assert [answer for answer in threads.answers if answer is not None] == [([5.0], [(to, iteration)])]
    assert [traffic.bytes_sent for traffic in threads.traffic] == [8, 0, 0, 0]


def test_masked_numbers_have_none() -> None:
    def part(context: Context[MeanJob]) -> Any:
        if context.role.name == "clinic":
            context.send(ADDER, np.array([5]))
        elif context.role.name == ADDER:
            context.receive("clinic", np.empty(1, np.int64), disclosure=None)
            return context.ledger.entries
        return None

    assert at_all_roles(part).answers[-1] == []


def test_what_is_for_another_role_may_not_be_received() -> None:
    def part(context: Context[MeanJob]) -> None:
        if context.role.name == "lab":
            context.receive("clinic", np.empty(1), disclosure=TO_ADDER, iteration=1)

    with pytest.raises(ProtocolError, match='"to the adder" was to be disclosed to lab'):
        at_all_roles(part)


def test_numbers_of_another_shape_are_refused() -> None:
    def part(context: Context[MeanJob]) -> None:
        if context.role.name == "clinic":
            context.send("lab", np.array([5, 6]))
        elif context.role.name == "lab":
            context.receive("clinic", np.empty(1, np.int64), disclosure=None)

    with pytest.raises(RoleError, match='role "clinic" failed: it sent'):
        at_all_roles(part)
