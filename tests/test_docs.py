import re
from pathlib import Path

from secure_kmeans.ledger import What

ROOT = Path(__file__).resolve().parents[1]


def test_the_threat_model_lists_every_disclosure_and_no_other():
    text = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    table = text.split("## What a run discloses")[1].split("Public besides")[0]
    named = [row.split("|")[1].strip() for row in table.splitlines() if row.startswith("|")][2:]
    assert named == [str(what) for what in What]


def test_links_between_the_documents_lead_somewhere():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "data" / "README.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
