"""The summary on narrow pages, of small numbers, of job files and of single things."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from secure_kmeans.app import commands, console, summary
from secure_kmeans.app.commands import Elbow, Options, Run
from secure_kmeans.report.kmeans import ElbowPoint
from tests.app.conftest import folded

pytestmark = pytest.mark.usefixtures("in_this_process", "no_pictures")


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    return page_of(monkeypatch, 100)


def page_of(monkeypatch: pytest.MonkeyPatch, width: int) -> io.StringIO:
    made = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=made, width=width, highlight=False))
    return made


def run_of(text: str, **options: object) -> Run:
    Path("t.csv").write_text(text)
    return commands.cluster_in_the_clear(Options(data=(Path("t.csv"),), seed=0, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_on_a_narrow_page_no_number_is_cut(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    run = commands.cluster(Options(seed=0))
    made = page_of(monkeypatch, width)
    summary.print_run(run)
    lines = made.getvalue().splitlines()
    words = [word for line in lines for word in line.split()]
    assert words.count("44,448.455") == 3
    for number in ("55.30", "49.52", "86.54", "82.13", "88.20", "17.11"):
        assert number in words
    assert all(len(line.rstrip()) <= width for line in lines if "/" not in line)


def test_the_seed_is_named_as_the_form_has_it(page: io.StringIO) -> None:
    run = commands.cluster(Options(seed=8))
    summary.print_run(run)
    assert "repeat it with --seed 8" in folded(page.getvalue())
    page.truncate(0)
    summary.print_run(run, of_job_file=True)
    text = folded(page.getvalue())
    assert "repeat it with seed = 8 in the job" in text
    assert "--seed" not in text


def test_without_a_public_seed_nothing_is_said_of_it(page: io.StringIO) -> None:
    run = commands.cluster(Options(seed=8))
    assert run.report is not None
    result = run.report.result.model_copy(update={"seed": None})
    report = run.report.model_copy(update={"result": result})
    for of_job_file in (False, True):
        summary.print_run(Run(run.job, report, disclosures=run.disclosures), of_job_file=of_job_file)
    assert "repeat" not in page.getvalue()
    assert "seed" not in page.getvalue()


def test_small_units_keep_their_digits(page: io.StringIO) -> None:
    rows = "".join(f"{value}e-4,1000.00{value}\n" for value in (11, 12, 13, 71, 72, 73))
    run = run_of(f"small,close\n{rows}", clusters=2)
    summary.print_run(run)
    text = folded(page.getvalue())
    assert "inertia 8e-08" in text
    for number in ("0.00120", "0.00720", "1,000.00120", "1,000.00720"):
        assert number in text.split()
    summary.print_elbow(Elbow((ElbowPoint(1, 4.2e-7, 1.5e-9, None, None),), 3))
    assert "4.2e-07" in page.getvalue()
    assert "1.5e-09" in page.getvalue()
    assert "0.000 " not in page.getvalue()


def test_one_of_a_kind(page: io.StringIO) -> None:
    summary.print_run(run_of("a\n1\n", clusters=1))
    assert "Plaintext k-means on 1 row\n" in page.getvalue()
    assert not re.search(r"\b1 (rows|iterations|clusters|columns|parties)\b", page.getvalue())


def test_names_of_columns_are_shown_as_they_are(page: io.StringIO) -> None:
    summary.print_run(run_of("[red]a[/red],\x1b[1mb,:smile:\n1,2,3\n2,3,4\n3,4,5\n", clusters=1))
    text = page.getvalue()
    assert "[red]a[/red]" in text
    assert "\\x1b[1mb" in text
    assert ":smile:" in text
    assert "\x1b" not in text
