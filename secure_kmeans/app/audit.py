"""The command line's options for consent and history, and the command that verifies a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from secure_kmeans.app.options import FILE, SETTINGS, Decorator, option

history_option: Decorator = option(
    "--history",
    type=FILE,
    metavar="FILE",
    help="The party's list of the runs in which it took part.  [default: state/history.json]",
)


def consent_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options with which a party agrees to what a run will disclose."""
    yes = option("--yes", is_flag=True, help="A party agrees to all that is announced, and is not asked.")
    accept = option(
        "--accept",
        type=FILE,
        metavar="FILE",
        help="A party agrees to what this file of its own lists, is not asked, and refuses all else.",
    )
    return yes(accept(command))


def refuse_two_answers(yes: bool, accept: Path | None) -> None:
    """Refuse --yes together with --accept, which it would make void."""
    if yes and accept is not None:
        raise click.UsageError("--yes agrees to all, and --accept to what a file lists: give one of them")


@click.command(context_settings=SETTINGS)
@click.argument("report", type=FILE)
def verify(report: Path) -> None:
    """Verify the signature beside a party's REPORT.json, and say what that proves. Nothing is written.

    A party with --party signs its report by the key of its identity. A rehearsal signs nothing.
    """
    from secure_kmeans.app import commands, console

    console.print_verified(commands.verify(report))
