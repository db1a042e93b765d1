"""The costs that docs/protocols.md states are those of the steps themselves."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from secure_kmeans.job.coins import DrawGrid
from secure_kmeans.job.fixed_point import division_bits
from secure_kmeans.mpc import argmin, comparison, division, products, truncation, withholding
from secure_kmeans.mpc.circuits import comparison as circuit_of
from secure_kmeans.mpc.circuits import winner
from secure_kmeans.mpc.core import Core
from secure_kmeans.mpc.crypten_adapter import Shared, wrap
from secure_kmeans.mpc.engine import SecureEngine
from secure_kmeans.mpc.provider import Provider
from secure_kmeans.mpc.rounds import Opening, Step
from secure_kmeans.protocols import initialisation
from secure_kmeans.protocols.distances import squared_distances
from secure_kmeans.protocols.smo07 import on_two_shares
from tests.mpc.roles_in_threads import Run
from tests.mpc.steps import secret_starts
from tests.stated_costs import (
    DEALT,
    ROUNDS,
    TO_EACH,
    correlations,
    formulas,
    stated,
    stated_circuits,
    stated_winners,
    value_of,
)


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


def tensor(*shape: int) -> Shared:
    return wrap(zeros(*shape))


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
    assert division_bits(1 << 25, most) == g
    dividend = core.execute(division.dividend(core, zeros(m, 1), 5))
    return lambda: core.execute(division.quotient(core, dividend, np.ones(m, dtype=np.int64), 1 << 25, most))


def of_divide_by_secret(core: Core, q: int, d: int, e: int) -> Work:
    largest = (e - 3) << 25
    return lambda: core.execute(division.divide_by_secret(core, zeros(q, d), zeros(q), zeros(q, d), largest))


def of_divide_by_secret_from(core: Core, q: int, d: int, e: int) -> Work:
    largest = (e - 3) << 25
    return lambda: core.execute(division.divide_by_secret(core, zeros(q, d), zeros(q), zeros(q, d), largest, 5))


def of_means_on_two_shares(core: Core, q: int, d: int, e: int) -> Work:
    largest = (e - 3) << 25
    return lambda: core.execute(on_two_shares.means(core, zeros(q, d), zeros(q), zeros(q, d), largest, 1))


def of_sizes_on_two_shares(core: Core, q: int) -> Work:
    return lambda: core.execute(on_two_shares.sizes(core, zeros(q), 5))


def of_first_smallest(core: Core, r: int, b: int) -> Work:
    return lambda: core.execute(on_two_shares.first_smallest(core, zeros(r, 1), 56, (1 << b - 1) - 1))


def of_first_smallest_in_parts(core: Core, r: int, b: int) -> Work:
    return lambda: core.execute(on_two_shares.first_smallest(core, zeros(r, 2), 56, (1 << b + 55) - 1))


def of_sums(core: Core, q: int, n: int, d: int, S: int) -> Work:
    X, _ = with_rows_and_centroids(core, n, d, 1, 1)
    return lambda: core.execute(products.sums(core, zeros(q, n), X, S))


def of_one_hots(core: Core, c: int, n: int) -> Work:
    return lambda: core.execute(SecureEngine(core).one_hots(c, n))


def of_random_bits(core: Core, q: int, m: int) -> Work:
    return lambda: core.execute(SecureEngine(core).random_bits(q, m))


def of_starting_rows(core: Core, r: int, n: int, d: int) -> Work:
    return lambda: core.execute(secret_starts(r, n).rows(SecureEngine(core), tensor(n, d)))


def of_draws(core: Core, r: int, b: int) -> Work:
    return lambda: core.execute(secret_starts(r, 5).times_draws(SecureEngine(core), tensor(r, 1), 0, DrawGrid(12, b)))


def of_sum_of_all(core: Core) -> Work:
    return lambda: core.execute(SecureEngine(core).sum_of_all(5))


def of_sizes_below(core: Core, m: int, n: int, a: int) -> Work:
    return lambda: core.execute(withholding.sizes_below(SecureEngine(core), tensor(m), range(1, a + 1), n))


def of_dividends(core: Core, r: int, k: int, d: int) -> Work:
    step = withholding.dividends
    return lambda: core.execute(step(SecureEngine(core), tensor(r, k, d), tensor(r, k, d), tensor(5, r, k), 5))


def of_squared_distances(core: Core, n: int, c: int, d: int) -> Work:
    return lambda: core.execute(squared_distances(SecureEngine(core), tensor(n, d), tensor(n), tensor(c, d)))


def of_smaller(core: Core, m: int, b: int) -> Work:
    return lambda: core.execute(initialisation._smaller(SecureEngine(core), tensor(m), tensor(m), b))


def of_tournament_stage(core: Core, c: int, g: int, d: int, b: int) -> Work:
    return lambda: core.execute(initialisation.row_of_largest(SecureEngine(core), tensor(c, g), tensor(g, d), b))


def of_k_means_plus_plus(core: Core, n: int, d: int, k: int, r: int, b: int) -> Work:
    starts, grid = secret_starts(r, n, k), DrawGrid.fitting(n, d, 1.0)
    X = tensor(n, d)
    step = initialisation.k_means_plus_plus
    return lambda: core.execute(step(SecureEngine(core), X, X, grid, k, starts, b, lambda *_: None))


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
    "divide_by_secret_from": [{"q": 5, "d": 2, "e": 4}],
    "means_on_two_shares": [{"q": 5, "d": 2, "e": 4}],
    "sizes_on_two_shares": [{"q": 5}, {"q": 65}],
    "first_smallest": [{"r": 2, "b": 40}, {"r": 5, "b": 57}],
    "first_smallest_in_parts": [{"r": 2, "b": 2}, {"r": 5, "b": 31}, {"r": 7, "b": 62}],
    "sums": [{"q": 4, "n": 70, "d": 3, "S": 5}],
    "one_hots": [{"c": 3, "n": 70}],
    "random_bits": [{"q": 3, "m": 22}, {"q": 2, "m": 65}],
    "starting_rows": [{"r": 1, "n": 70, "d": 3}, {"r": 4, "n": 20, "d": 2}],
    "draws": [{"r": 3, "b": 22}, {"r": 1, "b": 30}],
    "sum_of_all": [{}],
    "sizes_below": [{"m": 5, "n": 70, "a": 5}, {"m": 3, "n": 7, "a": 16}, {"m": 66, "n": 2**15 - 1, "a": 2}],
    "dividends": [{"r": 2, "k": 3, "d": 4}],
    "squared_distances": [{"n": 9, "c": 2, "d": 3}],
    "smaller": [{"m": 70, "b": 40}],
    "tournament_stage": [{"c": 3, "g": 8, "d": 2, "b": 40}, {"c": 70, "g": 5, "d": 1, "b": 20}],
    "k_means_plus_plus": [{"n": 70, "d": 2, "k": 3, "r": 2, "b": 30}],
}
OF_A_RUN = {
    "best",
    "iteration",
    "iteration_withholding",
    "iteration_hidden",
    "labelling",
    "conclusion",
    "labels_to_owners",
    "labels_opened",
    "iteration_of_columns",
    "iteration_on_shares",
    "iteration_of_groups",
    "best_of_columns",
    "best_on_shares",
    "centroids_to_all",
    "conclusion_of_columns",
    "labels_to_some",
    "prediction_of_columns",
    "prediction_of_columns_to_some",
    "prediction_on_shares",
}


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
    "one_hots": (lambda it, c, n: it.one_hots(c, n), {"c": 3, "n": 7}),
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


def test_large_messages_of_three_parties_take_two_rounds_and_fewer_bytes() -> None:
    m = (1 << 18) // 8 + 1

    run = Run(3, lambda core: core.execute(opened(core, zeros(m), 8)))
    assert run.rounds == 2
    assert run.bytes_sent[0] == pytest.approx(2 / 3 * 2 * 8 * m, rel=1e-3)
