"""What a run of separate roles leaves as a record: signed reports, and each party's history."""

import signal
import stat
from pathlib import Path

import pytest
from roles_apart import PARTIES

from secure_kmeans.protocols import read_job
from secure_kmeans.report import Report
from secure_kmeans.report.signature import verify
from secure_kmeans.roles.history import History, advice_on_repetitions
from secure_kmeans.tables import read_table
from tests.system.apart import Apart


def report_of(folder: Path, party: str) -> Path:
    return folder / "results" / "job" / party / "report.json"


def test_a_report_is_signed_and_names_its_own_table_alone(calm: Apart) -> None:
    job = read_job(calm.folder / "job.toml")
    for party in PARTIES:
        signed = verify(report_of(calm.folder, party))
        assert (signed.signer.name, signed.signer.fingerprint) == (party, job.role(party).fingerprint)
        report = signed.record
        table = read_table(calm.folder / f"{party}.csv")
        assert report.table_digests == {party: table.digest.hex()}
        assert report.job.digest == job.digest.hex()
        assert report.ended is not None
        assert report.started < report.ended
    sessions = {Report.load(report_of(calm.folder, party)).session for party in PARTIES}
    assert len(sessions) == 1


def test_only_its_owner_can_read_what_a_run_wrote(calm: Apart) -> None:
    written = [path for name in ("results", "state") for path in (calm.folder / name).rglob("*")]
    assert {path.name for path in written} >= {"report.json", "report.sig", "history.json"}
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in written}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_both_parties_are_in_the_history_and_almost_the_same_table_is_warned_of(calm: Apart) -> None:
    history = History(calm.folder / "state" / "history.json")
    session = Report.load(report_of(calm.folder, "lab")).session
    assert {(run.party, run.session) for run in history.runs} == {(party, session) for party in PARTIES}
    job = read_job(calm.folder / "job.toml")
    table = read_table(calm.folder / "lab.csv")
    assert advice_on_repetitions(history, job, "lab", table) == ()
    changed = table.rows.copy()
    changed[3] += 1
    (advice,) = advice_on_repetitions(history, job, "lab", type(table)("changed", table.columns, changed))
    assert "differs from this one in 1 row " in advice


@pytest.mark.parametrize(("moment", "disclosed"), [("is connected", False), ("initialisation 2", True)])
def test_a_run_that_failed_is_in_the_history_once_it_has_disclosed(apart: Apart, moment: str, disclosed: bool) -> None:
    apart.prepare(public=False)
    for role in ("clinic", "lab", *(["dealer"] if disclosed else [])):
        apart.start(role)
    apart.wait_for("lab", moment)
    apart.roles["clinic"].signal(signal.SIGKILL)
    apart.wait_until_ended("lab")
    runs = History(apart.folder / "state" / "history.json").runs
    assert {run.party for run in runs} == (set(PARTIES) if disclosed else set())
