"""How far off a truncation of shares can be: ten million of this project's, and of CrypTen's.

    python experiments/truncation.py

Values are uniform up to 2^40 in magnitude, both signs, divided by 2^16. This project's truncation is off by less than
one unit, always. CrypTen lets every party divide its own share; where the shares wrap the other way, which happens with
probability |x| / 2^64, the result is off by 2^48. The same is shown for values up to 2^60, where that is often.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from in_processes import in_processes, opened

from secure_kmeans.job import Job, Party, Scaling
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.session import Session
from secure_kmeans.mpc.truncation import truncate
from secure_kmeans.options import run
from secure_kmeans.plan import party_names

_BITS: Final = 16
_AT_ONCE: Final = 1_000_000
_MAGNITUDES: Final = (40, 60)


def _job(parties: int, engine: str) -> Job:
    return Job.of(
        parties=Party.named(*party_names(parties)),
        columns=("x",),
        n_clusters=1,
        scaling=Scaling.of(lower=(0.0,), upper=(1.0,)),
        precision_bits=8,
        timeout=600.0,
        engine=engine,
    )


def _values(magnitude: int, number: int) -> Iterator[np.ndarray]:
    for block in range(number // _AT_ONCE):
        generator = np.random.default_rng([magnitude, block])
        yield generator.integers(-(1 << magnitude), 1 << magnitude, _AT_ONCE)


def _ours(session: Session, number: int) -> dict[str, Any]:
    """How many of our truncations are neither the floor nor one more, for each magnitude."""
    engine = session.engine
    counted: dict[str, Any] = {}
    for magnitude in _MAGNITUDES:
        wrong = 0
        for values in _values(magnitude, number):
            share = session.shared_anew(engine.public(values))
            found = opened(session, engine.execute(truncate(session.core, share, _BITS)))
            exact = values >> _BITS
            wrong += int(((found < exact) | (found > exact + 1)).sum())
        counted[f"2^{magnitude}"] = wrong
    return counted


def _cryptens(session: Session, number: int) -> dict[str, Any]:
    """How many of CrypTen's are off by more than 8 units for each party, which is more than rounding can explain."""
    counted: dict[str, Any] = {}
    for magnitude in _MAGNITUDES:
        wrong = 0
        for values in _values(magnitude, number):
            share = session.shared_anew(session.engine.public(values))
            truncated = crypten.divide_locally(crypten.wrap(share), torch.tensor(1 << _BITS))
            found = opened(session, crypten.share_of(truncated))
            wrong += int((np.abs(found - (values >> _BITS)) > 8 * len(session.parties)).sum())
        counted[f"2^{magnitude}"] = wrong
    return counted


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--millions", type=click.IntRange(min=1), default=10, show_default=True, help="Of each magnitude.")
@click.option("--parties", multiple=True, type=click.IntRange(2, 10), default=(2, 3), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(millions: int, parties: tuple[int, ...], as_json: bool) -> None:
    """Count truncations that are off by more than a unit. Exit status 1 where one of ours is."""
    number = millions * _AT_ONCE
    found = {}
    for count in parties:
        ours = in_processes(_job(count, "secure"), lambda session: _ours(session, number))[0]
        theirs = in_processes(_job(count, "crypten"), lambda session: _cryptens(session, number))[0]
        found[count] = {magnitude: {"ours": ours[magnitude], "crypten": theirs[magnitude]} for magnitude in ours}
    if as_json:
        click.echo(json.dumps(found))
    else:
        table = Table("parties", "|x| up to", "ours", "CrypTen's", box=box.SIMPLE_HEAD)
        for count, each in found.items():
            for magnitude, wrong in each.items():
                table.add_row(str(count), magnitude, f"{wrong['ours']:,}", f"{wrong['crypten']:,}")
        Console().print(f"Of {number:,} truncations, off by more than rounding can explain:", table)
    sys.exit(any(wrong["ours"] for each in found.values() for wrong in each.values()))


if __name__ == "__main__":
    run(main)
