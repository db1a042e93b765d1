"""How fast Paillier's encryption is: keys, encryptions, decryption and arithmetic, against python-paillier.

    python experiments/benchmark_paillier.py

All of it runs on one core, in turn, several times. Times are of the processor. python-paillier (``phe``) computes with
GMP, too. It knows the textbook's encryption alone, so the ways in which this package encrypts are all compared with
that one. It is a dependency of the tests; without it nothing is compared.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from gmpy2 import mpz
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from terminal import show_progress

from secure_kmeans.app.forms import run_command
from secure_kmeans.crypto.fixed_base import FixedBase
from secure_kmeans.crypto.paillier import KEY_BITS, PrivateKey, PublicKey, random_unit

try:
    import phe
except ImportError:
    phe = None

MISSING: Final = "python-paillier is not installed, so nothing is compared: pip install phe"
LEAST_SECONDS: Final = 0.03
"""Of one measurement in one turn: a short operation is repeated."""
KEYS: Final = 8
"""In each turn. The time until two primes are found varies."""
FACTOR: Final = 0xF1EA5EED_DEADBEEF
"""A constant of 64 bits."""

Turns = list[dict[str, float]]
"""The figures of each turn of one operation."""


@dataclass(frozen=True)
class Operation:
    """Something to measure: in this package, and the same in python-paillier where it has it."""

    title: str
    ours: Callable[[], object]
    theirs: Callable[[], object] | None = None
    least: int = 1


def operations(bits: int) -> list[Operation]:
    """What is measured with keys of one size."""
    private = PrivateKey.generate(bits)
    public = private.public_key
    data = public.to_bytes()
    m = -12345678901234567890
    a, b, unit = public.encrypt(m), public.encrypt(m), int(random_unit(mpz(public.n)))
    without, with_table = PublicKey.from_bytes(data), PublicKey.from_bytes(data)
    with_table._table = FixedBase(with_table._h_s, with_table._n2, bits // 2)
    raw = their_operations(bits, private, m, unit)

    def short_without_table() -> None:
        without._encryptions = 0
        without.encrypt(m)

    return [
        Operation("new key", partial(PrivateKey.generate, bits), raw.get("new key"), KEYS),
        Operation("check of a public key", partial(PublicKey.from_bytes, data)),
        Operation("encryption, textbook", partial(public.encrypt, m, textbook=True), raw.get("encryption")),
        Operation("encryption, by the owner", partial(private.encrypt, m), raw.get("encryption")),
        Operation("encryption, short exponent", short_without_table, raw.get("encryption")),
        Operation("encryption, short exponent, table", partial(with_table.encrypt, m), raw.get("encryption")),
        Operation("table of powers", partial(FixedBase, public._h_s, public._n2, bits // 2)),
        Operation("decryption", partial(private.decrypt, a), raw.get("decryption")),
        Operation("sum of two ciphertexts", lambda: a + b, raw.get("sum")),
        Operation("product with 64 bits", lambda: a * FACTOR, raw.get("small product")),
        Operation("product with a unit modulo N", lambda: a * unit, raw.get("large product")),
        Operation("ciphertext from its bytes", partial(public.ciphertext, a.to_bytes())),
    ]


def their_operations(bits: int, private: PrivateKey, m: int, unit: int) -> dict[str, Callable[[], object]]:
    """The same in python-paillier, under the same key; nothing where it is not installed."""
    if phe is None:
        return {}
    public = phe.PaillierPublicKey(private.public_key.n)
    secret = phe.PaillierPrivateKey(public, int(private._p), int(private._q))
    residue = m % public.n
    c = public.raw_encrypt(residue)
    number = phe.EncryptedNumber(public, c, 0)
    return {
        "new key": partial(phe.generate_paillier_keypair, n_length=bits),
        "encryption": partial(public.raw_encrypt, residue),
        "decryption": partial(secret.raw_decrypt, c),
        "sum": partial(number._raw_add, c, c),
        "small product": partial(number._raw_mul, FACTOR),
        "large product": partial(number._raw_mul, unit),
    }


def milliseconds(action: Callable[[], object], least: int) -> float:
    """Of the processor, for one call: the mean over at least so many calls and :data:`LEAST_SECONDS`."""
    began, calls = time.process_time(), 0
    while calls < least or time.process_time() - began < LEAST_SECONDS:
        action()
        calls += 1
    return 1000 * (time.process_time() - began) / calls


def measure(operation: Operation) -> dict[str, float]:
    """One turn of one operation: milliseconds, those of python-paillier, and how many times as long that takes."""
    ours = milliseconds(operation.ours, operation.least)
    if operation.theirs is None:
        return {"ms": ours}
    theirs = milliseconds(operation.theirs, operation.least)
    return {"ms": ours, "phe_ms": theirs, "ratio": theirs / ours}


def medians_of(turns: Turns) -> dict[str, float]:
    """The medians over the turns; of the ratios, too."""
    return {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}


def break_even(medians: dict[str, dict[str, float]]) -> float:
    """The encryptions under one key after which the table has saved what it took."""
    saved = medians["encryption, short exponent"]["ms"] - medians["encryption, short exponent, table"]["ms"]
    return medians["table of powers"]["ms"] / saved


def table_of(bits: int, medians: dict[str, dict[str, float]]) -> Table:
    """What a person reads."""
    title = f"{bits} bits; the table of powers pays after {break_even(medians):.1f} encryptions"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("milliseconds, medians")
    for heading in ("here", "python-paillier", "times as fast"):
        table.add_column(heading, justify="right")
    for name, each in medians.items():
        theirs = (f"{each['phe_ms']:.3g}", f"{each['ratio']:.2g}") if "ratio" in each else ("", "")
        table.add_row(name, f"{each['ms']:.3g}", *theirs)
    return table


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--bits",
    "sizes",
    type=click.Choice(KEY_BITS),
    multiple=True,
    default=KEY_BITS,
    show_default=True,
    help="Of a key; may be given several times.",
)
@click.option("--times", type=click.IntRange(min=1), default=5, show_default=True, help="Turns; medians are shown.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON instead of a table.")
def main(sizes: tuple[int, ...], times: int, as_json: bool) -> None:
    """Measure Paillier's encryption."""
    kinds = {bits: operations(bits) for bits in sizes}
    found: dict[int, dict[str, Turns]] = {bits: {each.title: [] for each in kinds[bits]} for bits in kinds}
    for number in range(1, times + 1):
        for bits, measured in kinds.items():
            for operation in measured:
                found[bits][operation.title].append(measure(operation))
        show_progress("turn", number, times)
    medians = {bits: {name: medians_of(turns) for name, turns in each.items()} for bits, each in found.items()}
    if as_json:
        answer: dict[str, Any] = {
            "compared": phe is not None,
            "medians": medians,
            "break_even": {bits: break_even(each) for bits, each in medians.items()},
            "turns": found,
        }
        click.echo(json.dumps(answer, indent=2))
        return
    console = Console()
    for bits, figures in medians.items():
        console.print(table_of(bits, figures))
    if phe is None:
        console.print(MISSING)


if __name__ == "__main__":
    run_command(main)
