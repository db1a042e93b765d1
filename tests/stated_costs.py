"""The costs that docs/protocols.md states: the tables of steps, circuits and correlations, as formulas."""

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from secure_kmeans.job.fixed_point import bits_to_hold

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "protocols.md").read_text(encoding="utf-8")
ROUNDS, TO_EACH, DEALT = range(3)


def rows_after(heading: str) -> Iterator[list[str]]:
    """The cells of the first table that begins like this."""
    lines = TEXT[TEXT.index(heading) :].splitlines()[2:]
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


@cache
def stated_circuits() -> dict[int, tuple[int, int, int, str]]:
    """For each number of bits the rounds, opened bits, dealt bits and nodes."""
    found = {}
    for bits, blocks, nodes, rounds, opened, joined in rows_after("| bits b |"):
        first, last = map(int, bits.split("-"))
        for b in range(first, last + 1):
            widths = [part.size for part in np.array_split(np.arange(b - 1), int(blocks))]
            dealt = 1 + int(joined) + sum(2**width - 1 for width in widths)
            found[b] = int(rounds), int(opened), dealt, nodes
    return found


@cache
def stated_winners() -> dict[int, list[int]]:
    return {int(k): [int(rounds), int(opened), int(dealt)] for k, rounds, opened, dealt in rows_after("| candidates k")}


@cache
def formulas() -> dict[str, list[Any]]:
    """For each step its three formulas, compiled."""
    found = {}
    for name, _, *cells in rows_after("| step | of |"):
        written = [cell.strip("`") for cell in cells]
        found[name.strip("`")] = [compile(text or written[0], name, "eval") for text in written]
    return found


@cache
def correlations() -> dict[str, Any]:
    """For each kind of correlation the formula of its bytes, compiled."""
    rows = rows_after("| correlation | of |")
    return {name.strip("`"): compile(written.strip("`"), name, "eval") for name, _, written in rows}


def stated(name: str, column: int, **symbols: int) -> int:
    """What the table says of a step; other steps in its formula take the same symbols, but those that are given."""
    others = {other: partial(_again, other, column, symbols) for other in formulas()}
    return value_of(formulas()[name][column], others | symbols)


def value_of(formula: Any, symbols: dict[str, Any]) -> int:
    """The value of a formula of the document."""
    names: dict[str, Any] = {
        "w": lambda m: -(-m // 64),
        "y": lambda b: -(-b // 8),
        "h": lambda x: bits_to_hold(float(x)),
        "s": lambda b: stated_circuits()[b][0],
        "o": lambda b: stated_circuits()[b][1],
        "l": lambda b: stated_circuits()[b][2],
        "v": lambda k: stated_winners()[k][0],
        "O": lambda k: stated_winners()[k][1],
        "L": lambda k: stated_winners()[k][2],
        "max": max,
    }
    return int(eval(formula, {"__builtins__": {}}, names | symbols))


def _again(name: str, column: int, symbols: dict[str, int], **given: int) -> int:
    return stated(name, column, **symbols | given)
