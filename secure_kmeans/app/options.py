"""The command line that ``launcher.py``, ``main.py`` and the experiments share."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import click

from secure_kmeans.errors import DataError, IdentityError, JobError, SecureKMeansError, StateError
from secure_kmeans.job import LONGEST_TIMEOUT, SEEDS, Init, ScalingMethod

_STARTS: Final = get_args(Init)


@dataclass(frozen=True)
class Options:
    """What a person asked for.

    Attributes
    ----------
    data : tuple of paths
        One to split, or one for each party; empty: the mall customers.
    columns : tuple of str
    clusters, parties, seed, n_init, max_iter, tol
    init : an initialisation, or the path of a file of centroids
    scale : ScalingMethod
    bounds : (lower, upper) or None
    output : path or None
    """

    data: tuple[Path, ...] = ()
    columns: tuple[str, ...] = ()
    clusters: int = 5
    parties: int | None = None
    init: str = "farthest"
    seed: int | None = None
    n_init: int = 5
    max_iter: int = 100
    tol: float = 1e-8
    scale: ScalingMethod = "uniform"
    bounds: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    output: Path | None = None
    timeout: float = 60.0
    transport: Literal["tls", "gloo"] = "tls"
    engine: Literal["secure", "crypten"] = "secure"
    hide_counts: bool = False


class _Columns(click.ParamType[tuple[str, ...]]):
    name = "list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        try:
            columns = tuple(cell.strip() for cell in next(csv.reader([value], skipinitialspace=True), []))
        except csv.Error:
            columns = ("",)
        if not columns or not all(columns):
            self.fail("a name is empty; separate names or numbers by single commas", param, ctx)
        return columns


class _Bounds(click.ParamType[tuple[tuple[float, ...], tuple[float, ...]]]):
    name = "low:high,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if isinstance(value, tuple):
            return value
        try:
            pairs = [(float(low), float(high)) for low, high in (pair.split(":") for pair in value.split(","))]
        except ValueError:
            pairs = [(math.nan, math.nan)]
        if not all(math.isfinite(bound) for pair in pairs for bound in pair):
            self.fail("write one pair of numbers for each column, like 0:150,0:100", param, ctx)
        lower, upper = zip(*pairs, strict=True)
        return lower, upper


class _Start(click.ParamType[str]):
    name = "start"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in _STARTS and not Path(value).is_file():
            self.fail(f'"{value}" is neither {", ".join(_STARTS)} nor a file of centroids', param, ctx)
        return str(value)


class _Whole(click.IntRange):
    name = "whole number"


class _Real(click.FloatRange):
    name = "number"


_DATA: Final = [
    click.option(
        "--data",
        type=click.Path(path_type=Path),
        multiple=True,
        metavar="FILE",
        help="CSV or Parquet file with a header. Given once, its rows are split among the parties; given several "
        "times, each party has its own file.  [default: the mall customers]",
    ),
    click.option(
        "--columns",
        type=_Columns(),
        default=(),
        metavar="LIST",
        help="Columns to cluster by, names or numbers counted from 1, separated by commas.  [default: all; of the "
        "mall customers, income and spending]",
    ),
    click.option(
        "--scale",
        type=click.Choice(get_args(ScalingMethod)),
        default="uniform",
        show_default=True,
        help="uniform: one factor for all columns, so the clusters are those of the table as it is; minmax: every "
        "column weighs the same; none: the table is scaled already.",
    ),
    click.option(
        "--bounds",
        type=_Bounds(),
        default=None,
        help="What the parties agreed that each column lies between. Without it the tables' own smallest and "
        "largest values become known to all parties.",
    ),
]
_CLUSTERS: Final = [
    click.option(
        "--clusters", type=_Whole(min=1), default=5, metavar="K", show_default=True, help="Number of clusters."
    ),
]
_ALGORITHM: Final = [
    click.option(
        "--init",
        type=_Start(),
        default="farthest",
        metavar="START",
        show_default=True,
        help="farthest: a random row, then each time the row farthest from all centroids so far; k-means++: drawn by "
        "squared distance; random: random rows; or the name of a CSV file of centroids.",
    ),
    click.option(
        "--seed",
        type=_Whole(min=0, max=SEEDS - 1),
        default=None,
        metavar="N",
        help="Repeat a run: draws the public coins, never a share or a mask.  [default: tossed anew, by all parties "
        "together]",
    ),
    click.option(
        "--n-init",
        type=_Whole(1, 1000),
        default=5,
        metavar="N",
        show_default=True,
        help="Starts to try; the best is kept.",
    ),
    click.option(
        "--max-iter",
        type=_Whole(min=1),
        default=100,
        metavar="N",
        show_default=True,
        help="Iterations after which to stop in any case.",
    ),
    click.option(
        "--tol",
        type=_Real(min=0),
        default=1e-8,
        metavar="X",
        show_default=True,
        help="Stop when the squared movements of all centroids, in scaled units, add up to no more.",
    ),
]
_PARTIES: Final = [
    click.option(
        "--parties",
        type=_Whole(2, 10),
        default=None,
        metavar="N",
        help="Number of parties, 2 to 10.  [default: 2, or one for each --data]",
    ),
    click.option(
        "--timeout",
        type=_Real(1, LONGEST_TIMEOUT),
        default=60.0,
        metavar="SECONDS",
        show_default=True,
        help="How long a party may be silent before it counts as failed.",
    ),
    click.option(
        "--transport",
        type=click.Choice(["tls", "gloo"]),
        default="tls",
        show_default=True,
        help="What carries the shares between the processes; gloo encrypts nothing.",
    ),
    click.option(
        "--engine",
        type=click.Choice(["secure", "crypten"]),
        default="secure",
        show_default=True,
        help="What computes on the shares; crypten, CrypTen's own circuits, is for comparison only.",
    ),
    click.option("--hide-counts", is_flag=True, help="Nobody learns the cluster sizes, not even at the end."),
]
_OUTPUT: Final = [
    click.option(
        "--output",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        metavar="DIR",
        help="Where the report and the pictures go.  [default: results/NAME]",
    ),
]

Group = Literal["data", "clusters", "algorithm", "parties", "output"]
_GROUPS: Final[dict[Group, list[Any]]] = {
    "data": _DATA,
    "clusters": _CLUSTERS,
    "algorithm": _ALGORITHM,
    "parties": _PARTIES,
    "output": _OUTPUT,
}


def shared_options(*groups: Group) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that adds these groups of options to a command, in this order."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed([option for group in groups for option in _GROUPS[group]]):
            command = option(command)
        return command

    return decorate


def run(command: click.Command, arguments: Sequence[str] | None = None, form: str = "") -> None:
    """Run a command to its end; a mistake or a failure is one line on standard error, never a traceback.

    Exit status: 0 done, 1 a run failed, 2 wrong options, tables, identities or states, 130 interrupted.

    Parameters
    ----------
    command : click.Command
    arguments : sequence of str, optional
        Those of this process, if not given.
    form : str
        What follows the script's name in the usage.
    """
    name = Path(sys.argv[0]).name
    try:
        command.main(arguments, prog_name=f"{name} {form}".strip(), standalone_mode=False)
    except click.ClickException as error:
        _end(name, error.format_message(), 2)
    except (DataError, JobError, IdentityError, StateError) as error:
        _end(name, str(error), 2)
    except SecureKMeansError as error:
        _end(name, str(error), 1)
    except OSError as error:
        _end(name, f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except (click.Abort, KeyboardInterrupt):
        _end(name, "interrupted; nothing was written", 130)


def _end(name: str, message: str, status: int) -> None:
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
