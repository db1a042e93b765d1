"""The example of two organisations with customers in common: its tables are what its script makes, and what it says."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from secure_kmeans.protocols.svk.job import SvkJob

FOLDER = Path(__file__).resolve().parents[1] / "data" / "bank_and_telecom"
JOB = SvkJob.from_file(tomllib.loads((FOLDER / "job.toml").read_text(encoding="utf-8")))
IDS = {"bank": "customer", "telecom": "subscriber"}


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    return {name: pd.read_csv(FOLDER / f"{name}.csv", dtype={IDS[name]: str}).set_index(IDS[name]) for name in IDS}


def scaled(table: pd.DataFrame) -> np.ndarray:
    """The columns of the job that a table has, divided by the agreed upper bounds."""
    upper = dict(zip(JOB.columns, JOB.scaling.upper, strict=True))
    return np.column_stack([table[column] / upper[column] for column in JOB.columns if column in table])


def clearest_number(rows: np.ndarray) -> int:
    """The number of clusters, 2 to 6, whose silhouette is the best."""
    return max(
        range(2, 7), key=lambda k: float(silhouette_score(rows, KMeans(k, n_init=5, random_state=0).fit_predict(rows)))
    )


def test_the_script_makes_the_tables_to_the_byte(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(FOLDER / "make.py"), str(tmp_path)], check=True)
    for name in ("bank.csv", "telecom.csv"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def test_some_customers_are_in_both_tables_in_different_orders(tables: dict[str, pd.DataFrame]) -> None:
    bank, telecom = tables["bank"].index, tables["telecom"].index
    assert (len(bank), len(telecom), len(bank.intersection(telecom))) == (400, 500, 300)
    assert bank.is_unique
    assert telecom.is_unique
    of_the_bank = [number for number in bank if number in telecom]
    assert of_the_bank != [number for number in telecom if number in bank]
    assert of_the_bank != sorted(of_the_bank)
    assert any(number.startswith("00") for number in of_the_bank), "a reader of numbers would lose the zeros"


def test_the_job_is_of_these_tables(tables: dict[str, pd.DataFrame]) -> None:
    assert {name: JOB.id_of(name) for name in JOB.names} == IDS
    for party in JOB.parties:
        own = JOB.columns_of(party.name)
        lower, upper = np.array(JOB.scaling.lower[own]), np.array(JOB.scaling.upper[own])
        values = tables[party.name][list(party.columns)].to_numpy()
        assert ((values >= lower) & (values <= upper)).all()
        assert len(values) <= JOB.most_rows_of(party.name)


def test_neither_table_shows_the_segments_of_both(tables: dict[str, pd.DataFrame]) -> None:
    assert [clearest_number(scaled(table)) for table in tables.values()] == [2, 2]
    joined = tables["bank"].join(tables["telecom"], how="inner")
    assert clearest_number(scaled(joined)) == JOB.n_clusters == 4
    segments = KMeans(4, n_init=5, random_state=0).fit_predict(scaled(joined))
    assert sorted(np.bincount(segments)) == [48, 66, 84, 102]
