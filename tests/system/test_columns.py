"""Parties that hold columns about the same customers: from their files to the labels, as a user runs it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from secure_kmeans.report.sections import KMeansReport
from tests.system.test_launcher import launch, left_over, run

BLOBS = np.repeat([0, 1, 2], 8)
"""The cluster of each customer."""
IDS = [f"{number:03d}" for number in range(len(BLOBS))]
JOB = """\
protocol = "svk"
n_clusters = 3
min_cluster_size = 1
n_init = 2
id = "customer"
most_rows = 40

[[parties]]
name = "bank"
columns = ["income", "balance"]

[[parties]]
name = "telecom"
columns = ["minutes"]
id = "client"

[scaling]
method = "minmax"
lower = [0, 0, 0]
upper = [40, 40, 40]
"""


@pytest.fixture
def tables(tmp_path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The bank lacks the last two customers, the telecom the first; their orders differ."""
    generator = np.random.default_rng(2)
    noise = generator.uniform(0, 1, (len(BLOBS), 3)).round(2)
    bank = pd.DataFrame({"customer": IDS, "income": 10 * (BLOBS == 1) + noise[:, 0], "balance": 10 + noise[:, 1]})[:-2]
    telecom = pd.DataFrame({"minutes": 30 * (BLOBS == 2) + noise[:, 2], "client": IDS})[1:]
    shuffled = bank.sample(frac=1, random_state=1), telecom.sample(frac=1, random_state=2)
    for name, table in zip(("bank", "telecom"), shuffled, strict=True):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "job.toml").write_text(JOB)
    return shuffled


def clusters_of(folder: Path, run_name: str, party: str, ids: pd.Series) -> dict[str, float]:
    """The label of each customer of a party; NaN where not all have the customer."""
    labels = pd.read_csv(folder / "results" / run_name / f"labels_{party}.csv")
    assert labels["row"].tolist() == list(range(1, len(ids) + 1))
    return dict(zip(ids, labels["cluster"], strict=True))


def assert_common_customers_are_labelled(
    folder: Path, tables: tuple[pd.DataFrame, pd.DataFrame], run_name: str = "job"
) -> dict[str, float]:
    bank = clusters_of(folder, run_name, "bank", tables[0]["customer"])
    telecom = clusters_of(folder, run_name, "telecom", tables[1]["client"])
    common = IDS[1:-2]
    assert {customer for customer, label in (bank | telecom).items() if not np.isnan(label)} == set(common)
    assert [bank[customer] for customer in common] == [telecom[customer] for customer in common]
    assert len({(blob, bank[customer]) for blob, customer in zip(BLOBS[1:-2], common, strict=True)}) == 3
    return bank


def test_a_rehearsal_and_labels_of_new_rows(tmp_path: Path, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    run("job.toml", folder=tmp_path)
    labels = assert_common_customers_are_labelled(tmp_path, tables)
    report = KMeansReport.load(tmp_path / "results" / "job" / "report.json")
    assert report.agreement is not None
    assert report.agreement.label_agreement == 1.0
    text = (tmp_path / "results" / "job" / "report.json").read_text()
    assert not [customer for customer in IDS if f'"{customer}"' in text]

    missing = launch("predict", "state/job", "--data", "bank=bank.csv", folder=tmp_path)
    _, error = missing.communicate(timeout=100)
    assert (missing.returncode, error) == (
        2,
        'launcher.py: the new rows: no file of "telecom" is named; every row has columns at each party, so name one '
        "file for each\n",
    )
    run("predict", "state/job", "--data", "bank.csv", "--data", "telecom.csv", folder=tmp_path)
    again = assert_common_customers_are_labelled(tmp_path, tables, "job-predict")
    np.testing.assert_array_equal(list(again.values()), list(labels.values()))

    joined = tables[0].merge(tables[1], left_on="customer", right_on="client")
    joined.to_csv(tmp_path / "joined.csv", index=False)
    run("predict", "results/job/report.json", "--data", "joined.csv", folder=tmp_path)
    found = pd.read_csv(tmp_path / "results" / "job" / "prediction" / "labels_joined.csv")
    assert found["cluster"].tolist() == [labels[customer] for customer in joined["customer"]]
    assert left_over(tmp_path) == []


def test_hidden_labels_for_one_party(tmp_path: Path, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    tables[1].rename(columns={"client": "customer"}).to_parquet(tmp_path / "telecom.parquet", index=False)
    out = run(
        *("--protocol", "svk", "--data", "bank.csv", "--data", "telecom.parquet", "--id", "customer"),
        *("--clusters", 3, "--scale", "minmax", "--n-init", 2, "--min-cluster-size", 1),
        *("--hide-labels", "--disclose-labels", "bank", "--skip-plaintext", "--output", "results/job"),
        folder=tmp_path,
    )
    assert "21 common rows" in out
    bank = clusters_of(tmp_path, "job", "bank", tables[0]["customer"])
    assert sum(not np.isnan(label) for label in bank.values()) == 21
    assert not (tmp_path / "results" / "job" / "labels_telecom.csv").exists()


def test_one_table_that_is_split(tmp_path: Path, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    del tables
    run(
        *("--protocol", "svk", "--data", "bank.csv", "--columns", "income,balance", "--clusters", 2),
        *("--seed", 1, "--n-init", 1, "--disclose-centroids", "all"),
        folder=tmp_path,
    )
    report = KMeansReport.load(tmp_path / "results" / "bank" / "report.json")
    assert (report.columns, report.n_samples) == (["income", "balance"], {"party_0": 22, "party_1": 22})
    assert report.agreement is not None
    assert report.agreement.max_centroid_error == 0.0
