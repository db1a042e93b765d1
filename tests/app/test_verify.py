from pathlib import Path

import pytest

from secure_kmeans.app import commands
from secure_kmeans.job import Endpoint, Party
from secure_kmeans.net.identity import new_identity
from secure_kmeans.report.folder import ResultsFolder
from secure_kmeans.report.kmeans import report_of_kmeans
from tests.app.conftest import Call, Mistake
from tests.report.examples import TABLES, job_with, report_with, results_with


@pytest.fixture
def report() -> Path:
    """The report of party "a", signed."""
    identities = {role: new_identity(Path("keys") / role) for role in ("a", "b", "dealer")}
    ends = {
        role: {"address": f"{role}.example:1", "fingerprint": each.fingerprint} for role, each in identities.items()
    }
    parties = tuple(Party.of(name=name, **ends[name]) for name in "ab")
    job = job_with(parties=parties, dealer=Endpoint.of(**ends["dealer"]))
    with ResultsFolder("own") as folder:
        folder.write_report(report_of_kmeans(job, results_with()[:1], None))
        folder.sign_report(identities["a"])
        folder.publish()
    return Path("own/report.json")


def test_it_says_what_is_verified_and_what_is_not(call: Call, report: Path) -> None:
    status, out, error = call("launcher.py", "verify", report)
    assert (status, error) == (0, "")
    assert out.splitlines()[1] == 'verified "a" signed this report, and no byte of it has changed since'
    print_of_a = (Path("keys") / "a" / "fingerprint").read_text().strip()
    assert f'the certificate of "a" has the fingerprint {print_of_a}' in out
    assert TABLES["a"].digest.hex() in out
    assert TABLES["b"].digest.hex() not in out
    assert "session " + "0a" * 16 + ", from 2026-03-04 05:06:07 to 2026-03-04 05:06:10 UTC" in out
    assert out.count("\nunknown ") == 3
    assert 'compare its fingerprint with the one that "a" gave you' in out


def test_as_a_function(report: Path) -> None:
    found = commands.verify(report)
    assert (found.path, found.signer) == (report, "a")
    assert len(found.findings) == len(found.statements) == len(found.caveats) == 3


def test_a_change_is_refused(mistake: Mistake, report: Path) -> None:
    report.write_text(report.read_text().replace('"converged": true', '"converged": false'))
    assert "the signature beside it does not fit" in mistake("launcher.py", "verify", report)


def test_a_rehearsal_is_refused(mistake: Mistake) -> None:
    with ResultsFolder("here") as folder:
        folder.write_report(report_with())
        folder.publish()
    said = mistake("launcher.py", "verify", "here/report.json")
    assert said.startswith("here/report.json: it is not signed, because all roles ran on one machine")
    assert "none.json: No such file" in mistake("launcher.py", "verify", "none.json")
