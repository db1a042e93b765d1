import re
from pathlib import Path

import pytest

from secure_kmeans.net.door import _MOST_LOGGED, HANDSHAKE_SECONDS, MOST_CALLERS
from secure_kmeans.protocols import PROTOCOLS, protocol_of
from tests.documents import ROOT, rows_of

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), ROOT / "data" / "README.md"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_threat_model_lists_every_disclosure_and_no_other(name: str) -> None:
    listed = [tuple(row.values()) for row in rows_of("threat-model", f"Disclosures of `{name}`")]
    disclosures = protocol_of(name).disclosures(None)
    assert listed == [(each.what, each.to, str(each.when), each.note) for each in disclosures]
    assert len(set(listed)) == len(listed)


def test_the_threat_model_s_numbers_of_strangers() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    assert f"At most {MOST_CALLERS} callers are in this handshake at a time" in text
    assert f"each for at most {HANDSHAKE_SECONDS:g} seconds" in text
    assert f"up to {_MOST_LOGGED} refusals a minute" in text


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_the_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]*)\)", path.read_text(encoding="utf-8")):
        file, _, heading = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), f"{path.name}: {target}"
        if heading:
            assert heading in headings(linked), f"{path.name}: {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_the_documents_name_exist(path: Path) -> None:
    named = set(re.findall(r"`((?:secure_kmeans|tests|experiments|docs|data)/[\w./]+)`", path.read_text("utf-8")))
    assert not [name for name in named if not (ROOT / name).exists()]


def headings(path: Path) -> set[str]:
    """The anchors of a document's headings."""
    found = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}
