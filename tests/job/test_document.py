"""docs/job.md against the classes."""

import json
import tomllib

import pytest

from secure_kmeans.job import Agreed, Clustering, Endpoint, Job, KMeansJob, Party, Scaling
from secure_kmeans.protocols import USUAL, read_job
from secure_kmeans.protocols.shk.job import ShkJob
from tests.documents import ROOT, keys_of, rows_of

SECTIONS: list[tuple[str, type[Agreed], list[str]]] = [
    ("Keys of every protocol", ShkJob, list(Job.model_fields)),
    ("Keys of every k-means", ShkJob, [*Clustering.model_fields, "model"]),
    ("Keys of `shk`", ShkJob, [key for key in ShkJob.model_fields if key not in KMeansJob.model_fields]),
    ("Scaling", Scaling, list(Scaling.model_fields)),
    ("Parties and helpers", Party, ["name", *Endpoint.model_fields]),
]

IN_WORDS = {
    "seed": "tossed by the parties",
    "precision_bits": "the most that fit",
    "reveal_inertia": "`true` where the centroids are disclosed and the sizes are not hidden",
}
"""Defaults that follow from something else."""


@pytest.mark.parametrize(("heading", "owner", "keys"), SECTIONS, ids=[heading for heading, *_ in SECTIONS])
def test_every_key_and_no_other_in_its_order(heading: str, owner: type[Agreed], keys: list[str]) -> None:
    assert keys_of("job", heading) == keys
    assert set(keys) <= set(owner.model_fields)


def test_the_tables_are_all_that_a_job_file_may_say() -> None:
    documented = [key for heading, owner, _ in SECTIONS if owner is ShkJob for key in keys_of("job", heading)]
    assert sorted(documented) == sorted(set(ShkJob.model_fields) - ShkJob.NOT_IN_A_FILE)


@pytest.mark.parametrize(
    ("heading", "owner", "key"), [(heading, owner, key) for heading, owner, keys in SECTIONS for key in keys]
)
def test_every_default(heading: str, owner: type[Agreed], key: str) -> None:
    (written,) = [row["default"] for row in rows_of("job", heading) if row["key"] == f"`{key}`"]
    if key in IN_WORDS:
        assert written == IN_WORDS[key]
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


def test_the_example_is_a_job_of_the_keys_that_are_documented() -> None:
    job = read_job(ROOT / "data" / "two_malls" / "job.toml")
    assert job.names == ("north", "south")
    written = tomllib.loads((ROOT / "data" / "two_malls" / "job.toml").read_text(encoding="utf-8"))
    assert set(written) <= set(json.loads(job.model_dump_json()))
