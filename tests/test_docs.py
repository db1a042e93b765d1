import re
from pathlib import Path

from secure_kmeans.job import Job
from secure_kmeans.ledger import What
from secure_kmeans.report import Report

ROOT = Path(__file__).resolve().parents[1]


def test_the_threat_model_lists_every_disclosure_and_no_other():
    text = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    table = text.split("## What a run discloses")[1].split("Public besides")[0]
    named = [row.split("|")[1].strip() for row in table.splitlines() if row.startswith("|")][2:]
    assert named == [str(what) for what in What]


def test_the_report_documents_every_key_and_no_other():
    text = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    table = text.split("| key | what |")[1].split("Beside it lie")[0]
    named = [name for row in table.splitlines()[2:] if row for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(Report.model_fields)


def test_the_job_documents_every_key_and_no_other():
    text = (ROOT / "docs" / "job.md").read_text(encoding="utf-8")
    table = text.split("| key | type |")[1].split("`[scaling]`")[0]
    named = [row.split("|")[1].strip(" `") for row in table.splitlines()[2:] if row]
    assert sorted(named) == sorted(set(Job.model_fields) - {"bounds_from_data"})


def test_links_between_the_documents_lead_somewhere():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "data" / "README.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
