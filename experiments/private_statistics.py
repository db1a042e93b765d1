"""Multi-party addition without k-means: a private mean and variance, and one split of a decision tree.

    python experiments/private_statistics.py

Each party is a process of its own on this machine, with TLS between them, and has some rows of a table. By multi-party
addition alone (docs/multi-party-addition.md) the first party learns sums over all rows, and nothing of a row:

- the number of rows, the sum and the sum of squares of a column, from which follow its mean and variance;
- of each category of each attribute, how many rows of each class it has. From these counts follows the attribute with
  the largest information gain, by which ID3 splits (J. R. Quinlan, "Induction of decision trees", 1986). The default
  table is Quinlan's.

Both are compared with the same on all rows in the clear.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import click
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from secure_kmeans.app.forms import run_command
from secure_kmeans.crypto.plaintext_packing import Packing
from secure_kmeans.errors import DataError
from secure_kmeans.job import Job, Party, Role
from secure_kmeans.job.ledger import Disclosure, Ledger, When
from secure_kmeans.job.result import no_progress
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.smo07 import SMO07
from secure_kmeans.protocols.smo07.addition import multi_party_addition, product_at_leader, room
from secure_kmeans.roles.process import in_processes

DATA: Final = Path(__file__).resolve().parent.parent / "data"
PRECISION_BITS: Final = 20
"""Fractional bits of the numbers of a column."""
MOST_PARTIES: Final = 20


class StatisticsJob(Job):
    """What the parties agree on: who they are, and the size of the key."""

    MOST_PARTIES = MOST_PARTIES

    protocol: Literal["statistics"] = "statistics"
    key_bits: Literal[2048, 3072] = 2048


def in_parties(job: StatisticsJob, what: str, part: Callable[[Context[StatisticsJob]], Any]) -> tuple[Any, float]:
    """Call a function in each party's process. Only the first party's answer is returned, and the seconds.

    Parameters
    ----------
    job : StatisticsJob
    what : str
        What the first party learns.
    part : callable
    """
    disclosure = Disclosure(what, job.names[0], When.END)

    def take_part(role: Role, mesh: Mesh) -> Any:
        ledger = Ledger((disclosure,))
        ledger.record(disclosure)
        began = time.perf_counter()
        answer = part(Context(job, role, None, mesh, ledger, no_progress, None, lambda _iteration, _state: None))
        return answer, time.perf_counter() - began

    (answer, seconds), *_others = in_processes(job, take_part, start=SMO07.start_roles)
    return answer, seconds


# ---------------------------------------------------------------------------------------------- mean and variance


@dataclass(frozen=True)
class Moments:
    """Of a column: the number of rows, the mean, and the mean squared distance to it."""

    rows: int
    mean: float
    variance: float

    @classmethod
    def of(cls, rows: int, total: int, squares: int) -> Moments:
        """From sums over numbers of the fixed point and over their squares."""
        mean = Fraction(total, rows << PRECISION_BITS)
        return cls(rows, float(mean), float(Fraction(squares, rows << 2 * PRECISION_BITS) - mean**2))


def private_moments(columns: Sequence[Sequence[float]], context: Context[StatisticsJob]) -> dict[str, Any] | None:
    """The moments of all parties' numbers, at the first party.

    Parameters
    ----------
    columns : a sequence of numbers for each party
        Each party reads its own only.
    context : Context
    """
    own = [round(number * 2**PRECISION_BITS) for number in columns[context.rank]]
    shares = multi_party_addition(context, [len(own), sum(own), sum(number**2 for number in own)])
    totals = product_at_leader(context, shares)
    return None if totals is None else asdict(Moments.of(*totals))


def moments_in_the_clear(numbers: pd.Series[float]) -> Moments:
    """The same of all numbers."""
    return Moments(len(numbers), float(numbers.mean()), float(numbers.var(ddof=0)))


# ------------------------------------------------------------------------------------------------ a decision tree


Counts = dict[str, list[list[int]]]
"""Of each attribute: of each category, the rows of each class."""


@dataclass(frozen=True)
class Question:
    """What the parties agree on: attributes with their categories, and the classes. None of it is secret.

    Attributes
    ----------
    categories : dict of str to list of str
        Of each attribute.
    label : str
        The column of the classes.
    classes : list of str
    most_rows : int
        Bound of the rows of all parties.
    """

    categories: dict[str, list[str]]
    label: str
    classes: list[str]
    most_rows: int

    @classmethod
    def of(cls, table: pd.DataFrame, label: str) -> Question:
        """Of all columns of a table of text."""
        found = {str(name): sorted(table[name].unique().tolist()) for name in table.columns}
        classes = found.pop(label)
        return cls(found, label, classes, len(table))

    def count(self, table: pd.DataFrame) -> list[int]:
        """How many rows each category of each attribute has of each class."""
        return [
            int(((table[attribute] == category) & (table[self.label] == each)).sum())
            for attribute, categories in self.categories.items()
            for category in categories
            for each in self.classes
        ]

    def arranged(self, counts: Sequence[int]) -> Counts:
        """The counts by attribute and category."""
        remaining = iter(counts)
        return {
            attribute: [[next(remaining) for _ in self.classes] for _ in categories]
            for attribute, categories in self.categories.items()
        }


def entropy(counts: Sequence[int]) -> float:
    """Bits by which a class is unknown among rows, of which so many are of each class."""
    parts = [count / sum(counts) for count in counts if count]
    return -math.fsum(part * math.log2(part) for part in parts)


def information_gain(counts: Sequence[Sequence[int]]) -> float:
    """The bits that an attribute's category says about the class: [ID3] H(S) - sum |S_v| / |S| H(S_v)."""
    of_classes = [sum(each) for each in zip(*counts, strict=True)]
    n = sum(of_classes)
    gain: float = entropy(of_classes) - sum(sum(each) / n * entropy(each) for each in counts)
    return gain


def private_counts(
    question: Question, tables: Sequence[pd.DataFrame], context: Context[StatisticsJob]
) -> Counts | None:
    """The counts over all parties' rows, at the first party: packed into as few plaintexts as hold them."""
    own = question.count(tables[context.rank])
    packing = Packing.of([question.most_rows] * len(own), room(context.job.key_bits, len(context.parties)) + 1)
    packed = product_at_leader(context, multi_party_addition(context, packing.pack(own)))
    return None if packed is None else question.arranged(packing.unpack(packed))


# ------------------------------------------------------------------------------------------------------- command


def split(table: pd.DataFrame, parties: int) -> list[pd.DataFrame]:
    """Each party's rows, in turn. A party may have none."""
    return [table.iloc[rank::parties] for rank in range(parties)]


def statistics(
    job: StatisticsJob, numbers: pd.Series[float], question: Question, categories: pd.DataFrame
) -> dict[str, Any]:
    """All figures, by multi-party addition and in the clear."""
    columns = [part.iloc[:, 0].tolist() for part in split(numbers.to_frame(), len(job.parties))]
    moments, moments_s = in_parties(
        job, "number, sum and sum of squares of a column", partial(private_moments, columns)
    )
    tables = split(categories, len(job.parties))
    counts, counts_s = in_parties(job, "rows of each category and class", partial(private_counts, question, tables))
    in_the_clear = question.arranged(question.count(categories))
    return {
        "parties": len(job.parties),
        "moments": {"private": moments, "in_the_clear": asdict(moments_in_the_clear(numbers)), "seconds": moments_s},
        "split": {
            "counts_are_the_same": counts == in_the_clear,
            "private": {name: information_gain(each) for name, each in counts.items()},
            "in_the_clear": {name: information_gain(each) for name, each in in_the_clear.items()},
            "attribute": max(counts, key=lambda name: information_gain(counts[name])),
            "seconds": counts_s,
        },
    }


def show(found: dict[str, Any], column: str) -> None:
    """Print the figures as two tables."""
    console = Console()
    moments, split = found["moments"], found["split"]
    table = Table(box=box.SIMPLE_HEAD, title=f"{column}, {found['parties']} parties", title_justify="left")
    for title in ("", "by multi-party addition", "in the clear"):
        table.add_column(title, justify="right" if title else "left")
    for name in ("rows", "mean", "variance"):
        table.add_row(name, *(f"{moments[each][name]:,.9g}" for each in ("private", "in_the_clear")))
    console.print(table, f"{moments['seconds']:.2f} seconds\n")
    table = Table(box=box.SIMPLE_HEAD, title="Information gain, bits", title_justify="left")
    for title in ("attribute", "by multi-party addition", "in the clear"):
        table.add_column(title, justify="left" if title == "attribute" else "right")
    for name, gain in split["private"].items():
        table.add_row(name, f"{gain:.6f}", f"{split['in_the_clear'][name]:.6f}")
    console.print(table, f"{split['seconds']:.2f} seconds; ID3 splits by {split['attribute']}")


def _column(table: pd.DataFrame, name: str, source: Path) -> pd.Series[Any]:
    if name not in table.columns:
        raise DataError(f"{source}: there is no column of this name; name one of the table's")
    return table[name]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--parties", type=click.IntRange(2, MOST_PARTIES), default=4, show_default=True)
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=DATA / "mall_customers.csv",
    help="CSV with the column of numbers; by default the mall customers.",
)
@click.option("--column", default="Annual Income (k$)", show_default=True, help="Of which to find mean and variance.")
@click.option(
    "--tree",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=DATA / "weather.csv",
    help="CSV with attributes and classes; by default Quinlan's weather.",
)
@click.option("--label", default="play", show_default=True, help="The column of the classes.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON instead of tables.")
def main(parties: int, data: Path, column: str, tree: Path, label: str, as_json: bool) -> None:
    """Find a mean, a variance and the split of a decision tree by multi-party addition."""
    job = StatisticsJob.of(parties=Party.named(*(f"party_{number}" for number in range(1, parties + 1))))
    numbers = pd.to_numeric(_column(pd.read_csv(data), column, data), errors="coerce")
    if not len(numbers) or not numbers.map(math.isfinite).all():
        raise DataError(f"{data}: the column needs rows, and a finite number in each")
    categories = pd.read_csv(tree, dtype=str, keep_default_na=False)
    if _column(categories, label, tree).empty:
        raise DataError(f"{tree}: the table has no rows")
    found = statistics(job, numbers.astype(float), Question.of(categories, label), categories)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        show(found, column)


if __name__ == "__main__":
    run_command(main)
