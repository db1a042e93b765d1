"""A command line that is called by options alone, by a file, or by the name of a command."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem


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
