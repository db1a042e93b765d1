"""The costs that docs/protocols.md states are those of the steps themselves."""

import math
import queue
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secure_kmeans.job.fixed_point import FixedPoint, bits_to_hold
from secure_kmeans.job import Job, Party, Scaling
from secure_kmeans.job.ledger import Ledger
from secure_kmeans.mpc import argmin, comparison, division, engine, products, truncation
from secure_kmeans.mpc.circuits import comparison as circuit_of
from secure_kmeans.mpc.circuits import winner
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.engine import SecureEngine
from secure_kmeans.mpc.provider import Provider
from secure_kmeans.mpc.rounds import Opening, Step
from secure_kmeans.mpc.session import Session
from secure_kmeans.net.messages import encode_object
from secure_kmeans.protocols import initialisation
from secure_kmeans.protocols.distances import bits_of_a_difference, squared_distances
from secure_kmeans.protocols.shk import Restarts
from secure_kmeans.job.coins import Coins, DrawGrid
from tests.mpc.roles_in_threads import DEALER, Run, names_of, shares_of

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
ROUNDS, TO_EACH, DEALT = range(3)


# ------------------------------------------------------------------------------------------------- what is stated


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


def test_the_circuits_of_comparisons() -> None:
    assert list(stated_circuits()) == list(range(2, 65))
    for b, (rounds, opened, dealt, nodes) in stated_circuits().items():
        circuit = circuit_of(b)
        assert (len(circuit.stages), circuit.opened_bits, circuit.dealt_bits) == (rounds, opened, dealt), b
        sizes = [int(node) for node in nodes.split(",") if node]
        if sizes:  # all nodes but the last open 2 q - 1 bits
            assert len(circuit.stages[0].opened) == sum(2 * size - 1 for size in sizes) - 1, b


def test_the_circuits_of_winners() -> None:
    assert list(stated_winners()) == list(range(2, argmin.MANY + 1))
    for k, cost in stated_winners().items():
        tree = winner(k)
        assert [len(tree), sum(len(it.opened) for it in tree), sum(len(it.mask_steps) for it in tree)] == cost, k


# ------------------------------------------------------------------------------------------------ the single steps


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, dtype=np.int64)


def opened(core: Core, numbers: np.ndarray, size: int) -> Step[None]:
    if core.takes_part:
        yield Opening(numbers, size)


def with_rows_and_centroids(
    core: Core, n: int, d: int, k: int, r: int
) -> tuple[products.FixedMatrix, products.MaskedCentroids]:
    return core.execute(products.fixed(core, zeros(n, d))), core.execute(products.masked(core, zeros(r, k, d)))


Work = Callable[[], Any]


def of_opened(core: Core, m: int, S: int) -> Work:
    return lambda: core.execute(opened(core, zeros(m), S))


def of_multiply(core: Core, x: int, y: int, z: int) -> Work:
    left, right = ((x, 1), (1, y)) if z == x * y else ((z,), (z,))
    return lambda: core.execute(products.multiply(core, zeros(*left), zeros(*right)))


def of_matmul(core: Core, q: int, m: int, c: int) -> Work:
    return lambda: core.execute(products.matmul(core, zeros(q, m), zeros(m, c)))


def of_squares(core: Core, m: int) -> Work:
    return lambda: core.execute(products.squares(core, zeros(m)))


def of_fixed(core: Core, n: int, d: int) -> Work:
    return lambda: core.execute(products.fixed(core, zeros(n, d)))


def of_masked(core: Core, r: int, k: int, d: int) -> Work:
    return lambda: core.execute(products.masked(core, zeros(r, k, d)))


def of_movement(core: Core, r: int) -> Work:
    _, C = with_rows_and_centroids(core, 1, 2, 3, r)
    return lambda: products.movement(core, C, C)


def of_masked_scores(core: Core, n: int, k: int, r: int) -> Work:
    X, C = with_rows_and_centroids(core, n, 2, k, r)
    return lambda: products.masked_scores(core, X, C)


def of_scores(core: Core, n: int, k: int, r: int) -> Work:
    X, C = with_rows_and_centroids(core, n, 2, k, r)
    return lambda: products.scores(core, X, C)


def of_negative(core: Core, m: int, b: int) -> Work:
    return lambda: core.execute(comparison.negative(core, zeros(m), b))


def of_to_integers(core: Core, q: int, m: int, S: int) -> Work:
    return lambda: core.execute(comparison.to_integers(core, np.zeros((q, -(-m // 64)), dtype=np.uint64), m, S))


def of_less_than(core: Core, m: int, b: int) -> Work:
    return lambda: core.execute(comparison.less_than(core, zeros(m), zeros(m), b))


def of_argmin_of_masked(core: Core, k: int, m: int, b: int) -> Work:
    return lambda: core.execute(argmin.argmin_of_masked(core, zeros(k - 1, m), zeros(k - 1, m), b))


def of_argmin_one_hot(core: Core, k: int, m: int, b: int) -> Work:
    return lambda: core.execute(argmin.argmin_one_hot(core, zeros(k, m), b))


def of_argmin_of_groups(core: Core, c: int, g: int, m: int, b: int) -> Work:
    k = c * g - 1  # the last group is filled up
    return lambda: core.execute(argmin.argmin_one_hot(core, zeros(k, m), b))


def of_truncate(core: Core, m: int) -> Work:
    return lambda: core.execute(truncation.truncate(core, zeros(m), 20))


def of_shift_right(core: Core, m: int, b: int) -> Work:
    return lambda: core.execute(truncation.shift_right(core, zeros(m), b))


def of_dividend(core: Core, m: int, S: int) -> Work:
    return lambda: core.execute(division.dividend(core, zeros(m, 1), S))


def of_quotient(core: Core, m: int, g: int) -> Work:
    most = 2**g // 246
    assert division.extra_bits(1 << 25, most) == g
    dividend = core.execute(division.dividend(core, zeros(m, 1), 5))
    return lambda: core.execute(division.quotient(core, dividend, np.ones(m, dtype=np.int64), 1 << 25, most))


def of_divide_by_secret(core: Core, q: int, d: int, e: int) -> Work:
    largest = (e - 3) << 25
    return lambda: core.execute(division.divide_by_secret(core, zeros(q, d), zeros(q), zeros(q, d), largest))


def of_sums(core: Core, q: int, n: int, d: int, S: int) -> Work:
    X, _ = with_rows_and_centroids(core, n, d, 1, 1)
    return lambda: core.execute(products.sums(core, zeros(q, n), X, S))


def of_hidden_anew(core: Core, m: int) -> Work:
    return lambda: core.execute(SecureEngine(core).hidden_anew(zeros(m)))


def of_squared_distances(core: Core, n: int, c: int, d: int) -> Work:
    return lambda: core.execute(squared_distances(SecureEngine(core), zeros(n, d), zeros(n), zeros(c, d)))


def of_smaller(core: Core, m: int, b: int) -> Work:
    return lambda: core.execute(initialisation._smaller(SecureEngine(core), zeros(m), zeros(m), b))


def of_tournament_stage(core: Core, c: int, g: int, d: int, b: int) -> Work:
    return lambda: core.execute(initialisation.row_of_largest(SecureEngine(core), zeros(c, g), zeros(g, d), b))


def of_k_means_plus_plus(core: Core, n: int, d: int, k: int, r: int, b: int) -> Work:
    coins, grid = Coins.draw(1, "k-means++", n, k, r), DrawGrid.fitting(n, d, 1.0)
    X = zeros(n, d)
    step = initialisation.k_means_plus_plus
    return lambda: core.execute(step(SecureEngine(core), X, X, grid, k, coins, b, lambda *_: None))


CASES: dict[str, list[dict[str, int]]] = {
    "opened": [{"m": 5, "S": 8}, {"m": 7, "S": 3}],
    "multiply": [{"x": 6, "y": 1, "z": 6}, {"x": 5, "y": 5, "z": 5}, {"x": 4, "y": 3, "z": 12}],
    "matmul": [{"q": 3, "m": 4, "c": 5}, {"q": 1, "m": 70, "c": 2}],
    "squares": [{"m": 9}],
    "fixed": [{"n": 70, "d": 3}],
    "masked": [{"r": 2, "k": 3, "d": 4}],
    "movement": [{"r": 1}, {"r": 5}],
    "masked_scores": [{"n": 70, "k": 3, "r": 2}],
    "scores": [{"n": 70, "k": 3, "r": 2}],
    "negative": [{"m": m, "b": b} for m, b in ((1, 64), (64, 5), (65, 17), (200, 51), (130, 2))],
    "to_integers": [{"q": 3, "m": 65, "S": 5}, {"q": 1, "m": 1, "S": 8}],
    "less_than": [{"m": 65, "b": 30}, {"m": 3, "b": 4}],
    "argmin_of_masked": [{"k": k, "m": 70, "b": b} for k, b in ((2, 5), (3, 51), (5, 18), (6, 40), (10, 12))],
    "argmin_one_hot": [{"k": 4, "m": 65, "b": 33}, {"k": 9, "m": 1, "b": 64}],
    "argmin_of_groups": [{"c": 3, "g": 4, "m": 70, "b": 20}, {"c": 6, "g": 8, "m": 3, "b": 9}],
    "truncate": [{"m": 70}],
    "shift_right": [{"m": 65, "b": b} for b in (1, 4, 5, 16, 17, 62)],
    "dividend": [{"m": 6, "S": 5}, {"m": 6, "S": 8}],
    "quotient": [{"m": 70, "g": 22}, {"m": 6, "g": 16}],
    "divide_by_secret": [{"q": 5, "d": 2, "e": 4}, {"q": 2, "d": 7, "e": 5}],
    "sums": [{"q": 4, "n": 70, "d": 3, "S": 5}],
    "hidden_anew": [{"m": 3}],
    "squared_distances": [{"n": 9, "c": 2, "d": 3}],
    "smaller": [{"m": 70, "b": 40}],
    "tournament_stage": [{"c": 3, "g": 8, "d": 2, "b": 40}, {"c": 70, "g": 5, "d": 1, "b": 20}],
    "k_means_plus_plus": [{"n": 70, "d": 2, "k": 3, "r": 2, "b": 30}],
}
OF_A_RUN = {"best", "iteration", "iteration_hidden"}


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize(("name", "symbols"), [(name, symbols) for name, shapes in CASES.items() for symbols in shapes])
def test_a_step_costs_what_the_table_says(name: str, symbols: dict[str, int], parties: int) -> None:
    def body(core: Core) -> Any:
        work = globals()[f"of_{name}"](core, **symbols)
        before = core.traffic.rounds, core.traffic.bytes_sent
        work()
        return core.traffic.rounds - before[0], core.traffic.bytes_sent - before[1]

    *of_parties, dealer = Run(parties, body).returned
    rounds, to_each, dealt = (stated(name, column, **symbols) for column in (ROUNDS, TO_EACH, DEALT))
    assert of_parties == [(rounds, (parties - 1) * to_each)] * parties
    assert dealer == (0, dealt)


def test_every_step_of_the_table_is_checked() -> None:
    assert set(formulas()) == set(CASES) | OF_A_RUN


# -------------------------------------------------------------------------------------------------- the correlations

CORRELATIONS: dict[str, tuple[Callable[..., Any], dict[str, int]]] = {
    "uniform": (lambda it, m: it.uniform(m), {"m": 5}),
    "uniform_planes": (lambda it, m: it.uniform_planes(m), {"m": 5}),
    "uniform_less_product": (
        lambda it, q, m, c: it.uniform_less_product(zeros(q, m), zeros(m, c)),
        {"q": 2, "m": 3, "c": 4},
    ),
    "shares_of_zero": (lambda it, m: it.shares_of_zero(m), {"m": 5}),
    "products": (lambda it, x, y, z: it.products(zeros(x, 1), zeros(y)), {"x": 3, "y": 4, "z": 12}),
    "matrix_products": (lambda it, q, m, c: it.matrix_products(zeros(q, m), zeros(m, c)), {"q": 2, "m": 3, "c": 4}),
    "squares": (lambda it, m: it.squares(zeros(m)), {"m": 5}),
    "sums_of_squares": (lambda it, m: it.sums_of_squares(zeros(m, 7), [1]), {"m": 5}),
    "shift_and_top": (lambda it, m: it.shift_and_top(zeros(m), 20), {"m": 5}),
    "digits_and_top": (lambda it, m, S: it.digits_and_top(zeros(m), S), {"m": 5, "S": 6}),
    "bits_as_integers": (
        lambda it, q, m, S: it.bits_as_integers(it.uniform_planes(q, -(-m // 64)), m, S),
        {"q": 3, "m": 70, "S": 5},
    ),
    "circuit": (lambda it, k, m: it.circuit(winner(k), -(-m // 64)), {"k": 6, "m": 70}),
    "bits": (lambda it, m, b: it.bits(zeros(m), circuit_of(b)), {"m": 70, "b": 51}),
    "low_bits": (lambda it, m, b: it.low_bits(zeros(m), circuit_of(b)), {"m": 70, "b": 23}),
    "difference_bits": (
        lambda it, k, m, b: it.difference_bits(zeros(k - 1, m), circuit_of(b)),
        {"k": 4, "m": 70, "b": 51},
    ),
}


@pytest.mark.parametrize("name", CORRELATIONS)
def test_a_correlation_costs_what_the_table_says(name: str) -> None:
    call, symbols = CORRELATIONS[name]
    run = Run(3, lambda core: call(core.provider, **symbols))
    assert (run.rounds, run.bytes_sent) == (0, (0, value_of(correlations()[name], symbols)))


def test_every_kind_of_correlation_is_in_the_table() -> None:
    kinds = {name for name, method in vars(Provider).items() if getattr(method, "__isabstractmethod__", False)}
    assert set(correlations()) == set(CORRELATIONS) == kinds


# ------------------------------------------------------------------------------------------------- the whole of it


class SessionInThreads(Session):
    """A session over lines in memory: all of it that needs no CrypTen."""

    def __init__(self, core: Core, told: "queue.Queue[Any]") -> None:
        self.parties = tuple(names_of(core.parties))
        self.rank = core.rank
        self.name = (*self.parties, DEALER)[core.rank]
        self.fixed_point = FixedPoint(24)
        self.ledger = Ledger()
        self.n_samples = {}
        self.core = core
        self.engine = SecureEngine(core)
        self._told = told

    def tell(self, value: Any) -> None:
        if self.rank == 0:
            self.traffic.sent(len(encode_object(value)))
            self._told.put(value)

    def hear(self) -> Any:
        return self._told.get(timeout=60)


def measured(parties: int, n: int, d: int, k: int, r: int, *, hide_counts: bool = False) -> tuple[Run, dict[str, int]]:
    """What the second of three iterations, and the choice of the best start, cost each role."""
    rows = np.random.default_rng(n).random((n, d))
    job = Job.of(
        parties=Party.named(*names_of(parties)),
        columns=tuple(f"x{number}" for number in range(d)),
        n_clusters=k,
        n_init=r,
        max_iter=3,
        tol=0.0,
        scaling=Scaling.of(lower=(0.0,) * d, upper=(1.0,) * d),
        precision_bits=24,
        hide_counts=hide_counts,
    )
    encoded = FixedPoint(24).encode(rows)
    C = np.stack([encoded[start * k : (start + 1) * k] for start in range(r)])
    told: queue.Queue[Any] = queue.Queue()

    def body(core: Core) -> Any:
        runs = Restarts(
            SessionInThreads(core, told), job, shares_of(encoded, parties, core.rank), shares_of(C, parties, core.rank)
        )
        marks = []
        for _ in runs.iterations():
            marks.append((core.traffic.rounds, core.traffic.bytes_sent))
        marks.append((core.traffic.rounds, core.traffic.bytes_sent))
        runs.best()
        marks.append((core.traffic.rounds, core.traffic.bytes_sent))
        assert len(marks) == 5, "the run was meant to take three iterations"
        return [tuple(np.subtract(marks[i], marks[j]).tolist()) for i, j in ((1, 0), (4, 3))]

    largest = math.ceil(1.02 * 2**24)
    symbols = {
        "n": n,
        "d": d,
        "k": k,
        "r": r,
        "b": bits_of_a_difference(job, 24),
        "S": next(S for S in range(1, 9) if n * largest <= 2 ** (8 * S - 2)),
        "g": next(g for g in range(64) if 2**g >= 246 * n),
        "e": math.ceil(largest / 2**25) + 3,
    }
    return Run(parties, body), symbols


def check(run: Run, column: int, name: str, symbols: dict[str, int], told: int) -> None:
    parties = len(run.returned) - 1
    rounds, to_each, dealt = (stated(name, formula, **symbols) for formula in (ROUNDS, TO_EACH, DEALT))
    costs = [each[column] for each in run.returned]
    sent = (parties - 1) * to_each
    assert costs == [(rounds, sent + told), *[(rounds, sent)] * (parties - 1), (0, dealt)]


@pytest.mark.parametrize(
    ("parties", "n", "d", "k", "r"),
    [(2, 130, 2, 5, 1), (3, 70, 3, 4, 2), (3, 267, 1, 2, 1), (3, 266, 1, 3, 1), (2, 200, 2, 7, 3), (3, 64, 2, 10, 1)],
)
def test_an_iteration_and_the_choice_of_the_best_start(parties: int, n: int, d: int, k: int, r: int) -> None:
    run, symbols = measured(parties, n, d, k, r)
    check(run, 0, "iteration", symbols, 1 + r)
    if r > 1:
        check(run, 1, "best", symbols, 0)
    if k <= 5:
        assert run.returned[0][0][0] == (12 if n > 266 else 11)


@pytest.mark.parametrize(("parties", "n", "d", "k", "r"), [(2, 100, 2, 5, 2), (3, 64, 3, 3, 1)])
def test_an_iteration_that_hides_the_sizes(parties: int, n: int, d: int, k: int, r: int) -> None:
    run, symbols = measured(parties, n, d, k, r, hide_counts=True)
    check(run, 0, "iteration_hidden", symbols, 1 + r)
    assert run.returned[0][0][0] == 33


def test_rows_in_three_blocks_take_6_c_and_6_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "COMPARISONS_AT_ONCE", 128 * 10)
    run, _ = measured(2, 3 * 128 - 5, 2, 5, 1)
    assert run.returned[0][0][0] == 6 * 3 + 6


def test_the_example_is_right_to_the_byte() -> None:
    run, symbols = measured(2, 10_000, 2, 5, 1)
    check(run, 0, "iteration", symbols, 2)
    lines = list(rows_after("| | bytes from a party |"))
    for column, bytes_ in ((2, run.returned[1][0][1]), (4, run.returned[2][0][1])):
        *parts, whole = [int(re.sub(r"[*,]", "", line[column])) for line in lines]
        assert sum(parts) == whole == bytes_
    later = 280, 2640  # what the first iteration lacks
    first, dealer = (run.returned[role][0][1] - each / 20 for role, each in zip((0, 2), later, strict=True))
    assert f"{first:,.0f} bytes from it and {dealer:,.0f} from the dealer" in TEXT


def test_large_messages_of_three_parties_take_two_rounds_and_fewer_bytes() -> None:
    m = (1 << 18) // 8 + 1

    run = Run(3, lambda core: core.execute(opened(core, zeros(m), 8)))
    assert run.rounds == 2
    assert run.bytes_sent[0] == pytest.approx(2 / 3 * 2 * 8 * m, rel=1e-3)
