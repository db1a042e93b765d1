"""The forms of a command: what their messages call a key, how they end, and the group that chooses one of them."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import click
from click.shell_completion import CompletionItem

from secure_kmeans.app.inputs import JOBS
from secure_kmeans.errors import (
    ConsentError,
    DataError,
    IdentityError,
    JobError,
    SecureKMeansError,
    SignatureError,
    StateError,
)
from secure_kmeans.words import printable

log: Final = logging.getLogger(__name__)

_KEYS: Final = {
    "clusters": ("n_clusters",),
    "scale": ("scaling.method",),
    "bounds": ("scaling",),
    "init": ("init", "centroids"),
    "state": ("states",),
    "disclose_centroids": ("disclose.centroids", "disclose_centroids"),
    "disclose_labels": ("disclose.labels", "disclose_labels"),
}
"""The keys for which an option stands; an option that is not here has the name of its key."""


class Form(click.Command):
    """A command whose messages call a key as its options do."""

    @property
    def names(self) -> Mapping[str, str]:
        """What a user of this command calls each key, see :func:`secure_kmeans.words.named`."""
        options = [each for each in self.params if isinstance(each, click.Option)]
        return {
            key: max(each.opts, key=len) for each in options for key in _KEYS.get(each.name or "", (each.name or "",))
        }

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; an error of this package tells its message in the words of this command."""
        try:
            return super().invoke(ctx)
        except SecureKMeansError as error:
            error.names = self.names
            raise


class FormOfOptions(Form):
    """A command that makes the job itself: a key that no option stands for is not mentioned."""

    @property
    def names(self) -> Mapping[str, str]:
        """See :class:`Form`."""
        fields = [field for job in JOBS.values() for field in job.model_fields]
        return {**dict.fromkeys(fields, ""), **super().names}


class Interrupted(KeyboardInterrupt):
    """An interrupt, with its message."""


@contextlib.contextmanager
def noting_the_end(form: Form, states: Path | None, *, logged: bool) -> Iterator[None]:
    """Say of an interrupt which states are kept, and write the reason for the end of a run to the log.

    Parameters
    ----------
    form : Form
    states : path or None
        The folder in which states may be.
    logged : bool
        Whether the log is a file. Standard error has the reason anyway.
    """
    try:
        yield
    except KeyboardInterrupt:
        end = Interrupted(_interrupted(states))
        if logged:
            log.error("ended: %s", end)
        raise end from None
    except Exception as error:
        if isinstance(error, SecureKMeansError):
            error.names = form.names
        if logged:  # the text of an error of another package may hold a value
            known = isinstance(error, SecureKMeansError | OSError)
            log.error("ended: %s", message_of(error) if known else type(error).__name__)
        raise


def _interrupted(states: Path | None) -> str:
    if states is None or not any(states.rglob("*.state")):
        return "interrupted; nothing was written"
    return f"interrupted; no result was written, but the states are kept in {states}: go on with --resume"


def message_of(error: Exception) -> str:
    """The message of an error, in one line."""
    if isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, OSError) and error.filename:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error)
    return printable(" ".join(text.split()))


def run_command(command: click.Command) -> None:
    """Run a command with this process's arguments. A mistake or a failure is one line on standard error.

    Exit status: 0 done, 1 a run failed, 2 wrong options, tables, identities or states, 130 interrupted.
    """
    try:
        command.main(prog_name=Path(sys.argv[0]).name, standalone_mode=False)
    except (click.Abort, KeyboardInterrupt) as end:
        cause = end if isinstance(end, Interrupted) else end.__cause__
        _end(str(cause) if isinstance(cause, Interrupted) else "interrupted; nothing was written", 130)
    except (
        click.ClickException,
        ConsentError,
        DataError,
        IdentityError,
        JobError,
        SignatureError,
        StateError,
    ) as error:
        _end(message_of(error), 2)
    except (SecureKMeansError, OSError) as error:
        _end(message_of(error), 1)


def _end(message: str, status: int) -> NoReturn:
    print_error(message)
    sys.exit(status)


def print_error(message: str) -> None:
    """Print one line on standard error, after the name of the program."""
    click.echo(f"{Path(sys.argv[0]).name}: {message}", err=True)


class Forms(click.Group):
    """A group that is called by options alone, by a job file, or by the name of a command.

    Parameters
    ----------
    alone : click.Command
        For options, or nothing.
    with_file : click.Command
        For a first argument that is neither an option nor the name of a command.
    """

    def __init__(self, *, alone: click.Command, with_file: click.Command, **settings: Any) -> None:
        super().__init__(**settings)
        self.alone, self.with_file = alone, with_file

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of the form that the arguments choose; the group's own to complete a first argument."""
        if not args and extra.get("resilient_parsing"):
            return super().make_context(info_name, args, parent, **extra)
        command, name, rest = self.alone, info_name, args
        if args and args[0] in self.commands:
            command, name, rest = self.commands[args[0]], f"{info_name} {args[0]}", args[1:]
        elif args and not args[0].startswith("-"):
            command = self.with_file
        return command.make_context(name, rest, parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:  # noqa: ARG002
        """Parse nothing: only completion asks for the group's own context."""
        return args

    def invoke(self, ctx: click.Context) -> Any:
        """Run the form whose context this is."""
        return ctx.command.invoke(ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a first argument: an option, a command or a file."""
        if incomplete.startswith("-"):
            alone = self.alone.make_context(ctx.info_name, [], resilient_parsing=True)
            return self.alone.shell_complete(alone, incomplete)
        named = [CompletionItem(name) for name in sorted(self.commands) if name.startswith(incomplete)]
        return [*named, CompletionItem(incomplete, type="file")]
