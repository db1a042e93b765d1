"""How far off a truncation of shares can be: ten million of this project's, and of CrypTen's.

    python experiments/truncation.py

Values are uniform up to 2^40 in magnitude, both signs, divided by 2^16. This project's truncation is off by less than
one unit, always. CrypTen lets every party divide its own share. Where the shares wrap the other way, which happens with
probability |x| / 2^64, the result is off by 2^48. The same is shown for values up to 2^60, where that is often.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Literal

import click
import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from terminal import show_progress

from secure_kmeans.app.forms import run_command
from secure_kmeans.app.proposal import party_names
from secure_kmeans.job import Party, Role, Scaling
from secure_kmeans.job.ledger import ALL, Disclosure, Ledger, When
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc.engine import SecureEngine
from secure_kmeans.mpc.session import open_session
from secure_kmeans.mpc.sharing import Sharing
from secure_kmeans.mpc.truncation import truncate
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.shk import ShkJob
from secure_kmeans.protocols.shk.job import DEALER
from secure_kmeans.roles.process import in_processes

BITS: Final = 16
"""Values are divided by 2^16."""
MAGNITUDES: Final = (40, 60)
"""Values are below 2^40, then below 2^60."""
AT_ONCE: Final = 1_000_000
LONGEST_WAIT: Final = 600.0
"""Seconds after which a silent role counts as failed."""
QUOTIENTS: Final = Disclosure("quotients", ALL, When.END)

Truncation = Callable[[Sharing, np.ndarray], np.ndarray]
"""Callback(sharing, values): 1 for each value whose quotient is wrong, else 0."""


def is_ours_wrong(sharing: Sharing, values: np.ndarray) -> np.ndarray:
    """Whether this project's quotient is neither the floor nor one more."""
    engine = sharing.engine
    assert isinstance(engine, SecureEngine)
    share = crypten.share_of(sharing.enter_share(crypten.share_of(engine.public(values))))
    quotients = crypten.wrap(engine.execute(truncate(engine.core, share, BITS)))
    found, floor = sharing.reveal(quotients, QUOTIENTS), values >> BITS
    return (found < floor) | (found > floor + 1)


def is_cryptens_wrong(sharing: Sharing, values: np.ndarray) -> np.ndarray:
    """Whether CrypTen's quotient is off by more than 8 units for each party, which rounding cannot explain."""
    shared = sharing.enter_share(crypten.share_of(sharing.engine.public(values)))
    quotients = crypten.divide_locally(shared, torch.tensor(1 << BITS))
    error: np.ndarray = np.abs(sharing.reveal(quotients, QUOTIENTS) - (values >> BITS))
    return error > 8 * len(sharing.parties)


def count_wrong(job: ShkJob, millions: int, truncation: Truncation, role: Role, mesh: Mesh) -> dict[str, int]:
    """One role's part: the number of wrong quotients for each magnitude. A dealer that answers requests counts none."""
    answers = job.engine == "crypten"
    with crypten.joined(mesh, dealer_answers=answers) as channel:
        if role.name == DEALER and answers:
            crypten.serve_requests()
            return {}
        sharing = open_session(channel, job, Ledger([QUOTIENTS]))
        wrong = dict.fromkeys((f"2^{magnitude}" for magnitude in MAGNITUDES), 0)
        blocks = [(magnitude, block) for magnitude in MAGNITUDES for block in range(millions)]
        for number, (magnitude, block) in enumerate(blocks, start=1):
            values = np.random.default_rng([magnitude, block]).integers(-(1 << magnitude), 1 << magnitude, AT_ONCE)
            wrong[f"2^{magnitude}"] += int(truncation(sharing, values).sum())
            if role == job.roles[0]:
                show_progress(f"{len(job.names)} parties, engine {job.engine}, millions", number, len(blocks))
        return wrong


def measure(parties: int, engine: Literal["secure", "crypten"], millions: int) -> dict[str, int]:
    """The number of wrong quotients for each magnitude, of as many millions of values."""
    job = ShkJob.of(
        parties=Party.named(*party_names(parties)),
        columns=("x",),
        n_clusters=1,
        scaling=Scaling.of(lower=(0.0,), upper=(1.0,)),
        precision_bits=8,
        timeout=LONGEST_WAIT,
        engine=engine,
        seed=0,  # which the engine "crypten" needs; nothing is drawn from it
    )
    truncation = is_ours_wrong if engine == "secure" else is_cryptens_wrong
    wrong: dict[str, int] = in_processes(job, partial(count_wrong, job, millions, truncation))[0]
    return wrong


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--millions", type=click.IntRange(min=1), default=10, show_default=True, help="Of each magnitude.")
@click.option("--parties", multiple=True, type=click.IntRange(2, 10), default=(2, 3), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(millions: int, parties: tuple[int, ...], as_json: bool) -> None:
    """Count truncations that are off by more than a unit. Exit status 1 where one of this project's is."""
    found = {}
    for count in parties:
        ours, theirs = measure(count, "secure", millions), measure(count, "crypten", millions)
        found[count] = {magnitude: {"ours": ours[magnitude], "crypten": theirs[magnitude]} for magnitude in ours}
    if as_json:
        click.echo(json.dumps(found))
    else:
        table = Table("parties", "|x| up to", "this project's", "CrypTen's", box=box.SIMPLE_HEAD)
        for count, each in found.items():
            for magnitude, wrong in each.items():
                table.add_row(str(count), magnitude, f"{wrong['ours']:,}", f"{wrong['crypten']:,}")
        Console().print(f"Of {millions * AT_ONCE:,} truncations, off by more than rounding can explain:", table)
    sys.exit(any(wrong["ours"] for each in found.values() for wrong in each.values()))


if __name__ == "__main__":
    run_command(main)
