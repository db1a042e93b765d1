"""The roles of one job, started one by one, and what a test asserts of them."""

from pathlib import Path
from typing import Any, Final, Self

from roles_apart import PARTIES, PATIENCE, ROLES, RoleProcess, blamed, prepare, results, start, wait_until

SOON: Final = 10.0
"""Seconds in which all roles must have ended when one of them fails."""


class Apart:
    """The roles of one job, each started when the test says so. None outlives the context."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports: dict[str, int] = {}
        self.roles: dict[str, RoleProcess] = {}
        self._started: list[RoleProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for role in self._started:
            role.kill()

    def prepare(self, **keys: Any) -> None:
        self.ports = prepare(self.folder, **keys)

    def start(self, role: str, *options: str, **how: Any) -> RoleProcess:
        started = self.roles[role] = start(self.folder, role, *options, run=f"run{len(self._started)}", **how)
        self._started.append(started)
        return started

    def start_all(self, *options: str, order: tuple[str, ...] = ROLES) -> None:
        for role in order:
            self.start(role, *options)

    def wait_for(self, role: str, phrase: str) -> None:
        """Wait until a role has written this into its log."""
        process = self.roles[role]
        written = wait_until(lambda: phrase in process.output or process.ended(), PATIENCE)
        assert written, f"{role} never wrote {phrase!r}"
        assert phrase in process.output

    def wait_until_all_end_well(self) -> None:
        self.wait_until_ended(*self.roles, seconds=PATIENCE)
        assert {name: role.status for name, role in self.roles.items()} == dict.fromkeys(self.roles, 0), self.last_lines

    def wait_until_ended(self, *roles: str, seconds: float = SOON) -> None:
        ended = wait_until(lambda: all(self.roles[role].ended() for role in roles), seconds)
        assert ended, f"not all have ended: {self.last_lines}"

    @property
    def last_lines(self) -> dict[str, str]:
        """The last line of each role."""
        return {name: role.last_line for name, role in self.roles.items()}

    def assert_others_name(self, victim: str, reason: str = "") -> None:
        """All other roles end soon, with status 1 and a line that names the role that failed, and write no result."""
        others = [name for name in self.roles if name != victim]
        self.wait_until_ended(*others)
        for name in others:
            role = self.roles[name]
            assert (role.status, blamed(role)) == (1, victim), self.last_lines
            assert reason in role.last_line, self.last_lines
            self.assert_ended_cleanly(name)

    def assert_ended_cleanly(self, role: str) -> None:
        """No result, no traceback."""
        assert "Traceback" not in self.roles[role].output
        assert not self.files(f"results/job/{role}"), "half a result"

    def files(self, where: str) -> list[str]:
        """All files below a folder, hidden ones included."""
        folder = self.folder / where
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def results(self) -> dict[str, Any]:
        return {party: results(self.folder, party) for party in PARTIES}
