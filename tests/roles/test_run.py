"""One role's part in a run, with a mesh that has no other role behind it."""

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secure_kmeans.errors import DataError, MismatchError, ProtocolError, RoleError, StateError
from secure_kmeans.job.ledger import ALL, Disclosure, Entry, When
from secure_kmeans.job.result import Costs, Result
from secure_kmeans.net.messages import Checkpoint, Done
from secure_kmeans.net.watch import Traffic
from secure_kmeans.protocols.base import Context
from secure_kmeans.roles import run as module
from secure_kmeans.roles.models import KeptModel, models_in
from secure_kmeans.roles.run import RoleRun, describe
from secure_kmeans.roles.states import StateFolder
from tests.protocols.toy.installed import install_for_test, job_of_mean, tables
from tests.protocols.toy.mean import MEAN, ROW_COUNTS, Above, MeanProtocol, MeanResult, Means

JOB = job_of_mean()
TABLE = tables()[1]
SESSION = bytes(range(32))
RESULT = MeanResult(role="lab", n_samples={}, common=Means(means=[]), own=Above(above=[]), ledger=[])


class FakeMesh:
    """A mesh at "lab" whose other roles are always done."""

    def __init__(self, checkpoint: Checkpoint | None = None, resuming: bool = False) -> None:
        self.me, self.roles, self.session = "lab", tuple(role.name for role in JOB.roles), SESSION
        self.checkpoint, self.resuming = checkpoint, resuming
        self.traffic = Traffic(rounds=7, bytes_sent=8)
        self.failure: RoleError | None = None
        self.calls: list[str] = []

    def finish(self) -> dict[str, Done]:
        self.calls.append("finish")
        return {name: Done(1, 2) for name in self.roles if name != self.me}

    def fail(self, reason: str) -> None:
        self.calls.append(f"fail: {reason}")
        self.failure = self.failure or RoleError(self.me, reason)

    def close(self) -> None:
        self.calls.append("close")


class Faulty(MeanProtocol):
    """Runs a function in place of the protocol."""

    def __init__(self, part: Any) -> None:
        self.part = part

    def run(self, context: Context[Any]) -> MeanResult | None:
        result: MeanResult | None = self.part(context)
        return result


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_for_test(tmp_path / "installed", monkeypatch)


@pytest.fixture
def mesh() -> FakeMesh:
    return FakeMesh()


def run(monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh, part: Any, **how: Any) -> Result | None:
    monkeypatch.setattr(module, "protocol_of", lambda _name: Faulty(part))
    role, table = how.pop("role", "lab"), how.pop("table", TABLE)
    met: Any = how.pop("meet", lambda _resume, _checkpoints: mesh)
    return RoleRun(JOB, role, table, **how).run(met)


def raising(error: BaseException) -> Any:
    def part(_context: Context[Any]) -> None:
        raise error

    return part


class TestResult:
    def test_it_is_saved_aside_before_the_end_and_has_all_costs_after_it(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh
    ) -> None:
        saved: list[Result] = []

        def save(result: Result) -> None:
            mesh.calls.append("save")
            saved.append(result)

        result = run(monkeypatch, mesh, lambda _context: RESULT, save_aside=save)
        assert result is not None
        assert mesh.calls == ["save", "finish", "close"]
        assert (saved[0].session, saved[0].costs) == (SESSION.hex(), {})
        assert saved[0].table_digest == TABLE.digest.hex()
        assert saved[0].started <= saved[0].ended <= datetime.now(UTC)
        assert result == saved[0].finished(costs=result.costs)
        assert list(result.costs) == list(mesh.roles)
        assert (result.costs["lab"], result.costs["adder"]) == (
            Costs(rounds=7, bytes_sent=8),
            Costs(rounds=1, bytes_sent=2),
        )

    def test_the_protocol_is_loaded_before_the_roles_meet(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh
    ) -> None:
        order: list[str] = []
        monkeypatch.setattr(Faulty, "load", lambda _self, _job: order.append("load"))

        def meet(_resume: bool, _checkpoints: Any) -> FakeMesh:
            order.append("meet")
            return mesh

        assert run(monkeypatch, mesh, lambda _context: RESULT, meet=meet) is not None
        assert order == ["load", "meet"]

    def test_a_helper_has_none(self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh) -> None:
        mesh.me = "adder"
        assert run(monkeypatch, mesh, lambda _context: None, role="adder", table=None) is None
        assert mesh.calls == ["finish", "close"]

    def test_a_full_disk_fails_the_run_for_all_and_names_no_path(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh
    ) -> None:
        def save(_result: Result) -> None:
            raise OSError(28, "No space left on device", "/home/somebody/results")

        with pytest.raises(OSError, match="No space left"):
            run(monkeypatch, mesh, lambda _context: RESULT, save_aside=save)
        assert mesh.calls == ["fail: No space left on device", "close"]


class TestBeginning:
    def test_it_is_noted_after_the_meeting_and_before_the_protocol_runs(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh
    ) -> None:
        order: list[object] = []

        def meet(_resume: bool, _checkpoints: Any) -> FakeMesh:
            order.append("meet")
            return mesh

        def part(_context: Context[Any]) -> MeanResult:
            order.append("run")
            return RESULT

        run(monkeypatch, mesh, part, meet=meet, begin=order.append)
        assert order == ["meet", SESSION, "run"]

    def test_a_helper_notes_nothing(self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh) -> None:
        noted: list[bytes] = []
        mesh.me = "adder"
        run(monkeypatch, mesh, lambda _context: None, role="adder", table=None, begin=noted.append)
        assert noted == []

    def test_where_it_cannot_be_noted_nothing_is_disclosed(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh
    ) -> None:
        def begin(_session: bytes) -> None:
            raise StateError("/home/somebody/history.json: No space left on device")

        def part(_context: Context[Any]) -> MeanResult:
            mesh.calls.append("run")
            return RESULT

        with pytest.raises(StateError, match="No space left"):
            run(monkeypatch, mesh, part, begin=begin)
        assert mesh.calls == ["fail: its state cannot be used, or not be kept", "close"]


class TestModel:
    @pytest.fixture
    def states(self, tmp_path: Path) -> StateFolder:
        return StateFolder(tmp_path / "state", JOB, "lab", TABLE.digest, 1000)

    def test_a_share_is_kept_before_the_party_is_done(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh, states: StateFolder
    ) -> None:
        monkeypatch.setattr(Faulty, "model_kept", lambda _self, _result: b"share")
        kept: list[list[KeptModel]] = []

        def save(_result: Result) -> None:
            assert mesh.calls == []
            kept.append(models_in(states.path))

        run(monkeypatch, mesh, lambda _context: RESULT, states=states, save_aside=save)
        ((model,),) = kept
        assert (model.job, model.party, model.session, model.share) == (JOB, "lab", SESSION.hex(), b"share")

    def test_a_run_whose_model_is_public_keeps_none(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh, states: StateFolder
    ) -> None:
        assert run(monkeypatch, mesh, lambda _context: RESULT, states=states) is not None
        assert models_in(states.path) == []

    def test_without_a_state_folder_none_is_kept(self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh) -> None:
        monkeypatch.setattr(Faulty, "model_kept", lambda _self, _result: b"share")
        assert run(monkeypatch, mesh, lambda _context: RESULT) is not None

    def test_one_that_cannot_be_kept_fails_the_run_for_all(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh, states: StateFolder
    ) -> None:
        monkeypatch.setattr(Faulty, "model_kept", lambda _self, _result: b"share")
        (states.path / f"model-{SESSION.hex()[:16]}").mkdir()
        saved: list[Result] = []
        with pytest.raises(StateError, match="the share of the model cannot be kept"):
            run(monkeypatch, mesh, lambda _context: RESULT, states=states, save_aside=saved.append)
        assert saved == []
        assert mesh.calls == ["fail: its state cannot be used, or not be kept", "close"]

    def test_the_protocol_gets_the_share_that_the_job_takes(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh
    ) -> None:
        taken: list[bytes | None] = []

        def part(context: Context[Any]) -> MeanResult:
            taken.append(context.model)
            return RESULT

        run(monkeypatch, mesh, part, model=b"share")
        run(monkeypatch, FakeMesh(), part)
        assert taken == [b"share", None]


class TestLedger:
    def test_more_than_was_announced_is_refused_before_it_is_saved(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh
    ) -> None:
        more = RESULT.model_copy(update={"ledger": [Entry(what=MEAN.what, to=ALL, iteration=None)]})
        saved: list[Result] = []
        with pytest.raises(ProtocolError, match='"mean of a column" was to be disclosed to all'):
            run(monkeypatch, mesh, lambda _context: more, save_aside=saved.append)
        assert saved == []
        assert mesh.calls[0].startswith('fail: "mean of a column" was to be disclosed')

    def test_a_disclosure_that_is_not_announced_is_refused_before_it_is_made(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh
    ) -> None:
        made: list[bool] = []

        def part(context: Context[Any]) -> None:
            context.ledger.record(ROW_COUNTS)
            context.ledger.record(Disclosure("a secret", ALL, When.END))
            made.append(True)

        with pytest.raises(ProtocolError, match="a secret"):
            run(monkeypatch, mesh, part)
        assert made == []

    def test_a_helpers_ledger_is_checked_too(self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh) -> None:
        def part(context: Context[Any]) -> None:
            context.ledger.entries.append(Entry(what="a secret", to="adder"))

        mesh.me = "adder"
        with pytest.raises(ProtocolError, match="a secret"):
            run(monkeypatch, mesh, part, role="adder", table=None)
        assert "finish" not in mesh.calls


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (DataError("clinic.csv: row 7 is text"), "its table does not fit the job"),
            (MismatchError("the tables have no row in common"), "the tables do not fit each other"),
            (StateError("/home/somebody/state: no room"), "its state cannot be used, or not be kept"),
            (OSError(5, "Input/output error", "/home/somebody"), "Input/output error"),
            (ProtocolError("it does not add up"), "it does not add up"),
            (KeyboardInterrupt(), "it was interrupted"),
            (MemoryError(), "out of memory"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_the_other_roles_learn_no_path_and_no_value(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh, error: BaseException, told: str
    ) -> None:
        with pytest.raises(type(error)) as caught:
            run(monkeypatch, mesh, raising(error))
        assert caught.value is error
        assert mesh.calls == [f"fail: {told}", "close"]

    def test_of_an_unknown_error_they_learn_type_and_line(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh
    ) -> None:
        with pytest.raises(ValueError, match="a private value"):
            run(monkeypatch, mesh, raising(ValueError("a private value")))
        assert mesh.calls[0].startswith("fail: ValueError in test_run.py, line ")

    @pytest.mark.parametrize(
        ("error", "raised"),
        [
            (ValueError("odd numbers"), RoleError),
            (ProtocolError("odd"), RoleError),
            (StateError("own"), StateError),
            (MismatchError("of all"), MismatchError),
        ],
        ids=lambda value: getattr(value, "__name__", type(value).__name__),
    )
    def test_an_error_that_follows_from_another_roles_failure_names_that_role(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh, error: Exception, raised: type[Exception]
    ) -> None:
        mesh.failure = RoleError("ward", "it was interrupted")
        with pytest.raises(raised) as caught:
            run(monkeypatch, mesh, raising(error))
        assert not isinstance(caught.value, RoleError) or caught.value.role == "ward"

    @pytest.mark.parametrize(
        ("error", "description"),
        [
            (RoleError("lab", "it was interrupted"), "it was interrupted"),
            (StateError("/home: no room"), "/home: no room"),
            (OSError(5, "Input/output error", "/home"), "/home: Input/output error"),
            (OSError(5, "Input/output error"), "Input/output error"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_a_description_for_the_person_who_started_the_role(self, error: Exception, description: str) -> None:
        assert describe(error) == description


class TestStates:
    @pytest.fixture
    def states(self, tmp_path: Path) -> Any:
        with StateFolder(tmp_path / "state", JOB, "lab", TABLE.digest, 100) as folder:
            yield folder

    def test_the_protocol_gets_the_state_that_all_hold(
        self, monkeypatch: pytest.MonkeyPatch, states: StateFolder, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        for iteration in (4, 5):
            states.save(SESSION, iteration, b"state %d" % iteration)
        mesh, offered, got = FakeMesh(Checkpoint(4, SESSION), resuming=True), [], []

        def meet(resume: bool, checkpoints: tuple[Checkpoint, ...]) -> FakeMesh:
            offered.append((resume, checkpoints))
            return mesh

        def part(context: Context[Any]) -> MeanResult:
            got.append(context.resumed)
            return RESULT

        run(monkeypatch, mesh, part, states=states, resume=True, meet=meet)
        assert offered == [(True, (Checkpoint(4, SESSION), Checkpoint(5, SESSION)))]
        assert got == [b"state 4"]
        assert "resumed after iteration 4" in caplog.text
        assert len(states.checkpoints()) == 2  # the caller clears them

    def test_kept_states_are_of_this_session(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh, states: StateFolder
    ) -> None:
        def part(context: Context[Any]) -> MeanResult:
            context.keep(3, b"state")
            return RESULT

        run(monkeypatch, mesh, part, states=states)
        assert states.checkpoints() == (Checkpoint(3, SESSION),)
        assert states.load(Checkpoint(3, SESSION)) == b"state"

    def test_no_state_in_common(self, monkeypatch: pytest.MonkeyPatch, states: StateFolder) -> None:
        states.save(SESSION, 4, b"state")
        mesh = FakeMesh(None, resuming=True)
        with pytest.raises(StateError, match="the parties hold no state in common to resume from"):
            run(monkeypatch, mesh, lambda _context: RESULT, states=states, resume=True)
        assert mesh.calls[0].startswith("fail: the parties hold no state in common")

    def test_a_run_that_starts_anew_warns_of_the_states_that_it_forgets(
        self,
        monkeypatch: pytest.MonkeyPatch,
        mesh: FakeMesh,
        states: StateFolder,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        states.save(SESSION, 4, b"state")
        run(monkeypatch, mesh, lambda _context: RESULT, states=states)
        assert "forgets the state after iteration 4, from which the run could be resumed" in caplog.text


class TestLog:
    def test_progress_is_logged_and_passed_on(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        told: list[tuple[str, int, int]] = []

        def part(context: Context[Any]) -> MeanResult:
            context.progress("iterations", 1, 9)
            context.progress("columns", 2, 3)
            return RESULT

        run(monkeypatch, mesh, part, progress=lambda *progress: told.append(progress))
        assert told == [("iterations", 1, 9), ("columns", 2, 3)]
        assert [record.getMessage() for record in caplog.records] == [
            f"all roles have met: session {SESSION.hex()[:16]}",
            "iterations 1 of at most 9: 7 rounds, 0.000 MB sent",
            "columns 2 of 3: 7 rounds, 0.000 MB sent",
            "done: 7 rounds, 0.000 MB sent",
        ]

    def test_a_helper_logs_now_and_then(
        self, monkeypatch: pytest.MonkeyPatch, mesh: FakeMesh, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        monkeypatch.setattr(module, "_LOG_SECONDS", 0.01)
        mesh.me = "adder"

        def part(_context: Context[Any]) -> None:
            for _ in range(1000):
                if "serving: 7 rounds" in caplog.text:
                    return
                os.sched_yield()
                np.random.default_rng(0).random(10_000)

        run(monkeypatch, mesh, part, role="adder", table=None)
        assert "serving: 7 rounds, 0.000 MB sent" in caplog.text
