"""Encrypted k-means: ``python launcher.py --help``."""

import re
import sys
from pathlib import Path
from typing import Any, Final

import click

from secure_kmeans.options import Options, run, shared_options

_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_FILE: Final = click.Path(path_type=Path)
_FORMS: Final = """\b
Other forms:
  launcher.py JOB.toml ...      a job file: all its roles here, or one of them with --party
  launcher.py new-identity ...  a key and a certificate for a role
  launcher.py check JOB.toml    whether a table and an identity fit a job
Each has a --help of its own."""


@click.command(context_settings=_SETTINGS, epilog=_FORMS)
@shared_options("data", "parties", "clusters", "algorithm")
@click.option("--skip-plaintext", is_flag=True, help="Do not run the plaintext baseline on all rows for comparison.")
@shared_options("output")
def tables(skip_plaintext: bool, **options: Any) -> None:
    """Cluster several parties' rows on secret shares, and compare with a plaintext run.

    All parties and the dealer run on this machine, each in a process of its own that reads its own rows only.
    Without options: the 200 mall customers, split between two parties, in five clusters.
    """
    from secure_kmeans import workflow

    workflow.encrypted(Options(**options), skip_plaintext=skip_plaintext)


@click.command(context_settings=_SETTINGS)
@click.argument("job", type=_FILE)
@click.option(
    "--party", metavar="NAME", help='Run this role alone, a party or "dealer".  [default: all, on this machine]'
)
@click.option(
    "--table",
    multiple=True,
    metavar="FILE",
    help="The party's rows, CSV or Parquet. For all roles: NAME=FILE for each party.  [default: NAME.csv beside JOB]",
)
@click.option("--identity", type=_FILE, metavar="DIR", help="The folder that new-identity made; needed with --party.")
@click.option("--resume", is_flag=True, help="Go on after the last iteration of a run that was cut off.")
@click.option(
    "--output", type=_FILE, metavar="DIR", help="Where the results go.  [default: results/JOB or results/JOB/NAME]"
)
@click.option(
    "--state",
    type=_FILE,
    metavar="DIR",
    help="Where a party keeps its shares after each iteration, to resume from.  [default: state/JOB or state/JOB/NAME]",
)
@click.option("--listen", metavar="HOST:PORT", help="Listen here, not at the job's address: behind a router, say.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for roles that have not come.  [default: for ever]",
)
@click.option("--log", type=_FILE, metavar="FILE", help="Write the log there.  [default: standard error]")
@click.option("--skip-plaintext", is_flag=True, help="With all roles: no plaintext run for comparison.")
def job(job: Path, party: str | None, table: tuple[str, ...], skip_plaintext: bool, **place: Any) -> None:
    """Run a job file: all its roles on this machine, as a rehearsal, or with --party one of them.

    Every role needs the same job file. A party brings its table, and every role the identity whose fingerprint the
    job names. Whoever starts first waits for the others.
    """
    from secure_kmeans import deployment

    _refuse_what_does_nothing(party, skip_plaintext=skip_plaintext, table=table, **place)
    if party is None:
        deployment.run_all(
            job, deployment.parse_tables(table), deployment.Place(**place), skip_plaintext=skip_plaintext
        )
    elif len(table) > 1:
        raise click.UsageError("--table: with --party, name one file")
    else:
        own = Path(table[0]) if table else None
        deployment.run_one(job, party, deployment.Place(table=own, **place))


def _refuse_what_does_nothing(party: str | None, **given: Any) -> None:
    """An option that would be passed over in silence is a mistake."""
    if party is None:
        where, idle = "is for one role: name it with --party", "identity listen wait log"
    elif party == "dealer":
        where, idle = "does nothing at the dealer", "table output state skip_plaintext"
    else:
        where, idle = "is for all roles on this machine, without --party", "skip_plaintext"
    for name in idle.split():
        if given[name] not in (None, False, ()):
            raise click.UsageError(f"--{name.replace('_', '-')} {where}")


@click.command(context_settings=_SETTINGS)
@click.argument("name")
@click.option("--folder", type=_FILE, metavar="DIR", help="Where it goes.  [default: NAME]")
def new_identity(name: str, folder: Path | None) -> None:
    """Make a key and a certificate for the role NAME, and print the fingerprint for the job.

    Only you can read the files. The other roles need the fingerprint alone: send it by a way on which nobody can
    change it.
    """
    from secure_kmeans.console import print_identity
    from secure_kmeans.job import NAME_PATTERN
    from secure_kmeans.net.identity import new_identity

    if not re.fullmatch(NAME_PATTERN, name):
        raise click.UsageError(f'"{name}" is no name of a role: letters, digits, "_", "-", "."; --folder says where')
    where = folder or Path(name)
    print_identity(name, where, new_identity(where).fingerprint)


@click.command(context_settings=_SETTINGS)
@click.argument("job", type=_FILE)
@click.option("--party", metavar="NAME", help="The role to check for.  [default: the one whose identity it is]")
@click.option("--table", type=_FILE, metavar="FILE", help="The party's rows.")
@click.option("--identity", type=_FILE, metavar="DIR", help="The folder that new-identity made.")
def check(job: Path, party: str | None, **place: Any) -> None:
    """Tell whether a table and an identity fit a job. Nothing is sent anywhere."""
    from secure_kmeans import deployment

    deployment.check(job, party, deployment.Place(**place))


def main() -> None:
    """The form that the first argument names."""
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    named = {"new-identity": new_identity, "check": check}
    if first in named:
        run(named[first], sys.argv[2:], first)
    elif first and not first.startswith("-"):
        run(job, sys.argv[1:])
    else:
        run(tables)


if __name__ == "__main__":
    main()
