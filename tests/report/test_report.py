import json
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from secure_kmeans.job import Kind, Party
from secure_kmeans.job.ledger import ALL, Entry
from secure_kmeans.report import Report
from secure_kmeans.report.report import JobPart, Section, common_part
from secure_kmeans.report.sections import KMeansReport
from secure_kmeans.version import VERSION
from tests.report.examples import (
    COSTS,
    LEDGER,
    STARTED,
    TABLES,
    clear_report,
    clustering_with,
    job_with,
    report_with,
    results_with,
)

KEYS = {
    *("version", "program", "protocol", "session", "job", "started", "roles", "n_samples", "columns"),
    *("result", "plaintext", "agreement", "timing", "communication", "ledger"),
}
LATER_KEYS = {"ended", "table_digests"}
"""Keys that the first reports of version 2 do not have."""


class TestCommonPart:
    def test_of_all_parties(self) -> None:
        common = common_part(job_with(), results_with(), ("x", "y"), per_iteration_s=0.5)
        assert set(common) == (KEYS | LATER_KEYS) - {"version", "result", "plaintext", "agreement"}
        assert (common["program"], common["protocol"]) == (VERSION, "shk")
        assert common["session"] == "0a" * 16
        assert common["started"] == STARTED
        assert common["n_samples"] == {"a": 3, "b": 2}
        assert common["table_digests"] == {party: table.digest.hex() for party, table in TABLES.items()}
        assert common["columns"] == ["x", "y"]
        assert common["communication"] == COSTS
        assert common["ledger"] == LEDGER

    def test_the_slowest_party_counts(self) -> None:
        timing = common_part(job_with(), results_with(), ("x", "y"), per_iteration_s=0.5)["timing"]
        assert timing.model_dump() == {"total_s": 3.5, "per_iteration_s": 0.5}
        timing = common_part(job_with(), results_with()[1:], ("x", "y"))["timing"]
        assert timing.model_dump() == {"total_s": 3.25, "per_iteration_s": None}

    def test_the_first_party_to_start_counts(self) -> None:
        first, second = results_with()
        earlier = STARTED - timedelta(seconds=1)
        results = [first, second.model_copy(update={"started": earlier})]
        assert common_part(job_with(), results, ("x", "y"))["started"] == earlier

    def test_the_last_party_to_end_counts(self) -> None:
        assert common_part(job_with(), results_with(), ("x", "y"))["ended"] == STARTED + timedelta(seconds=3.5)

    def test_of_one_party_its_own_table_alone(self) -> None:
        digests = common_part(job_with(), results_with()[1:], ("x", "y"))["table_digests"]
        assert digests == {"b": TABLES["b"].digest.hex()}

    def test_roles_with_their_fingerprints(self) -> None:
        parties = (Party.of(name="a", fingerprint="1" * 64), Party.of(name="b"))
        roles = common_part(job_with(parties=parties), results_with(), ("x", "y"))["roles"]
        assert [role.model_dump() for role in roles] == [
            {"name": "a", "kind": Kind.PARTY, "fingerprint": "1" * 64},
            {"name": "b", "kind": Kind.PARTY, "fingerprint": None},
            {"name": "dealer", "kind": Kind.DEALER, "fingerprint": None},
        ]

    def test_before_the_end_there_is_no_session(self) -> None:
        results = [results_with()[0].model_copy(update={"session": "", "costs": {}})]
        common = common_part(job_with(), results, ("x", "y"))
        assert (common["session"], common["communication"]) == (None, {})

    def test_a_disclosure_to_one_party_alone_joins_the_ledger_once(self) -> None:
        first, second = results_with()
        alone = Entry(what="sums", to="b", iteration=1)
        other = second.model_copy(update={"ledger": [LEDGER[0], alone, alone, LEDGER[1]]})
        assert common_part(job_with(), [first, other], ("x", "y"))["ledger"] == [*LEDGER, alone, alone]

    def test_equal_lines_of_one_ledger_all_stand(self) -> None:
        twice = [Entry(what="sums", to=ALL, iteration=1)] * 2
        results = [result.model_copy(update={"ledger": twice}) for result in results_with()]
        assert common_part(job_with(), results, ("x", "y"))["ledger"] == twice


class TestJobPart:
    def test_a_job_has_its_digest_and_every_key(self) -> None:
        job = job_with()
        part = json.loads(JobPart.of(job).model_dump_json())
        assert part.pop("digest") == job.digest.hex()
        assert part == json.loads(job.model_dump_json())

    def test_a_clustering_has_no_digest(self) -> None:
        clustering = clustering_with()
        part = json.loads(JobPart.of(clustering).model_dump_json())
        assert part == {"digest": None} | json.loads(clustering.model_dump_json())


def written(folder: Path, report: Report) -> Path:
    path = folder / "report.json"
    path.write_text(report.model_dump_json(indent=2), encoding="utf-8")
    return path


class TestLoading:
    @pytest.mark.parametrize("report", [report_with(), clear_report()], ids=["encrypted", "plaintext"])
    def test_round_trip(self, tmp_path: Path, report: KMeansReport) -> None:
        path = written(tmp_path, report)
        assert KMeansReport.load(path) == report
        assert KMeansReport.load(str(path)).model_dump_json() == report.model_dump_json()

    @pytest.mark.parametrize("report", [report_with(), clear_report()], ids=["encrypted", "plaintext"])
    def test_the_base_class_reads_every_report_and_keeps_every_key(self, tmp_path: Path, report: KMeansReport) -> None:
        loaded = Report.load(written(tmp_path, report))
        assert json.loads(loaded.model_dump_json()) == json.loads(report.model_dump_json())
        assert loaded.result.model_dump()["n_iter"] == 2

    def test_a_section_of_another_protocol_is_written_whole(self, tmp_path: Path) -> None:
        class Mean(Section):
            mean: float

        report = Report(**common_part(job_with(), results_with(), ("x", "y")), result=Mean(mean=2.5))
        assert json.loads(report.model_dump_json())["result"] == {"mean": 2.5}
        assert json.loads(report.model_dump_json())["plaintext"] is None
        assert Report.load(written(tmp_path, report)).result.model_dump() == {"mean": 2.5}

    @pytest.mark.parametrize(
        "change",
        [
            {"version": 1},
            {"version": 2},
            {"version": 4},
            {"secret": 1},
            {"started": "2026-03-04T05:06:07"},
            {"timing": {}},
            {"roles": [{"name": "a", "kind": "spy", "fingerprint": None}]},
            {"result": {"n_iter": 2}},
            {"agreement": {}},
        ],
    )
    def test_refuses_another_layout(self, tmp_path: Path, change: dict[str, object]) -> None:
        path = tmp_path / "report.json"
        path.write_text(json.dumps(json.loads(report_with().model_dump_json()) | change), encoding="utf-8")
        with pytest.raises(ValidationError, match=next(iter(change))):
            KMeansReport.load(path)

    @pytest.mark.parametrize("key", sorted(KEYS - {"version"}))
    def test_refuses_a_report_that_lacks_a_key(self, tmp_path: Path, key: str) -> None:
        whole = json.loads(report_with().model_dump_json())
        del whole[key]
        (tmp_path / "report.json").write_text(json.dumps(whole))
        with pytest.raises(ValidationError, match=key):
            KMeansReport.load(tmp_path / "report.json")

    def test_a_report_of_an_earlier_version_of_the_program(self, tmp_path: Path) -> None:
        whole = json.loads(report_with().model_dump_json())
        for key in LATER_KEYS:
            del whole[key]
        (tmp_path / "report.json").write_text(json.dumps(whole))
        loaded = KMeansReport.load(tmp_path / "report.json")
        assert (loaded.ended, loaded.table_digests) == (None, {})

    def test_cannot_be_changed(self) -> None:
        report = report_with()
        with pytest.raises(ValidationError, match="frozen"):
            report.session = None
        with pytest.raises(ValidationError, match="frozen"):
            report.result.inertia = 0.0


def test_the_time_is_written_in_utc() -> None:
    assert json.loads(report_with().model_dump_json())["started"] == "2026-03-04T05:06:07Z"


def test_parties_in_the_order_of_their_rows() -> None:
    assert report_with().parties == clear_report().parties == ("a", "b")
