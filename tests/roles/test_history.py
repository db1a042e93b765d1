import json
import multiprocessing
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from secure_kmeans.errors import StateError
from secure_kmeans.protocols import protocol_of
from secure_kmeans.protocols.shk.job import ShkJob
from secure_kmeans.roles.history import History, advice_on_repetitions
from secure_kmeans.tables import Table
from tests.report.examples import job_with

SESSION = bytes(range(32))
JOB = job_with()
PREDICTION = ShkJob.of(
    task="predict",
    model="ab" * 32,
    parties=JOB.parties,
    **{key: getattr(JOB, key) for key in ("columns", "n_clusters", "scaling", "precision_bits")},
)
ROWS = [[1.0, 1.0], [1.0, 2.0], [2.5, 1.5], [3.0, 1.25]]


def table_of(rows: object) -> Table:
    return Table("a.csv", ("x", "y"), np.array(rows, dtype=np.float64))


TABLE = table_of(ROWS)
ALMOST = table_of([*ROWS[:3], [3.0, 1.5]])
OTHER = table_of([[0.5, 0.5], [0.25, 0.5], [0.125, 3.5], [3.75, 3.75]])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.json"


def recorded(path: Path, *tables: Table, job: ShkJob = JOB, party: str = "a") -> History:
    with History(path) as history:
        for table in tables:
            history.record(job, party, table, SESSION)
    return history


def advice(path: Path, table: Table, job: ShkJob = JOB, party: str = "a") -> tuple[str, ...]:
    return advice_on_repetitions(History(path), job, party, table)


class TestRecord:
    def test_what_a_run_leaves(self, path: Path) -> None:
        before = datetime.now(UTC).replace(microsecond=0)
        (run,) = recorded(path, TABLE).runs
        assert before <= run.time <= datetime.now(UTC)
        assert (run.party, run.session, run.job) == ("a", SESSION.hex(), JOB.digest.hex())
        assert run.kind.model_dump() == {"protocol": "shk", "task": "fit", "columns": ("x", "y")}
        assert run.table == TABLE.digest.hex()
        announced = protocol_of("shk").disclosures(JOB)
        assert [(each.what, each.to) for each in run.disclosed] == [(each.what, each.to) for each in announced]

    def test_only_its_owner_can_read_it(self, path: Path) -> None:
        before = os.umask(0)
        try:
            recorded(path, TABLE, OTHER)
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}

    def test_no_row_is_in_the_file(self, path: Path) -> None:
        rows = [[1234.5678, 8765.4321]] * 3
        recorded(path, table_of(rows))
        data = path.read_bytes()
        assert b"1234" not in data
        assert np.float64(1234.5678).tobytes() not in data

    def test_the_same_rows_are_hashed_under_another_key_in_another_file(self, path: Path, tmp_path: Path) -> None:
        recorded(path, TABLE)
        recorded(tmp_path / "another.json", TABLE)
        one, other = (json.loads(each.read_text()) for each in (path, tmp_path / "another.json"))
        assert one["key"] != other["key"]
        assert one["tables"].keys() == other["tables"].keys()
        assert one["tables"] != other["tables"]

    def test_a_table_is_sketched_once(self, path: Path) -> None:
        assert len(recorded(path, TABLE, TABLE, OTHER).runs) == 3
        assert set(json.loads(path.read_text())["tables"]) == {TABLE.digest.hex(), OTHER.digest.hex()}

    def test_a_table_without_rows(self, path: Path) -> None:
        empty = Table("none", ("x", "y"), np.empty((0, 2)))
        assert len(recorded(path, empty).runs) == 1
        assert advice(path, TABLE) == ()

    def test_several_processes_write_at_the_same_time(self, path: Path) -> None:
        fork = multiprocessing.get_context("fork")
        tables = [table_of(np.full((200, 2), number)) for number in range(4)]
        writers = [fork.Process(target=recorded, args=(path, *[table] * 5)) for table in tables]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(60)
        assert [writer.exitcode for writer in writers] == [0] * 4
        runs = History(path).runs
        assert sorted(run.table for run in runs) == sorted([table.digest.hex() for table in tables] * 5)


class TestWarning:
    def test_a_table_that_differs_in_one_row(self, path: Path) -> None:
        (run,) = recorded(path, TABLE).runs
        assert advice(path, ALMOST) == (
            f"a table that differs from this one in 1 row took part on {run.time:%Y-%m-%d} in a job of the same kind "
            f"(digest {JOB.digest.hex()[:16]}): the results of the two runs can be subtracted, which shows much of the "
            "rows in which the tables differ (differencing)",
        )

    def test_a_row_more_or_less(self, path: Path) -> None:
        recorded(path, TABLE)
        assert "in 1 row took" in advice(path, table_of(ROWS[:3]))[0]
        assert "in 2 rows took" in advice(path, table_of([*ROWS, [0, 0], [1, 0]]))[0]

    @pytest.mark.parametrize("table", [TABLE, table_of(ROWS[::-1]), OTHER], ids=["same", "order", "another"])
    def test_no_warning(self, path: Path, table: Table) -> None:
        recorded(path, TABLE)
        assert advice(path, table) == ()

    def test_without_a_history(self, path: Path) -> None:
        assert advice(path, TABLE) == ()
        assert not path.parent.exists()

    def test_a_large_table(self, path: Path) -> None:
        rows = np.random.default_rng(0).uniform(0, 4, (6000, 2))
        recorded(path, table_of(rows))
        (line,) = advice(path, table_of(rows[:-5]))
        assert "in about " in line
        assert "rows (at most some " in line

    @pytest.mark.parametrize(
        ("job", "warned"),
        [
            (job_with(n_clusters=3, seed=9, hide_counts=True), True),
            (PREDICTION, False),
            (job_with(columns=("x", "z")), False),
        ],
        ids=["other clusters", "a prediction", "other columns"],
    )
    def test_the_kind_of_the_job_counts(self, path: Path, job: ShkJob, warned: bool) -> None:
        recorded(path, TABLE)
        assert bool(advice(path, ALMOST, job)) == warned

    def test_a_prediction_shows_nobody_else_anything_to_subtract(self, path: Path) -> None:
        recorded(path, TABLE, job=PREDICTION)
        assert advice(path, ALMOST, PREDICTION) == ()

    def test_the_name_of_the_party_does_not_count(self, path: Path) -> None:
        recorded(path, TABLE, party="b")
        assert len(advice(path, ALMOST)) == 1

    def test_of_many_the_closest_are_named(self, path: Path) -> None:
        base = np.random.default_rng(1).uniform(0, 4, (40, 2))
        changed = [np.concatenate([base[:-number], base[-number:] / 2]) for number in range(1, 6)]
        recorded(path, *map(table_of, reversed(changed)))
        lines = advice(path, table_of(base))
        assert [line.split(" took part")[0].rsplit(" in ", 1)[-1] for line in lines[:3]] == [
            "1 row",
            "2 rows",
            "3 rows",
        ]
        assert lines[3:] == ("earlier runs with further tables that differ from this one in few rows: 2",)

    def test_of_a_table_the_last_run_is_named(self, path: Path) -> None:
        recorded(path, TABLE)
        recorded(path, TABLE, job=job_with(n_clusters=3))
        (line,) = advice(path, ALMOST)
        assert job_with(n_clusters=3).digest.hex()[:16] in line


class TestRefused:
    @pytest.mark.parametrize("text", ["", "[]", '{"version": 2, "key": ""}', '{"version": 1, "key": "00"}', "\x00"])
    def test_a_file_that_is_none(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "history.json"
        file.write_text(text)
        file.chmod(0o600)
        with pytest.raises(StateError, match="this is no history of runs; move it away, or name another file"):
            History(file)

    @pytest.mark.parametrize("change", [{"tables": {}}, {"key": "zz"}])
    def test_parts_that_do_not_fit(self, path: Path, change: dict[str, object]) -> None:
        recorded(path, TABLE)
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(StateError, match="this is no history of runs"):
            History(path)

    def test_a_file_that_others_may_read(self, path: Path) -> None:
        recorded(path, TABLE)
        path.chmod(0o640)
        with pytest.raises(StateError, match="others may read this history; chmod 600 it"):
            History(path)

    def test_a_folder_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "history.json").mkdir(mode=0o700)
        with pytest.raises(StateError, match="Is a directory; name another file for the history"):
            History(tmp_path / "history.json")

    def test_a_place_that_cannot_be_written_is_refused_before_the_run(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StateError, match="Not a directory; name another file for the history"):
            History(tmp_path / "file" / "history.json")
        nowhere = History(Path("/proc/nowhere/history.json"))
        with pytest.raises(StateError, match="name another file for the history"), nowhere:
            raise AssertionError("it was entered")

    def test_a_disk_that_is_full_leaves_the_list_as_it_was(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        history = recorded(path, TABLE)

        def fail(_path: Path, _data: bytes) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("secure_kmeans.roles.history.replace_file", fail)
        with pytest.raises(StateError, match="No space left on device"):
            history.record(JOB, "a", OTHER, SESSION)
        assert len(history.runs) == 1


def test_folders_that_were_made_for_nothing_go(path: Path) -> None:
    with History(path):
        assert path.parent.exists()
    assert not path.parent.exists()
    recorded(path, TABLE)
    assert path.exists()
