"""How a run ends for a person: the words of the command, the reason in the log, and what is said of states."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from secure_kmeans.app import cli, commands, console
from secure_kmeans.app.forms import FormOfOptions
from secure_kmeans.errors import DataError, JobError, RoleError
from secure_kmeans.job.result import Progress
from secure_kmeans.protocols.shk.job import ShkJob
from tests.app.conftest import Call, Mistake

KEY = re.compile(r"\b(n_clusters|n_samples|scaling|precision_bits|max_iter|n_init|random_state|lower|upper)\b[:.=]")


@pytest.mark.usefixtures("nothing_starts")
class TestNamesOfOptions:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--bounds", "0:150"], "--bounds: there are bounds for 1 column, but 2 to cluster by"),
            (["--bounds", "150:0,0:100"], "--bounds: column 1: its lower bound is above its upper bound"),
            (["--bounds", "0:1e300,0:1"], "--bounds: column 1: its bounds are too large for the fixed point"),
            (["--bounds", "0:1e9,0:1e9", "--scale", "none"], 'use --scale "uniform" or "minmax"'),
            (["--tol", "nan"], "--tol"),
            (["--columns", "Age", "--init", "start.csv", "--clusters", "2"], "--init: centroid 1 lies outside"),
        ],
    )
    def test_in_a_message(self, mistake: Mistake, tmp_path: Path, arguments: list[str], said: str) -> None:
        (tmp_path / "start.csv").write_text("Age\n20\n1000\n")
        for program in ("main.py", "launcher.py"):
            message = mistake(program, *arguments)
            assert said in message
            assert not KEY.search(message)

    def test_a_file_without_a_header(self, mistake: Mistake, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text("2951,5\n30,6\n")
        assert mistake("main.py", "--data", "t.csv") == (
            "t.csv: its first line looks like a row of data, not a header; add a header line, or name each column with "
            "--columns"
        )

    def test_the_elbow_needs_the_sizes(self, mistake: Mistake) -> None:
        names = {option for each in cli.elbow.params for option in each.opts}
        assert "--engine" in names
        assert "--hide-counts" not in names

    def test_keys_that_no_option_stands_for_are_left_out(self) -> None:
        for form in (cli.tables, cli.in_the_clear, cli.elbow):
            assert isinstance(form, FormOfOptions)
            assert set(ShkJob.model_fields) <= set(form.names)
            error = JobError("precision_bits: the ring has no room")
            error.names = form.names
            assert str(error) == "the ring has no room"

    def test_every_option_of_a_job_has_its_name(self) -> None:
        names = cli.tables.names
        assert (names["n_clusters"], names["seed"], names["centroids"]) == ("--clusters", "--seed", "--init")
        assert (names["scaling"], names["scaling.method"]) == ("--bounds", "--scale")
        assert names["hide_counts"] == "--hide-counts"


class TestTheEnd:
    @pytest.fixture(autouse=True)
    def _a_job(self, tmp_path: Path) -> None:
        (tmp_path / "job.toml").write_text("")

    def ending(self, monkeypatch: pytest.MonkeyPatch, end: BaseException) -> None:
        def ended(*_: Any, **__: Any) -> None:
            raise end

        monkeypatch.setattr(commands, "take_part", ended)
        monkeypatch.setattr(commands, "rehearse", ended)

    def with_states(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "0a-1b-00000003.state").write_bytes(b"")

    def test_an_interrupt_says_that_states_are_kept(
        self, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.ending(monkeypatch, KeyboardInterrupt())
        self.with_states(tmp_path / "state" / "job" / "lab")
        kept = "interrupted; no result was written, but the states are kept in state/job{}: go on with --resume\n"
        status, _, error = call("launcher.py", "job.toml", "--party", "lab", "--log", "log.txt")
        assert (status, error.lstrip("\n")) == (130, "launcher.py: " + kept.format("/lab"))
        assert (tmp_path / "log.txt").read_text().endswith("Z lab ERROR ended: " + kept.format("/lab"))
        status, _, error = call("launcher.py", "job.toml")
        assert (status, error.lstrip("\n")) == (130, "launcher.py: " + kept.format(""))

    @pytest.mark.parametrize("arguments", [("--party", "lab", "--log", "log.txt"), ()])
    def test_without_states_nothing_was_written(
        self, call: Call, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
    ) -> None:
        self.ending(monkeypatch, KeyboardInterrupt())
        status, _, error = call("launcher.py", "job.toml", *arguments)
        assert (status, error.lstrip("\n")) == (130, "launcher.py: interrupted; nothing was written\n")

    @pytest.mark.parametrize(
        ("end", "line"),
        [
            (RoleError("south", "its connection broke"), 'role "south" failed: its connection broke'),
            (DataError("t.csv: wrong\x1b[1m"), "t.csv: wrong\\x1b[1m"),
            (JobError("listen: wrong"), "--listen: wrong"),
            (OSError(28, "No space left on device", "results"), "results: No space left on device"),
        ],
    )
    def test_the_log_has_the_line_of_standard_error(
        self, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Exception, line: str
    ) -> None:
        self.ending(monkeypatch, end)
        _, _, error = call("launcher.py", "job.toml", "--party", "lab", "--log", "log.txt")
        assert error == f"launcher.py: {line}\n"
        assert (tmp_path / "log.txt").read_text().endswith(f"Z lab ERROR ended: {line}\n")

    def test_an_error_of_another_package_is_logged_by_its_type(
        self, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.ending(monkeypatch, ZeroDivisionError("secret"))
        with pytest.raises(ZeroDivisionError):
            call("launcher.py", "job.toml", "--party", "lab", "--log", "log.txt")
        assert (tmp_path / "log.txt").read_text().endswith("Z lab ERROR ended: ZeroDivisionError\n")

    def test_on_standard_error_the_reason_stands_once(self, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ending(monkeypatch, RoleError("south", "it died"))
        _, _, error = call("launcher.py", "job.toml", "--party", "lab")
        assert error == 'launcher.py: role "south" failed: it died\n'


class TestLines:
    """Progress where no bar can move."""

    def test_a_long_run_writes_a_line_now_and_then(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(console, "_LINE_SECONDS", 0.02)
        monkeypatch.setattr(console, "_WANTED_LINE_SECONDS", 0.02)
        with console.showing_progress() as progress:
            assert self.last_line(progress, capsys) == "iterations 3 of at most 100, after 0 s"
        with console.showing_steps("Clusters") as (_, progress):
            assert self.last_line(progress, capsys) == "iterations 3 of at most 100, after 0 s"

    def last_line(self, progress: Progress, capsys: pytest.CaptureFixture[str]) -> str:
        progress("iterations", 3, 100)
        found = ""
        for _ in range(500):
            found += capsys.readouterr().err
            if "iterations" in found:
                break
            time.sleep(0.01)
        return found.splitlines()[-1]

    def test_in_a_notebook_bars_move_where_its_package_is_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Notebook:
            is_terminal, is_jupyter = False, True

        monkeypatch.setattr(console, "error_out", Notebook())
        for found, moves in ((object(), True), (None, False)):
            monkeypatch.setattr("importlib.util.find_spec", {"ipywidgets": found}.get)
            assert console._can_move() is moves
