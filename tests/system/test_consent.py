"""The question that a party on a terminal is asked, with a real one."""

import os
import pty
import select
import signal
import sys
from pathlib import Path

import pytest
from roles_apart import prepare

LAUNCHER = Path(__file__).resolve().parents[2] / "launcher.py"
INTERRUPT = "\x03"
QUESTION = "Take part, and disclose this? [y/N]: "


def answered(folder: Path, answer: str) -> tuple[int, str]:
    """The exit status of a party that answers the question, and all that its terminal showed.

    An interrupt is sent again after each second in which nothing happens: Python does not see one that arrives after it
    has shown the end of a question and before it waits for the answer. A shell starts its background jobs, so perhaps
    these tests, with interrupts ignored; the party takes them again.
    """
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(folder)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        options = ("--party", "lab", "--identity", "lab", "--table", "lab.csv", "--wait", "0.5")
        os.execv(sys.executable, [sys.executable, str(LAUNCHER), "job.toml", *options])
    shown, asked = b"", False
    try:
        while True:
            if asked and answer == INTERRUPT and not select.select([terminal], [], [], 1.0)[0]:
                os.write(terminal, answer.encode())
                continue
            part = os.read(terminal, 1 << 12)
            if not part:
                break
            shown += part
            if not asked and QUESTION.encode() in shown:
                asked = True
                os.write(terminal, answer.encode())
    except OSError:  # how Linux reports the end of a terminal whose process has ended
        pass
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        ("\n", 2, "launcher.py: you did not agree; nothing was sent"),
        (INTERRUPT, 130, "launcher.py: interrupted; nothing was written"),
        ("y\n", 1, 'role "clinic" failed: it did not connect within'),
    ],
    ids=["no", "an interrupt", "yes"],
)
def test_nothing_is_sent_before_a_person_agrees(tmp_path: Path, answer: str, status: int, says: str) -> None:
    prepare(tmp_path)
    ended, shown = answered(tmp_path, answer)
    assert ended == status, shown
    assert "labels of its own rows" in shown.split(QUESTION)[0]
    assert says in shown.split(QUESTION)[1]
    assert ("listening on" in shown) == (answer == "y\n")
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "results").exists()
