import base64
import json
from pathlib import Path
from typing import Any

import pytest

from secure_kmeans.errors import SignatureError
from secure_kmeans.job import Endpoint, Party
from secure_kmeans.net.identity import Identity, new_identity
from secure_kmeans.report.folder import ResultsFolder
from secure_kmeans.report.kmeans import report_of_kmeans
from secure_kmeans.report.signature import sign, verify
from tests.report.examples import job_with, report_with, results_with

ROLES = ("a", "b", "dealer")


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Identity]:
    folder = tmp_path_factory.mktemp("keys")
    return {role: new_identity(folder / role) for role in (*ROLES, "stranger")}


Identities = dict[str, Identity]


@pytest.fixture
def signed(tmp_path: Path, identities: Identities) -> Path:
    """The report of party "a", signed by it."""
    return published(tmp_path / "own", identities, identities["a"])


def published(path: Path, identities: Identities, signer: Identity) -> Path:
    prints = {role: identities[role].fingerprint for role in ROLES}
    parties = tuple(Party.of(name=name, address=f"{name}.example:1", fingerprint=prints[name]) for name in "ab")
    dealer = Endpoint.of(address="dealer.example:1", fingerprint=prints["dealer"])
    report = report_of_kmeans(job_with(parties=parties, dealer=dealer, purpose="a test"), results_with()[:1], None)
    with ResultsFolder(path) as folder:
        folder.write_report(report)
        folder.sign_report(signer)
        folder.publish()
    return path / "report.json"


def refusal(path: Path) -> str:
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(SignatureError) as caught:
        verify(path)
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before
    return str(caught.value)


class TestSigned:
    def test_it_is_verified_and_nothing_is_written(self, signed: Path, identities: Identities) -> None:
        before = {file.name: file.read_bytes() for file in signed.parent.iterdir()}
        found = verify(signed)
        assert {file.name: file.read_bytes() for file in signed.parent.iterdir()} == before
        assert (found.signer.name, found.signer.fingerprint) == ("a", identities["a"].fingerprint)
        assert found.record.job.model_dump()["purpose"] == "a test"

    def test_the_file_beside_it(self, signed: Path, identities: Identities) -> None:
        content = json.loads(signed.with_name("report.sig").read_text())
        assert list(content) == ["version", "fingerprint", "certificate", "signature"]
        assert (content["version"], content["fingerprint"]) == (1, identities["a"].fingerprint)
        assert content["certificate"].startswith("-----BEGIN CERTIFICATE-----\n")
        assert "PRIVATE" not in json.dumps(content)

    def test_the_signature_is_over_a_prefix_and_every_byte(self, identities: Identities) -> None:
        """A peer that lets this role sign something in TLS gets no signature of a report."""
        identity = identities["a"]
        content = json.loads(sign(b"a report", identity))
        prefix = b"secure_kmeans: signature of a report, version 1\n"
        identity.key.public_key().verify(base64.b64decode(content["signature"]), prefix + b"a report")

    def test_a_report_of_another_version_of_the_layout(self, signed: Path, identities: Identities) -> None:
        text = json.dumps(json.loads(signed.read_text()) | {"version": 99, "result": {"new": 1}, "later": 2})
        signed.write_text(text)
        signed.with_suffix(".sig").write_bytes(sign(text.encode(), identities["a"]))
        assert verify(signed).signer.name == "a"

    def test_it_can_be_moved_and_renamed_together(self, signed: Path, tmp_path: Path) -> None:
        for suffix in (".json", ".sig"):
            signed.with_suffix(suffix).rename(tmp_path / f"from-a{suffix}")
        assert verify(tmp_path / "from-a.json").signer.name == "a"


class TestRefused:
    @pytest.mark.parametrize(
        ("before", "after"),
        [('"n_iter": 2', '"n_iter": 3'), ("\n", "\r\n"), ('"purpose": "a test"', '"purpose": "a trap"')],
        ids=["a number", "layout", "the job"],
    )
    def test_a_report_that_has_changed(self, signed: Path, before: str, after: str) -> None:
        text = signed.read_bytes().decode()
        assert before in text
        signed.write_bytes(text.replace(before, after).encode())
        assert "the signature beside it does not fit: one of the two files has changed" in refusal(signed)

    def test_another_report_s_signature(self, signed: Path, tmp_path: Path, identities: Identities) -> None:
        other = json.loads(sign(b"another report", identities["a"]))
        signed.with_suffix(".sig").write_text(json.dumps(other))
        assert "does not fit" in refusal(signed)

    @pytest.mark.parametrize(
        ("signer", "message"),
        [
            ("b", '"b" signed it, but it is not the report of this party'),
            ("dealer", "which none of its parties has"),
            ("stranger", "which none of its parties has"),
        ],
    )
    def test_another_signer(self, tmp_path: Path, identities: Identities, signer: str, message: str) -> None:
        assert message in refusal(published(tmp_path / "own", identities, identities[signer]))

    def test_a_digest_that_is_not_the_job_s(self, signed: Path, identities: Identities) -> None:
        text = signed.read_text().replace('"purpose": "a test"', '"purpose": "a trap"')
        signed.write_text(text)
        signed.with_suffix(".sig").write_bytes(sign(text.encode(), identities["a"]))
        assert "its digest is not that of the job in it" in refusal(signed)

    def test_a_rehearsal(self, tmp_path: Path) -> None:
        with ResultsFolder(tmp_path) as folder:
            folder.write_report(report_with())
            folder.publish()
        assert "it is not signed, because all roles ran on one machine" in refusal(tmp_path / "report.json")

    def test_no_signature(self, signed: Path) -> None:
        signed.with_suffix(".sig").unlink()
        assert "there is no signature beside it; ask its party for report.sig, too" in refusal(signed)

    def test_no_file_and_no_report(self, tmp_path: Path) -> None:
        assert refusal(tmp_path / "none.json") == f"{tmp_path / 'none.json'}: No such file or directory"
        for text in ("", "[]", '{"version": 1}', "\udcff"):
            (tmp_path / "x.json").write_bytes(text.encode(errors="surrogateescape"))
            assert "this is not the report of a run" in refusal(tmp_path / "x.json")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"version": 2}, "this is no signature of a report"),
            ({"secret": 1}, "this is no signature of a report"),
            ({"fingerprint": "0" * 64}, "its certificate cannot be read, or has another fingerprint"),
            ({"certificate": "-----BEGIN CERTIFICATE-----"}, "its certificate cannot be read, or has another"),
            ({"signature": "no base64!"}, "does not fit"),
            ({"signature": ""}, "does not fit"),
            ({"signature": "é"}, "does not fit"),
        ],
    )
    def test_a_signature_file_that_is_none(self, signed: Path, change: dict[str, Any], message: str) -> None:
        file = signed.with_suffix(".sig")
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
        assert message in refusal(signed)


class TestLaterRun:
    def test_a_later_run_s_signature_takes_the_place_of_the_earlier(self, signed: Path, identities: Identities) -> None:
        earlier = signed.with_suffix(".sig").read_bytes()
        published(signed.parent, identities, identities["b"])
        assert signed.with_suffix(".sig").read_bytes() != earlier

    def test_a_later_run_without_a_signature_removes_it(self, signed: Path) -> None:
        with ResultsFolder(signed.parent) as folder:
            folder.write_report(report_with())
            folder.publish()
        assert [file.name for file in signed.parent.iterdir()] == ["report.json"]
