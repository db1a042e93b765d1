"""docs/report.md against the classes."""

import json

import pytest
from pydantic import BaseModel

from secure_kmeans.job import Kind
from secure_kmeans.report.report import Report, Timing
from secure_kmeans.report.sections import AgreementSection, KMeansSection, PlaintextSection, PredictionSection
from tests.documents import keys_of, rows_of
from tests.report.examples import report_with


@pytest.mark.parametrize(
    ("heading", "part"),
    [
        ("The report of every protocol", Report),
        ("`result` of a clustering", KMeansSection),
        ("`result` of a prediction", PredictionSection),
        ("`plaintext` of a clustering", PlaintextSection),
        ("`agreement` of a clustering", AgreementSection),
        ("`timing`", Timing),
    ],
)
def test_every_key_and_no_other_in_its_order(heading: str, part: type[BaseModel]) -> None:
    assert keys_of("report", heading) == list(part.model_fields)


@pytest.mark.parametrize("key", ["roles", "communication", "ledger"])
def test_the_keys_of_entries(key: str) -> None:
    (what,) = [row["what"] for row in rows_of("report", "The report of every protocol") if row["key"] == f"`{key}`"]
    entries = json.loads(report_with().model_dump_json())[key]
    entry = entries["a"] if isinstance(entries, dict) else entries[0]
    assert "{" + ", ".join(entry) + "}" in what


def test_keys_with_a_meaning_of_their_own_are_documented_above() -> None:
    known = Report.model_fields | KMeansSection.model_fields | PredictionSection.model_fields
    special = keys_of("report", "Where the parties hold columns (`svk`)")
    assert set(special) <= set(known)
    assert len(set(special)) == len(special)


def test_the_keys_of_a_scaling() -> None:
    (what,) = [row["what"] for row in rows_of("report", "`result` of a clustering") if row["key"] == "`scaling`"]
    assert "{" + ", ".join(type(report_with().result.scaling).model_fields) + "}" in what


def test_the_version_and_the_kinds_of_role() -> None:
    rows = {row["key"].strip("`"): row["what"] for row in rows_of("report", "The report of every protocol")}
    assert rows["version"] == f"version of this layout: {Report.model_fields['version'].default}"
    kinds = {role.kind for role in report_with().roles}
    assert kinds == {Kind.PARTY, Kind.DEALER}
    assert all(f"`{kind}`" in rows["roles"] for kind in kinds)


def new_in_version_3() -> list[str]:
    """The keys of `result` that version 2 did not have."""
    rows = rows_of("report", "What changed from version 2")
    (keys,) = [row["key"] for row in rows if row["version 3"] == "new in `result`"]
    return [key.strip("`") for key in keys.split(", ")]


def test_every_key_of_version_1_is_accounted_for() -> None:
    (row,) = [row for row in rows_of("report", "What changed from version 1") if "cluster_centers" in row["version 1"]]
    of_version_1 = [key.strip("`") for key in row["version 1"].split(", ")]
    assert of_version_1 == [key for key in KMeansSection.model_fields if key not in new_in_version_3()]


def test_every_key_that_changed_from_version_2_is_there() -> None:
    named = ", ".join(row["key"] for row in rows_of("report", "What changed from version 2"))
    sections = KMeansSection.model_fields | PlaintextSection.model_fields | AgreementSection.model_fields
    assert {key.strip("`") for key in named.split(", ")} <= set(sections)
    assert set(new_in_version_3()) <= set(KMeansSection.model_fields)
