"""An attack by parties of SMO07 that put together what they have: the leader with its neighbours in the ring.

    python experiments/attack_leader_and_neighbour.py

Five parties run the real protocol, each in a process of its own with TLS between them, in both modes. Each party's tap
writes down what it knows anyway: its own numbers, which are the sizes and sums of its rows in each cluster, what it
receives, its masks, and the leader's keys. Then each coalition of one to four parties puts this together, and computes
the numbers of single other parties.

"paillier". Party i receives the encrypted sum of the numbers of the parties before it. The leader, party 1, can decrypt
it. So the leader with party 3 has the sum of 1 and 2, and subtracts its own. With both neighbours of a party it has the
sums before and after it. The sum of all is the leader's anyway, so that party 4 is enough to find the last one, 5.

"aggregate". Party 1 receives masked numbers from parties 3 to 5. The coalition takes off the masks that its members
know. What is left is a party's numbers only where all masks of it are known, which all other parties share. Parties 1
and 2 together have shares of the totals, and add them up. So the coalition finds the total of all parties outside it,
and the numbers of a single one only where it holds all others.

Not run here, as no message has to be looked at: party 5 knows the masks under which parties 1 and 2 compute. So it
finds the totals with either of them, too.

Exit status: 0 if all that is found is true, the leader with party 3 finds the numbers of party 2 in the mode
"paillier", and no coalition of fewer than four parties finds those of any party in the mode "aggregate"; else 1.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from taps_of_smo07 import CLUSTERS, COLUMNS, NUMBERS, Known, job_of, key_of, known_after_a_run

from secure_kmeans.app.forms import run_command
from secure_kmeans.crypto.paillier import PrivateKey, signed
from secure_kmeans.crypto.plaintext_packing import Packing
from secure_kmeans.protocols.smo07.addition import room
from secure_kmeans.protocols.smo07.checks import check_all_rows
from secure_kmeans.protocols.smo07.frames import BINDING_BYTES
from secure_kmeans.protocols.smo07.job import Mode, Smo07Job

PARTIES: Final = 5
MODES: Final[tuple[Mode, ...]] = ("paillier", "aggregate")

Numbers = list[int]
"""Sizes of all clusters, then their sums."""
Found = dict[int, list[Numbers]]
"""By the rank of a party, counted from 0, its numbers in each iteration; of :data:`TOTAL` those of all parties."""
TOTAL: Final = -1


class Attack:
    """What coalitions find after one run.

    Parameters
    ----------
    job : Smo07Job
    known : sequence of Known
        Of each party. The attack on a party reads nothing of it.
    rows : int
        Of all parties.
    """

    def __init__(self, job: Smo07Job, known: Sequence[Known], rows: int) -> None:
        self.job, self.known, self.names = job, known, job.names
        self.last, self.iterations = len(known) - 1, range(len(known[0].own))
        limits = check_all_rows(job, rows)
        bounds = [rows] * CLUSTERS + [rows * limits.largest] * (CLUSTERS * len(COLUMNS))
        self._packing = Packing.of(bounds, room(job.key_bits, len(known)) + 1)

    def found_by(self, coalition: Sequence[int]) -> Found:
        """What parties find together, by their ranks."""
        if self.job.mode == "paillier":
            return self._of_paillier(coalition) if 0 in coalition else {}
        return self._of_aggregate(coalition)

    # ------------------------------------------------------------------------------------------- the mode "paillier"

    def _of_paillier(self, coalition: Sequence[int]) -> Found:
        """The leader decrypts what the others received: the sums of the first parties."""
        of_first = {0: [np.zeros(NUMBERS, dtype=object)] * len(self.iterations), 1: self._own(0)}
        of_first |= {rank: self._decrypted(rank) for rank in coalition if rank > 0}
        of_first[self.last + 1] = self._sums_of_all()
        found: Found = {TOTAL: [each.tolist() for each in of_first[self.last + 1]]}
        for start, end in itertools.pairwise(sorted(of_first)):
            others = [rank for rank in range(start, end) if rank not in coalition]
            if len(others) == 1:
                members = [self._own(rank) for rank in range(start, end) if rank in coalition]
                found[others[0]] = [
                    (of_first[end][i] - of_first[start][i] - sum(own[i] for own in members)).tolist()
                    for i in self.iterations
                ]
        return found

    def _own(self, rank: int) -> list[np.ndarray]:
        return [np.array(numbers, dtype=object) for numbers in self.known[rank].own]

    def _keys(self) -> list[PrivateKey]:
        return [key_of(p, q) for p, q in self.known[0].keys]

    def _decrypted(self, rank: int) -> list[np.ndarray]:
        """The sums that a party received under encryption from the one before it, in each iteration."""
        frames = self.known[rank].received[self.names[rank - 1]]
        return [
            self._unpacked([key.public_key.signed(c) for c in _decrypted(key, frame)])
            for key, frame, _ in zip(self._keys(), frames, self.iterations, strict=False)
        ]

    def _sums_of_all(self) -> list[np.ndarray]:
        """What the leader computes in each iteration: its own factors times all others."""
        received = self.known[0].received
        factors = [received[self.names[1]][1::2], *(received[name] for name in self.names[2:])]
        sums = []
        for key, i in zip(self._keys(), self.iterations, strict=False):
            n = int(key.public_key.n)
            products = _decrypted(key, received[self.names[1]][2 * i])
            for of_party in factors:
                size, items = -(-n.bit_length() // 8), bytes.fromhex(of_party[i])[BINDING_BYTES:]
                shares = [int.from_bytes(items[at : at + size], "big") for at in range(0, len(items), size)]
                products = [a * b % n for a, b in zip(products, shares, strict=True)]
            sums.append(self._unpacked([signed(each, n) for each in products]))
        return sums

    def _unpacked(self, packed: list[int]) -> np.ndarray:
        return np.array(self._packing.unpack([int(each) for each in packed]), dtype=object)

    # ------------------------------------------------------------------------------------------ the mode "aggregate"

    def _of_aggregate(self, coalition: Sequence[int]) -> Found:
        """Parties 1 and 2 add up their shares; party 1 takes the masks that members know off what it received."""
        others = [rank for rank in range(self.last + 1) if rank not in coalition]
        found: Found = {}
        if {0, 1} <= set(coalition):
            pairs = zip(self.known[0].shares, self.known[1].shares, self.iterations, strict=False)
            found[TOTAL] = [_ordered(np.add(*map(_words, pair[:2]))) for pair in pairs]
        if len(others) == 1 and TOTAL in found:
            own = [self.known[rank].own for rank in coalition]
            found[others[0]] = [
                (np.array(found[TOTAL][i]) - sum(np.array(numbers[i]) for numbers in own)).tolist()
                for i in self.iterations
            ]
        if 0 in coalition:
            left = {rank: self.without_known_masks(rank, coalition) for rank in others if rank > 1}
            found |= {rank: numbers for rank, numbers in left.items() if len(others) == 1}
        return found

    def without_known_masks(self, rank: int, coalition: Sequence[int]) -> list[Numbers]:
        """A party's masked numbers, as party 1 received them, less the masks that it shares with the coalition."""
        sent = [each for each in self.known[0].masked[self.names[rank]] if len(each) == NUMBERS]
        left = []
        for i in self.iterations:
            numbers = _words(sent[i])
            for member in coalition:
                mask = _words(self.known[member].masks[self.names[rank]][i])
                numbers = numbers - mask if rank < member else numbers + mask
            left.append(_ordered(numbers))
        return left


def _decrypted(key: PrivateKey, frame: str) -> list[int]:
    """The plaintexts of a frame of ciphertexts, modulo N."""
    items, size = bytes.fromhex(frame)[BINDING_BYTES:], key.public_key.ciphertext_bytes
    ciphertexts = (items[start : start + size] for start in range(0, len(items), size))
    return [int(key.decrypt(key.public_key.ciphertext(each))) for each in ciphertexts]


def _words(numbers: Sequence[int]) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def _ordered(words: np.ndarray) -> Numbers:
    """Sums and size of each cluster, in the order of :data:`Numbers`."""
    by_cluster = words.reshape(CLUSTERS, -1)
    return [*by_cluster[:, -1].tolist(), *by_cluster[:, :-1].ravel().tolist()]


# --------------------------------------------------------------------------------------------------- the experiment

Coalition = tuple[int, ...]
Measured = dict[Mode, dict[Coalition, list[int]]]
"""By mode and coalition, whose numbers were found, by rank, and :data:`TOTAL`."""


def coalitions(parties: int) -> list[Coalition]:
    """All of them, but for all parties together."""
    return [each for size in range(1, parties) for each in itertools.combinations(range(parties), size)]


def measure(rows: int, seed: int) -> Measured:
    """Run both modes. What is found is compared with what the parties had."""
    measured: Measured = {}
    for mode in MODES:
        known = known_after_a_run(mode, PARTIES, rows, seed)
        attack = Attack(job_of(mode, PARTIES), known, rows * PARTIES)
        total = np.array([each.own for each in known], dtype=object).sum(axis=0).tolist()
        measured[mode] = {}
        for coalition in coalitions(PARTIES):
            found = attack.found_by(coalition)
            for rank, numbers in found.items():
                assert numbers == (total if rank == TOTAL else known[rank].own), "what is found is true"
            measured[mode][coalition] = sorted(found)
    return measured


def judged(measured: Measured) -> tuple[bool, bool]:
    """Whether the leader with party 3 finds party 2 in "paillier", and none but all others find one in "aggregate"."""
    few = [found for coalition, found in measured["aggregate"].items() if len(coalition) < PARTIES - 1]
    return 1 in measured["paillier"][0, 2], all(rank == TOTAL for found in few for rank in found)


def _text(found: list[int]) -> str:
    parties = ", ".join(str(rank + 1) for rank in found if rank != TOTAL)
    return "; ".join([*["all together"] * (TOTAL in found), *[parties] * bool(parties)])


def _show(measured: Measured) -> None:
    table = Table("parties that put together what they have", *map('"{}"'.format, MODES), box=box.SIMPLE_HEAD)
    nothing = 0
    for coalition in measured["paillier"]:
        texts = [_text(measured[mode][coalition]) for mode in MODES]
        nothing += not any(texts)
        if any(texts):
            table.add_row(", ".join(str(rank + 1) for rank in coalition), *texts)
    Console(width=100).print("Whose sizes and sums are found, in each iteration:", table, sep="\n")
    click.echo(f"{nothing} other coalitions find none, by what is run here.")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--rows", type=click.IntRange(min=1), default=30, show_default=True, help="Of each party.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print whose numbers each coalition finds as JSON.")
def main(rows: int, seed: int, as_json: bool) -> None:
    """Find the numbers of single parties by what several others have together."""
    measured = measure(rows, seed)
    neighbour, hidden = judged(measured)
    if as_json:
        plain = {
            mode: [
                {
                    "coalition": [rank + 1 for rank in coalition],
                    "finds": [rank + 1 for rank in found if rank != TOTAL],
                    "finds_total": TOTAL in found,
                }
                for coalition, found in of.items()
            ]
            for mode, of in measured.items()
        }
        click.echo(json.dumps({"found": plain, "neighbour": neighbour, "hidden": hidden}, indent=2))
    else:
        _show(measured)
    sys.exit(0 if neighbour and hidden else 1)


if __name__ == "__main__":
    run_command(main)
