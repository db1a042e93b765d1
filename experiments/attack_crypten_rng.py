"""An attack that shows why CrypTen's own randomness is not used: one party computes the other party's rows.

    python experiments/attack_crypten_rng.py

Two parties and a trusted third party make one step of k-means with CrypTen as it is published, each in a process of its
own. Party 0 keeps to the protocol. Afterwards it uses what it has: its own rows, its shares, and what the other party
sent. From the masks over its own rows it computes the masks over the other party's rows.

The same attack is then made on the secure core, twice: with MT19937, CrypTen's generator, in the place of AES, where
the attack must succeed, and on the core as it is, where the attack must find nothing.
"""

import json
import os
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final, Literal
from unittest.mock import patch

import click
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from terminal import show_progress

from secure_kmeans.app.forms import run_command
from secure_kmeans.crypto.prg import Prg
from secure_kmeans.job import Party, Role, Scaling
from secure_kmeans.mpc import dealer, products
from secure_kmeans.mpc.core import Core
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols.base import Protocol
from secure_kmeans.protocols.shk import SHK, ShkJob
from secure_kmeans.roles.process import in_processes

PARTIES: Final = ("party_0", "party_1")
COLUMNS: Final = ("age", "blood pressure")
CLUSTERS: Final = 3
SCALE: Final = 1 << 16
"""Of CrypTen's fixed point."""
WORDS: Final = 624
"""Of 32 bits: the state of MT19937."""
KNOWN: Final = WORDS // 2
"""Masks of 64 bits that make up the state."""
SHOWN: Final = 4
DEVIATIONS: Final = 6.0
"""How far from one half the share of right bits may lie, in standard deviations, to count as chance."""


# ------------------------------------------------------------------------------------------ what the attacker has


@dataclass(frozen=True)
class View:
    """What party 0 has of a run in which the rows X of both parties are opened under masks A, as X - A.

    Attributes
    ----------
    own : (n_0, d) int64
        Its own rows, which are the first ones of X.
    share : (n, d) int64
        Its share of X.
    received : (n, d) int64
        What the other party sent: its share of X minus its share of A.
    order : "C" or "F"
        Whether masks are drawn row by row or column by column.
    inherited : uint8 array
        What this process found in torch's default generator when it began.
    """

    own: np.ndarray
    share: np.ndarray
    received: np.ndarray
    order: Literal["C", "F"]
    inherited: np.ndarray

    def save(self, path: Path) -> None:
        """Write it for :meth:`load`."""
        np.savez(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> "View":
        """Read what :meth:`save` wrote."""
        with np.load(path) as kept:
            order: Literal["C", "F"] = "C" if kept["order"] == "C" else "F"
            return cls(kept["own"], kept["share"], kept["received"], order, kept["inherited"])

    def drawn(self, values: np.ndarray) -> np.ndarray:
        """Values of (n, d) in the order in which their masks are drawn."""
        return values.ravel(self.order)

    @property
    def is_own(self) -> np.ndarray:
        """Which of the masks lie over its own rows."""
        rows = np.arange(len(self.share)) < len(self.own)
        return self.drawn(np.broadcast_to(rows[:, None], self.share.shape))

    @property
    def seen(self) -> np.ndarray:
        """The other party's share of A, in the order of the draws: right over party 0's own rows, anything elsewhere.

        The other party's share of a row x is ``x - share``. It sent that minus its mask, and party 0 knows its own x.
        """
        known = np.zeros_like(self.share)
        known[: len(self.own)] = self.own
        return self.drawn(known - self.share - self.received)


# ------------------------------------------------------------------------------------------------------ the attack


def untempered(outputs: np.ndarray) -> np.ndarray:
    """The words of MT19937's state from which these outputs, uint32, were made. Undoes the generator's last step."""
    words = outputs ^ (outputs >> np.uint32(18))
    words = words ^ ((words << np.uint32(15)) & np.uint32(0xEFC60000))
    found = words
    for _ in range(4):  # each time 7 more bits are right, from the lowest
        found = words ^ ((found << np.uint32(7)) & np.uint32(0x9D2C5680))
    words = found
    for _ in range(2):  # each time 11 more, from the highest
        found = words ^ (found >> np.uint32(11))
    return np.asarray(found)


def generator_after(outputs: np.ndarray) -> np.random.MT19937:
    """The generator after it made these 624 outputs in a row, which need not be those of one state."""
    generator = np.random.MT19937()
    generator.state = {"bit_generator": "MT19937", "state": {"key": untempered(outputs), "pos": WORDS}}
    return generator


@dataclass(frozen=True)
class Reading:
    """One way in which a generator of 32 bits makes numbers of 64 bits. The attacker tries all ways.

    Attributes
    ----------
    high_first : bool
        Whether the first output is the upper half.
    offset : int
        What is subtracted: torch draws from -2^63, others from 0.
    """

    high_first: bool
    offset: int

    def outputs(self, numbers: np.ndarray) -> np.ndarray:
        """Outputs, uint32, that made int64 numbers."""
        halves = (numbers.view(np.uint64) + np.uint64(self.offset)).view(np.uint32).reshape(-1, 2)
        return (halves[:, ::-1] if self.high_first else halves).reshape(-1)

    def numbers(self, outputs: np.ndarray) -> np.ndarray:
        """The numbers, int64, that outputs make."""
        halves = outputs.astype(np.uint32).reshape(-1, 2)
        ordered = np.ascontiguousarray(halves[:, ::-1] if self.high_first else halves)
        return (ordered.view(np.uint64).reshape(-1) - np.uint64(self.offset)).view(np.int64)


READINGS: Final = [Reading(*way) for way in product((True, False), (1 << 63, 0))]


@dataclass(frozen=True)
class Finding:
    """The result of an attack.

    Attributes
    ----------
    masks_checked : int
        Masks over the attacker's own rows that it did not use. The attacker can check these without help.
    masks_predicted : int
        How many of these are right.
    bits_right : float
        The share of their bits that are right; by chance one half.
    rows : (n_1, d) int64
        The other party's rows, as the attack computes them.
    """

    masks_checked: int
    masks_predicted: int
    bits_right: float
    rows: np.ndarray

    @property
    def foresees(self) -> bool:
        """Whether all masks that the attacker can check are right."""
        return self.masks_predicted == self.masks_checked

    @property
    def guesses(self) -> bool:
        """Whether no mask is right, and no more bits than by chance."""
        by_chance = DEVIATIONS * 0.5 / (64 * self.masks_checked) ** 0.5
        return self.masks_predicted == 0 and abs(self.bits_right - 0.5) < by_chance


def _judged(view: View, masks: np.ndarray, used: int) -> Finding:
    """The finding that follows from masks for all of X, the first of which were ``used`` to compute the others."""
    test = view.is_own.copy()
    test[:used] = False
    wrong = np.bitwise_count((masks ^ view.seen)[test].view(np.uint64))
    rows = view.share + view.received + masks.reshape(view.share.shape, order=view.order)
    return Finding(
        masks_checked=int(test.sum()),
        masks_predicted=int((wrong == 0).sum()),
        bits_right=float(1 - wrong.mean() / 64),
        rows=rows[len(view.own) :],
    )


def from_outputs(view: View) -> Finding:
    """Attack from 312 masks in a row over known rows: the state of MT19937, and with it all later masks.

    The seed does not matter.
    """
    assert view.is_own[:KNOWN].all(), "the attacker's own rows come first"

    def read_as(reading: Reading) -> Finding:
        generator = generator_after(reading.outputs(view.seen[:KNOWN]))
        following = reading.numbers(generator.random_raw(2 * (view.seen.size - KNOWN)))
        return _judged(view, np.concatenate([view.seen[:KNOWN], following]), used=KNOWN)

    return max(map(read_as, READINGS), key=lambda finding: finding.bits_right)


def from_inheritance(view: View) -> Finding:
    """Attack from torch's default generator, which a forked process inherits: the third party draws its seeds from it.

    No known row is needed. The attack works where ``run_multiprocess`` starts all roles.
    """
    third_party = torch.Generator()
    third_party.set_state(torch.from_numpy(view.inherited))
    seeds = [_from_torch(third_party, 1) for _ in PARTIES]
    peer = torch.Generator().manual_seed(int(seeds[1][0]))
    return _judged(view, _from_torch(peer, view.seen.size), used=0)


def _from_torch(generator: torch.Generator, size: int) -> np.ndarray:
    """Numbers as CrypTen draws them."""
    return np.asarray(torch.randint(-(2**63), 2**63 - 1, (size,), generator=generator, dtype=torch.long))


# --------------------------------------------------------------------------------------- CrypTen as it is published


def plain_crypten() -> Any:
    """CrypTen as it is published, but for its ONNX importer, which does not fit this torch."""
    stub: Any = types.ModuleType("crypten.nn.onnx_converter")
    stub.from_onnx = stub.from_pytorch = stub.from_tensorflow = None
    stub.TF_AND_TF2ONNX = False
    sys.modules.setdefault(stub.__name__, stub)
    import crypten

    assert "secure_kmeans.mpc.crypten_adapter" not in sys.modules, "this CrypTen is changed already"
    return crypten


def run_crypten(folder: Path, rows: int) -> None:
    """Make a step of k-means by CrypTen with its trusted third party, in three processes that keep to the protocol."""
    crypten = plain_crypten()
    crypten.cfg.mpc.provider = "TTP"
    warnings.filterwarnings("ignore", "CrypTen is already initialized")  # its third party always warns
    os.environ["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
    with patch.object(tempfile, "tempdir", str(folder)):  # it leaves a file behind
        ended_well = crypten.mpc.run_multiprocess(2)(_crypten_party)(crypten, folder, rows) is not None
    if not ended_well:
        raise click.ClickException("a party that runs CrypTen failed")


def _crypten_party(crypten: Any, folder: Path, rows: int) -> None:
    torch.set_num_threads(1)
    inherited = torch.get_rng_state().numpy()
    channel = crypten.communicator.get()
    rank = channel.get_rank()
    own = _rows_of(rank, rows, folder)
    sent, opened = _listen(channel)

    encrypted = [crypten.cryptensor(torch.from_numpy(own if rank == owner else 0 * own), src=owner) for owner in (0, 1)]
    table = crypten.cat(encrypted)
    _step(table, table[torch.linspace(0, 2 * rows - 1, CLUSTERS).long()])

    if rank == 0:  # the first opening is that of X - A, for the product with the centroids
        share = table.share.numpy()
        View(_encoded(own), share, opened[0] - sent[0], "C", inherited).save(folder / "view.npz")


def _step(rows: Any, centroids: Any) -> torch.Tensor:
    """The next centroids, in the clear, from encrypted rows and centroids."""
    inner = rows.matmul(centroids.t())
    nearest = (centroids.square().sum(1) - inner * 2).argmin(dim=1, one_hot=True)
    counts = nearest.sum(0).get_plain_text().clamp(min=1)
    means: torch.Tensor = (nearest.t().matmul(rows) / counts.unsqueeze(1)).get_plain_text()
    return means


def _listen(channel: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Lists that record what this party sends in each opening, and the opened values. Nothing is changed."""
    sent: list[np.ndarray] = []
    opened: list[np.ndarray] = []
    all_reduce = channel.all_reduce

    def listening(shares: Any, *args: Any, **kwargs: Any) -> Any:
        sums = all_reduce(shares, *args, **kwargs)
        for share, total in zip(shares, sums, strict=True) if isinstance(shares, list) else [(shares, sums)]:
            sent.append(share.numpy().copy())
            opened.append(total.numpy().copy())
        return sums

    channel.all_reduce = listening
    return sent, opened


# ------------------------------------------------------------------------------------------------ the secure core


class Twister:
    """MT19937 in the place of a :class:`~secure_kmeans.crypto.prg.Prg`, seeded with all 256 bits of the key."""

    def __init__(self, key: bytes) -> None:
        self._generator = np.random.MT19937(int.from_bytes(key, "big"))

    def fill(self, target: np.ndarray) -> None:
        """Overwrite an array with outputs."""
        outputs = self._generator.random_raw(target.nbytes // 4)
        target[...] = READINGS[0].numbers(outputs).view(target.dtype).reshape(target.shape)


def run_core(folder: Path, rows: int) -> None:
    """Open X - A on the secure core, as at the start of every run: two parties and the dealer, over TLS on loopback."""
    job = ShkJob.of(
        parties=Party.named(*PARTIES),
        columns=COLUMNS,
        n_clusters=CLUSTERS,
        scaling=Scaling.of(lower=(0.0, 0.0), upper=(1.0, 1.0)),
        precision_bits=16,
    )
    in_processes(job, partial(_core_role, folder, rows), start=partial(Protocol.start_roles, SHK))


def run_twister(folder: Path, rows: int) -> None:
    """The same with MT19937 in the place of AES."""
    with patch.object(dealer, "Prg", Twister):
        run_core(folder, rows)


def _core_role(folder: Path, rows: int, role: Role, mesh: Mesh) -> None:
    inherited = torch.get_rng_state().numpy()
    rank = mesh.roles.index(role.name)
    core = Core(mesh, mesh.key, PARTIES, rank, mesh.traffic)
    share = np.zeros((2 * rows, len(COLUMNS)), dtype=np.int64)
    if not core.is_dealer:
        own = _rows_of(rank, rows, folder)
        hidden = Prg(mesh.key(PARTIES[1 - rank], "a sharing of zero")).ring(share.size).reshape(share.shape)
        share += hidden if rank == 0 else -hidden
        share[rank * rows : (rank + 1) * rows] += _encoded(own)
    table = core.execute(products.fixed(core, share))
    if rank == 0:
        sent = share - table.masks.T
        View(_encoded(own), share, table.opened.T - sent, "F", inherited).save(folder / "view.npz")


# ------------------------------------------------------------------------------------------------- the experiment


def _rows_of(rank: int, rows: int, folder: Path) -> np.ndarray:
    """Random rows of a party, which are also saved for the comparison at the end."""
    chance = np.random.default_rng()
    drawn = [chance.integers(18 * 4, 90 * 4, rows) / 4, chance.integers(90 * 2, 180 * 2, rows) / 2]
    own = np.stack(drawn, axis=1).astype(np.float32)
    np.save(folder / f"rows_of_{rank}.npy", own)
    return own


def _encoded(rows: np.ndarray) -> np.ndarray:
    """Fixed point; exact, for these rows."""
    return (rows.astype(np.float64) * SCALE).astype(np.int64)


Attack = Callable[[View], Finding]

_ATTACKS: Final[dict[str, tuple[Attack, str]]] = {
    "outputs": (from_outputs, f"from {KNOWN} masks over its own rows"),
    "inheritance": (from_inheritance, "from the generator that forked processes inherit"),
}


@dataclass(frozen=True)
class Target:
    """A run that is attacked.

    Attributes
    ----------
    title : str
    run : callable
        Callback(folder, rows of each party): saves the attacker's view and the true rows in the folder.
    broken_by : set of str
        Attacks that must take every row; the others must take none.
    """

    title: str
    run: Callable[[Path, int], None]
    broken_by: frozenset[str]

    def figures(self, rows: int) -> dict[str, Any]:
        """Make the run, attack it, and compare with the true rows."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            began = time.perf_counter()
            self.run(folder, rows)
            run_s = time.perf_counter() - began
            view = View.load(folder / "view.npz")
            true = np.load(folder / "rows_of_1.npy")
        attacks = {key: _attacked(view, attack, true) for key, (attack, _) in _ATTACKS.items()}
        expected = all(
            each["rows_recovered"] == rows and each["masks_predicted"] == each["masks_checked"]
            if key in self.broken_by
            else each["rows_recovered"] == 0 and each["no_better_than_chance"]
            for key, each in attacks.items()
        )
        return {"run_s": run_s, "attacks": attacks, "as_expected": expected}


def _attacked(view: View, attack: Attack, true: np.ndarray) -> dict[str, Any]:
    """The figures of one attack. Only this comparison knows the true rows."""
    began = time.perf_counter()
    finding = attack(view)
    attack_s = time.perf_counter() - began
    return {
        "masks_checked": finding.masks_checked,
        "masks_predicted": finding.masks_predicted,
        "bits_right": finding.bits_right,
        "no_better_than_chance": finding.guesses,
        "rows_recovered": int((finding.rows == _encoded(true)).all(axis=1).sum()),
        "rows": len(true),
        "first_recovered": (finding.rows[:SHOWN] / SCALE).tolist(),
        "first_true": true[:SHOWN].tolist(),
        "attack_s": attack_s,
    }


TARGETS: Final = {
    "crypten": Target(
        "CrypTen as it is published, with its trusted third party", run_crypten, frozenset({"outputs", "inheritance"})
    ),
    "twister": Target(
        "The secure core with MT19937 in the place of AES: does the attack work there?",
        run_twister,
        frozenset({"outputs"}),
    ),
    "secure": Target("The secure core", run_core, frozenset()),
}


def _show(target: Target, figures: dict[str, Any]) -> None:
    click.echo(f"\n{target.title}  (a run of {figures['run_s']:.1f} s)")
    for key, each in figures["attacks"].items():
        click.echo(
            f"  {_ATTACKS[key][1]}, in {each['attack_s']:.3f} s:\n"
            f"    {each['masks_predicted']} of {each['masks_checked']} masks that it can check by itself are right, "
            f"and {each['bits_right']:.1%} of their bits\n"
            f"    {each['rows_recovered']} of {each['rows']} rows of party 1 recovered exactly"
        )
    outputs = figures["attacks"]["outputs"]
    click.echo(f"    {'the first rows recovered':>42}    {'the true ones':>24}")
    for recovered, true in zip(outputs["first_recovered"], outputs["first_true"], strict=True):
        found = "".join(f"{value:21.2f}" if abs(value) < 1e9 else f"{value:21.3e}" for value in recovered)
        click.echo(f"    {found}    {''.join(f'{value:12.2f}' for value in true)}")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--rows", type=click.IntRange(320, 100_000), default=500, show_default=True, help="Of each party.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON instead of text.")
def main(rows: int, as_json: bool) -> None:
    """Compute one party's rows from what the other party has, with CrypTen as it is published and on the secure core.

    Exit status: 0 if the attack finds every row with CrypTen and none on the secure core, else 1.
    """
    torch.set_num_threads(1)
    figures: dict[str, dict[str, Any]] = {}
    if not as_json:
        click.echo(
            f"Two parties with {rows} rows each. The attack uses what party 0 has: its own rows, its share of all"
            f" {2 * rows},\nwhat party 1 sent when X - A was opened, and, for the second way, the generator that its"
            " process inherited."
        )
    for number, (name, target) in enumerate(TARGETS.items(), start=1):
        figures[name] = target.figures(rows)
        show_progress("run", number, len(TARGETS))
        if not as_json:
            _show(target, figures[name])
    shown = all(each["as_expected"] for each in figures.values())
    if as_json:
        click.echo(json.dumps({"rows": rows, "columns": COLUMNS, "targets": figures, "as_expected": shown}, indent=2))
    else:
        click.echo(
            "\nThe attack finds every row with CrypTen, and none on the secure core."
            if shown
            else "\nNot what was expected: see above."
        )
    sys.exit(0 if shown else 1)


if __name__ == "__main__":
    run_command(main)
