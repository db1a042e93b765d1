"""A protocol that the package does not know: found by its entry point, run in real processes over TLS."""

import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

from secure_kmeans.errors import JobError, ProtocolError, RoleError, StateError
from secure_kmeans.job.ledger import ALL, check_entries
from secure_kmeans.job.result import Costs
from secure_kmeans.protocols import protocol_of, read_job
from secure_kmeans.roles.local import run_local
from secure_kmeans.roles.states import StateFolder
from tests.protocols.toy.faulty import FAULT, FaultyJob
from tests.protocols.toy.installed import COLUMNS, PARTIES, install_for_test, job_of_mean, tables
from tests.protocols.toy.mean import ADDER, MEAN_PROTOCOL, MeanJob, MeanResult

JOB = job_of_mean()
FAULTY_JOB = job_of_mean(FaultyJob)
TABLES = tables()


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_for_test(tmp_path / "installed", monkeypatch)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def run(job: MeanJob = JOB, states: Path | None = None, resume: bool = False) -> list[MeanResult]:
    results = run_local(job, TABLES, states=states, resume=resume)
    assert all(isinstance(result, MeanResult) for result in results)
    return results  # type: ignore[return-value]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[MeanResult]:
    with pytest.MonkeyPatch.context() as patch:
        install_for_test(tmp_path_factory.mktemp("installed"), patch)
        return run()


def expected() -> list[float]:
    clear = MEAN_PROTOCOL.in_the_clear(JOB, dict(zip(PARTIES, TABLES, strict=True)), [])
    assert clear == pytest.approx(np.concatenate([table.rows for table in TABLES]).mean(axis=0))
    return clear


class TestRegistry:
    def test_it_is_found_by_its_entry_point(self, tmp_path: Path) -> None:
        assert protocol_of("mean") is MEAN_PROTOCOL
        path = tmp_path / "job.toml"
        parties = "".join(f'[[parties]]\nname = "{party}"\n' for party in PARTIES)
        path.write_text(f'protocol = "mean"\ncolumns = ["age"]\n{parties}')
        assert read_job(path) == job_of_mean(columns=("age",), timeout=MeanJob.default_of("timeout"))

    def test_a_name_that_no_package_brings(self) -> None:
        with pytest.raises(
            JobError, match='no protocol of this name; it should be one of "faulty mean", "mean", "shk"'
        ):
            protocol_of("median")


class TestRun:
    def test_all_parties_learn_what_the_run_in_the_clear_finds(self, temporary: Path) -> None:
        told: list[tuple[str, int, int]] = []
        results = run_local(JOB, TABLES, lambda *progress: told.append(progress))
        assert [result.role for result in results] == list(PARTIES)
        for result, table in zip(results, TABLES, strict=True):
            assert isinstance(result, MeanResult)
            error = len(PARTIES) * 0.5 * 2.0**-20 / sum(result.n_samples.values())
            assert result.common.means == pytest.approx(expected(), abs=error)
            assert result.own.above == (table.rows > expected()).sum(axis=0).tolist()
            assert result.n_samples == {"clinic": 4, "lab": 5, "ward": 6}
        assert told == [("columns", number, len(COLUMNS)) for number in range(1, len(COLUMNS) + 1)]
        assert list(temporary.iterdir()) == []

    def test_all_that_is_known_at_the_end(self, uninterrupted: list[MeanResult]) -> None:
        results = uninterrupted
        party = Costs(rounds=1 + len(COLUMNS), bytes_sent=8 * (2 + len(COLUMNS)))
        adder = Costs(rounds=3 * len(COLUMNS), bytes_sent=8 * 3 * len(COLUMNS))
        for result in results:
            assert result.costs == dict.fromkeys(PARTIES, party) | {ADDER: adder}
            assert list(result.costs) == [*PARTIES, ADDER]
            assert re.fullmatch("[0-9a-f]{64}", result.session)
            assert 0 < result.seconds < 60
            assert result.started.utcoffset() is not None
            check_entries(result.ledger, MEAN_PROTOCOL.disclosures(JOB))
            assert [(entry.what, entry.to, entry.iteration) for entry in result.ledger[:3]] == [
                ("row counts", ALL, None),
                ("total of a column", ADDER, 1),
                ("mean of a column", ALL, 1),
            ]
            assert result.ledger[-1].to == result.role
        assert len({result.session for result in results}) == 1

    def test_its_report(self, uninterrupted: list[MeanResult]) -> None:
        report = MEAN_PROTOCOL.report(JOB, uninterrupted, expected())
        read = json.loads(report.model_dump_json())
        assert (read["version"], read["protocol"], read["columns"]) == (3, "mean", list(COLUMNS))
        assert [(role["name"], role["kind"]) for role in read["roles"]][-1] == (ADDER, "server")
        assert read["result"]["means"] == pytest.approx(read["plaintext"]["means"], abs=1e-6)


class TestDisclosures:
    @pytest.mark.parametrize("fault", ["record", "entry"])
    def test_more_than_was_announced_is_refused(self, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
        monkeypatch.setenv(FAULT, f"lab:{fault}")
        with pytest.raises(
            ProtocolError, match='"a secret" was to be disclosed to all, which the job does not announce'
        ):
            run(FAULTY_JOB)

    def test_a_helper_may_learn_no_more_either(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(FAULT, f"{ADDER}:record")
        with pytest.raises(ProtocolError, match='"a secret"'):
            run(FAULTY_JOB)

    def test_parties_that_hold_different_results(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(FAULT, "lab:differ")
        with pytest.raises(ProtocolError, match='parties "clinic" and "lab" hold different results'):
            run(FAULTY_JOB)

    def test_what_a_party_alone_holds_may_differ(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(FAULT, "lab:own differs")
        assert [result.own.above == [] for result in run(FAULTY_JOB)] == [False, True, False]


class TestFaults:
    @pytest.mark.parametrize(("role", "iteration"), [("clinic", 0), (ADDER, 0), ("ward", 3)])
    def test_a_role_that_is_killed_is_named(
        self, monkeypatch: pytest.MonkeyPatch, temporary: Path, role: str, iteration: int
    ) -> None:
        monkeypatch.setenv(FAULT, f"{role}:die:{iteration}")
        with pytest.raises(RoleError) as caught:
            run(FAULTY_JOB)
        assert (caught.value.role, caught.value.reason) == (role, "its process ended without a word")
        assert list(temporary.iterdir()) == []

    @pytest.mark.parametrize("fault", ["shape", "type", "object"])
    def test_a_peer_that_sends_anything_else_is_named(self, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
        monkeypatch.setenv(FAULT, f"lab:{fault}:2")
        with pytest.raises(RoleError) as caught:
            run(FAULTY_JOB)
        assert caught.value.role == "lab"
        assert caught.value.reason.startswith("it sent ")

    def test_an_error_of_the_protocol_tells_no_value(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(FAULT, "lab:raise:2")
        with pytest.raises(RoleError) as caught:
            run(FAULTY_JOB)
        assert caught.value.role == "lab"
        assert re.fullmatch(r"ValueError in faulty.py, line \d+", caught.value.reason)


class TestResumption:
    @pytest.mark.parametrize("iteration", [1, 2, 3])
    def test_cut_off_after_any_iteration_it_ends_as_if_it_were_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: list[MeanResult], iteration: int
    ) -> None:
        states = tmp_path / "states"
        monkeypatch.setenv(FAULT, f"{ADDER}:die:{iteration}")
        with pytest.raises(RoleError):
            run(FAULTY_JOB, states)
        monkeypatch.delenv(FAULT)
        told: list[int] = []
        resumed = run_local(
            FAULTY_JOB, TABLES, lambda _phase, done, _total: told.append(done), states=states, resume=True
        )
        assert told == list(range(iteration, len(COLUMNS) + 1))
        for one, other in zip(uninterrupted, resumed, strict=True):
            assert (other.common, other.own, other.ledger) == (one.common, one.own, one.ledger)
        assert not states.exists()

    def test_a_run_that_is_not_resumed_starts_anew(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        states = tmp_path / "states"
        monkeypatch.setenv(FAULT, f"{ADDER}:die:3")
        with pytest.raises(RoleError):
            run(FAULTY_JOB, states)
        assert len(list(states.rglob("*.state"))) == 2 * len(PARTIES)
        monkeypatch.delenv(FAULT)
        told: list[int] = []
        run_local(FAULTY_JOB, TABLES, lambda _phase, done, _total: told.append(done), states=states)
        assert told == [1, 2, 3]
        assert not states.exists()


class TestRefusals:
    """Of one party before anything is sent: the caller gets the same error."""

    def test_nothing_to_resume_from(self, tmp_path: Path) -> None:
        with pytest.raises(StateError, match=r"/states/\w+: there is no state to resume from; start the run anew"):
            run(JOB, tmp_path / "states", resume=True)
        assert not (tmp_path / "states").exists()

    def test_a_folder_that_another_run_uses(self, tmp_path: Path) -> None:
        path = tmp_path / "states" / "lab"
        with StateFolder(path, JOB, "lab", TABLES[1].digest, 1), pytest.raises(StateError) as caught:
            run(JOB, tmp_path / "states")
        assert str(caught.value) == f"{path}: another run uses this folder; end it, or name another for the states"

    def test_a_folder_that_others_may_enter(self, tmp_path: Path) -> None:
        path = tmp_path / "states" / "ward"
        path.mkdir(parents=True)
        path.chmod(0o755)
        with pytest.raises(StateError, match=f"{path}: others may enter this folder"):
            run(JOB, tmp_path / "states")
