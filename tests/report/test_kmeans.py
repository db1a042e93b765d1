import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from secure_kmeans.job import Scaling
from secure_kmeans.job.model import KMeansOwn, KMeansResult
from secure_kmeans.plaintext.baseline import run_in_the_clear
from secure_kmeans.plaintext.kmeans import number_of_best
from secure_kmeans.protocols.shk import SHK
from secure_kmeans.report.kmeans import InTheClear, report_of_kmeans, report_of_prediction
from secure_kmeans.version import VERSION
from tests.report.examples import (
    COSTS,
    HIDDEN,
    LEDGER,
    NOTHING,
    START,
    STARTED,
    TABLES,
    WITHHELD,
    clear_report,
    clear_with,
    clustering_with,
    job_with,
    prediction,
    report_with,
    results_with,
)

RESULT_KEYS = [
    *("cluster_centers", "grid_centers", "tie_order", "centroid_grid", "cluster_names", "withheld", "min_cluster_size"),
    *("counts", "counts_by_iteration", "inertia", "mean_distance"),
    *("n_iter", "converged", "n_clusters", "init", "n_init", "max_iter", "tol", "seed", "scaling", "precision_bits"),
    *("best_restart", "engine", "mode", "leader", "remarks"),
]


class TestEncrypted:
    def test_every_value(self) -> None:
        report = json.loads(report_with().model_dump_json())
        del report["plaintext"], report["agreement"], report["job"]
        assert report == {
            "version": 3,
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
                "grid_centers": [[16777216, 6291456], [4194304, 6422528]],
                "tie_order": [1, 0],
                "centroid_grid": None,
                "cluster_names": None,
                "withheld": [],
                "min_cluster_size": 1,
                "counts": [2, 3],
                "counts_by_iteration": [[None, 4], [2, 3]],
                "inertia": 1.0009765625,
                "mean_distance": None,
                "n_iter": 2,
                "converged": True,
                "n_clusters": 2,
                "init": "farthest",
                "n_init": 3,
                "max_iter": 100,
                "tol": 0.0,
                "seed": 5,
                "scaling": {"method": "uniform", "lower": [0.0, 0.0], "upper": [4.0, 4.0]},
                "precision_bits": 24,
                "best_restart": 1,
                "engine": "secure",
                "mode": None,
                "leader": None,
                "remarks": [],
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
            "withheld": [],
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
        results = results_with(**HIDDEN, inertia=None, seed=None, mean_distance=2.5)
        result = report_of_kmeans(job_with(hide_counts=True), results).result
        assert (result.inertia, result.seed, result.mean_distance) == (None, None, 2.5)
        assert (result.counts, result.counts_by_iteration) == (None, [])

    def test_hidden_sizes_have_a_coarse_grid(self) -> None:
        job = job_with(hide_counts=True, resolution=(0.5, 0.3))
        # 0.5 is an eighth of the range of 4, and 0.3 lies between a sixteenth and an eighth.
        assert report_of_kmeans(job, results_with(**HIDDEN)).result.centroid_grid == [0.5, 0.5]
        # 4 / sqrt(5) lies between 1 and 2.
        result = report_of_kmeans(job_with(hide_counts=True), results_with(**HIDDEN)).result
        assert result.centroid_grid == [2.0, 2.0]

    def test_a_withheld_cluster_is_null(self) -> None:
        result = report_of_kmeans(job_with(min_cluster_size=3), results_with(**WITHHELD)).result
        assert result.cluster_centers == [[1.0, 1.53125], None]
        assert result.grid_centers == [[4194304, 6422528], None]
        assert (result.counts, result.counts_by_iteration) == ([3, None], [[4, None], [3, None]])
        assert (result.withheld, result.min_cluster_size) == ([1], 3)
        assert result.remarks == ["Cluster 1 is of fewer than 3 rows, so that its centroid and size are withheld."]

    def test_a_withheld_cluster_beside_the_plaintext(self) -> None:
        clear = clear_with(min_cluster_size=3)
        report = report_of_kmeans(job_with(min_cluster_size=3), results_with(**WITHHELD), clear)
        assert report.plaintext is not None
        assert report.agreement is not None
        assert report.plaintext.cluster_centers == [[1.0, 1.5], None]
        assert (report.plaintext.withheld, report.plaintext.counts) == ([1], [3, None])
        # The rows of the cluster that is not withheld, (1, 1), (1, 2) and (1, 1.5): two are half a unit away.
        assert (report.plaintext.inertia, report.plaintext.inertia_in_double_precision) == (0.5, 0.5)
        assert report.plaintext.mean_distance == pytest.approx(1 / 3, rel=1e-15)
        assert report.plaintext.counts_by_iteration == [[3, None], [3, None]]
        assert report.agreement.max_centroid_error == 0.03125 / 4

    def test_a_model_that_nobody_learned(self) -> None:
        report = report_of_kmeans(job_with(disclose={"centroids": "nobody"}), results_with(**NOTHING), clear_with())
        assert (report.result.cluster_centers, report.result.grid_centers) == (None, None)
        assert (report.result.counts, report.result.inertia) == ([2, 3], None)
        assert report.agreement is not None
        assert report.agreement.model_dump() == {
            "max_centroid_error": None,
            "label_agreement": 1.0,
            "adjusted_rand": 1.0,
        }

    def test_secret_starts_have_no_seed(self) -> None:
        report = report_of_kmeans(job_with(seed=None), results_with(seed=None))
        assert (report.result.seed, report.job.model_dump()["seed"]) == (None, None)

    def test_a_run_that_did_not_converge_has_a_remark(self) -> None:
        result = report_of_kmeans(job_with(max_iter=2), results_with(converged=False)).result
        assert [remark.startswith("The run stopped after 2 ") for remark in result.remarks] == [True]

    def test_names_are_handed_in(self) -> None:
        report = report_of_kmeans(job_with(), results_with(), None, ("Careful", "Target"))
        assert report.result.cluster_names == ["Careful", "Target"]

    def test_the_engine_is_the_jobs(self) -> None:
        assert report_with(engine="crypten").result.engine == "crypten"
        assert report_with().result.engine == "secure"


class TestPrediction:
    def test_every_value(self) -> None:
        job = prediction()
        results = [
            KMeansResult(**(vars(result) | {"common": None, "own": KMeansOwn(labels=result.own.labels)}))
            for result in results_with()
        ]
        report = report_of_prediction(job, results)
        assert report.result.model_dump() == {"task": "predict", "n_labels": 5}
        assert (report.plaintext, report.agreement) == (None, None)
        assert report.timing.model_dump() == {"total_s": 3.5, "per_iteration_s": None}
        assert (report.communication, report.ledger) == (COSTS, LEDGER)
        assert report.job.model_dump()["model"] == "5e" * 32


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
    def test_centroids_that_nobody_learns_are_rounded_to_no_grid(self) -> None:
        job = job_with(hide_counts=True, disclose={"centroids": "nobody"}, centroids=START)
        clear = SHK.in_the_clear(job, TABLES, results_with(**NOTHING | HIDDEN, best_restart=0))
        assert clear is not None
        assert clear.model.grid_centroids == [[1 << 22, 3 << 21], [1 << 24, 3 << 21]]
        rounded = SHK.in_the_clear(
            job_with(hide_counts=True, centroids=START), TABLES, results_with(**HIDDEN, best_restart=0)
        )
        assert rounded is not None
        assert rounded.model.grid_centroids != clear.model.grid_centroids

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
            if any(np.array_equal(rows, table.rows) for table in TABLES.values()):
                scaled.append(len(rows))
            return apply(scaling, rows)

        monkeypatch.setattr(Scaling, "apply", counted)
        tables = {party: replace(table) for party, table in TABLES.items()}  # as they were read
        InTheClear.of(clustering_with(), tables, 8)
        assert sorted(scaled) == [2, 3]
        InTheClear.of(clustering_with(), tables, 8)
        assert sorted(scaled) == [2, 3], "rows are scaled once, however often they are clustered"


def test_times_and_tables_of_a_run_in_the_clear() -> None:
    report = clear_report()
    assert report.ended == STARTED + timedelta(seconds=0.5)
    assert report.table_digests == {party: table.digest.hex() for party, table in TABLES.items()}
