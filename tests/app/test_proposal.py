from typing import Any

import numpy as np
import pytest

from secure_kmeans.app.proposal import (
    Bounds,
    party_names,
    propose_clustering,
    propose_columns_job,
    propose_job,
    propose_prediction,
)
from secure_kmeans.errors import DataError, JobError, SecureKMeansError
from secure_kmeans.job import Clustering, Party, Scaling
from secure_kmeans.protocols.kmeans_checks import advice_on_digits, check_fit, check_prediction, coarse_columns
from secure_kmeans.protocols.shk.job import ShkJob
from secure_kmeans.protocols.svk.job import ColumnsParty, SvkJob
from secure_kmeans.tables import Table

FIRST = Table("a.csv", ("x", "y"), np.array([[1.0, 1.0], [1.0, 2.0]]))
SECOND = Table("b.csv", ("x", "y"), np.array([[4.0, 1.0], [4.0, 2.0], [3.0, 0.5]]))
BOUNDS = ((0.0, 0.0), (8.0, 4.0))


def test_party_names() -> None:
    assert party_names(3) == ("party_0", "party_1", "party_2")


class TestFit:
    def test_bounds_from_the_tables(self) -> None:
        job = propose_job([FIRST, SECOND], 2)
        assert job == ShkJob.of(
            parties=Party.named("party_0", "party_1"),
            columns=("x", "y"),
            n_clusters=2,
            scaling=Scaling.of(lower=(1.0, 0.5), upper=(4.0, 2.0)),
            bounds_from_data=True,
            precision_bits=24,
        )

    def test_bounds_that_were_agreed_on(self) -> None:
        job = propose_job([FIRST, SECOND], 2, bounds=BOUNDS, scaling="minmax", parties=("clinic", "bank"))
        assert job.scaling == Scaling.of(method="minmax", lower=BOUNDS[0], upper=BOUNDS[1])
        assert job.bounds_from_data is False
        assert job.names == ("clinic", "bank")

    def test_further_options(self) -> None:
        job = propose_job([FIRST, SECOND], 2, init="random", n_init=7, max_iter=3, tol=0.25, seed=5, timeout=9.0)
        assert (job.init, job.n_init, job.max_iter, job.tol, job.seed, job.timeout) == ("random", 7, 3, 0.25, 5, 9.0)

    def test_centroids_become_plain_numbers(self) -> None:
        job = propose_job([FIRST, SECOND], 2, centroids=np.array([[1, 1], [4, 2]]))
        assert job.centroids == ((1.0, 1.0), (4.0, 2.0))

    @pytest.mark.parametrize(
        ("largest", "bits"),
        [
            (8.0, 24),  # 4 * 2 * 2 * 64 = 2^10
            (4096.0, 17),  # 2^28
            (4097.0, 16),  # < 2^29
        ],
    )
    def test_unscaled_tables_have_fewer_bits(self, largest: float, bits: int) -> None:
        job = propose_job([FIRST, SECOND], 2, scaling="none", bounds=((-largest, 0.0), (8.0, 8.0)))
        assert job.precision_bits == bits

    @pytest.mark.parametrize(
        ("bounds", "message"),
        [
            (
                ((0.0,) * 3, (9.0,) * 3),
                "scaling: there are bounds for 3 columns, but 2 to cluster by; give one pair for each",
            ),
            (((0.0,) * 2, (9.0,) * 3), "scaling: there must be one lower and one upper bound for each column"),
            (((0.0, 9.0), (9.0, 0.0)), "scaling: column 2: its lower bound is above its upper bound"),
        ],
    )
    def test_bounds_that_do_not_fit(self, bounds: Bounds, message: str) -> None:
        with pytest.raises(JobError) as caught:
            propose_job([FIRST, SECOND], 2, bounds=bounds)
        assert str(caught.value) == message

    def test_a_row_outside_the_bounds_is_the_protocol_s_to_refuse(self) -> None:
        job = propose_job([FIRST, SECOND], 2, bounds=((0.0, 0.0), (3.5, 4.0)))
        assert check_fit(job, FIRST) == []
        with pytest.raises(DataError) as caught:
            check_fit(job, SECOND)
        assert str(caught.value).startswith('b.csv: column "x", row 1: the number is outside the agreed bounds')

    def test_a_clustering_in_the_clear_is_the_job_s(self) -> None:
        keys: dict[str, Any] = {"init": "random", "n_init": 3, "max_iter": 7}
        job = propose_job([FIRST, SECOND], 2, **keys)
        clustering = propose_clustering([FIRST, SECOND], 2, **keys)
        assert type(clustering) is Clustering
        assert all(getattr(clustering, key) == getattr(job, key) for key in Clustering.model_fields)

    def test_tables_that_do_not_fit_together(self) -> None:
        other = Table("c.csv", ("y", "x"), FIRST.rows)
        with pytest.raises(DataError, match=r'^c\.csv: columns "y", "x" differ from "x", "y" of a\.csv; '):
            propose_job([FIRST, other], 2)
        with pytest.raises(DataError, match=r"^a\.csv, b\.csv: 5 rows do not suffice for 6 clusters; "):
            propose_job([FIRST, SECOND], 6)

    @pytest.mark.parametrize(
        ("options", "start"),
        [
            ({"n_clusters": 0}, "n_clusters: "),
            ({"max_iter": 0}, "max_iter: "),
            ({"secret": 1}, "secret: "),
            ({"parties": ("a", "a")}, "two parties have the same name"),
            ({"centroids": np.ones((3, 2))}, "centroids: there must be 2 rows of 2 numbers"),
            ({"centroids": np.full((2, 2), np.nan)}, "centroids.0.0: "),
        ],
    )
    def test_what_the_job_refuses(self, options: dict[str, Any], start: str) -> None:
        with pytest.raises(JobError) as caught:
            propose_job([FIRST, SECOND], **({"n_clusters": 2} | options))
        assert str(caught.value).startswith(start)

    @pytest.mark.parametrize("far", [1e6, 1e15])
    def test_a_start_that_cannot_fit_the_ring(self, far: float) -> None:
        # Scaled by 8: squared, with 48 fractional bits, even the first is above 2^63.
        with pytest.raises(SecureKMeansError):
            propose_job([FIRST, SECOND], 2, bounds=BOUNDS, centroids=np.full((2, 2), far))


class TestColumns:
    bank = Table("bank.csv", ("x", "y"), np.array([[1.0, 1.0], [1.0, 2.0], [9.0, 3.0]]), ids=("a", "b", "c"))
    shop = Table("shop.csv", ("y",), np.array([[-4.0], [4.0]]), ids=("b", "c"))

    def test_columns_and_bounds_in_the_order_of_the_tables(self) -> None:
        job = propose_columns_job([self.bank, self.shop], 2, parties=("bank", "shop"), identifiers=("id", "id"))
        assert job == SvkJob.of(
            parties=(
                ColumnsParty.of(name="bank", columns=("x", "y"), most_rows=3),
                ColumnsParty.of(name="shop", columns=("y",), most_rows=2),
            ),
            id="id",
            n_clusters=2,
            scaling=Scaling.of(lower=(1.0, 1.0, -4.0), upper=(9.0, 3.0, 4.0)),
            bounds_from_data=True,
            precision_bits=24,
        )
        assert job.columns == ("x", "bank.y", "shop.y")

    def test_the_set_size_that_was_agreed_on(self) -> None:
        job = propose_columns_job([self.bank, self.shop], 2, identifiers=("id", "id"), most_rows=100)
        assert [job.most_rows_of(name) for name in job.names] == [100, 100]

    def test_bounds_that_were_agreed_on(self) -> None:
        bounds = ((0.0, 0.0, -8.0), (9.0, 9.0, 8.0))
        job = propose_columns_job([self.bank, self.shop], 2, identifiers=("id", "id"), bounds=bounds)
        assert (job.scaling.lower, job.scaling.upper, job.bounds_from_data) == (*bounds, False)
        with pytest.raises(JobError, match=r"^scaling: there are bounds for 2 columns, but 3 to cluster by; "):
            propose_columns_job([self.bank, self.shop], 2, identifiers=("id", "id"), bounds=BOUNDS)

    def test_without_identifiers_no_set_is_filled_up(self) -> None:
        job = propose_columns_job([self.bank, self.bank], 2, align="none", centroids=np.ones((2, 4)))
        assert (job.align, job.id, job.most_rows, job.centroids) == ("none", None, None, ((1.0,) * 4,) * 2)
        assert [party.most_rows for party in job.parties] == [None, None]

    def test_fewer_rows_than_clusters(self) -> None:
        with pytest.raises(DataError, match=r"^shop\.csv: 2 rows do not suffice for 3 clusters; use fewer clusters$"):
            propose_columns_job([self.bank, self.shop], 3, identifiers=("id", "id"))

    @pytest.mark.parametrize(
        ("options", "start"),
        [
            ({}, 'id: the rows of "party_0" need a column of identifiers'),
            ({"identifiers": ("x", "x")}, 'id: "x" of "party_0" is a column to cluster by, too'),
            ({"align": "none", "most_rows": 5}, 'most_rows: only align = "psi"'),
            ({"identifiers": ("id", "id"), "engine": "crypten"}, "engine: "),
            ({"parties": ("bank",)}, "there are 2 tables for 1 parties"),
        ],
    )
    def test_what_is_refused(self, options: dict[str, Any], start: str) -> None:
        with pytest.raises(JobError) as caught:
            propose_columns_job([self.bank, self.shop], 2, **options)
        assert str(caught.value).startswith(start)


class TestPredict:
    fitted = propose_job([FIRST, SECOND], 2, seed=3, n_init=4)
    session = "5e" * 32

    def test_only_the_keys_that_the_model_depends_on_stay(self) -> None:
        job = propose_prediction(self.fitted, self.session)
        kept = ("parties", "columns", "n_clusters", "scaling", "precision_bits")
        assert job == ShkJob.of(
            task="predict", model=self.session, **{name: getattr(self.fitted, name) for name in kept}
        )

    def test_the_fitted_job_stays_as_it_was(self) -> None:
        propose_prediction(self.fitted, self.session)
        assert (self.fitted.task, self.fitted.model, self.fitted.bounds_from_data) == ("fit", None, True)

    def test_it_travels_as_json(self) -> None:
        job = propose_prediction(self.fitted, self.session)
        assert ShkJob.model_validate_json(job.model_dump_json()) == job


class TestDigits:
    blobs = np.random.default_rng(0).normal(size=(50, 2)) * [1.0, 100.0]

    def test_an_outlier_far_away_costs_the_others_their_digits(self) -> None:
        table = Table("t.csv", ("a", "b"), np.vstack([self.blobs, [[1e12, 0.0]]]))
        job = propose_job([table, table], 2)
        assert coarse_columns(job, [table, table]) == ["a", "b"]
        (advice,) = check_fit(job, table)
        assert advice.startswith("columns that lose most of their values in the fixed point: a, b; ")

    def test_nothing_is_lost_of_usual_columns(self) -> None:
        table = Table("t.csv", ("a", "b"), self.blobs)
        job = propose_job([table, table], 2)
        assert coarse_columns(job, [table, table]) == []
        assert check_fit(job, table) == []

    def test_fewer_rows_than_clusters_are_worth_a_thought(self) -> None:
        job = propose_job([FIRST, SECOND], 3)
        assert check_fit(job, FIRST) == ["2 rows for 3 clusters: some cluster will hold none of them"]
        assert check_fit(job, SECOND) == []

    def test_rows_closer_than_the_fixed_point_are_refused(self) -> None:
        table = Table("t.csv", ("a", "b"), self.blobs * 1e-9)
        with pytest.raises(JobError, match="the rows lose their digits"):
            propose_job([table, table], 2, scaling="none")

    def test_of_one_party_they_are_worth_a_thought(self) -> None:
        far, near = Table("far", ("a",), np.array([[0.0], [1.0]])), Table("near", ("a",), np.array([[0.0], [1e-5]]))
        job = propose_job([far, near], 2)  # 1e-5 * 2^24 = 168 steps
        assert advice_on_digits(job, [far, near]) == advice_on_digits(job, [far]) == []
        assert advice_on_digits(job, [near]) == [
            "the rows lie so close to each other that they lose digits in the fixed point"
        ]

    def test_kmeanspp_without_room_for_its_draws_is_refused_before_the_run(self) -> None:
        table = Table("t.csv", ("a", "b"), self.blobs * 1e3)
        assert propose_job([table, table], 2, scaling="none", init="farthest").init == "farthest"
        with pytest.raises(JobError, match=r'"k-means.." has no room'):
            propose_job([table, table], 2, scaling="none", init="k-means++")

    def test_a_new_row_out_of_reach_is_refused_before_the_run(self) -> None:
        table = Table("X[1]", ("a", "b"), self.blobs)
        job = propose_prediction(propose_job([table, table], 2), "5e" * 32)
        assert check_prediction(job, table) == []
        assert check_prediction(job, Table("none", ("a", "b"), np.empty((0, 2)))) == []
        far = Table("X[1]", ("a", "b"), np.vstack([self.blobs, [[0.0, 1e9]]]))
        with pytest.raises(DataError, match=r'^X\[1\]: column "b", row 51: the number is too far outside') as caught:
            check_prediction(job, far)
        assert "1e" not in str(caught.value)
        assert "1000000000" not in str(caught.value)
