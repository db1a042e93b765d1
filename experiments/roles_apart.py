"""Roles started one by one, as a person on each machine does: with the command line, a job file and identities.

A run without interference is cheaper by :func:`secure_kmeans.roles.local.run_local`, and a function in place of a
protocol by :func:`secure_kmeans.roles.process.in_processes`.
"""

import faulthandler
import json
import os
import random
import re
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from secure_kmeans.app.cli import launch
from secure_kmeans.net.identity import load_identity, new_identity

PARTIES: Final = ("clinic", "lab")
HELPER: Final = "dealer"
ROLES: Final = (*PARTIES, HELPER)
JOB: Final = """
columns = ["age", "dose"]
n_clusters = 3
{start}
timeout = {timeout}
scaling = {{ method = "minmax", lower = [0, 0], upper = [100, 10] }}
"""
CENTROIDS: Final = [[10, 1], [20, 2], [30, 1]]
"""Where every run of the job starts, so that all find the same."""
PATIENCE: Final = 60.0
"""Seconds in which an undisturbed run ends, on a machine with other work."""


@dataclass
class RoleProcess:
    """The process of a role. Its standard output and error go to two files."""

    name: str
    pid: int
    out: Path
    log: Path
    status: int | None = None
    peak_kb: int = 0

    def ended(self) -> bool:
        """Whether it has ended. Then ``status`` is its exit status, or minus the signal that killed it."""
        if self.status is None:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.status, self.peak_kb = os.waitstatus_to_exitcode(status), used.ru_maxrss
        return self.status is not None

    def signal(self, number: int) -> None:
        """Send a signal to a process that still runs."""
        if not self.ended():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        self.signal(signal.SIGKILL)
        wait_until(self.ended, 10)

    @property
    def output(self) -> str:
        """Its standard error."""
        return self.log.read_text(errors="replace")

    @property
    def last_line(self) -> str:
        """The last line on its standard error."""
        return (self.output.splitlines() or [""])[-1]


def wait_until(satisfied: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition until it holds or the time is over; return whether it holds."""
    deadline = time.monotonic() + seconds
    while not (answer := satisfied()) and time.monotonic() < deadline:
        time.sleep(0.002)
    return answer


def start(
    folder: Path,
    role: str,
    *options: str,
    run: str = "run",
    before: Callable[[], None] | None = None,
    job: str = "job.toml",
) -> RoleProcess:
    """Start ``launcher.py`` in a fork of this process, which has imported everything already.

    Parameters
    ----------
    folder : path
        The folder that :func:`prepare` filled, and the current folder of the process.
    role : str
    options : str
        Options besides job, role, identity, table and consent; ``--resume`` for parties alone, which keep states.
    run : str
        The first part of the names of its two output files.
    before : callable, optional
        Called first in the new process.
    job : str
        The job file, in the folder.
    """
    is_party = role != HELPER
    table = () if not is_party or "--table" in options else ("--table", f"{role}.csv")
    if not is_party:
        options = tuple(option for option in options if option != "--resume")
    consent = ("--yes",) if is_party and "--accept" not in options else ()
    arguments = ["launcher.py", job, "--party", role, "--identity", role, *table, *consent, *options]
    out, log = folder / f"{run}.{role}.out", folder / f"{run}.{role}.log"
    for path in (out, log):
        path.write_bytes(b"")
    pid = os.fork()
    if pid:
        return RoleProcess(role, pid, out, log)
    status = 70
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)
        os.chdir(folder)
        for descriptor, path in ((1, out), (2, log)):
            os.dup2(os.open(path, os.O_WRONLY), descriptor)
        sys.stdout, sys.stderr = (os.fdopen(descriptor, "w", buffering=1) for descriptor in (1, 2))
        faulthandler.register(signal.SIGUSR1, file=2)
        sys.argv = arguments
        if before is not None:
            before()
        launch()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def import_all() -> None:
    """Import everything that a role imports, before the first fork."""
    import torch

    import secure_kmeans.app.commands
    import secure_kmeans.app.console
    import secure_kmeans.protocols.shk.run
    import secure_kmeans.protocols.smo07.run  # noqa: F401

    torch.set_num_threads(1)


def draw_nothing(replace: Callable[[object, str, Any], None] = setattr) -> None:
    """Draw no picture in this process and its forks: pictures take longer than the whole run."""
    from secure_kmeans.report import kmeans

    for picture in ("draw_clusters", "draw_convergence"):
        replace(kmeans, picture, lambda *_, **__: None)


def free_ports(number: int) -> list[int]:
    """Unused ports outside the range of outgoing connections."""
    found: list[int] = []
    while len(found) < number:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return found


def prepare(
    folder: Path, *, rows: int = 30, hosts: dict[str, str] | None = None, public: bool = True, **keys: Any
) -> dict[str, int]:
    """Write a job file, identities and tables; return each role's port.

    With ``public`` false the run begins at two secret starts, which differ from run to run.
    """
    ports = dict(zip(ROLES, free_ports(len(ROLES)), strict=True))
    start = f"centroids = {CENTROIDS}" if public else "n_init = 2"
    lines = [JOB.format(start=start, **({"timeout": 30.0} | keys))]
    for role in ROLES:
        if not (folder / role).exists():
            new_identity(folder / role)
        endpoint = {"address": f"{(hosts or {}).get(role, '127.0.0.1')}:{ports[role]}"}
        endpoint["fingerprint"] = load_identity(folder / role).fingerprint
        lines += ["[dealer]" if role == "dealer" else f'[[parties]]\nname = "{role}"']
        lines += [f'{key} = "{value}"' for key, value in endpoint.items()]
    (folder / "job.toml").write_text("\n".join(lines) + "\n")
    chance = random.Random(7)  # noqa: S311 - rows of a test
    for number, party in enumerate(PARTIES):
        table = ["age,dose"]
        for row in range(rows + 5 * number):
            middle = ((20, 2), (50, 8), (80, 5))[row % 3]
            age, dose = chance.gauss(middle[0], 18), chance.gauss(middle[1], 1.8)
            table.append(f"{min(100.0, max(0.0, age)):.3f},{min(10.0, max(0.0, dose)):.4f}")
        (folder / f"{party}.csv").write_text("\n".join(table) + "\n")
    return ports


def results(folder: Path, party: str) -> dict[str, Any] | None:
    """A party's results, without the keys that differ from run to run; None where there is no complete result."""
    own = folder / "results" / "job" / party
    if not (own / "report.json").exists():
        return None
    found: dict[str, Any] = json.loads((own / "report.json").read_text())
    found = {key: found[key] for key in ("version", "protocol", "n_samples", "columns", "result", "ledger")}
    return found | {"labels": (own / f"labels_{party}.csv").read_text()}


def blamed(role: RoleProcess) -> str | None:
    """The role that a role's last line names as failed."""
    found = re.search(r'role "([^"]+)" failed: ', role.last_line)
    return found[1] if found else None
