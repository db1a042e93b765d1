"""Tables of the documents, for tests that hold them to the code."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def rows_of(document: str, heading: str) -> list[dict[str, str]]:
    """The table below a heading of ``docs/<document>.md``: for each row the text of its cells, by column."""
    text = (ROOT / "docs" / f"{document}.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"(?ms)^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text)
    header, _, *rows = [_cells(line) for line in section.splitlines() if line.startswith("|")]
    return [dict(zip(header, row, strict=True)) for row in rows]


def keys_of(document: str, heading: str) -> list[str]:
    """The keys that this table documents, in its order."""
    return [row["key"].strip("`") for row in rows_of(document, heading)]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
