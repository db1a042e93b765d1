"""The supervisor of a rehearsal; tests/protocols/test_toy.py runs it with all its roles."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from secure_kmeans.errors import (
    DataError,
    JobError,
    MismatchError,
    ProtocolError,
    RoleError,
    SecureKMeansError,
    StateError,
)
from secure_kmeans.job.ledger import ALL, Entry
from secure_kmeans.job.result import no_progress
from secure_kmeans.roles import local
from secure_kmeans.roles.local import run_local
from tests.protocols.toy.installed import PARTIES, install_for_test, job_of_mean, tables
from tests.protocols.toy.mean import ADDER, Above, MeanResult, Means

JOB = job_of_mean()


def result_of(party: str, **changes: Any) -> MeanResult:
    result = MeanResult(
        role=party,
        n_samples={"clinic": 1, "lab": 2, "ward": 3},
        common=Means(means=[0.5]),
        own=Above(above=[1]),
        ledger=[
            Entry(what="row counts", to=ALL),
            Entry(what="total of a column", to=ADDER, iteration=1),
            Entry(what="rows above the mean", to=party),
        ],
        seconds=len(party),
    )
    return result.model_copy(update=changes)


class TestAgreement:
    def test_own_lines_and_own_parts_may_differ(self) -> None:
        results = [result_of(party) for party in PARTIES]
        results[1] = result_of("lab", own=Above(above=[7]), seconds=9.0)
        local._check_agreement(results)
        assert results[0].ledger != results[1].ledger

    @pytest.mark.parametrize(
        "changes",
        [
            {"common": Means(means=[0.25])},
            {"n_samples": {"clinic": 1, "lab": 2, "ward": 4}},
            {"ledger": [Entry(what="row counts", to=ALL), Entry(what="rows above the mean", to="ward")]},
        ],
        ids=["common", "rows", "ledger"],
    )
    def test_all_else_may_not(self, changes: dict[str, Any]) -> None:
        results = [result_of("clinic"), result_of("lab"), result_of("ward", **changes)]
        with pytest.raises(ProtocolError, match='parties "clinic" and "ward" hold different results: run again'):
            local._check_agreement(results)


class TestFailures:
    @pytest.fixture
    def supervisor(self, tmp_path: Path) -> local._Supervisor:
        return local._Supervisor(JOB, tmp_path, no_progress)

    def fail(self, supervisor: local._Supervisor, role: str, error: str, blamed: str, reason: str) -> None:
        event = {"event": "failed", "error": error, "blamed": blamed, "reason": reason}
        supervisor._take(local._Role(role), event)

    @pytest.mark.parametrize("error", [DataError, JobError, MismatchError, ProtocolError, StateError])
    def test_an_error_of_this_package_stays_what_it_is(
        self, supervisor: local._Supervisor, error: type[SecureKMeansError]
    ) -> None:
        with pytest.raises(error) as caught:
            self.fail(supervisor, "lab", error.__name__, "lab", "/state: there is no room")
        assert str(caught.value) == "/state: there is no room"

    def test_any_other_error_names_the_role(self, supervisor: local._Supervisor) -> None:
        with pytest.raises(RoleError) as caught:
            self.fail(supervisor, "lab", "ValueError", "lab", "ValueError in mean.py, line 7")
        assert (caught.value.role, caught.value.reason) == ("lab", "ValueError in mean.py, line 7")

    def test_a_role_that_another_one_blames_is_heard_first(self, supervisor: local._Supervisor) -> None:
        self.fail(supervisor, "clinic", "RoleError", "lab", "its state cannot be used, or not be kept")
        assert supervisor.failure is not None
        assert supervisor.failure.role == "lab"
        with pytest.raises(StateError, match="/state: there is no room"):
            self.fail(supervisor, "lab", "StateError", "lab", "/state: there is no room")


class TestStart:
    def test_roles_that_cannot_be_started(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install_for_test(tmp_path / "installed", monkeypatch)
        monkeypatch.delenv("PYTHONPATH")  # the child does not find the protocol
        with pytest.raises(RoleError, match='role "clinic" failed: it could not be started'):
            run_local(JOB, tables())

    def test_a_temporary_folder_with_a_long_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install_for_test(tmp_path / "installed", monkeypatch)
        long = tmp_path / ("long" * 25)
        long.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(long))
        assert [result.role for result in run_local(JOB, tables())] == list(PARTIES)
        assert list(long.iterdir()) == []

    def test_an_interrupt_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install_for_test(tmp_path / "installed", monkeypatch)
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

        def interrupt(_phase: str, _done: int, _total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_local(JOB, tables(), interrupt, states=tmp_path / "states")
        assert list((tmp_path / "temporary").iterdir()) == []
