"""The options that ``launcher.py``, ``main.py`` and the elbow share.

Defaults come from :class:`~secure_kmeans.app.inputs.Options`, and so from the job classes; choices from their types.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, get_args

import click

from secure_kmeans.app.inputs import JOBS, USUAL_PARTIES, CentroidsTo, Options, ProtocolName
from secure_kmeans.app.option_types import (
    BoundsType,
    ColumnsType,
    LabelsType,
    NumbersType,
    RealType,
    StartType,
    WholeType,
)
from secure_kmeans.job import LONGEST_TIMEOUT, MOST_STARTS, SEEDS, Clustering, ScalingMethod
from secure_kmeans.protocols.shk.job import Engine, ShkJob
from secure_kmeans.protocols.smo07.job import FreshKeys, KeyBits, Mode, Smo07Job
from secure_kmeans.protocols.svk.job import MOST_ROWS, Align

USUAL: Final = Options()

SETTINGS: Final[dict[str, Any]] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    "auto_envvar_prefix": "SECURE_KMEANS",
}
"""Of every command. An option of the same name has the same environment variable in all of them."""

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

_FEWEST_PARTIES: Final = min(job.FEWEST_PARTIES for job in JOBS.values())
_MOST_PARTIES: Final = max(job.MOST_PARTIES for job in JOBS.values())

FILE: Final = click.Path(path_type=Path)
FOLDER: Final = click.Path(path_type=Path, file_okay=False)


def option(*names: str, **settings: Any) -> Decorator:
    """An option that shows its environment variable in the help."""
    return click.option(*names, show_envvar=True, **settings)


Group = Literal[
    "data", "chunks", "clusters", "algorithm", "parties", "protocol", "columns", "addition", "hiding", "output"
]
_GROUPS: Final[dict[Group, list[Decorator]]] = {
    "data": [
        option(
            "--data",
            type=FILE,
            multiple=True,
            metavar="FILE",
            help="CSV or Parquet file with a header. Given once, it is split among the parties; given several times, "
            "each party has its own file.  [default: the mall customers]",
        ),
        option(
            "--columns",
            type=ColumnsType(),
            default=USUAL.columns,
            metavar="LIST",
            help="Columns to cluster by, names or numbers counted from 1, separated by commas.  [default: all but the "
            "identifiers; of the mall customers, income and spending]",
        ),
        option(
            "--scale",
            type=click.Choice(get_args(ScalingMethod)),
            default=USUAL.scale,
            show_default=True,
            help="uniform: one factor for all columns, so the clusters are those of the table as it is; minmax: every "
            "column weighs the same; none: the table is scaled already.",
        ),
        option(
            "--bounds",
            type=BoundsType(),
            default=USUAL.bounds,
            help="What the parties agreed that each column lies between. Without it the tables' own smallest and "
            "largest values become known to all parties.",
        ),
    ],
    "chunks": [
        option(
            "--chunk-rows",
            type=WholeType(min=1),
            default=USUAL.chunk_rows,
            metavar="N",
            help="With smo07, for tables larger than memory: read each party's file in chunks of at most N rows, once "
            "for each pass over its rows, and do not compare with a plaintext run. 100000 is a good number.  [default: "
            "read each table whole]",
        ),
    ],
    "clusters": [
        option(
            "--clusters",
            type=WholeType(min=1),
            default=USUAL.clusters,
            metavar="K",
            show_default=True,
            help="Number of clusters.",
        ),
    ],
    "algorithm": [
        option(
            "--init",
            type=StartType(),
            default=USUAL.init,
            metavar="START",
            help="farthest: a random row, then each time the row farthest from all centroids so far; k-means++: drawn "
            "by squared distance; random: random rows; moments: points spread around the mean of all rows; uniform: "
            "points drawn within the bounds; or the name of a CSV file of centroids. Encrypted, smo07 can "
            "do the last three, shk and svk all but moments and uniform.  "
            f"[default: {Clustering.default_of('init')}; of smo07 {Smo07Job.default_of('init')}]",
        ),
        option(
            "--seed",
            type=WholeType(min=0, max=SEEDS - 1),
            default=USUAL.seed,
            metavar="N",
            help="Repeat a run: decides where the starts begin, which then all parties know; never a key, a share or "
            "a mask.  [default: nobody knows the rows at which they begin, unless the run is compared with the "
            "plaintext]",
        ),
        option(
            "--n-init",
            type=WholeType(1, MOST_STARTS),
            default=USUAL.n_init,
            metavar="N",
            help="Starts to try; the best is kept. With smo07 each start says more about the rows.  [default: "
            f"{Clustering.default_of('n_init')}; of smo07 {Smo07Job.default_of('n_init')}]",
        ),
        option(
            "--max-iter",
            type=WholeType(min=1),
            default=USUAL.max_iter,
            metavar="N",
            show_default=True,
            help="Iterations after which to stop in any case.",
        ),
        option(
            "--tol",
            type=RealType(min=0, max=1),
            default=USUAL.tol,
            metavar="X",
            show_default=True,
            help="Stop when the squared movements of all centroids add up to no more than this part of the mean "
            "variance of the columns; 0: when no centroid moves any more.",
        ),
    ],
    "parties": [
        option(
            "--parties",
            type=WholeType(_FEWEST_PARTIES, _MOST_PARTIES),
            default=USUAL.parties,
            metavar="N",
            help=f"Number of parties, {_FEWEST_PARTIES} to {ShkJob.MOST_PARTIES}; with smo07 to "
            f"{Smo07Job.MOST_PARTIES}.  [default: one for each --data; of a single file {USUAL_PARTIES['shk']}, with "
            f"smo07 {USUAL_PARTIES['smo07']}]",
        ),
        option(
            "--timeout",
            type=RealType(1, LONGEST_TIMEOUT),
            default=USUAL.timeout,
            metavar="SECONDS",
            show_default=True,
            help="How long a party may be silent before it counts as failed.",
        ),
        option(
            "--engine",
            type=click.Choice(get_args(Engine)),
            default=USUAL.engine,
            show_default=True,
            help="With shk: what computes on the shares; crypten, CrypTen's own circuits, is for comparison only.",
        ),
        option(
            "--min-cluster-size",
            type=WholeType(min=1),
            default=USUAL.min_cluster_size,
            metavar="N",
            show_default=True,
            help="Withhold centroid and size of a cluster of fewer rows; with smo07 it keeps the centroid that it has, "
            "and its size is withheld.",
        ),
    ],
    "protocol": [
        option(
            "--protocol",
            type=click.Choice(get_args(ProtocolName)),
            default=USUAL.protocol,
            show_default=True,
            help="shk: each party has rows, with the same columns; nobody sees a centroid before the end. smo07: the "
            f"same, without a dealer and for up to {Smo07Job.MOST_PARTIES} parties, but all parties see the centroids "
            "of each iteration. svk: each party has columns of its own about the same people or things; a single file "
            "is split by columns.",
        ),
    ],
    "addition": [
        option(
            "--mode",
            type=click.Choice(get_args(Mode)),
            default=USUAL.mode,
            help="With smo07: paillier: the sums of the clusters are added under the first party's key, and this party "
            "learns them in each iteration; aggregate: under masks, so that no single party learns them.  "
            f"[default: {Smo07Job.default_of('mode')}]",
        ),
        option(
            "--fresh-keys",
            type=click.Choice(get_args(FreshKeys)),
            default=USUAL.fresh_keys,
            help="With --mode paillier: when the first party makes a new key.  "
            f"[default: {Smo07Job.default_of('fresh_keys')}]",
        ),
        option(
            "--key-bits",
            type=click.Choice(get_args(KeyBits)),
            default=USUAL.key_bits,
            help=f"With --mode paillier: the length of the key.  [default: {Smo07Job.default_of('key_bits')}]",
        ),
        option(
            "--accept-two-parties",
            is_flag=True,
            default=USUAL.accept_two_parties,
            help="With smo07: run with two parties, although each can subtract its own rows from what it learns.",
        ),
        option(
            "--reveal-sizes",
            is_flag=True,
            default=USUAL.reveal_sizes,
            help="With smo07: all parties learn the final sizes of clusters of at least --min-cluster-size rows.",
        ),
        option(
            "--reveal-inertia",
            is_flag=True,
            default=USUAL.reveal_inertia,
            help="With smo07: all parties learn the final inertia.",
        ),
    ],
    "columns": [
        option(
            "--id",
            multiple=True,
            metavar="NAME",
            help="With svk: the column of identifiers in each file, by which rows of the same person or thing find "
            "each other. Nothing is clustered by it. Given once for all files, or once for each.",
        ),
        option(
            "--align",
            type=click.Choice(get_args(Align)),
            default=USUAL.align,
            help="With svk: psi: by the identifiers that all files have, and nobody learns any other; order: the files "
            "are in the same order already, which is checked; none: nobody checks the order.  [default: psi with --id; "
            "none for a file that is split]",
        ),
        option(
            "--most-rows",
            type=WholeType(1, MOST_ROWS),
            default=USUAL.most_rows,
            metavar="N",
            help="With --align psi: what the parties agreed to be the largest number of rows of a file; nobody learns "
            "how many there are.  [default: of each file its own number, which this rehearsal may show]",
        ),
    ],
    "hiding": [
        option(
            "--hide-labels",
            is_flag=True,
            default=USUAL.hide_labels,
            help="With svk: nobody learns in which cluster a row is. Otherwise all parties do, in every iteration.",
        ),
        option(
            "--disclose-centroids",
            type=click.Choice(get_args(CentroidsTo)),
            default=USUAL.disclose_centroids,
            help="With svk, who learns the centroids: own: each party those in its own columns; all: every party all "
            "of them; nobody.  [default: own]",
        ),
        option(
            "--disclose-labels",
            type=LabelsType(),
            default=USUAL.disclose_labels,
            help="With --hide-labels, who learns the labels at the end: all, nobody, or parties, separated by commas.  "
            "[default: nobody]",
        ),
        option(
            "--hide-counts",
            is_flag=True,
            default=USUAL.hide_counts,
            help="With shk and svk: nobody learns the cluster sizes, not even at the end.",
        ),
        option(
            "--resolution",
            type=NumbersType(),
            default=USUAL.resolution,
            metavar="STEP,...",
            help="With --hide-counts or --hide-labels: the step in each column to which the centroids are rounded; to "
            "hide the sizes, the smallest step between two values.  [default with --hide-counts: the column's range "
            "divided by the square root of the number of rows]",
        ),
    ],
    "output": [
        option(
            "--output",
            type=FOLDER,
            default=None,
            metavar="DIR",
            help="Where the report and the pictures go.  [default: results/NAME]",
        ),
    ],
}


def shared_options(*groups: Group) -> Decorator:
    """A decorator that adds these groups of options to a command, in this order."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for each in reversed([each for group in groups for each in _GROUPS[group]]):
            command = each(command)
        return command

    return decorate
