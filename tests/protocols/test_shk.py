import numpy as np
import pytest
from secure_kmeans.fixed_point import choose_precision_bits
from secure_kmeans.ledger import ALL, What
from secure_kmeans.plan import party_names
from sklearn.datasets import load_iris, make_blobs

from secure_kmeans.job import Job, Party, Scaling
from secure_kmeans.mpc import crypten_engine, engine
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.kmeans import number_of_best
from secure_kmeans.protocols import initialisation, shk
from tests.parties import run_parties

BLOBS = make_blobs(60, centers=4, n_features=3, random_state=1)[0]
TIES = np.array([[x, y] for x in (0.0, 1.0, 2.0) for y in (0.0, 1.0, 2.0)] * 2)  # a grid, each row twice
FIELDS = ("n_iter", "converged", "best_restart", "seed", "sizes_by_iteration")


def job_for(rows: np.ndarray, parties: int, n_clusters: int, n_init: int = 1, **options) -> Job:
    d = rows.shape[1]
    return Job.of(
        parties=Party.named(*party_names(parties)),
        columns=tuple(f"x{number}" for number in range(d)),
        n_clusters=n_clusters,
        n_init=n_init,
        scaling=Scaling(lower=tuple(rows.min(axis=0)), upper=tuple(rows.max(axis=0))),
        precision_bits=choose_precision_bits(d, n_clusters, 1.0),
        **options,
    )


def fit(job: Job, rows: np.ndarray) -> dict:
    """All parties' clusterings: what each learned of its own, what all learned once."""
    slices = np.array_split(rows, len(job.parties))

    def body(session):
        found = shk.fit(session, job, own_rows(session, job, slices), lambda *_: None)
        ledger = [[entry.what, entry.to, entry.iteration] for entry in session.ledger.entries]
        common = {field: getattr(found, field) for field in FIELDS}
        return found.labels.tolist(), common | {
            "centroids": found.centroids.tolist(),
            "sizes": None if found.sizes is None else found.sizes.tolist(),
            "ledger": ledger,
        }

    answers = run_parties(len(job.parties), body, precision_bits=job.precision_bits, engine=job.engine)
    labels, common = zip(*answers, strict=True)
    assert all(other == common[0] for other in common), "the parties hold different results"
    return common[0] | {"labels": np.concatenate(labels)}


def own_rows(session, job: Job, slices: list[np.ndarray]) -> np.ndarray:
    """Scaled; the dealer has none."""
    return job.scaling.apply(np.empty((0, len(job.columns))) if session.deals else slices[session.rank])


def check_against_plaintext(job: Job, rows: np.ndarray) -> dict:
    found = fit(job, rows)
    runs = run_in_the_clear(job, rows, found["seed"] or 0)
    assert found["best_restart"] == number_of_best(runs)
    plain = runs[found["best_restart"]]
    assert found["labels"].tolist() == plain.labels.tolist()
    assert found["sizes"] == (None if job.hide_counts else plain.sizes.tolist())
    assert found["sizes_by_iteration"] == ([] if job.hide_counts else plain.sizes_by_iteration)
    assert (found["n_iter"], found["converged"]) == (plain.n_iter, plain.converged)
    assert found["centroids"] == plain.centroids.tolist()  # to the last bit
    return found


@pytest.mark.parametrize("parties", [2, 3, 10])
@pytest.mark.parametrize("init", ["farthest", "k-means++", "random"])
def test_equals_the_plaintext_from_the_same_coins(parties, init):
    check_against_plaintext(job_for(BLOBS, parties, 4, init=init, n_init=2, seed=11), BLOBS)


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("init", ["farthest", "k-means++"])
def test_crypten_s_own_circuits_find_the_same(parties, init):
    check_against_plaintext(job_for(BLOBS, parties, 4, init=init, n_init=2, seed=11, engine="crypten"), BLOBS)


@pytest.mark.parametrize("parties", [2, 4])
def test_hidden_counts_change_nothing_else(parties):
    found = check_against_plaintext(job_for(BLOBS, parties, 4, n_init=2, seed=11, hide_counts=True), BLOBS)
    assert not {What.CLUSTER_SIZES, What.FINAL_SIZES} & {entry[0] for entry in found["ledger"]}


@pytest.mark.parametrize("n_clusters", [2, 7, 12])
def test_few_and_many_clusters(n_clusters):
    check_against_plaintext(job_for(BLOBS, 2, n_clusters, init="random", seed=3, n_init=2), BLOBS)


@pytest.mark.parametrize("init", ["farthest", "k-means++"])
def test_equals_the_plaintext_where_rows_tie(init):
    check_against_plaintext(job_for(TIES, 2, 4, init=init, n_init=3, seed=2), TIES)


def test_iris_from_given_centroids():
    rows = load_iris().data
    check_against_plaintext(job_for(rows, 2, 3, centroids=tuple(map(tuple, rows[[7, 60, 110]]))), rows)


def test_tossed_coins_are_reported_so_that_the_run_can_be_repeated():
    first = check_against_plaintext(job_for(BLOBS, 2, 3), BLOBS)
    again = fit(job_for(BLOBS, 2, 3, seed=first["seed"]), BLOBS)
    assert again["labels"].tolist() == first["labels"].tolist()


def test_an_empty_cluster_keeps_its_centroid():
    rows = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [10.0, 10.0]])
    start = ((0.0, 0.0), (10.0, 10.0), (10.0, 0.0))  # nobody is nearest to the last
    found = check_against_plaintext(job_for(rows, 2, 3, centroids=start), rows)
    assert found["sizes"] == [3, 1, 0]
    # Within 2 units of the fixed point, times the range of 10.
    assert np.allclose(
        np.array(found["centroids"]) * 10, [[1 / 3, 1 / 3], [10, 10], [10, 0]], atol=10 * 3 * 2.0**-24, rtol=0
    )


def test_more_clusters_than_different_rows():
    rows = np.array([[0.0], [0.0], [0.0], [1.0]])
    found = check_against_plaintext(job_for(rows, 2, 3, init="farthest", seed=0), rows)
    assert sorted(found["sizes"]) == [0, 1, 3]


def test_one_cluster_and_constant_rows():
    rows = np.full((5, 2), 3.0)
    found = check_against_plaintext(job_for(rows, 2, 1, seed=0), rows)
    assert found["sizes"] == [5]
    assert found["n_iter"] == 1


def test_max_iter_and_tol_end_a_run():
    cut = fit(job_for(BLOBS, 2, 4, init="random", seed=1, max_iter=1), BLOBS)
    assert (cut["n_iter"], cut["converged"]) == (1, False)
    loose = fit(job_for(BLOBS, 2, 4, init="random", seed=1, tol=1e9), BLOBS)
    assert (loose["n_iter"], loose["converged"]) == (1, True)


def test_the_split_among_parties_changes_nothing():
    reference = fit(job_for(BLOBS, 2, 4, seed=5), BLOBS)
    other = fit(job_for(BLOBS, 3, 4, seed=5), BLOBS)
    assert other["labels"].tolist() == reference["labels"].tolist()


def test_small_blocks_of_rows_change_nothing(monkeypatch):
    whole = fit(job_for(BLOBS, 2, 4, seed=5, n_init=2), BLOBS)
    monkeypatch.setattr(engine, "COMPARISONS_AT_ONCE", 1)
    monkeypatch.setattr(engine, "WORD", 7)  # rows at once
    monkeypatch.setattr(initialisation, "_GROUPS_AT_ONCE", 2)
    assert fit(job_for(BLOBS, 2, 4, seed=5, n_init=2), BLOBS)["labels"].tolist() == whole["labels"].tolist()


def test_the_ledger_lists_every_disclosure_and_no_other():
    found = fit(job_for(BLOBS, 2, 4, seed=5, n_init=2), BLOBS)
    iterations = max(entry[2] or 0 for entry in found["ledger"])
    each = [[what, ALL, number] for number in range(1, iterations + 1) for what in (What.CLUSTER_SIZES, What.STOP_BIT)]
    assert found["ledger"] == [
        [What.ROW_COUNTS, ALL, None],
        *each,
        [What.BEST_RESTART, ALL, None],
        [What.FINAL_CENTROIDS, ALL, None],
        [What.FINAL_SIZES, ALL, None],
        [What.OWN_LABELS, "party_0", None],
        [What.OWN_LABELS, "party_1", None],
    ]


@pytest.mark.parametrize("hide_counts", [False, True])
def test_an_empty_cluster_keeps_its_centroid_where_counts_are_hidden_too(hide_counts):
    rows = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [10.0, 10.0]])
    start = ((0.0, 0.0), (10.0, 10.0), (10.0, 0.0))
    check_against_plaintext(job_for(rows, 2, 3, centroids=start, hide_counts=hide_counts), rows)


def test_a_division_of_crypten_that_goes_astray_is_not_passed_off_as_a_result(monkeypatch):
    honest, session_rank = crypten_engine.crypten.divide_locally, [0]

    def astray(values, divisor):
        rough = honest(values, divisor)
        rough.share[0, 0] += 2**64 // int(divisor.reshape(-1)[0]) if session_rank[0] == 0 else 0
        return rough

    monkeypatch.setattr(crypten_engine.crypten, "divide_locally", astray)
    job = job_for(BLOBS, 2, 4, seed=5, init="random", tol=0.0, engine="crypten")

    def body(session):
        session_rank[0] = session.rank
        shk.fit(session, job, own_rows(session, job, np.array_split(BLOBS, 2)), lambda *_: None)

    with pytest.raises(AssertionError, match="a division of shares went astray"):
        run_parties(2, body, precision_bits=job.precision_bits, engine="crypten")


def test_ties_between_means_are_broken_alike_in_every_run():
    # 5 lies in the middle of the means 3 and 7 of whole numbers, and rounding decides nothing.
    rows = np.array([[2.0], [4.0], [5.0], [6.0], [8.0], [0.0], [12.0], [1.0], [11.0]])
    start = ((3.0,), (7.0,), (12.0,))
    labels = {tuple(check_against_plaintext(job_for(rows, 3, 3, centroids=start), rows)["labels"]) for _ in range(4)}
    assert len(labels) == 1


def test_predict_tells_each_party_the_labels_of_its_own_rows():
    centers = ((0.0, 0.0), (10.0, 10.0))
    job = Job.of(
        task="predict",
        parties=Party.named(*party_names(3)),
        columns=("a", "b"),
        n_clusters=2,
        scaling=Scaling(lower=(0.0, 0.0), upper=(10.0, 10.0)),
        centroids=centers,
        precision_bits=22,
    )
    rows = [np.array([[1.0, 1.0], [9.0, 9.5], [5.0, 5.0]]), np.empty((0, 2)), np.array([[300.0, -2.0]])]

    def body(session):
        labels = shk.predict(session, job, own_rows(session, job, rows))
        return [labels.tolist(), [[entry.what, entry.to] for entry in session.ledger.entries]]

    answers = run_parties(3, body, precision_bits=22)
    assert [labels for labels, _ in answers] == [[0, 1, 0], [], [1]]  # (5, 5) ties: the lowest index
    ledger = [[What.ROW_COUNTS, ALL], [What.OWN_LABELS, "party_0"], [What.OWN_LABELS, "party_2"]]
    assert all(written == ledger for _, written in answers)
