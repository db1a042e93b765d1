from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from secure_kmeans.app import cli
from tests.app.conftest import Call, Mistake

COMMANDS = {"check", "completion", "new-identity", "predict", "verify"}


def completed(*arguments: str) -> dict[str, str]:
    """What can stand in place of the last argument, with its type."""
    shell = ShellComplete(cli.launcher, {}, "launcher.py", "_LAUNCHER_PY_COMPLETE")
    *before, last = arguments
    return {item.value: item.type for item in shell.get_completions(list(before), last)}


def test_the_first_argument_is_a_command_or_a_job_file() -> None:
    assert completed("") == dict.fromkeys(COMMANDS, "plain") | {"": "file"}
    assert completed("che") == {"check": "plain", "che": "file"}


def test_options_alone() -> None:
    assert "--clusters" in completed("--cl")
    assert set(completed("--seed", "3", "--hide")) == {"--hide-counts", "--hide-labels"}
    assert completed("--scale", "") == dict.fromkeys(["uniform", "minmax", "none"], "plain")
    assert completed("--align", "") == dict.fromkeys(["psi", "order", "none"], "plain")
    assert completed("--disclose-labels", "a") == {"all": "plain"}
    assert completed("--init", "ra") == {"random": "plain", "ra": "file"}
    assert completed("--data", "x") == {"x": "file"}


def test_a_job_file() -> None:
    assert {"--party", "--identity", "--resume"} <= set(completed("job.toml", "--"))
    assert "--clusters" not in completed("job.toml", "--")


@pytest.mark.parametrize(("command", "options"), [("check", {"--table"}), ("new-identity", {"--folder"})])
def test_a_command(command: str, options: set[str]) -> None:
    assert options <= set(completed(command, "--"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(call: Call, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setattr("click.shell_completion.BashComplete._check_version", lambda _: None)
    status, out, error = call("launcher.py", "completion", shell)
    assert (status, error) == (0, "")
    assert f"_LAUNCHER_PY_COMPLETE={shell}_complete" in out


def test_an_unknown_shell(mistake: Mistake) -> None:
    assert "bash" in mistake("launcher.py", "completion", "cmd")


def test_the_shell_s_question_is_answered(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("_LAUNCHER_PY_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "launcher.py job.toml --par")
    monkeypatch.setenv("COMP_CWORD", "2")
    status, out, _ = call("launcher.py")
    assert (status, out) == (0, "plain,--party\n")
    assert list(tmp_path.iterdir()) == []
