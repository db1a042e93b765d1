"""docs/job.md against the classes."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from secure_kmeans.job import Agreed, Clustering, Endpoint, Job, KMeansJob, Party, Scaling
from secure_kmeans.protocols import USUAL, read_job
from secure_kmeans.protocols.shk.job import ShkJob
from secure_kmeans.protocols.smo07.job import Smo07Job
from secure_kmeans.protocols.svk.job import ColumnsParty, SvkJob
from tests.documents import ROOT, keys_of, rows_of

SECTIONS: list[tuple[str, type[Agreed], list[str]]] = [
    ("Keys of every protocol", ShkJob, list(Job.model_fields)),
    ("Keys of every k-means", ShkJob, [*Clustering.model_fields, "model"]),
    ("Keys of `shk`", ShkJob, [key for key in ShkJob.model_fields if key not in KMeansJob.model_fields]),
    ("Keys of `smo07`", Smo07Job, [key for key in Smo07Job.model_fields if key not in KMeansJob.model_fields]),
    ("Keys of `svk`", SvkJob, [key for key in SvkJob.model_fields if key not in KMeansJob.model_fields]),
    ("Scaling", Scaling, list(Scaling.model_fields)),
    ("Parties and helpers", Party, ["name", *Endpoint.model_fields]),
    (
        "Parties that hold columns",
        ColumnsParty,
        [key for key in ColumnsParty.model_fields if key not in Party.model_fields],
    ),
]

IN_WORDS = {
    ("Keys of every protocol", "seed"): "tossed by the parties",
    ("Keys of every k-means", "precision_bits"): "the most that fit",
    ("Keys of `shk`", "reveal_inertia"): "`true` where the centroids are disclosed and the sizes are not hidden",
    ("Keys of `svk`", "reveal_inertia"): "`true` where the centroids are disclosed and all parties learn the labels",
}
"""Defaults that follow from something else."""


@pytest.mark.parametrize(("heading", "owner", "keys"), SECTIONS, ids=[heading for heading, *_ in SECTIONS])
def test_every_key_and_no_other_in_its_order(heading: str, owner: type[Agreed], keys: list[str]) -> None:
    assert keys_of("job", heading) == keys
    assert set(keys) <= set(owner.model_fields)


COMMON = {key for heading, owner, _ in SECTIONS if "every" in heading for key in keys_of("job", heading)}


@pytest.mark.parametrize("job", [ShkJob, Smo07Job, SvkJob])
def test_the_tables_are_all_that_a_job_file_may_say(job: type[Job]) -> None:
    own = keys_of("job", f"Keys of `{job.default_of('protocol')}`")
    assert not COMMON & set(own)
    assert COMMON | set(own) == set(job.model_fields) - job.NOT_IN_A_FILE


@pytest.mark.parametrize(
    ("heading", "owner", "key"), [(heading, owner, key) for heading, owner, keys in SECTIONS for key in keys]
)
def test_every_default(heading: str, owner: type[Agreed], key: str) -> None:
    (written,) = [row["default"] for row in rows_of("job", heading) if row["key"] == f"`{key}`"]
    if (heading, key) in IN_WORDS:
        assert written == IN_WORDS[heading, key]
    elif owner.model_fields[key].is_required():
        assert written == ""
    elif (default := owner.default_of(key)) is None:
        assert written == "none"
    elif isinstance(default, Agreed):
        assert tomllib.loads(f"x = {written.strip('`')}")["x"] == default.model_dump(exclude_defaults=True)
    else:
        assert written.startswith("`")
        value = tomllib.loads(f"x = {written.strip('`')}")["x"]
        assert (type(value), value) == (type(default), default)


def test_the_usual_protocol_is_the_default() -> None:
    assert ShkJob.default_of("protocol") == USUAL


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("two_malls", ("north", "south")),
        ("three_malls", ("north", "south", "west")),
        ("bank_and_telecom", ("bank", "telecom")),
    ],
)
def test_the_examples_are_jobs_of_the_keys_that_are_documented(folder: str, names: tuple[str, ...]) -> None:
    job = read_job(ROOT / "data" / folder / "job.toml")
    assert job.names == names
    written = tomllib.loads((ROOT / "data" / folder / "job.toml").read_text(encoding="utf-8"))
    assert set(written) <= set(json.loads(job.model_dump_json()))


def test_the_default_starts_of_each_protocol() -> None:
    (what,) = [row["what"] for row in rows_of("job", "Keys of every k-means") if row["key"] == "`init`"]
    assert f'With `smo07` instead `"{Smo07Job.default_of("init")}"`, its default' in what
    for job in (ShkJob, Smo07Job, SvkJob):
        assert all(f'`"{init}"`' in what for init in job.INITS)


def test_the_example_of_the_document(tmp_path: Path) -> None:
    (example,) = re.findall(r"(?ms)^```toml\n(.*?)^```", (ROOT / "docs" / "job.md").read_text(encoding="utf-8"))
    (tmp_path / "job.toml").write_text(example)
    job = read_job(tmp_path / "job.toml")
    assert isinstance(job, SvkJob)
    assert job.columns == ("age", "days", "costs")
    assert [job.id_of(party) for party in job.names] == ["patient", "insured person"]
    assert [job.most_rows_of(party) for party in job.names] == [20_000, 100_000]
    assert (job.labels_to, job.discloses_inertia) == (("hospital",), False)
