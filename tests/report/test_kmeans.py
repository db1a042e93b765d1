import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from secure_kmeans.job import Scaling
from secure_kmeans.job.model import KMeansOwn, KMeansResult
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.kmeans import number_of_best
from secure_kmeans.report.kmeans import InTheClear, report_of_kmeans, report_of_prediction
from secure_kmeans.version import VERSION
from tests.report.examples import (
    COSTS,
    LEDGER,
    START,
    STARTED,
    TABLES,
    clear_report,
    clear_with,
    clustering_with,
    job_with,
    report_with,
    results_with,
)

RESULT_KEYS = [
    *("cluster_centers", "cluster_names", "counts", "counts_by_iteration", "inertia", "mean_distance"),
    *("n_iter", "converged", "n_clusters", "init", "n_init", "max_iter", "tol", "seed", "scaling", "precision_bits"),
    *("best_restart", "engine"),
]


class TestEncrypted:
    def test_every_value(self) -> None:
        report = json.loads(report_with().model_dump_json())
        del report["plaintext"], report["agreement"], report["job"]
        assert report == {
            "version": 2,
            "program": VERSION,
            "protocol": "shk",
            "session": "0a" * 16,
            "started": "2026-03-04T05:06:07Z",
            "ended": "2026-03-04T05:06:10.500000Z",
            "roles": [
                {"name": "a", "kind": "party", "fingerprint": None},
                {"name": "b", "kind": "party", "fingerprint": None},
                {"name": "dealer", "kind": "dealer", "fingerprint": None},
            ],
            "n_samples": {"a": 3, "b": 2},
            "table_digests": {party: table.digest.hex() for party, table in TABLES.items()},
            "columns": ["x", "y"],
            "result": {
                "cluster_centers": [[4.0, 1.5], [1.0, 1.53125]],
                "cluster_names": None,
                "counts": [2, 3],
                "counts_by_iteration": [[1, 4], [2, 3]],
                "inertia": 1.0009765625,
                "mean_distance": None,
                "n_iter": 2,
                "converged": True,
                "n_clusters": 2,
                "init": "farthest",
                "n_init": 3,
                "max_iter": 100,
                "tol": 1e-8,
                "seed": 5,
                "scaling": {"method": "uniform", "lower": [0.0, 0.0], "upper": [4.0, 4.0]},
                "precision_bits": 24,
                "best_restart": 1,
                "engine": "secure",
            },
            "timing": {"total_s": 3.5, "per_iteration_s": 0.5},
            "communication": {
                "a": {"rounds": 9, "bytes_sent": 90},
                "b": {"rounds": 8, "bytes_sent": 80},
                "dealer": {"rounds": 7, "bytes_sent": 70},
            },
            "ledger": [
                {"what": "number of rows of each party", "to": "all", "iteration": None},
                {"what": "stop bit", "to": "all", "iteration": 1},
                {"what": "labels of its own rows", "to": "a", "iteration": None},
            ],
        }

    def test_the_keys_of_the_result_in_the_order_in_which_they_are_documented(self) -> None:
        assert list(report_with().result.model_dump()) == RESULT_KEYS

    def test_plaintext_and_agreement(self) -> None:
        report = report_with()
        # All of it is exact: multiples of 1/2, a range of 4.
        assert report.plaintext is not None
        assert report.agreement is not None
        assert report.plaintext.model_dump() == {
            "cluster_centers": [[1.0, 1.5], [4.0, 1.5]],
            "counts": [3, 2],
            "inertia": 1.0,
            "inertia_in_double_precision": 1.0,
            "mean_distance": pytest.approx(1 / 3 + 1 / 2, rel=1e-15),
            "n_iter": 2,
            "converged": True,
            "counts_by_iteration": [[3, 2], [3, 2]],
            "inertia_by_iteration": [0 + 1 + 0.25 + 1 + 0, 1.0],
        }
        assert report.agreement.model_dump() == {
            "max_centroid_error": 0.03125 / 4,
            "label_agreement": 1.0,
            "adjusted_rand": 1.0,
        }

    def test_without_a_run_in_the_clear(self) -> None:
        report = report_of_kmeans(job_with(), results_with())
        assert (report.plaintext, report.agreement) == (None, None)
        assert report.result == report_with().result

    def test_of_one_party_alone(self) -> None:
        second = results_with()[1]
        report = report_of_kmeans(job_with(), [second])
        assert report.timing.model_dump() == {"total_s": 3.25, "per_iteration_s": 1.0}
        assert report.n_samples == {"a": 3, "b": 2}
        assert report.result == report_with().result

    def test_a_run_of_no_iterations_has_no_average(self) -> None:
        results = [result.model_copy(update={"own": KMeansOwn(labels=[])}) for result in results_with()]
        assert report_of_kmeans(job_with(), results).timing.per_iteration_s is None

    def test_a_given_start_has_no_restarts(self) -> None:
        result = report_with(centroids=START, init="random").result
        assert (result.init, result.n_init) == ("given", 1)

    def test_undisclosed_values_are_null(self) -> None:
        results = results_with(inertia=None, seed=None, mean_distance=2.5, sizes=None, sizes_by_iteration=[])
        result = report_of_kmeans(job_with(hide_counts=True), results).result
        assert (result.inertia, result.seed, result.mean_distance) == (None, None, 2.5)
        assert (result.counts, result.counts_by_iteration) == (None, [])

    def test_names_are_handed_in(self) -> None:
        report = report_of_kmeans(job_with(), results_with(), None, ("Careful", "Target"))
        assert report.result.cluster_names == ["Careful", "Target"]

    def test_the_engine_is_the_jobs(self) -> None:
        assert report_with(engine="crypten").result.engine == "crypten"


class TestPrediction:
    def test_every_value(self) -> None:
        job = job_with(task="predict", centroids=START)
        results = [
            KMeansResult(**(vars(result) | {"common": None, "own": KMeansOwn(labels=result.own.labels)}))
            for result in results_with()
        ]
        report = report_of_prediction(job, results)
        assert report.result.model_dump() == {"task": "predict", "n_labels": 5}
        assert (report.plaintext, report.agreement) == (None, None)
        assert report.timing.model_dump() == {"total_s": 3.5, "per_iteration_s": None}
        assert (report.communication, report.ledger) == (COSTS, LEDGER)
        assert report.job.model_dump()["centroids"] == [[1.0, 1.0], [4.0, 2.0]]


class TestPlaintextAlone:
    def test_nothing_is_sent_or_disclosed(self) -> None:
        report = clear_report()
        assert (report.protocol, report.session, report.roles) == (None, None, [])
        assert (report.communication, report.ledger) == ({}, [])
        assert (report.plaintext, report.agreement) == (None, None)
        assert report.job.digest is None
        assert report.result.engine is None

    def test_every_value(self) -> None:
        report = clear_report()
        assert report.started == STARTED
        assert report.n_samples == {"a": 3, "b": 2}
        assert report.columns == ["x", "y"]
        assert report.timing.model_dump() == {"total_s": 0.5, "per_iteration_s": 0.25}
        assert list(report.result.model_dump()) == RESULT_KEYS
        assert report.result.cluster_centers == [[1.0, 1.5], [4.0, 1.5]]
        assert (report.result.counts, report.result.inertia) == ([3, 2], 1.0)
        assert report.result.counts_by_iteration == [[3, 2], [3, 2]]
        assert (report.result.n_iter, report.result.converged) == (2, True)
        assert (report.result.init, report.result.n_init) == ("given", 1)
        assert (report.result.seed, report.result.best_restart) == (None, 0)

    def test_a_drawn_start_has_a_seed(self) -> None:
        clear = InTheClear.of(clustering_with(), TABLES, 77, restart=2)
        assert (clear.seed, clear.restart) == (77, 2)
        assert InTheClear.of(clustering_with(centroids=START), TABLES, 77).seed is None


class TestInTheClear:
    rows = np.concatenate([table.rows for table in TABLES.values()])

    def test_the_figures_are_in_original_units_where_columns_are_weighted(self) -> None:
        section = clear_with(scaling=Scaling.of(method="minmax", lower=(0.0, 0.0), upper=(4.0, 2.0))).section
        assert section.cluster_centers == [[1.0, 1.5], [4.0, 1.5]]
        assert section.inertia == 1.0
        assert section.inertia_by_iteration == [2.25, 1.0]

    def test_labels_of_each_party(self) -> None:
        assert clear_with().labels == {"a": [0, 0, 0], "b": [1, 1]}

    @pytest.mark.parametrize("restart", [0, 1, 2])
    def test_the_start_that_is_asked_for(self, restart: int) -> None:
        clustering = clustering_with(init="random", max_iter=1)
        clear = InTheClear.of(clustering, TABLES, 8, restart)
        expected = run_in_the_clear(clustering, self.rows, 8)[restart]
        np.testing.assert_array_equal(clear.run.centroids, expected.centroids)
        assert clear.run.sizes_by_iteration == expected.sizes_by_iteration
        assert clear.restart == restart

    def test_the_best_start_where_none_is_asked_for(self) -> None:
        clustering = clustering_with(init="random", max_iter=1, n_init=6)
        runs = run_in_the_clear(clustering, self.rows, 8)
        best = number_of_best(runs)
        clear = InTheClear.of(clustering, TABLES, 8)
        assert len({run.inertia for run in runs}) > 1
        assert clear.restart == best
        assert clear.run.inertia == runs[best].inertia

    def test_the_rows_are_scaled_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        scaled: list[int] = []
        apply = Scaling.apply

        def counted(scaling: Scaling, rows: np.ndarray) -> np.ndarray:
            scaled.append(len(rows))
            return apply(scaling, rows)

        monkeypatch.setattr(Scaling, "apply", counted)
        tables = {party: replace(table) for party, table in TABLES.items()}  # as they were read
        report_of_kmeans(job_with(), results_with(), InTheClear.of(clustering_with(), tables, 8))
        assert sorted(scaled) == [2, 2, 3]  # the centroids of the encrypted run, and each party's rows
        InTheClear.of(clustering_with(), tables, 8)
        assert sorted(scaled) == [2, 2, 3], "rows are scaled once, however often they are clustered"


def test_times_and_tables_of_a_run_in_the_clear() -> None:
    report = clear_report()
    assert report.ended == STARTED + timedelta(seconds=0.5)
    assert report.table_digests == {party: table.digest.hex() for party, table in TABLES.items()}
