"""Roles in processes of their own, as if a person had started each by hand."""

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
from typing import Any, Final, Self

import launcher
from secure_kmeans.net.identity import load_identity, new_identity

PARTIES: Final = ("clinic", "lab")
ROLES: Final = (*PARTIES, "dealer")
JOB: Final = """
columns = ["age", "dose"]
n_clusters = 3
n_init = {n_init}
seed = {seed}
timeout = {timeout}
transport = "{transport}"
scaling = {{ method = "minmax", lower = [0, 0], upper = [100, 10] }}
"""
PATIENCE = 60.0
"""Seconds in which a run ends that nobody disturbs, on a machine with other work."""
SOON = 10.0
"""Seconds in which all roles must have ended when one of them fails."""


@dataclass
class Role:
    """The process of a role; what it says goes to two files."""

    name: str
    pid: int
    out: Path
    log: Path
    status: int | None = None
    peak_kb: int = 0

    def ended(self) -> bool:
        """Whether it has; then ``status`` is its exit status, or minus the signal that killed it."""
        if self.status is None:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.status, self.peak_kb = os.waitstatus_to_exitcode(status), used.ru_maxrss
        return self.status is not None

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if not self.ended():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it for good."""
        self.signal(signal.SIGKILL)
        wait_until(self.ended, 10)

    @property
    def said(self) -> str:
        """All that it wrote to standard error."""
        return self.log.read_text(errors="replace")

    @property
    def last_words(self) -> str:
        """Its last line on standard error."""
        return (self.said.splitlines() or [""])[-1]


def wait_until(satisfied: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again; return the last answer."""
    deadline = time.monotonic() + seconds
    while not (answer := satisfied()) and time.monotonic() < deadline:
        time.sleep(0.002)
    return answer


def start(folder: Path, role: str, *options: str, run: str = "run", before: Callable[[], None] | None = None) -> Role:
    """Start ``launcher.py`` in a fork of this process, which has imported everything already.

    Parameters
    ----------
    folder : path
        Of :func:`prepare`; the process works there.
    role : str
    options : str
        More of them.
    run : str
        What its two files are named after.
    before : callable, optional
        Called first in the new process.
    """
    table = () if role not in PARTIES or "--table" in options else ("--table", f"{role}.csv")
    arguments = ["launcher.py", "job.toml", "--party", role, "--identity", role, *table, *options]
    out, log = folder / f"{run}.{role}.out", folder / f"{run}.{role}.log"
    for path in (out, log):
        path.write_bytes(b"")
    pid = os.fork()
    if pid:
        return Role(role, pid, out, log)
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
        launcher.main()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def import_all() -> None:
    """Everything that a role imports, before the first fork."""
    import torch

    import secure_kmeans.deployment
    import secure_kmeans.mpc.crypten_adapter  # noqa: F401

    torch.set_num_threads(1)


def draw_nothing(replace: Callable[[object, str, Any], None] = setattr) -> None:
    """No picture is drawn in this process and its forks: pictures take longer than the whole run."""
    from secure_kmeans import workflow

    for picture in ("draw_clusters", "draw_convergence"):
        replace(workflow, picture, lambda *_: None)


def free_ports(number: int) -> list[int]:
    """Ports that nobody uses, and that no outgoing connection is given."""
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


def prepare(folder: Path, *, rows: int = 30, hosts: dict[str, str] | None = None, **keys: Any) -> dict[str, int]:
    """A job file, identities and tables; returns each role's port."""
    ports = dict(zip(ROLES, free_ports(len(ROLES)), strict=True))
    values = {"n_init": 2, "seed": 0, "timeout": 30.0, "transport": "tls"} | keys
    lines = [JOB.format(**values)]
    for role in ROLES:
        if not (folder / role).exists():
            new_identity(folder / role)
        place = {"address": f"{(hosts or {}).get(role, '127.0.0.1')}:{ports[role]}"}
        place["fingerprint"] = load_identity(folder / role).fingerprint
        lines += ["[dealer]" if role == "dealer" else f'[[parties]]\nname = "{role}"']
        lines += [f'{key} = "{value}"' for key, value in place.items()]
    (folder / "job.toml").write_text("\n".join(lines) + "\n")
    chance = random.Random(7)
    for number, party in enumerate(PARTIES):
        table = ["age,dose"]
        for row in range(rows + 5 * number):
            middle = ((20, 2), (50, 8), (80, 5))[row % 3]
            age, dose = chance.gauss(middle[0], 18), chance.gauss(middle[1], 1.8)
            table.append(f"{min(100.0, max(0.0, age)):.3f},{min(10.0, max(0.0, dose)):.4f}")
        (folder / f"{party}.csv").write_text("\n".join(table) + "\n")
    return ports


def results(folder: Path, party: str) -> dict[str, Any] | None:
    """What a run found, without what differs from run to run; None where there is no complete result."""
    own = folder / "results" / "job" / party
    if not (own / "report.json").exists():
        return None
    found: dict[str, Any] = json.loads((own / "report.json").read_text())
    found = {key: value for key, value in found.items() if key not in ("timing", "communication", "created", "parties")}
    return found | {"labels": (own / f"labels_{party}.csv").read_text()}


def blamed(role: Role) -> str | None:
    """Whom a role's last line names."""
    found = re.search(r'role "([^"]+)" failed: ', role.last_words)
    return found[1] if found else None


class Apart:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports: dict[str, int] = {}
        self.roles: dict[str, Role] = {}
        self._started: list[Role] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for role in self._started:
            role.kill()

    def prepare(self, **keys: Any) -> None:
        self.ports = prepare(self.folder, **keys)

    def start(self, role: str, *options: str, **how: Any) -> Role:
        started = self.roles[role] = start(self.folder, role, *options, run=f"run{len(self._started)}", **how)
        self._started.append(started)
        return started

    def start_all(self, *options: str, order: tuple[str, ...] = ROLES) -> None:
        for role in order:
            self.start(role, *options)

    def wait_for(self, role: str, phrase: str) -> None:
        """Until a role has written this into its log."""
        process = self.roles[role]
        said = wait_until(lambda: phrase in process.said or process.ended(), PATIENCE)
        assert said, f"{role} never said {phrase!r}"
        assert phrase in process.said

    def wait_until_all_end_well(self) -> None:
        self.wait_until_ended(*self.roles, seconds=PATIENCE)
        assert {name: role.status for name, role in self.roles.items()} == dict.fromkeys(self.roles, 0), self.last_words

    def wait_until_ended(self, *roles: str, seconds: float = SOON) -> None:
        ended = wait_until(lambda: all(self.roles[role].ended() for role in roles), seconds)
        assert ended, f"not all have ended: {self.last_words}"

    @property
    def last_words(self) -> dict[str, str]:
        return {name: role.last_words for name, role in self.roles.items()}

    def assert_others_name(self, victim: str, reason: str = "") -> None:
        """All other roles end soon, with status 1, a line that says who failed, and nothing else."""
        others = [name for name in self.roles if name != victim]
        self.wait_until_ended(*others)
        for name in others:
            role = self.roles[name]
            assert (role.status, blamed(role)) == (1, victim), self.last_words
            assert reason in role.last_words, self.last_words
            self.assert_ended_cleanly(name)

    def assert_ended_cleanly(self, role: str) -> None:
        """No result, no traceback."""
        assert "Traceback" not in self.roles[role].said
        assert not self.files(f"results/job/{role}"), "half a result"

    def files(self, where: str) -> list[str]:
        """All files below a folder, hidden ones included."""
        folder = self.folder / where
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def results(self) -> dict[str, Any]:
        return {party: results(self.folder, party) for party in PARTIES}
