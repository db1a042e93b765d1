import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from secure_kmeans.app import cli
from tests.app.in_this_process import run_in_this_process

PROGRAMS: dict[str, Callable[[], None]] = {"main.py": cli.launch_in_the_clear, "launcher.py": cli.launch}

Answer = tuple[int | str | None, str, str]
"""Exit status, standard output and standard error."""
Call = Callable[..., Answer]
Mistake = Callable[..., str]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The answer of a program with these arguments."""

    def called(program: str, *arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", [f"somewhere/{program}", *map(str, arguments)])
        status: int | str | None = 0
        try:
            PROGRAMS[program]()
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return called


@pytest.fixture
def mistake(call: Call) -> Mistake:
    """The one line that a mistake prints. Nothing else is printed, and the exit status is 2."""

    def said(program: str, *arguments: object) -> str:
        status, out, error = call(program, *arguments)
        assert "Traceback" not in error
        assert (status, out, error.count("\n")) == (2, "", 1), error
        assert error.startswith(f"{program}: ")
        assert error.endswith("\n")
        return error.removeprefix(f"{program}: ").rstrip("\n")

    return said


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that starts roles fails."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("every mistake is found before a role is started")

    monkeypatch.setattr("secure_kmeans.roles.local.run_local", refused)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No role is started: results are computed in the clear, in this process."""
    monkeypatch.setattr("secure_kmeans.roles.local.run_local", run_in_this_process)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of a run's time."""
    for picture in ("kmeans.draw_clusters", "kmeans.draw_convergence"):
        monkeypatch.setattr(f"secure_kmeans.report.{picture}", lambda *_, **__: None)
    monkeypatch.setattr("secure_kmeans.report.kmeans.draw_elbow", lambda *_: None)


def folded(text: str) -> str:
    """Text without line breaks and repeated blanks: what a table of the terminal has folded is whole again."""
    return " ".join(text.split())


def names_in(folder: Path) -> Sequence[str]:
    """The names of the files and folders in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())
