import io
from pathlib import Path

import pytest
from rich.console import Console

from secure_kmeans.app import commands, console, summary
from secure_kmeans.app.commands import Announcement, Options, Run
from secure_kmeans.job import Job, Kind
from secure_kmeans.job.ledger import ALL, OWNER, Disclosure, Entry, When
from secure_kmeans.job.result import Costs
from secure_kmeans.protocols import protocol_of
from secure_kmeans.report.report import JobPart, Report, RolePart, Section, Timing
from secure_kmeans.report.sections import KMeansReport
from tests.app.conftest import folded

pytestmark = pytest.mark.usefixtures("in_this_process", "no_pictures")

TOY = Report.model_validate(
    {
        "program": "0.1.0",
        "protocol": "mean",
        "session": "ab",
        "job": JobPart(digest="cd"),
        "started": "2026-01-02T00:00:00Z",
        "roles": [
            RolePart(name=name, kind=kind, fingerprint=None)
            for name, kind in (("clinic", Kind.PARTY), ("lab", Kind.PARTY), ("adder", Kind.SERVER))
        ],
        "n_samples": {"clinic": 3, "lab": 4},
        "columns": ["age"],
        "result": Section.model_validate({"means": [3.5, 1e9], "rounds_of": "x" * 300}),
        "timing": Timing(total_s=1.0),
        "communication": {"clinic": Costs(rounds=2, bytes_sent=5_000_000)},
        "ledger": [
            Entry(what="row counts", to=ALL),
            Entry(what="mean of a column", to=ALL, iteration=1),
            Entry(what="mean of a column", to=ALL, iteration=2),
            Entry(what="total of a column", to="adder", iteration=1),
            Entry(what="rows above the mean", to="clinic"),
        ],
    }
)
ANNOUNCED = (
    Disclosure("row counts", ALL, When.BEFORE),
    Disclosure("mean of a column", ALL, When.EACH),
    Disclosure("total of a column", "adder", When.EACH),
    Disclosure("rows above the mean", OWNER, When.END),
)


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is printed, on a page of 100 columns."""
    page = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=page, width=100, highlight=False))
    return page


def test_disclosures_before_a_run_by_recipient_and_time(printed: io.StringIO) -> None:
    job = commands.cluster(Options(seed=0)).job
    assert isinstance(job, Job)
    console.print_announcement(Announcement(job, ANNOUNCED, ("an advice",), runs=3))
    lines = [line.split("   ") for line in printed.getvalue().splitlines()]
    rows = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert ["Will be disclosed, and nothing else, each of 3 runs"] in rows
    assert ["all parties", "before the first iteration", "row counts"] in rows
    assert ["each iteration of 5 starts", "mean of a column"] in rows
    assert ["each party", "at the end", "rows above the mean"] in rows
    assert ["adder", "each iteration of 5 starts", "total of a column"] in rows
    assert ["consider an advice"] in rows


def test_before_and_after_have_the_same_texts(printed: io.StringIO) -> None:
    announced: list[Announcement] = []
    run = commands.cluster(Options(seed=0), announce=announced.append)
    console.print_announcement(announced[0])
    before = folded(printed.getvalue())
    printed.truncate(0)
    summary.print_run(run)
    after = folded(printed.getvalue())
    for disclosure in protocol_of("shk").disclosures(announced[0].job):
        assert disclosure.what in before
        assert disclosure.what in after


def test_the_summary_of_the_main_job(printed: io.StringIO) -> None:
    run = commands.cluster(Options(seed=0))
    summary.print_run(run)
    text = folded(printed.getvalue())
    assert "Encrypted k-means on 200 rows of 2 parties" in text
    assert "44,448.455" in text
    assert "100 % of the labels" in text
    assert "repeat it with --seed 0" in text
    assert isinstance(run.report, KMeansReport)
    last = run.report.result.n_iter
    starts = f"iterations 1 to {last} of 5 starts"
    assert f"{starts} which clusters are too small; cluster sizes; stop bit" in text
    assert "each party at the end labels of its own rows" in text
    assert "dealer before the first iteration number of rows of each party" in text
    assert f"{starts} which starts go on" in text
    for file in run.files:
        assert str(file) in printed.getvalue()
    for name in ("General", "Target", "Miser", "Careful", "Spendthrift"):
        assert name in text


def test_bounds_from_the_tables_are_remarked_on(printed: io.StringIO, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n2\n9\n")
    summary.print_run(commands.cluster(Options(data=(Path("t.csv"),), clusters=2, seed=0)))
    text = folded(printed.getvalue())
    assert "agree on them with --bounds" in text
    assert "Clusters 0 and 1 are of fewer than 5 rows, so that their centroids and sizes are withheld." in text


def test_hidden_sizes_are_not_shown(printed: io.StringIO) -> None:
    summary.print_run(commands.cluster(Options(seed=0, hide_counts=True), compare=False))
    assert "cluster sizes" not in printed.getvalue()
    assert printed.getvalue().count(" hidden ") == 5
    assert "Since the sizes are hidden, the centroids are multiples of" in printed.getvalue()


def test_any_protocol_has_a_summary(printed: io.StringIO) -> None:
    job = commands.cluster(Options(seed=0)).job
    summary.print_run(Run(job, TOY, files=(Path("report.json"),), disclosures=ANNOUNCED))
    text = folded(printed.getvalue())
    assert 'Protocol "mean" on 7 rows of 2 parties' in text
    assert "means [3.5, 1000000000.0]" in text
    assert "all parties before the first iteration row counts iterations 1 to 2 mean of a column" in text
    assert "adder in the iteration total of a column" in text
    assert "clinic at the end rows above the mean" in text
    assert "clinic 2 5.000" in text
    assert "report.json" in text
    assert "x" * 201 not in text


def test_a_helper_s_run_prints_nothing(printed: io.StringIO) -> None:
    job = commands.cluster(Options(seed=0)).job
    summary.print_run(Run(job, None))
    assert printed.getvalue() == ""


def test_names_cannot_change_the_markup(printed: io.StringIO, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("[red]a[/red]\n1\n2\n9\n")
    run = commands.cluster_in_the_clear(Options(data=(Path("t.csv"),), clusters=2, seed=0))
    assert isinstance(run.report, KMeansReport)
    summary.print_run(run)
    assert "[red]a[/red]" in printed.getvalue()


class TestProgress:
    def test_on_no_terminal_nothing_moves(self, capsys: pytest.CaptureFixture[str]) -> None:
        with console.showing_run() as (_, progress):
            progress("set-up", 1, 2)
            progress("iterations", 3, 100)
            progress("another protocol's phase", 1, 1)
        with console.showing_steps("Clusters") as (_, progress):
            progress("K = 1", 1, 10)
        assert capsys.readouterr() == ("", "")

    def test_a_table_is_read_before_the_announcement_and_in_iterations(self, monkeypatch: pytest.MonkeyPatch) -> None:
        job = commands.cluster(Options(seed=0)).job
        assert isinstance(job, Job)
        page = io.StringIO()
        monkeypatch.setattr(console, "error_out", Console(file=page, width=100, force_terminal=True))
        monkeypatch.setattr(console, "print_announcement", lambda _: page.write("ANNOUNCED"))
        with console.showing_run() as (announce, progress):
            progress("reading", 7, 9)
            announce(Announcement(job, ()))
            progress("set-up", 1, 2)
            progress("iterations", 3, 100)
            progress("reading", 8, 9)
        before, after = page.getvalue().split("ANNOUNCED")
        assert "7 of 9" in before
        assert "Iterations" not in after.split("Set-up")[0]
        last = after.split("Reading")[-1]
        assert "8 of 9" in last
        assert "3 of at most 100" in last, "both bars are shown"

    def test_on_a_terminal_phases_have_bars(self, monkeypatch: pytest.MonkeyPatch) -> None:
        page = io.StringIO()
        monkeypatch.setattr(console, "error_out", Console(file=page, width=100, force_terminal=True))
        with console.showing_progress() as progress:
            progress("set-up", 2, 2)
            progress("iterations", 3, 100)
            progress("epilogue", 1, 4)
        text = page.getvalue()
        assert "Iterations" in text
        assert "3 of at most 100" in text
        assert "epilogue" in text
