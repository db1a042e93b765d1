import io

import pytest
from rich.console import Console

from secure_kmeans.app.grids import Column, fitted

NUMBERS = ["44,448.455", "1,234,567.891", "4.2e-07"]
COLUMNS = [Column("cluster", is_number=True), *(Column(f"a long name {i}", is_number=True) for i in range(3))]
ROWS = [["0", *NUMBERS], ["1", *NUMBERS]]


def printed(columns: list[Column], rows: list[list[str]], width: int) -> list[str]:
    page = io.StringIO()
    console = Console(file=page, width=width)
    console.print(fitted("A title", columns, rows, width))
    return [line.rstrip() for line in page.getvalue().splitlines()]


@pytest.mark.parametrize("width", [20, 30, 40, 50, 60, 80, 100])
def test_no_number_is_cut(width: int) -> None:
    lines = printed(COLUMNS, ROWS, width)
    assert all(len(line) <= width for line in lines)
    for number in NUMBERS:
        assert sum(number in line.split() for line in lines) == 2


def test_a_wide_table_has_its_names_in_one_line() -> None:
    lines = printed(COLUMNS, ROWS, 80)
    assert lines[0] == "A title"
    assert lines[2].split("   ") == [" cluster", "a long name 0", "a long name 1", "a long name 2"]


def test_a_narrower_one_folds_its_names() -> None:
    lines = printed(COLUMNS, ROWS, 60)
    assert sum("name" in line for line in lines) == 1
    assert ["1", *NUMBERS] in [line.split() for line in lines]


def test_the_narrowest_has_its_rows_below_each_other() -> None:
    lines = printed(COLUMNS, ROWS, 36)
    assert lines[:6] == [
        "A title",
        "",
        "cluster        0",
        "a long name 0  44,448.455",
        "a long name 1  1,234,567.891",
        "a long name 2  4.2e-07",
    ]


def test_texts_are_folded_at_blanks() -> None:
    columns = [Column("to"), Column("when"), Column("what")]
    rows = [
        ["all parties", "before the first iteration", "number of rows of each party"],
        ["", "at the end", "inertia"],
    ]
    for width in (30, 50, 70):
        words = " ".join(printed(columns, rows, width)).split()
        assert {"iteration", "number", "party", "inertia"} <= set(words)
    assert printed(columns, rows, 30)[2] == "to    all parties"
    assert "when  at the end" in printed(columns, rows, 30)


def test_cells_are_shown_as_they_are() -> None:
    text = "\n".join(printed([Column("[red]a"), Column("b")], [["\x1b[1m", ":smile:"]], 80))
    assert "[red]a" in text
    assert "\\x1b[1m" in text
    assert ":smile:" in text
