"""Kill, stop and disturb the roles of a job again and again, and judge how the other roles end.

    python experiments/kill_roles.py --trials 300

Two parties and a dealer run on the loopback interface, each in a process of its own as if started by hand. The script
prints a table. It keeps the logs of all roles of a trial that went wrong.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # a process that forks has no threads

import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from roles_apart import (
    PARTIES,
    ROLES,
    RoleProcess,
    blamed,
    draw_nothing,
    import_all,
    prepare,
    results,
    start,
    wait_until,
)
from terminal import show_progress

from secure_kmeans.app.forms import run_command
from secure_kmeans.net.identity import Identity, new_identity
from secure_kmeans.net.tls import TlsLine

TIMEOUT: Final = 2.0
"""The job's: seconds after which a silent role counts as failed."""
WAIT: Final = 4
"""Seconds that a role waits for the others to connect."""
RIGHT_SECONDS: Final = 10.0
"""Seconds within which all roles have to end after one was struck."""
MOMENTS: Final = (
    *("listening", "is connected", "all roles", "set-up"),
    *("iterations 1 ", "iterations 2 ", "iterations 3 ", "iterations 4 ", "done:", "done:"),
)
"""Parts of log lines: a role is struck when one of them appears."""


def throw_garbage(port: int, chance: random.Random, stranger: Identity) -> list[socket.socket]:
    """Open connections of a stranger, and send garbage on them. The caller closes them."""
    thrown = []
    for _ in range(chance.choice((1, 3, 50))):
        line = socket.socket()
        line.settimeout(1)
        thrown.append(line)
        try:
            line.connect(("127.0.0.1", port))
            match chance.randrange(4):
                case 0:
                    line.sendall(chance.randbytes(chance.choice((1, 100, 1 << 16))))
                case 1:
                    line.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(32))
                case 2:
                    TlsLine(line, stranger, {"00"}, server=False).shake_hands(time.monotonic() + 0.3)
        except OSError:
            continue
    return thrown


@dataclass
class _Experiment:
    folder: Path
    kept: Path
    chance: random.Random
    ports: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    anomalies: list[str] = field(default_factory=list)
    expected: dict[str, Any] = field(default_factory=dict)
    calm_s: float = 0.0
    number: int = 0
    stranger: Identity | None = None
    running: list[RoleProcess] = field(default_factory=list)

    def calm(self) -> None:
        """Run the job undisturbed. All other runs are compared with this one."""
        self.ports = prepare(self.folder, timeout=TIMEOUT)
        self.stranger = new_identity(self.folder / "stranger")
        began = time.monotonic()
        roles = self._start()
        assert wait_until(lambda: all(role.ended() for role in roles), 60)
        assert [role.status for role in roles] == [0, 0, 0], [role.last_line for role in roles]
        self.calm_s = time.monotonic() - began
        self.expected = {party: results(self.folder, party) for party in PARTIES}

    def trial(self) -> None:
        """Run the job with one disturbance, and in some trials resume it."""
        self.number += 1
        for name in ("results", "state"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        kinds = {"kill": 60, "interrupt": 12, "stop": 8, "disturb": 20}
        kind = self.chance.choices(list(kinds), list(kinds.values()))[0]
        self.counts[f"trials: {kind}"] += 1
        roles = self._start()
        ended_well = self._disturbed(roles) if kind == "disturb" else self._struck(roles, kind)
        if ended_well or self.chance.random() < 0.4:
            return
        for again in range(3):
            resume = self._can_resume()
            self.counts["runs resumed" if resume else "runs started anew"] += 1
            roles = self._start(*(("--resume",) if resume else ()), run=f"again{again}")
            if again == 2 or self.chance.random() < 0.5:
                break
            if self._struck(roles, "kill"):
                return
        self._check_all_well(roles, "resumed with the same result" if resume else "started anew with the same result")

    def _start(self, *options: str, run: str = "run") -> list[RoleProcess]:
        order = self.chance.sample(ROLES, len(ROLES))
        waiting = ("--wait", str(WAIT))
        self.running = [start(self.folder, role, *waiting, *options, run=run) for role in order]
        return self.running

    def _can_resume(self) -> bool:
        return all(any((self.folder / "state/job" / party).glob("*.state")) for party in PARTIES)

    def _disturbed(self, roles: list[RoleProcess]) -> bool:
        assert self.stranger is not None
        thrown = []
        for _ in range(self.chance.randrange(1, 4)):
            time.sleep(self.chance.uniform(0, self.calm_s / 4))
            thrown += throw_garbage(self.ports[self.chance.choice(ROLES)], self.chance, self.stranger)
        self._check_all_well(roles, "ended well in spite of strangers")
        for line in thrown:
            line.close()
        return True

    def _struck(self, roles: list[RoleProcess], kind: str) -> bool:
        """Send a signal to one role; return whether the run ended well nevertheless."""
        victim, *others = self.chance.sample(roles, len(roles))
        number = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}.get(
            kind, self.chance.choice((signal.SIGTERM, signal.SIGINT))
        )
        if self.chance.random() < 0.5:
            heard, moment = self.chance.choice(roles), self.chance.choice(MOMENTS)
            wait_until(lambda: moment in heard.output or heard.ended(), 2 * self.calm_s)
            time.sleep(self.chance.choice((0.0, 0.0, 0.001, 0.01)))
            when = f'at "{moment}" of {heard.name}'
        else:
            delay = self.chance.uniform(0, 1.05 * self.calm_s)
            time.sleep(delay)
            when = f"after {delay:.3f} s"
        what = f"{signal.Signals(number).name} to {victim.name} {when}"
        if victim.ended():
            self._check_all_well(roles, "ended well before it was struck")
            return True
        os.kill(victim.pid, number)
        struck_at = time.monotonic()
        limit = RIGHT_SECONDS + (TIMEOUT if kind == "stop" else 0)
        all_ended = wait_until(lambda: all(other.ended() for other in others), limit + WAIT)
        seconds = time.monotonic() - struck_at
        if not all_ended:
            self._hang(roles, what)
            return False
        if kind == "stop":
            victim.kill()
        elif not wait_until(victim.ended, limit):
            self._hang(roles, what)
            return False
        return self._judge(victim, others, kind, what, seconds > limit)

    def _judge(self, victim: RoleProcess, others: list[RoleProcess], kind: str, what: str, late: bool) -> bool:
        wrong = []
        if late:
            wrong.append("late")
        for role in (victim, *others):
            found = results(self.folder, role.name) if role.name in PARTIES else None
            own = self.folder / "results/job" / role.name
            if found is not None and found != self.expected[role.name]:
                wrong.append(f"half results: {role.name}'s differ")
            if role is not victim and role.status and own.exists() and any(own.iterdir()):
                wrong.append(f"half results: {role.name} failed and left some")
            if role is not victim and not role.status and role.name in PARTIES and found is None:
                wrong.append(f"half results: {role.name} ended well and has none")
            if "Traceback" in role.output:
                wrong.append(f"traceback of {role.name}")
        failed = [other for other in others if other.status]
        for other in failed:
            if other.status == 1 and "is connected" not in other.output and "did not connect" in other.last_line:
                self.counts["had met nobody yet, and waited in vain"] += 1
            elif other.status != 1 or blamed(other) != victim.name:
                wrong.append(f"wrong name: {other.name} ended with {other.status}: {other.last_line}")
            elif kind == "interrupt" and victim.status == 130 and "it was interrupted" not in other.last_line:
                self.counts[f"interrupted, and others say:{other.last_line.split('failed:')[1]}"] += 1
        if kind == "interrupt" and victim.status not in (0, 130):
            early = victim.status == -signal.SIGTERM and "is connected" not in victim.output
            if early:
                self.counts["interrupted before it met anybody"] += 1
            else:
                wrong.append(f"wrong end: {victim.name} ended with {victim.status}: {victim.last_line}")
        if len(failed) == 1:
            self.counts["ended well at one role, failed at another"] += 1
        self._count(failed, what, wrong)
        return not failed

    def _count(self, failed: list[RoleProcess], what: str, wrong: list[str]) -> None:
        for each in wrong:
            self.counts[each.split(":")[0]] += 1
        if wrong:
            self._keep(f"{what}: {'; '.join(wrong)}")
        else:
            self.counts["failed rightly" if failed else "ended well, struck too late"] += 1

    def _check_all_well(self, roles: list[RoleProcess], as_what: str) -> None:
        if not wait_until(lambda: all(role.ended() for role in roles), 30 + WAIT):
            self._hang(roles, as_what)
            return
        found = {party: results(self.folder, party) for party in PARTIES}
        if [role.status for role in roles] == [0, 0, 0] and found == self.expected:
            self.counts[as_what] += 1
        elif any("no state in common" in role.output for role in roles):
            self.counts["no state in common"] += 1
            self._keep("no state in common")
        else:
            self.counts["did not end well"] += 1
            self._keep(f"not {as_what}: {[(role.name, role.status, role.last_line) for role in roles]}")

    def _hang(self, roles: Iterable[RoleProcess], what: str) -> None:
        self.counts["hangs"] += 1
        hanging = [role for role in roles if not role.ended()]
        for role in hanging:
            role.signal(signal.SIGUSR1)
        time.sleep(0.5)
        for role in hanging:
            role.kill()
        self._keep(f"{what}: {', '.join(role.name for role in hanging)} still ran")

    def _keep(self, what: str) -> None:
        click.echo(f"trial {self.number}: {what}")
        self.anomalies.append(what)
        where = self.kept / f"trial{self.number}-{len(self.anomalies)}"
        shutil.copytree(self.folder, where, ignore=shutil.ignore_patterns("*.png", "key.pem"))
        (where / "what").write_text(what + "\n")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--trials", type=click.IntRange(min=1), default=300, show_default=True)
@click.option(
    "--seed", type=int, default=None, help="Decides which role is struck, how and when.  [default: a fresh one]"
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results/kill_roles"),
    show_default=True,
    metavar="DIR",
    help="Where the logs of trials that went wrong go.",
)
def main(trials: int, seed: int | None, keep: Path) -> None:
    """Strike a random role at a random moment, and judge whether all others end soon and name it.

    Exit status 1 where a role hung, left half a result, named the wrong role, or a resumed run found something else.
    """
    import_all()
    draw_nothing()
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    click.echo(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="kill-roles-") as folder:
        experiment = _Experiment(Path(folder), keep, random.Random(seed))  # noqa: S311
        experiment.calm()
        click.echo(f"an undisturbed run takes {experiment.calm_s:.2f} s")
        began = time.monotonic()
        try:
            for number in range(1, trials + 1):
                experiment.trial()
                show_progress("trial", number, trials)
        finally:
            for role in experiment.running:
                role.kill()
        seconds = time.monotonic() - began
    click.echo(f"{trials} trials, {seconds / trials:.2f} s each")
    for what, count in sorted(experiment.counts.items()):
        click.echo(f"{count:6}  {what}")
    if experiment.anomalies:
        click.echo(f"{len(experiment.anomalies)} anomalies, their logs in {keep}")
    sys.exit(bool(experiment.anomalies))


if __name__ == "__main__":
    run_command(main)
