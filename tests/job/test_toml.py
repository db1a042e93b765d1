from pathlib import Path
from typing import Any

import pytest

from secure_kmeans.job import Endpoint, Party, Scaling
from secure_kmeans.job.toml import to_toml
from secure_kmeans.protocols import read_job
from secure_kmeans.protocols.shk.job import DEALER, ShkJob
from secure_kmeans.protocols.svk.job import ColumnsParty, SvkJob
from tests.job.job_files import FULL, MINIMAL, Read

COLUMNS = ('a "quoted" name', "back\\slash", "Größe, € und 😀", "two\nlines\x7f", "1.5")


def job_with(**keys: Any) -> ShkJob:
    return ShkJob.of(
        **{
            "parties": Party.named("north", "south"),
            "columns": COLUMNS,
            "n_clusters": 3,
            "scaling": Scaling.of(lower=(0.0, -1.5, 1e-7, 0.1, 0.0), upper=(1e5, 1.0, 3.0, 0.3, 0.0)),
            "precision_bits": 20,
        }
        | keys
    )


def assert_reads_back(job: ShkJob | SvkJob, path: Path) -> str:
    text = to_toml(job, "For a person.\nIn two lines.")
    path.write_text(text, encoding="utf-8")
    assert read_job(path) == job
    return text


def test_a_job_is_read_back_whole(tmp_path: Path) -> None:
    resolution = (1.0, 0.25, 1e-5, 1e-3, 1e20)
    job = job_with(hide_counts=True, resolution=resolution, disclose={"centroids": "nobody"}, seed=2**53 - 1)
    text = assert_reads_back(job, tmp_path / "job.toml")
    assert text.startswith("# For a person.\n# In two lines.\n\nprotocol = ")


@pytest.mark.parametrize("example", [FULL, MINIMAL])
def test_the_examples_are_read_back(tmp_path: Path, read: Read, example: str) -> None:
    job = read(example)
    assert isinstance(job, ShkJob)
    assert_reads_back(job, tmp_path / "again.toml")


def columns_job_with(**keys: Any) -> SvkJob:
    bank = ColumnsParty.of(name="bank", columns=("income", 'a "quoted" name'), id="Kunde", most_rows=400)
    parties = (bank, ColumnsParty.of(name="shop", columns=("income",)))
    scaling = Scaling.of(lower=(0.0, 0.0, -1.0), upper=(1.0, 2.0, 3.0))
    common = {"parties": parties, "n_clusters": 3, "scaling": scaling, "precision_bits": 20}
    return SvkJob.of(**common | {"id": "customer", "most_rows": 500} | keys)


def test_columns_stand_with_their_parties(tmp_path: Path) -> None:
    job = columns_job_with(hide_labels=True, disclose={"labels": ("shop",), "centroids": "nobody"})
    text = assert_reads_back(job, tmp_path / "job.toml")
    assert text.count("columns = ") == len(job.parties)
    assert text.index("columns = ") > text.index("[[parties]]")
    assert job.columns == ("bank.income", 'a "quoted" name', "shop.income")


def test_a_prediction_of_columns(tmp_path: Path) -> None:
    text = assert_reads_back(columns_job_with(n_init=3, tol=1e-3).prediction("0a" * 32), tmp_path / "job.toml")
    assert "n_init" not in text
    assert 'id = "Kunde"' in text


def test_endpoints_go_with_it(tmp_path: Path) -> None:
    endpoints = {name: Endpoint(address=f"{name}.example:7100", fingerprint="ab" * 32) for name in ("north", DEALER)}
    text = assert_reads_back(job_with().with_endpoints(endpoints), tmp_path / "job.toml")
    assert 'address = "dealer.example:7100"' in text


def test_a_prediction_has_no_key_of_the_fit(tmp_path: Path) -> None:
    fitted = job_with(n_init=3, tol=1e-3, seed=4, disclose={"centroids": "nobody"}, timeout=9.0)
    text = assert_reads_back(fitted.prediction("0a" * 32), tmp_path / "job.toml")
    keys = [line.split(" = ")[0] for line in text.splitlines() if " = " in line]
    expected = {"protocol", "timeout", "task", "columns", "n_clusters", "precision_bits", "model"}
    assert set(keys) == expected | {"lower", "upper", "name"}
