"""What every protocol has to pass, whichever it is; :mod:`tests.protocols.cases` says what is to know of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secure_kmeans.errors import ProtocolError, RoleError
from secure_kmeans.job.ledger import ALL, check_entries
from secure_kmeans.protocols import PROTOCOLS, protocol_of
from tests.protocols.cases import CASES, Case
from tests.protocols.leading import let_keys_be_small
from tests.protocols.toy.installed import install_for_test
from tests.threads import MemoryMesh, run_protocol

EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
EACH_SIZE = pytest.mark.parametrize(
    ("case", "parties"),
    [(case, parties) for case in CASES for parties in case.numbers_of_parties],
    ids=lambda value: value.title if isinstance(value, Case) else str(value),
)


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_for_test(tmp_path / "installed", monkeypatch)
    let_keys_be_small(monkeypatch)


def test_every_protocol_has_a_case() -> None:
    assert {case.name for case in CASES} > set(PROTOCOLS)


@EACH_SIZE
def test_equals_its_oracle(case: Case, parties: int) -> None:
    job = case.job(parties)
    tables = case.tables(job)
    results, _ = run_protocol(job, tables)
    assert [result.role for result in results] == list(job.names)
    assert results[0].n_samples == case.n_samples(tables)
    case.check_against_oracle(job, tables, results)


@EACH_SIZE
def test_the_ledger_is_the_same_at_all_parties_and_within_the_disclosures(case: Case, parties: int) -> None:
    job = case.job(parties)
    disclosures = protocol_of(case.name).disclosures(job)
    results, _ = run_protocol(job, case.tables(job))
    to_one = {name: [entry for entry in results[0].ledger if entry.to == name] for name in job.names}
    for result in results:
        check_entries(result.ledger, disclosures)
        assert [entry for entry in result.ledger if entry.to not in to_one] == [
            entry for entry in results[0].ledger if entry.to not in to_one
        ]
    announced = {(disclosure.what, disclosure.to) for disclosure in disclosures}
    by_name = {to for _, to in announced} & set(job.names)  # a party that learns more than the others
    made = {
        (entry.what, "its owner" if entry.to in to_one and (entry.what, entry.to) not in announced else entry.to)
        for entry in results[0].ledger
    }
    assert made == announced, "what is announced is what happens"
    assert {disclosure.to for disclosure in disclosures} - {ALL, "its owner"} <= {role.name for role in job.roles}
    ever = {(disclosure.what, disclosure.when) for disclosure in protocol_of(case.name).disclosures(None)}
    assert {(disclosure.what, disclosure.when) for disclosure in disclosures} <= ever
    assert len(by_name) <= 1


@EACH_SIZE
def test_rounds_and_bytes_are_as_stated(case: Case, parties: int) -> None:
    job = case.job(parties)
    results, threads = run_protocol(job, case.tables(job))
    traffic = threads.traffic[0]
    assert (traffic.rounds, traffic.bytes_sent) == case.stated_costs(job, results)


@EACH
def test_resumes_after_each_iteration_under_fresh_keys(case: Case) -> None:
    job = case.job(case.numbers_of_parties[0])
    tables = case.tables(job)
    states: dict[int, dict[str, bytes]] = defaultdict(dict)

    def keep(role: str) -> Callable[[int, bytes], None]:
        return lambda iteration, state: states[iteration].update({role: state})

    whole, _ = run_protocol(job, tables, keep=keep)
    assert len(states) >= 3
    most = protocol_of(case.name).state_bytes(job, max(map(len, tables.values())))
    for iteration, of_all in states.items():
        assert set(of_all) == set(job.names)
        assert max(map(len, of_all.values())) <= most
        resumed, _ = run_protocol(job, tables, resumed=of_all, iteration=iteration, session=b"%032d" % iteration)
        assert [result.common for result in resumed] == [result.common for result in whole]
        assert [case.own(result) for result in resumed] == [case.own(result) for result in whole]
        assert [result.ledger for result in resumed] == [result.ledger for result in whole]


class _Liar(MemoryMesh):
    """A mesh that sends one message of the wrong length."""

    def __init__(self, post: Any, me: str, which: int) -> None:
        super().__init__(post, me)
        self._left = which

    def post(self, peer: str, numbers: np.ndarray) -> None:
        self._left -= 1
        super().post(peer, np.append(numbers.reshape(-1), numbers.dtype.type(7)) if self._left == 0 else numbers)


@EACH
@pytest.mark.parametrize("which", [1, 3])
def test_a_role_that_sends_another_shape_ends_the_run_and_is_named(case: Case, which: int) -> None:
    job = case.job(case.numbers_of_parties[0])
    tables = case.tables(job)
    for liar in (job.roles[1].name, job.roles[-1].name):
        with pytest.raises((RoleError, ProtocolError)) as failure:
            run_protocol(job, tables, mesh=lambda post, me: _Liar(post, me, which if me == liar else -1))  # noqa: B023
        assert liar in str(failure.value)


@EACH
def test_another_division_among_the_parties_changes_nothing_that_is_common(case: Case) -> None:
    parties = case.numbers_of_parties[0]
    job = case.job(parties)
    few, _ = run_protocol(job, case.tables(job))
    more_job = case.job(parties + 1)
    more, _ = run_protocol(more_job, case.tables(more_job))
    case.check_against_oracle(more_job, case.tables(more_job), more)
    assert case.rows_of_all(few[0]) == case.rows_of_all(more[0])


@EACH
def test_nothing_that_is_sent_repeats_in_another_session(case: Case) -> None:
    job = case.job(case.numbers_of_parties[0])
    tables = case.tables(job)
    one, other = (run_protocol(job, tables, session=session)[1].sent for session in (bytes(32), b"\1" * 32))
    compared = 0
    for pair in one:
        for message, again in zip(one[pair], other[pair], strict=True):
            masked = isinstance(message, np.ndarray) and message.nbytes >= case.shortest_mask_bytes
            if masked and pair[1] == case.masked_to(job, pair[0]):
                assert message.tobytes() != again.tobytes()
                compared += 1
    assert compared >= 3
