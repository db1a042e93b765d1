import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secure_kmeans.chunked_tables import ChunkedTable, read_in_chunks
from secure_kmeans.roles.files import RehearsalFolder
from secure_kmeans.tables import Table, split_table
from tests.protocols.toy.installed import COLUMNS, PARTIES, install_for_test, job_of_mean, tables
from tests.protocols.toy.mean import Above, MeanJob, MeanResult, Means

JOB = job_of_mean(seed=3)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RehearsalFolder:
    install_for_test(tmp_path / "installed", monkeypatch)
    (tmp_path / "run").mkdir()
    return RehearsalFolder(tmp_path / "run")


def test_the_job_is_of_its_protocols_class(folder: RehearsalFolder, tmp_path: Path) -> None:
    folder.write(JOB, tables(), tmp_path / "states", True)
    job, settings = folder.read_job(), folder.read_settings()
    assert isinstance(job, MeanJob)
    assert job == JOB
    assert (settings.states, settings.resume) == (tmp_path / "states", True)


def test_a_party_takes_its_rows_once(folder: RehearsalFolder) -> None:
    folder.write(JOB, tables(), None, False)
    files = {path.name: path for path in folder.path.glob("*.rows.npy")}
    assert set(files) == {f"{party}.rows.npy" for party in PARTIES}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    for party, table in zip(PARTIES, tables(), strict=True):
        taken = folder.take_table(party, folder.read_settings().headers[party])
        assert (taken.source, taken.columns, taken.digest) == (table.source, COLUMNS, table.digest)
        assert taken.rows.tobytes() == table.rows.tobytes()
    assert not list(folder.path.glob("*.npy"))


def test_rows_that_are_read_in_chunks_stay_in_their_file(
    folder: RehearsalFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.csv").write_text(",".join(COLUMNS) + "\n" + "1,2,0.1\n3,4,-1e9\n5,6,7\n")
    monkeypatch.chdir(tmp_path)
    own = read_in_chunks("own.csv", COLUMNS, 2)
    folder.write(JOB, [own, *tables()[1:]], None, False)
    monkeypatch.chdir(folder.path)
    assert not (folder.path / f"{PARTIES[0]}.rows.npy").exists()
    taken = folder.take_table(PARTIES[0], folder.read_settings().headers[PARTIES[0]])
    assert isinstance(taken, ChunkedTable)
    assert taken.file == own.file
    assert (taken.source, taken.columns, taken.digest, len(taken)) == ("own.csv", COLUMNS, own.digest, 3)
    assert np.concatenate(list(taken.blocks())).tolist() == [[1.0, 2.0, 0.1], [3.0, 4.0, -1e9], [5.0, 6.0, 7.0]]
    assert not list(folder.path.glob(f"{PARTIES[0]}.rows.npy"))
    assert (tmp_path / "own.csv").exists()


def test_rows_keep_the_numbers_that_they_have_in_their_file(folder: RehearsalFolder) -> None:
    parts = split_table(Table("t.csv", COLUMNS, np.zeros((5, 3))), len(PARTIES))
    folder.write(JOB, parts, None, False)
    taken = [folder.take_table(party, folder.read_settings().headers[party]).first_row for party in PARTIES]
    assert taken == [1, 3, 5]


def test_a_party_takes_the_identifiers_of_its_rows_once(folder: RehearsalFolder) -> None:
    parts = split_table(Table("t.csv", COLUMNS, np.zeros((5, 3)), ids=("007", "7", "Zoë", "NA", "x,y")), len(PARTIES))
    folder.write(JOB, [*parts[:-1], replace(parts[-1], ids=None)], None, False)
    files = list(folder.path.glob("*.ids.json"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert len(files) == len(PARTIES) - 1
    assert "007" not in (folder.path / "settings.json").read_text()
    taken = [folder.take_table(party, folder.read_settings().headers[party]).ids for party in PARTIES]
    assert taken == [*(part.ids for part in parts[:-1]), None]
    assert not list(folder.path.glob("*.ids.json"))


def test_a_party_may_have_no_rows(folder: RehearsalFolder) -> None:
    first, *others = tables()
    folder.write(JOB, [Table("no table", COLUMNS, np.empty((0, 3))), *others], None, False)
    assert folder.take_table(PARTIES[0], folder.read_settings().headers[PARTIES[0]]).rows.shape == (0, 3)
    assert len(first) > 0


def test_a_party_takes_its_share_of_a_model_once(folder: RehearsalFolder) -> None:
    shares = [f"share of {party}".encode() for party in PARTIES]
    folder.write(JOB, tables(), None, False, shares)
    files = list(folder.path.glob("*.model"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert [folder.take_model(party) for party in PARTIES] == shares
    assert [folder.take_model(party) for party in PARTIES] == [None] * len(PARTIES)


def test_objects_are_not_loaded(folder: RehearsalFolder) -> None:
    folder.write(JOB, tables(), None, False)
    np.save(folder.path / f"{PARTIES[0]}.rows.npy", np.array([[object()] * 3]), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        folder.take_table(PARTIES[0], folder.read_settings().headers[PARTIES[0]])


def test_a_result_is_of_its_protocols_class(folder: RehearsalFolder) -> None:
    result = MeanResult(
        role="lab", n_samples={"lab": 1}, common=Means(means=[0.1]), own=Above(above=[1]), ledger=[], seconds=1 / 3
    )
    folder.write_result(result)
    assert folder.read_result(JOB, "lab") == result
    assert stat.S_IMODE((folder.path / "lab.result.json").stat().st_mode) == 0o600
