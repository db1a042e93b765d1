"""SHK against the plaintext run from the same coins, and against answers computed by hand."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_blobs

from secure_kmeans.errors import ProtocolError, RoleError
from secure_kmeans.job import Party, Role, Scaling
from secure_kmeans.job.coins import SecretCoins
from secure_kmeans.job.fixed_point import FixedPoint, choose_precision_bits
from secure_kmeans.job.ledger import ALL, Entry, Ledger
from secure_kmeans.mpc import crypten_adapter as crypten
from secure_kmeans.mpc import rows as rows_module
from secure_kmeans.net.mesh import Mesh
from secure_kmeans.protocols import initialisation
from secure_kmeans.protocols.base import Context
from secure_kmeans.protocols.shk import SHK, ShkJob
from secure_kmeans.protocols.shk import disclosures as may
from secure_kmeans.protocols.shk.job import Disclose
from secure_kmeans.protocols.tally import State
from secure_kmeans.roles.process import in_processes
from secure_kmeans.tables import Table
from tests.protocols.cases import check_shk_against_plaintext
from tests.threads import run_protocol

BLOBS = make_blobs(60, centers=4, n_features=3, random_state=1)[0]
TIES = np.array([[x, y] for x in (0.0, 1.0, 2.0) for y in (0.0, 1.0, 2.0)] * 2)  # a grid, each row twice


def job_for(rows: np.ndarray, parties: int, n_clusters: int, n_init: int = 1, **options: Any) -> ShkJob:
    d = rows.shape[1]
    return ShkJob.of(
        parties=Party.named(*(f"party_{rank}" for rank in range(parties))),
        columns=tuple(f"x{number}" for number in range(d)),
        n_clusters=n_clusters,
        n_init=n_init,
        scaling=Scaling(lower=tuple(rows.min(axis=0)), upper=tuple(rows.max(axis=0))),
        precision_bits=choose_precision_bits(d, n_clusters, 1.0),
        **{"min_cluster_size": 1} | options,
    )


def tables_of(job: ShkJob, rows: np.ndarray) -> dict[str, Table]:
    parts = np.array_split(rows, len(job.parties))
    return {name: Table(name, job.columns, part) for name, part in zip(job.names, parts, strict=True)}


def fit(job: ShkJob, rows: np.ndarray) -> list[Any]:
    """The parties' results: of threads, or of processes where CrypTen's dealer answers."""
    tables = tables_of(job, rows)
    if job.engine == "secure":
        return run_protocol(job, tables)[0]

    def part(role: Role, mesh: Mesh) -> Any:
        ledger = Ledger(SHK.disclosures(job))
        nothing: Any = lambda *_: None  # noqa: E731
        result = SHK.run(Context(job, role, tables.get(role.name), mesh, ledger, nothing, None, nothing))
        return None if result is None else result.model_dump_json()

    return [SHK.Result.model_validate_json(answer) for answer in in_processes(job, part) if answer is not None]


def check_against_plaintext(job: ShkJob, rows: np.ndarray) -> Any:
    """What all parties found, which is the plaintext's."""
    results = fit(job, rows)
    check_shk_against_plaintext(job, rows, results)
    return results[0].common


def labels_of(results: list[Any]) -> list[int]:
    return [label for result in results for label in result.own.labels]


@pytest.mark.parametrize("parties", [2, 3, 10])
@pytest.mark.parametrize("init", ["farthest", "k-means++", "random"])
def test_equals_the_plaintext_from_the_same_coins(parties: int, init: str) -> None:
    check_against_plaintext(job_for(BLOBS, parties, 4, init=init, n_init=2, seed=11), BLOBS)


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("init", ["farthest", "k-means++"])
def test_crypten_s_own_circuits_find_the_same(parties: int, init: str) -> None:
    check_against_plaintext(job_for(BLOBS, parties, 4, init=init, n_init=2, seed=11, engine="crypten"), BLOBS)


@pytest.mark.parametrize("parties", [2, 4])
def test_hidden_counts_change_nothing_else(parties: int) -> None:
    job = job_for(BLOBS, parties, 4, n_init=2, seed=11, hide_counts=True)
    results = fit(job, BLOBS)
    check_shk_against_plaintext(job, BLOBS, results)
    assert not {"cluster sizes", "final cluster sizes"} & {entry.what for entry in results[0].ledger}


@pytest.mark.parametrize("n_clusters", [2, 7, 12])
def test_few_and_many_clusters(n_clusters: int) -> None:
    check_against_plaintext(job_for(BLOBS, 2, n_clusters, init="random", seed=3, n_init=2), BLOBS)


@pytest.mark.parametrize("init", ["farthest", "k-means++"])
def test_equals_the_plaintext_where_rows_tie(init: str) -> None:
    check_against_plaintext(job_for(TIES, 2, 4, init=init, n_init=3, seed=2), TIES)


def test_iris_from_given_centroids() -> None:
    rows = load_iris().data
    check_against_plaintext(job_for(rows, 2, 3, centroids=tuple(map(tuple, rows[[7, 60, 110]]))), rows)


@pytest.mark.parametrize("init", ["farthest", "k-means++", "random"])
def test_secret_starts_are_rows_that_nobody_learns(init: str) -> None:
    results = fit(job_for(BLOBS, 3, 3, init=init, n_init=2), BLOBS)
    assert results[0].common.seed is None
    assert may.STARTING_ROWS.what not in {entry.what for entry in results[0].ledger}
    # Where each cluster of the start is a single row, its centroid after no iteration is one of the rows.
    start = first_centroids_of(job_for(BLOBS, 3, 3, init=init, n_init=4), BLOBS)
    assert {tuple(row) for row in start.reshape(-1, 3)} <= {tuple(row) for row in encoded(BLOBS)}
    assert all(len({tuple(row) for row in each}) == 3 for each in start)


def encoded(rows: np.ndarray) -> list[list[int]]:
    """The rows in units of the fixed point, as a job of :func:`job_for` has them."""
    job = job_for(rows, 2, 3)
    numbers: list[list[int]] = FixedPoint(job.precision_bits).encode(job.scaling.apply(rows)).tolist()
    return numbers


def first_centroids_of(job: ShkJob, rows: np.ndarray) -> np.ndarray:
    """The secret first centroids, (r, k, d), from the states of all parties before the first iteration."""
    states: dict[str, bytes] = {}

    def keep(name: str) -> Callable[[int, bytes], None]:
        return lambda iteration, state: states.update({name: state} if iteration == 0 else {})

    run_protocol(job, tables_of(job, rows), keep=keep)
    kept = [State.decoded(state) for state in states.values()]
    total: np.ndarray = np.add.reduce([state.share for state in kept])
    return total


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("least", [2, 5, 16])
def test_small_clusters_are_withheld_and_their_sizes_are_in_no_result(parties: int, least: int) -> None:
    job = job_for(BLOBS, parties, 12, init="random", n_init=2, seed=3, min_cluster_size=least)
    found = check_against_plaintext(job, BLOBS)
    shown = [size for size in found.sizes if size is not None]
    assert found.withheld == list(range(len(shown), 12))
    assert all(size >= least for sizes in (shown, *found.sizes_by_iteration) for size in sizes if size is not None)
    assert found.centroids[len(shown) :] == found.grid_centroids[len(shown) :] == [None] * len(found.withheld)


def test_all_clusters_may_be_too_small() -> None:
    found = check_against_plaintext(job_for(TIES, 2, 9, init="random", seed=1, min_cluster_size=7), TIES)
    assert found.withheld == list(range(9))
    assert found.inertia == 0.0


@pytest.mark.parametrize("resolution", [None, (0.5, 0.5, 0.5)])
def test_hidden_counts_round_the_centroids_to_a_grid(resolution: tuple[float, ...] | None) -> None:
    job = job_for(BLOBS, 2, 4, init="random", seed=5, hide_counts=True, resolution=resolution)
    found = check_against_plaintext(job, BLOBS)
    shifts = job.centroid_shifts(len(BLOBS))
    assert shifts is not None
    grid = np.array([centroid for centroid in found.grid_centroids if centroid is not None])
    assert not (grid % (1 << shifts)).any()


@pytest.mark.parametrize("hide_counts", [False, True])
def test_a_model_that_nobody_sees_labels_new_rows(hide_counts: bool) -> None:
    options: dict[str, Any] = {"init": "random", "seed": 5, "hide_counts": hide_counts}
    job = job_for(BLOBS, 3, 4, disclose=Disclose(centroids="nobody"), **options)
    results = fit(job, BLOBS)
    public = fit(job_for(BLOBS, 3, 4, **options), BLOBS)
    model = results[0].common
    assert (model.centroids, model.grid_centroids, model.inertia) == (None, None, None)
    assert not {may.FINAL_CENTROIDS.what, may.INERTIA.what} & {entry.what for entry in results[0].ledger}
    if not hide_counts:
        assert model.sizes == public[0].common.sizes
    assert len({result.own.model_share for result in results}) == 3
    models = {result.role: base64.b64decode(result.own.model_share) for result in results}
    tables = tables_of(job, BLOBS)
    again, _ = run_protocol(predicting(job), tables, models=models)
    assert labels_of(again) == labels_of(results)


def predicting(job: ShkJob) -> ShkJob:
    return job.model_copy(update={"task": "predict", "model": "0" * 64, "centroids": None, "seed": None})


def test_coins_that_differ_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = SecretCoins.draw
    turned: list[int] = []

    def other(seed: int, *arguments: int) -> SecretCoins:
        coins = honest(seed, *arguments)
        if seed and not turned:  # at the first party that draws; the dealer's seed is 0
            turned.append(seed)
            return replace(coins, order=coins.order[::-1])
        return coins

    monkeypatch.setattr(SecretCoins, "draw", other)
    with pytest.raises((ProtocolError, RoleError), match="has other coins"):
        fit(job_for(BLOBS, 2, 3), BLOBS)


def test_an_empty_cluster_keeps_its_centroid() -> None:
    rows = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [10.0, 10.0]])
    start = ((0.0, 0.0), (10.0, 10.0), (10.0, 0.0))  # nobody is nearest to the last
    found = check_against_plaintext(job_for(rows, 2, 3, centroids=start), rows)
    assert (found.sizes, found.withheld) == ([3, 1, None], [2])
    assert found.sizes_by_iteration == [[3, 1, 0]] * found.n_iter
    # Within a unit of the final means: 40 fractional bits of the range of 10.
    expected = [[1 / 3, 1 / 3], [10, 10]]
    assert np.allclose(np.array(found.centroids[:2]), np.array(expected), atol=10 * 2.0**-40, rtol=0)
    assert found.centroids[2] is None


def test_more_clusters_than_different_rows() -> None:
    rows = np.array([[0.0], [0.0], [0.0], [1.0]])
    found = check_against_plaintext(job_for(rows, 2, 3, init="farthest", seed=0), rows)
    assert (found.sizes, found.withheld) == ([3, 1, None], [2])


def test_one_cluster_and_constant_rows() -> None:
    rows = np.full((5, 2), 3.0)
    found = check_against_plaintext(job_for(rows, 2, 1, seed=0), rows)
    assert found.sizes == [5]
    assert found.n_iter == 1  # it began at the mean: no centroid moved


def test_max_iter_and_tol_end_a_run() -> None:
    cut = check_against_plaintext(job_for(BLOBS, 2, 4, init="random", seed=1, max_iter=1), BLOBS)
    assert (cut.n_iter, cut.converged) == (1, False)
    loose = check_against_plaintext(job_for(BLOBS, 2, 4, init="random", seed=1, tol=1.0), BLOBS)
    strict = check_against_plaintext(job_for(BLOBS, 2, 4, init="random", seed=1), BLOBS)
    assert loose.converged
    assert strict.converged
    assert loose.n_iter < strict.n_iter


def test_the_split_among_parties_changes_nothing() -> None:
    reference = fit(job_for(BLOBS, 2, 4, seed=5), BLOBS)
    other = fit(job_for(BLOBS, 3, 4, seed=5), BLOBS)
    assert labels_of(other) == labels_of(reference)
    assert other[0].common.centroids == reference[0].common.centroids


def test_small_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(job_for(BLOBS, 2, 4, seed=5, n_init=2), BLOBS)
    monkeypatch.setattr(rows_module, "COMPARISONS_AT_ONCE", 1)
    monkeypatch.setattr(rows_module, "WORD", 7)  # rows at once
    monkeypatch.setattr(initialisation, "_GROUPS_AT_ONCE", 2)
    parts = fit(job_for(BLOBS, 2, 4, seed=5, n_init=2), BLOBS)
    assert labels_of(parts) == labels_of(whole)
    assert parts[0].common == whole[0].common


def test_the_ledger_lists_every_disclosure_and_no_other() -> None:
    results = fit(job_for(BLOBS, 2, 4, seed=5, n_init=2, min_cluster_size=2), BLOBS)
    iterations = max(entry.iteration or 0 for entry in results[0].ledger)

    def line(disclosure: Any, to: str = ALL, iteration: int | None = None) -> Entry:
        return Entry(what=disclosure.what, to=to, iteration=iteration)

    each = [
        line(disclosure, disclosure.to, number)
        for number in range(1, iterations + 1)
        for disclosure in (may.SMALL_CLUSTERS, may.CLUSTER_SIZES, may.STOP_BIT, may.GOING_ON)
    ]
    assert results[0].ledger == [
        line(may.ROW_COUNTS),
        line(may.ROW_COUNTS, "dealer"),
        line(may.STARTING_ROWS),
        *each,
        line(may.BEST_RESTART),
        line(may.WITHHELD),
        line(may.FINAL_SIZES),
        line(may.FINAL_CENTROIDS),
        line(may.OWN_LABELS, "party_0"),
        line(may.OWN_LABELS, "party_1"),
        line(may.INERTIA),
    ]


@pytest.mark.parametrize("hide_counts", [False, True])
def test_an_empty_cluster_keeps_its_centroid_where_counts_are_hidden_too(hide_counts: bool) -> None:
    rows = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [10.0, 10.0]])
    start = ((0.0, 0.0), (10.0, 10.0), (10.0, 0.0))
    check_against_plaintext(job_for(rows, 2, 3, centroids=start, hide_counts=hide_counts), rows)


def test_a_division_of_crypten_that_goes_astray_is_not_passed_off_as_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = crypten.divide_locally

    def astray(values: Any, divisor: Any) -> Any:
        rough = honest(values, divisor)
        if crypten.channel().rank == 0:
            rough.share[0, 0] += 2**64 // int(divisor.reshape(-1)[0])
        return rough

    monkeypatch.setattr(crypten, "divide_locally", astray)
    with pytest.raises(AssertionError, match="a division of shares went astray"):
        fit(job_for(BLOBS, 2, 4, seed=5, init="random", tol=0.0, engine="crypten"), BLOBS)


def test_ties_between_means_are_broken_alike_in_every_run() -> None:
    # 5 lies in the middle of the means 3 and 7 of whole numbers, and rounding decides nothing.
    rows = np.array([[2.0], [4.0], [5.0], [6.0], [8.0], [0.0], [12.0], [1.0], [11.0]])
    start = ((3.0,), (7.0,), (12.0,))
    labels = {tuple(labels_of(fit(job_for(rows, 3, 3, centroids=start), rows))) for _ in range(4)}
    assert len(labels) == 1
