"""Rules for the files of the project that no linter has."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(("folder", "most"), [("secure_kmeans", 400), ("tests", 500)])
def test_no_file_is_too_long_to_read(folder: str, most: int) -> None:
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {name: length for name, length in lines.items() if length > most} == {}
    assert len(lines) > 5
