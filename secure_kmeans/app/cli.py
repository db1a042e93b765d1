"""The command line: ``launcher.py`` or ``secure-kmeans``, ``main.py`` and ``experiments/elbow.py``.

Commands and the console are imported when a form is chosen, so that ``--help`` and a refused option take no time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from click.shell_completion import get_completion_class

from secure_kmeans.app.audit import consent_options, history_option, refuse_two_answers, verify
from secure_kmeans.app.forms import Form, FormOfOptions, Forms, message_of, noting_the_end, print_error, run_command
from secure_kmeans.app.inputs import Options
from secure_kmeans.app.options import FILE, FOLDER, SETTINGS, option, shared_options
from secure_kmeans.version import VERSION

if TYPE_CHECKING:
    from secure_kmeans.app.commands import Run
    from secure_kmeans.errors import RoleError

_SHELLS = ("bash", "zsh", "fish")
_OF_A_PARTY = ("yes", "accept", "history")
_FORMS = """\b
Other forms:
  JOB.toml ...             a job file: all its roles here, or one of them with --party
  check JOB.toml ...       whether a table and an identity fit a job
  new-identity NAME ...    a key and a certificate for a role
  verify REPORT.json       whether a party's report is signed by it and has not changed
  predict MODEL ...        labels of new rows by the clusters of an earlier run
  completion SHELL         a script that lets a shell complete all of this
Each has a --help of its own. For completion in bash: eval "$(secure-kmeans completion bash)"."""


@click.command(cls=FormOfOptions, context_settings=SETTINGS, epilog=_FORMS)
@shared_options("data", "chunks", "protocol", "columns", "parties", "addition", "hiding", "clusters", "algorithm")
@option("--skip-plaintext", is_flag=True, help="Do not run the plaintext baseline on all rows for comparison.")
@shared_options("output")
@click.version_option(VERSION, message="secure_kmeans %(version)s")
def tables(skip_plaintext: bool, output: Path | None, **options: Any) -> None:
    """Cluster several parties' rows or columns, encrypted, and compare with a plaintext run.

    All roles run on this machine, each in a process of its own. A party's process reads its own table only.
    Without options: the 200 mall customers, split between two parties, in five clusters.
    """
    from secure_kmeans.app import commands, console

    with console.showing_run() as (announce, progress):
        run = commands.cluster(
            Options(**options), output, compare=not skip_plaintext, announce=announce, progress=progress
        )
    _print_summary(run)


@click.command(cls=Form, context_settings=SETTINGS)
@click.argument("job", type=FILE)
@option("--party", metavar="NAME", help="Run this role alone, a party or a helper such as the dealer.  [default: all]")
@option(
    "--table",
    type=click.Path(),
    multiple=True,
    metavar="FILE",
    help="The party's rows, CSV or Parquet. For all roles: NAME=FILE for each party.  [default: NAME.csv beside JOB]",
)
@shared_options("chunks")
@option("--identity", type=FILE, metavar="DIR", help="The folder that new-identity made; needed with --party.")
@option("--resume", is_flag=True, help="Go on after the last iteration of a run that was cut off.")
@option("--output", type=FILE, metavar="DIR", help="Where the results go.  [default: results/JOB or results/JOB/NAME]")
@option(
    "--state",
    type=FILE,
    metavar="DIR",
    help="Where a party keeps what it needs after each iteration, to resume from, and its share of a model that is "
    "not public; of a prediction, where its share of the model is.  [default: state/JOB or state/JOB/NAME; of a "
    "prediction, all folders below state]",
)
@option("--listen", metavar="HOST:PORT", help="Listen here, not at the job's address: behind a router, say.")
@option(
    "--wait",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for roles that have not connected.  [default: without a limit]",
)
@consent_options
@history_option
@option("--log", type=FILE, metavar="FILE", help="Write the log there.  [default: standard error]")
@option("--skip-plaintext", is_flag=True, help="With all roles: no plaintext run for comparison.")
@click.pass_context
def job_file(
    ctx: click.Context,
    /,
    job: Path,
    party: str | None,
    table: tuple[str, ...],
    log: Path | None,
    skip_plaintext: bool,
    state: Path | None,
    yes: bool,
    accept: Path | None,
    **files: Any,
) -> None:
    """Run a job file: all its roles on this machine, as a rehearsal, or with --party one of them.

    Every role needs the same job file. A party brings its table, and every role the identity whose fingerprint the
    job names. The first to start waits for the others.
    """
    from secure_kmeans.app import commands, console
    from secure_kmeans.app.consent import check_consent

    form = ctx.command
    assert isinstance(form, Form)
    if party is None:
        _refuse(ctx, "is for one role: name it with --party", "identity", "listen", "wait", "log", *_OF_A_PARTY)
        named = _named_tables(table)
        own = commands.RoleFiles(
            output=files["output"], states=state, resume=files["resume"], chunk_rows=files["chunk_rows"]
        )
        states = state or Path("state") / job.stem
        with noting_the_end(form, states, logged=False), console.showing_run() as (announce, progress):
            run = commands.rehearse(job, named, own, compare=not skip_plaintext, announce=announce, progress=progress)
        _print_summary(run, of_job_file=True)
        return
    _refuse(ctx, "is for all roles on this machine, without --party", "skip_plaintext")
    if len(table) > 1:
        raise click.UsageError("--table: with --party, name one file")
    refuse_two_answers(yes, accept)
    own = commands.RoleFiles(table=Path(table[0]) if table else None, states=state, **files)

    def announce_and_ask(announcement: commands.Announcement) -> None:
        console.print_announcement(announcement)
        check_consent(announcement, yes=yes, accepted=accept)

    def give_up(error: RoleError) -> None:
        if log is not None:
            print_error(message_of(error))
        os._exit(1)

    states = state or Path("state") / job.stem / party
    ending = noting_the_end(form, states, logged=log is not None)
    with console.operator_log(party, log), ending, _terminable():
        run = commands.take_part(job, party, own, announce=announce_and_ask, give_up=give_up)
    _print_summary(run, of_job_file=True)


def _print_summary(run: Run, *, of_job_file: bool = False) -> None:
    from secure_kmeans.app import summary

    summary.print_run(run, of_job_file=of_job_file)


def _refuse(ctx: click.Context, why: str, *names: str) -> None:
    """Refuse options that would do nothing; environment variables may stand for other forms."""
    for name in names:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} {why}")


def _named_tables(values: Sequence[str]) -> dict[str, Path]:
    """``NAME=FILE`` of each --table."""
    named: dict[str, Path] = {}
    for value in values:
        name, equals, file = value.partition("=")
        if not equals or not name or not file:
            raise click.UsageError(f"--table {value}: without --party, write NAME=FILE for each party")
        if name in named:
            raise click.UsageError(f'--table: "{name}" is named twice')
        named[name] = Path(file)
    return named


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Treat SIGTERM like an interrupt, which this role reports to the other roles."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


launcher = Forms(alone=tables, with_file=job_file, name="secure-kmeans")


@launcher.command(cls=Form, context_settings=SETTINGS)
@click.argument("name")
@option("--folder", type=FILE, metavar="DIR", help="Where it goes.  [default: NAME]")
def new_identity(name: str, folder: Path | None) -> None:
    """Make a key and a certificate for the role NAME, and print the fingerprint for the job.

    Only you can read the files. The other roles need the fingerprint alone: send it by a way on which nobody can
    change it.
    """
    from secure_kmeans.app import commands, console

    console.print_identity(commands.new_identity(name, folder))


@launcher.command(cls=Form, context_settings=SETTINGS)
@click.argument("job", type=FILE)
@option("--party", metavar="NAME", help="The role to check for.  [default: the one whose identity it is]")
@option("--table", type=FILE, metavar="FILE", help="The party's rows.")
@shared_options("chunks")
@option("--identity", type=FILE, metavar="DIR", help="The folder that new-identity made.")
@history_option
def check(job: Path, party: str | None, **files: Any) -> None:
    """Check whether a table and an identity fit a job, and show what a run discloses. Nothing is sent anywhere."""
    from secure_kmeans.app import commands, console

    console.print_check(commands.check(job, party, commands.RoleFiles(**files)))


@launcher.command(cls=Form, context_settings=SETTINGS)
@click.argument("model", type=FILE)
@option(
    "--data",
    type=click.Path(),
    multiple=True,
    required=True,
    metavar="FILE",
    help="New rows; may be given several times. On shares: a file for each party, or NAME=FILE for those who have new "
    "rows.",
)
@option(
    "--session", metavar="DIGITS", help="On shares: the session of the run whose model it is.  [default: the latest]"
)
@option(
    "--output",
    type=FOLDER,
    metavar="DIR",
    help="Where the labels go.  [default: prediction beside the report, or results/FOLDER-predict]",
)
@click.pass_context
def predict(
    ctx: click.Context, /, model: Path, data: tuple[str, ...], session: str | None, output: Path | None
) -> None:
    """Label new rows by the MODEL of an earlier run.

    MODEL is a report.json with public centroids: the labels are computed here, and nothing is sent.

    Or MODEL is the folder of all parties' states, such as state/JOB, after a fit whose centroids stay in shares: all
    roles run on this machine. On machines of their own they run the job file JOB-predict.toml that the fit wrote.
    """
    from secure_kmeans.app import commands, console

    if model.is_dir():
        with console.showing_run() as (announce, progress):
            run = commands.predict_on_shares(model, data, output, session=session, announce=announce, progress=progress)
        _print_summary(run)
        return
    _refuse(ctx, "is for a model in shares", "session")
    found = commands.predict(model, [Path(path) for path in data], output)
    for path in found.files:
        click.echo(path)
    for remark in found.remarks:
        click.echo(remark, err=True)


launcher.add_command(verify)


@launcher.command(cls=Form, context_settings=SETTINGS)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print a script that lets SHELL complete options, commands and files.

    For bash: eval "$(secure-kmeans completion bash)"; the same with launcher.py where it is called by this name.
    """
    name = Path(sys.argv[0]).name
    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(launcher, {}, name, f"_{name}_COMPLETE".replace("-", "_").replace(".", "_").upper()).source())


@click.command(cls=FormOfOptions, context_settings=SETTINGS)
@shared_options("data", "clusters", "algorithm")
@option("--elbow", is_flag=True, help="Run 1 to 10 clusters and draw the elbow instead.")
@shared_options("output")
def in_the_clear(elbow: bool, output: Path | None, **options: Any) -> None:
    """Cluster rows in the clear: the plaintext run that launcher.py compares itself with.

    Without options: the 200 mall customers in five clusters. Several --data files are put together.
    """
    from secure_kmeans.app import commands

    if elbow:
        _elbow(Options(**options), output, encrypted=False)
    else:
        _print_summary(commands.cluster_in_the_clear(Options(**options), output))


@click.command(cls=FormOfOptions, context_settings=SETTINGS)
@shared_options("data", "parties", "algorithm", "output")
@option("--skip-encrypted", is_flag=True, help="Only the plaintext runs.")
def elbow(skip_encrypted: bool, output: Path | None, **options: Any) -> None:
    """Run 1 to 10 clusters, in the clear and encrypted, and draw inertia and mean-distance loss against them.

    Without options: the mall customers, split between two parties. Some two minutes.
    """
    _elbow(Options(**options), output, encrypted=not skip_encrypted)


def _elbow(options: Options, output: Path | None, *, encrypted: bool) -> None:
    from secure_kmeans.app import commands, console

    with console.showing_steps("Clusters") as (announce, progress):
        found = commands.elbow(options, output, encrypted=encrypted, announce=announce, progress=progress)
    from secure_kmeans.app import summary

    summary.print_elbow(found)


def launch() -> None:
    """The console script ``secure-kmeans``, and ``launcher.py``."""
    run_command(launcher)


def launch_in_the_clear() -> None:
    """``main.py``."""
    run_command(in_the_clear)


def launch_elbow() -> None:
    """``experiments/elbow.py``."""
    run_command(elbow)
