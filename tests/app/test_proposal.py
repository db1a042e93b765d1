import numpy as np
import pytest
from secure_kmeans.data import Table
from secure_kmeans.plan import coarse_columns, party_names, plan_fit, plan_predict

from secure_kmeans.errors import DataError, JobError, SecureKMeansError
from secure_kmeans.job import Job, Party, Scaling

FIRST = Table("a.csv", ("x", "y"), np.array([[1.0, 1.0], [1.0, 2.0]]))
SECOND = Table("b.csv", ("x", "y"), np.array([[4.0, 1.0], [4.0, 2.0], [3.0, 0.5]]))
BOUNDS = ((0.0, 0.0), (8.0, 4.0))


def test_party_names():
    assert party_names(3) == ("party_0", "party_1", "party_2")


class TestFit:
    def test_bounds_from_the_tables(self):
        job = plan_fit([FIRST, SECOND], 2)
        assert job == Job.of(
            parties=Party.named("party_0", "party_1"),
            columns=("x", "y"),
            n_clusters=2,
            scaling=Scaling.of(lower=(1.0, 0.5), upper=(4.0, 2.0)),
            bounds_from_data=True,
            precision_bits=24,
        )

    def test_bounds_that_were_agreed_on(self):
        job = plan_fit([FIRST, SECOND], 2, bounds=BOUNDS, scaling="minmax", parties=("clinic", "bank"))
        assert job.scaling == Scaling.of(method="minmax", lower=BOUNDS[0], upper=BOUNDS[1])
        assert job.bounds_from_data is False
        assert job.names == ("clinic", "bank")

    def test_further_options(self):
        job = plan_fit([FIRST, SECOND], 2, init="random", n_init=7, max_iter=3, tol=0.25, seed=5, timeout=9.0)
        assert (job.init, job.n_init, job.max_iter, job.tol, job.seed, job.timeout) == ("random", 7, 3, 0.25, 5, 9.0)

    def test_centroids_become_plain_numbers(self):
        job = plan_fit([FIRST, SECOND], 2, centroids=np.array([[1, 1], [4, 2]]))
        assert job.centroids == ((1.0, 1.0), (4.0, 2.0))

    @pytest.mark.parametrize(
        ("largest", "bits"),
        [
            (8.0, 24),  # 4 * 2 * 2 * 64 = 2^10
            (4096.0, 17),  # 2^28
            (4097.0, 16),  # < 2^29
        ],
    )
    def test_unscaled_tables_have_fewer_bits(self, largest, bits):
        job = plan_fit([FIRST, SECOND], 2, scaling="none", bounds=((-largest, 0.0), (8.0, 8.0)))
        assert job.precision_bits == bits

    @pytest.mark.parametrize(
        ("bounds", "message"),
        [
            (((0.0,) * 3, (9.0,) * 3), "there are bounds for 3 columns and 2 columns; give one pair for each"),
            (((0.0,) * 2, (9.0,) * 3), "a scaling needs one lower and one upper bound for each column"),
            (((0.0, 9.0), (9.0, 0.0)), "column 2: its lower bound is above its upper bound"),
        ],
    )
    def test_bounds_that_do_not_fit(self, bounds, message):
        with pytest.raises(JobError) as caught:
            plan_fit([FIRST, SECOND], 2, bounds=bounds)
        assert str(caught.value) == message

    def test_a_row_outside_the_bounds(self):
        with pytest.raises(DataError) as caught:
            plan_fit([FIRST, SECOND], 2, bounds=((0.0, 0.0), (3.5, 4.0)))
        assert str(caught.value).startswith('b.csv: column "x", row 1: the number is outside the agreed bounds')

    def test_tables_that_do_not_fit_together(self):
        other = Table("c.csv", ("y", "x"), FIRST.rows)
        with pytest.raises(DataError, match=r'^c\.csv: columns "y", "x" differ from "x", "y" of a\.csv; '):
            plan_fit([FIRST, other], 2)
        with pytest.raises(DataError, match=r"^a\.csv, b\.csv: n_samples=5 should be >= n_clusters=6; "):
            plan_fit([FIRST, SECOND], 6)

    @pytest.mark.parametrize(
        ("options", "start"),
        [
            ({"n_clusters": 0}, "n_clusters: "),
            ({"max_iter": 0}, "max_iter: "),
            ({"secret": 1}, "secret: "),
            ({"parties": ("a", "a")}, "two parties have the same name"),
            ({"centroids": np.ones((3, 2))}, "centroids must have 2 rows of 2 numbers"),
            ({"centroids": np.full((2, 2), np.nan)}, "centroids.0.0: "),
        ],
    )
    def test_what_the_job_refuses(self, options, start):
        with pytest.raises(JobError) as caught:
            plan_fit([FIRST, SECOND], **({"n_clusters": 2} | options))
        assert str(caught.value).startswith(start)

    @pytest.mark.parametrize("far", [1e6, 1e15])
    def test_a_start_that_cannot_fit_the_ring(self, far):
        # Scaled by 8: squared, with 48 fractional bits, even the first is above 2^63.
        with pytest.raises(SecureKMeansError):
            plan_fit([FIRST, SECOND], 2, bounds=BOUNDS, centroids=np.full((2, 2), far))


class TestPredict:
    fitted = plan_fit([FIRST, SECOND], 2, seed=3, n_init=4)
    centers = np.array([[1.0, 1.5], [11 / 3, 3.5 / 3]])

    def test_only_what_a_prediction_changes(self):
        job = plan_predict(self.fitted, self.centers)
        changed = {"task": "predict", "centroids": tuple(map(tuple, self.centers.tolist()))}
        # New rows may lie 64 times farther out: 4 * 2 * 2 * 64^2 = 2^16, and (62 - 16) / 2.
        changed |= {"bounds_from_data": False, "precision_bits": 23}
        assert job == Job.of(**{name: getattr(self.fitted, name) for name in Job.model_fields} | changed)

    def test_the_fitted_job_stays_as_it_was(self):
        plan_predict(self.fitted, self.centers)
        assert (self.fitted.task, self.fitted.centroids, self.fitted.bounds_from_data) == ("fit", None, True)

    def test_it_travels_as_json(self):
        job = plan_predict(self.fitted, self.centers)
        assert Job.model_validate_json(job.model_dump_json()) == job


class TestDigits:
    blobs = np.random.default_rng(0).normal(size=(50, 2)) * [1.0, 100.0]

    def test_an_outlier_far_away_costs_the_others_their_digits(self):
        rows = np.vstack([self.blobs, [[1e12, 0.0]]])
        table = Table("t.csv", ("a", "b"), rows)
        assert coarse_columns(plan_fit([table, table], 2), [table, table]) == ["a", "b"]

    def test_nothing_is_lost_of_usual_columns(self):
        table = Table("t.csv", ("a", "b"), self.blobs)
        assert coarse_columns(plan_fit([table, table], 2), [table, table]) == []

    def test_rows_closer_than_the_fixed_point_are_refused(self):
        table = Table("t.csv", ("a", "b"), self.blobs * 1e-9)
        with pytest.raises(JobError, match="the rows lose their digits"):
            plan_fit([table, table], 2, scaling="none")

    def test_kmeanspp_without_room_for_its_draws_is_refused_before_the_run(self):
        table = Table("t.csv", ("a", "b"), self.blobs * 1e3)
        assert plan_fit([table, table], 2, scaling="none", init="farthest").init == "farthest"
        with pytest.raises(JobError, match=r'"k-means.." has no room'):
            plan_fit([table, table], 2, scaling="none", init="k-means++")

    def test_a_new_row_out_of_reach_is_refused_before_the_run(self):
        table = Table("X[1]", ("a", "b"), self.blobs)
        fitted = plan_fit([table, table], 2)
        far = Table("X[1]", ("a", "b"), np.vstack([self.blobs, [[0.0, 1e9]]]))
        with pytest.raises(DataError, match=r'^X\[1\]: column "b", row 51: the number is too far outside') as caught:
            plan_predict(fitted, np.zeros((2, 2)), [table, far])
        assert "1e" not in str(caught.value)
        assert "1000000000" not in str(caught.value)
