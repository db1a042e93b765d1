"""The progress of an experiment, on one line of the terminal."""

import sys

import click


def show_progress(what: str, done: int, total: int) -> None:
    """Overwrite the line; end it with the last step. Nothing is written where standard error is no terminal."""
    if sys.stderr.isatty():
        click.echo(f"\r{what} {done:,} of {total:,}", nl=done == total, err=True)
