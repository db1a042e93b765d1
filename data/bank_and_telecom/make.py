"""The tables of a bank and a telecom with customers in common, made up by chance.

    python data/bank_and_telecom/make.py

Writes ``bank.csv`` and ``telecom.csv`` beside this script, always the same to the last byte. Only the standard library
draws, and only by :meth:`random.Random.random`, whose numbers are the same in every release of Python.

The customers that both have belong to four segments. Each table alone shows two groups: the bank's splits the four
segments by wealth, the telecom's by what the telephone is used for.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Final

SEED: Final = 20
IN_COMMON: Final = {
    ("well off", "talks"): 102,
    ("modest", "streams"): 84,
    ("modest", "talks"): 66,
    ("well off", "streams"): 48,
}
"""Customers of both, in each segment."""
OF_THE_BANK: Final = {"well off": 45, "modest": 55}
"""Customers of the bank alone, in each of its groups."""
OF_THE_TELECOM: Final = {"talks": 110, "streams": 90}
"""Customers of the telecom alone, in each of its groups."""
LARGEST_NUMBER: Final = 2_999_999
"""Customers have a number of seven digits in a public register, which both organisations know."""


@dataclass(frozen=True)
class Amount:
    """A column: a normal distribution, cut off at bounds, and rounded.

    Attributes
    ----------
    mean, sigma : float
    upper : float
        The lower bound is 0.
    digits : int
        After the point.
    """

    mean: float
    sigma: float
    upper: float
    digits: int

    def draw(self, chance: random.Random) -> str:
        """A value as it stands in the table."""
        value = NormalDist(self.mean, self.sigma).inv_cdf(chance.random() or 0.5)
        return f"{min(max(value, 0.0), self.upper):.{self.digits}f}"


BANK: Final = {
    "well off": (Amount(74, 9, 150, 1), Amount(95, 17, 200, 1)),
    "modest": (Amount(33, 7, 150, 1), Amount(30, 12, 200, 1)),
}
"""Income and savings: thousands of euros a year, and thousands of euros."""
TELECOM: Final = {
    "talks": (Amount(760, 120, 1500, 0), Amount(14, 5, 100, 1)),
    "streams": (Amount(260, 90, 1500, 0), Amount(50, 9, 100, 1)),
}
"""Minutes and gigabytes: of calls and of data in a month."""


def shuffled(lines: list[str], chance: random.Random) -> list[str]:
    """The lines in an order that says nothing."""
    return sorted(lines, key=lambda _line: chance.random())


def numbers(chance: random.Random) -> Iterator[str]:
    """Customers' numbers, each once."""
    used: set[int] = set()
    while True:
        number = 1 + int(LARGEST_NUMBER * chance.random())
        if number not in used:
            used.add(number)
            yield f"{number:07d}"


def bank_line(number: str, group: str, chance: random.Random) -> str:
    """A customer of the bank."""
    income, savings = (amount.draw(chance) for amount in BANK[group])
    return f"{number},{1990 + int(34 * chance.random())},{income},{savings}"


def telecom_line(number: str, group: str, chance: random.Random) -> str:
    """A customer of the telecom."""
    minutes, gigabytes = (amount.draw(chance) for amount in TELECOM[group])
    return f"{number},{'prepaid' if chance.random() < 0.3 else 'monthly'},{minutes},{gigabytes}"


def make(folder: Path) -> None:
    """Write both tables."""
    chance = random.Random(SEED)  # noqa: S311 nothing here is secret
    fresh = numbers(chance)
    bank, telecom = [], []
    for (wealth, use), customers in IN_COMMON.items():
        for number in (next(fresh) for _ in range(customers)):
            bank.append(bank_line(number, wealth, chance))
            telecom.append(telecom_line(number, use, chance))
    for group, customers in OF_THE_BANK.items():
        bank.extend(bank_line(next(fresh), group, chance) for _ in range(customers))
    for group, customers in OF_THE_TELECOM.items():
        telecom.extend(telecom_line(next(fresh), group, chance) for _ in range(customers))
    write(folder / "bank.csv", "customer,since,income,savings", shuffled(bank, chance))
    write(folder / "telecom.csv", "subscriber,contract,minutes,gigabytes", shuffled(telecom, chance))


def write(path: Path, header: str, lines: list[str]) -> None:
    """Write a table with the same line ends on every system."""
    path.write_text("\n".join([header, *lines, ""]), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
