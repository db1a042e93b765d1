"""SMO07 with tables that are read in chunks: the results are those of the same tables in memory, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_blobs

from secure_kmeans.chunked_tables import read_in_chunks
from secure_kmeans.errors import DataError
from secure_kmeans.job.model import KMeansResult
from secure_kmeans.job.result import no_progress
from secure_kmeans.protocols.smo07 import SMO07, Smo07Job
from secure_kmeans.report.folder import ResultsFolder
from secure_kmeans.report.sections import KMeansReport
from secure_kmeans.tables import Table
from tests.protocols.leading import check_against_plaintext, job_for, tables_of, without_protection
from tests.threads import run_protocol

BLOBS = make_blobs(120, centers=4, n_features=2, random_state=1)[0]
CHUNK_ROWS = 7


@pytest.fixture(autouse=True)
def clear(monkeypatch: pytest.MonkeyPatch) -> None:
    without_protection(monkeypatch)


def file_of(folder: Path, table: Table) -> Path:
    """The file of a table: CSV of the first party, Parquet of the others."""
    frame = pd.DataFrame(table.rows, columns=list(table.columns))
    if table.source.endswith("0"):
        frame.to_csv(folder / f"{table.source}.csv", index=False)
        return folder / f"{table.source}.csv"
    frame.to_parquet(folder / f"{table.source}.parquet")
    return folder / f"{table.source}.parquet"


def in_chunks(folder: Path, tables: Mapping[str, Table]) -> dict[str, Table]:
    return {party: read_in_chunks(file_of(folder, table), table.columns, CHUNK_ROWS) for party, table in tables.items()}


def written(folder: Path, job: Smo07Job, results: Sequence[KMeansResult], tables: Mapping[str, Table]) -> list[str]:
    """The names of the files that a run writes, after they were written."""
    report = SMO07.report(job, results, None)
    with ResultsFolder(folder) as results_folder:
        SMO07.write(results_folder, report, results, tables, None)
        return [path.name for path in results_folder.publish()]


@pytest.mark.parametrize("keys", [{"n_init": 3}, {"reveal_sizes": True, "tol": 0.01}, {"init": "uniform"}])
def test_the_same_results_as_in_memory(tmp_path: Path, keys: dict[str, Any]) -> None:
    job = job_for(BLOBS, 3, 4, seed=3, **keys)
    tables = tables_of(job, BLOBS, (100, 1, 19))
    model = check_against_plaintext(job, BLOBS, (100, 1, 19))
    chunked = in_chunks(tmp_path, tables)
    results, _ = run_protocol(job, chunked)
    assert all(result.common == model for result in results)
    assert [result.own.labels for result in results] == [[], [], []]
    whole, _ = run_protocol(job, tables)
    names = written(tmp_path / "chunked", job, results, chunked)
    assert written(tmp_path / "whole", job, whole, tables) == names
    for name in ("centroids.csv", *(f"labels_{party}.csv" for party in job.names)):
        assert (tmp_path / "chunked" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_the_inertia_is_that_of_the_rows_in_memory(tmp_path: Path) -> None:
    job = job_for(BLOBS, 3, 4, seed=3, reveal_inertia=True)
    tables = tables_of(job, BLOBS)
    whole, chunked = (run_protocol(job, each)[0][0].common for each in (tables, in_chunks(tmp_path, tables)))
    assert chunked.inertia == pytest.approx(whole.inertia, rel=1e-12)


def test_one_party_in_chunks_and_others_in_memory(tmp_path: Path) -> None:
    job = job_for(BLOBS, 3, 4, seed=3)
    tables = tables_of(job, BLOBS)
    mixed = tables | {"party_1": in_chunks(tmp_path, tables)["party_1"]}
    whole, results = (run_protocol(job, each)[0] for each in (tables, mixed))
    assert [result.common for result in results] == [result.common for result in whole]
    assert [len(result.own.labels) for result in results] == [40, 0, 40]


def test_the_picture_of_one_party_shows_its_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secure_kmeans.chunked_tables.SAMPLE_ROWS", 16)
    drawn: dict[str, Any] = {}
    monkeypatch.setattr("secure_kmeans.report.kmeans.draw_clusters", lambda path, **picture: drawn.update(picture))
    job = job_for(BLOBS, 3, 4, seed=3)
    chunked = in_chunks(tmp_path, tables_of(job, BLOBS))
    results, _ = run_protocol(job, chunked)
    own = {"party_2": chunked["party_2"]}
    assert "labels_party_2.csv" in written(tmp_path / "results", job, results[2:], own)
    (panel,) = drawn["panels"]
    np.testing.assert_array_equal(drawn["rows"][0], BLOBS[80::4])
    labels = pd.read_csv(tmp_path / "results" / "labels_party_2.csv")["cluster"].to_numpy()
    np.testing.assert_array_equal(panel.labels, labels[::4])
    assert (panel.counts, panel.whose) == (None, ""), "the sample's counts would be taken for the rows'"
    assert KMeansReport.load(tmp_path / "results" / "report.json").n_samples == dict.fromkeys(job.names, 40)


def test_a_file_that_changes_ends_the_run_before_anything_of_it_is_sent(tmp_path: Path) -> None:
    job = job_for(BLOBS, 3, 4, seed=3)
    tables = tables_of(job, BLOBS)
    chunked = in_chunks(tmp_path, tables)
    kept: list[int] = []

    def keep(party: str) -> Any:
        def change(iteration: int, _state: bytes) -> None:
            if party == "party_2":
                kept.append(iteration)
                other = tables[party].rows + [[0.0, 1e-6]] * 40
                file_of(tmp_path, Table(party, job.columns, np.clip(other, *chunked[party].extent)))

        return change

    with pytest.raises(DataError, match=r"party_2.parquet: its rows are no longer those that were read at first"):
        run_protocol(job, chunked, keep=keep)
    assert kept == [0]


def test_progress_of_each_pass(tmp_path: Path) -> None:
    job = job_for(BLOBS, 3, 4, seed=3)
    seen: list[tuple[str, int, int]] = []
    chunked = in_chunks(tmp_path, tables_of(job, BLOBS))
    first = read_in_chunks(tmp_path / "party_0.csv", job.columns, CHUNK_ROWS, no_progress)
    chunked["party_0"] = first.reporting_to(lambda *args: seen.append(args))
    (result, *_), _ = run_protocol(job, chunked)
    assert set(seen) == {("reading", 40, 40)}
    passes_of_the_start_and_the_end = 2
    assert len(seen) >= result.common.n_iter + passes_of_the_start_and_the_end
