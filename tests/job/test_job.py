import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from secure_kmeans.errors import JobError
from secure_kmeans.job import SEEDS, Dealer, Job, Party, Scaling, split_address

UNIT = {"lower": (0.0, 0.0), "upper": (1.0, 1.0)}
KEYS = {
    "parties": Party.named("a", "b"),
    "columns": ("x", "y"),
    "n_clusters": 2,
    "scaling": Scaling.of(**UNIT),
    "precision_bits": 20,
}


def job_with(**values):
    return Job.of(**(KEYS | values))


def refusal(make, **values):
    with pytest.raises(JobError) as caught:
        make(**values)
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestJob:
    def test_defaults(self):
        job = job_with()
        defaults = {name: getattr(job, name) for name in Job.model_fields if name not in KEYS}
        assert defaults == {
            "protocol": "shk",
            "engine": "secure",
            "task": "fit",
            "init": "farthest",
            "dealer": Dealer(),
            "n_init": 5,
            "max_iter": 100,
            "tol": 1e-8,
            "seed": None,
            "bounds_from_data": False,
            "centroids": None,
            "hide_counts": False,
            "reveal_inertia": True,
            "reveal_mean_distance": False,
            "timeout": 60.0,
            "transport": "tls",
        }

    def test_frozen(self):
        job = job_with()
        with pytest.raises(ValidationError, match="frozen"):
            job.n_clusters = 3
        assert job.n_clusters == 2

    def test_json_and_back(self):
        job = job_with(seed=SEEDS - 1, centroids=((0.1, 0.2), (1 / 3, 1e-300)), tol=1e-17)
        assert Job.model_validate_json(job.model_dump_json()) == job

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"task": "predict"}, "a prediction needs centroids"),
            ({"parties": Party.named("clinic", "Clinic")}, "two parties have the same name"),
            ({"parties": Party.named("dealer", "b")}, '"dealer" and "all" are reserved, no party may be called so'),
            ({"parties": Party.named("a", "all")}, '"dealer" and "all" are reserved, no party may be called so'),
            ({"columns": ("x", "y", "z")}, "bounds for 2 columns, but there are 3"),
            ({"centroids": ((0.0, 0.0),)}, "centroids must have 2 rows of 2 numbers"),
            ({"centroids": ((0.0,), (1.0,))}, "centroids must have 2 rows of 2 numbers"),
            ({"centroids": ((0.0, 1.0), (1.0,))}, "centroids must have 2 rows of 2 numbers"),
            (
                {"scaling": {"lower": (1.0, 0.0), "upper": (0.0, 0.0)}},
                "scaling: column 1: its lower bound is above its upper bound",
            ),
        ],
    )
    def test_what_does_not_fit_together(self, values, message):
        assert refusal(job_with, **values) == message

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("protocol", "secretname"),
            ("engine", "secretname"),
            ("task", "secretname"),
            ("init", "secretname"),
            ("columns", ()),
            ("n_clusters", 0),
            ("n_clusters", 2.5),
            ("n_init", 0),
            ("n_init", 1001),
            ("max_iter", 0),
            ("tol", -1e-9),
            ("tol", float("nan")),
            ("tol", float("inf")),
            ("seed", -1),
            ("seed", SEEDS),
            ("seed", "secretname"),
            ("precision_bits", 7),
            ("precision_bits", 31),
            ("timeout", 0.5),
            ("timeout", 86401.0),
            ("timeout", float("nan")),
            ("secret", "secretname"),
        ],
    )
    def test_a_value_that_is_not_allowed(self, key, value):
        message = refusal(job_with, **{key: value})
        assert message.startswith(f"{key}: ")
        assert "secretname" not in message

    @pytest.mark.parametrize("number", [1, 11])
    def test_a_secure_run_takes_two_to_ten_parties(self, number):
        parties = Party.named(*"abcdefghijk"[:number])
        assert refusal(job_with, parties=parties) == f"a secure run takes 2 to 10 parties, not {number}"

    def test_a_plaintext_run_may_have_one_party_and_needs_its_engine(self):
        assert job_with(protocol="plaintext", engine="numpy", parties=Party.named("all")).names == ("all",)
        message = 'the engine "secure" does not compute "plaintext"'
        assert refusal(job_with, protocol="plaintext", parties=Party.named("all")) == message

    def test_a_start_outside_the_bounds_is_refused_and_one_at_them_is_not(self):
        start = ((0.0, 0.0), (1e6, 0.0))
        assert refusal(job_with, centroids=start).startswith('centroid 1 lies outside the bounds of column "')

    @pytest.mark.parametrize("name", ["", "a b", "a/b", "a\n", "a" * 65])
    def test_a_name_that_could_not_be_a_file_name(self, name):
        parties = ({"name": "b"}, {"name": name})
        assert refusal(job_with, parties=parties).startswith("parties.1.name: ")

    @pytest.mark.parametrize("number", [float("nan"), float("inf")])
    def test_centroids_are_finite(self, number):
        assert refusal(job_with, centroids=((0.0, 0.0), (0.0, number))).startswith("centroids.1.1: ")

    @pytest.mark.parametrize(
        ("key", "value"), [("n_clusters", "2"), ("n_clusters", True), ("seed", False), ("tol", "1"), ("timeout", True)]
    )
    def test_no_silent_conversion(self, key, value):
        assert refusal(job_with, **{key: value}).startswith(f"{key}: ")

    def test_limits_that_are_allowed(self):
        job = job_with(n_clusters=1, n_init=1000, max_iter=1, tol=0.0, seed=0, precision_bits=30, timeout=1.0)
        assert (job.n_init, job.seed, job.tol) == (1000, 0, 0.0)
        assert job_with(parties=Party.named(*"abcdefghij"), seed=SEEDS - 1, precision_bits=8).seed == SEEDS - 1

    @pytest.mark.parametrize("key", KEYS)
    def test_what_has_no_default_is_needed(self, key):
        message = refusal(Job.of, **{name: value for name, value in KEYS.items() if name != key})
        assert message.startswith(f"{key}: ")


class TestScaling:
    def test_frozen(self):
        scaling = Scaling.of(**UNIT)
        with pytest.raises(ValidationError, match="frozen"):
            scaling.method = "none"
        assert scaling.method == "uniform"

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"lower": (), "upper": ()}, "a scaling needs one lower and one upper bound for each column"),
            ({"lower": (0.0,), "upper": (1.0, 2.0)}, "a scaling needs one lower and one upper bound for each column"),
            ({"lower": (0.0, 2.0), "upper": (1.0, 1.0)}, "column 2: its lower bound is above its upper bound"),
        ],
    )
    def test_bounds_that_do_not_fit_together(self, values, message):
        assert refusal(Scaling.of, **values) == message

    @pytest.mark.parametrize(
        ("values", "key"),
        [
            ({"method": "secretname"}, "method"),
            ({"lower": (0.0, float("nan"))}, "lower.1"),
            ({"upper": (float("inf"), 1.0)}, "upper.0"),
            ({"secret": 1}, "secret"),
        ],
    )
    def test_a_value_that_is_not_allowed(self, values, key):
        message = refusal(Scaling.of, **(UNIT | values))
        assert message.startswith(f"{key}: ")
        assert "secretname" not in message

    @pytest.mark.parametrize(
        ("method", "units", "offsets", "largest", "scaled"),
        [
            ("uniform", [8.0, 8.0], [2.0, -1.0], 1.0, [[1.0, 0.0], [0.25, 0.125]]),
            ("minmax", [8.0, 2.0], [2.0, -1.0], 1.0, [[1.0, 0.0], [0.25, 0.5]]),
            ("none", [1.0, 1.0], [0.0, 0.0], 10.0, [[10.0, -1.0], [4.0, 0.0]]),
        ],
    )
    def test_hand_computed(self, method, units, offsets, largest, scaled):
        scaling = Scaling.of(method=method, lower=(2.0, -1.0), upper=(10.0, 1.0))
        rows = np.array([[10.0, -1.0], [4.0, 0.0]])
        assert scaling.units.tolist() == units
        assert scaling.offsets.tolist() == offsets
        assert scaling.largest == largest
        assert scaling.apply(rows).tolist() == scaled
        assert scaling.invert(np.array(scaled)).tolist() == rows.tolist()

    def test_the_largest_value_may_be_a_lower_bound(self):
        assert Scaling.of(method="none", lower=(-7.0, 0.0), upper=(1.0, 3.0)).largest == 7.0

    def test_diagonal(self):
        assert Scaling.of(lower=(1.0, 2.0), upper=(4.0, 6.0)).diagonal == 5.0
        assert Scaling.of(lower=(1.0, 2.0), upper=(1.0, 2.0)).diagonal == 1.0

    @pytest.mark.parametrize("method", ["uniform", "minmax", "none"])
    @pytest.mark.parametrize("upper", [(5.0, 5.0), (5.0, 9.0)], ids=["all", "one"])
    def test_constant_columns(self, method, upper):
        scaling = Scaling.of(method=method, lower=(5.0, 5.0), upper=upper)
        rows = np.array([[5.0, 5.0], upper])
        scaled = scaling.apply(rows)
        assert np.isfinite(scaled).all()
        assert (scaled[:, 0] == scaled[0, 0]).all()
        assert scaling.invert(scaled).tolist() == rows.tolist()

    @settings(max_examples=100, deadline=None)
    @given(
        columns=st.lists(st.tuples(*[st.floats(-1e9, 1e9)] * 3), min_size=1, max_size=4),
        method=st.sampled_from(["uniform", "minmax", "none"]),
    )
    @example(columns=[(0.0, 5e-324, 1.0), (0.0, 0.0, 1.0)], method="uniform")
    def test_invert_undoes_apply(self, columns, method):
        ordered = np.sort(np.array(columns), axis=1)
        lower, row, upper = ordered.T
        scaling = Scaling.of(method=method, lower=tuple(lower), upper=tuple(upper))
        scaled = scaling.apply(row[None])
        # Each of -, /, * and + is off by at most 2^-53 of its result; with M the larger bound of a column,
        # |x - lower| <= 2 M, so 3 * 2 M + M, and higher orders: 8 * 2^-53 M. The last term is for underflow,
        # where a quotient is off by 2^-1075, times a unit of at most 2e9.
        bound = 8 * 2.0**-53 * np.maximum(abs(lower), abs(upper)) + 1e-300
        assert (abs(scaling.invert(scaled)[0] - row) <= bound).all()
        assert abs(scaled).max() <= scaling.largest  # rounding is monotone, so this holds exactly
        if method != "none":
            assert scaled.min() >= 0

    @settings(max_examples=50, deadline=None)
    @given(
        rows=st.lists(st.tuples(st.integers(0, 1024), st.integers(-8, 8)), min_size=2, max_size=8),
        lower=st.integers(-100, 100),
    )
    def test_uniform_keeps_ratios_of_distances(self, rows, lower):
        # Integers and a range of 2^10: nothing is rounded, so every squared distance shrinks by 2^20 exactly.
        scaling = Scaling.of(lower=(float(lower), -8.0), upper=(float(lower + 1024), 8.0))
        points = np.array(rows, dtype=float) + np.array([lower, 0])
        scaled = scaling.apply(points)
        before = ((points[:, None] - points) ** 2).sum(axis=2)
        after = ((scaled[:, None] - scaled) ** 2).sum(axis=2)
        np.testing.assert_array_equal(after * 2**20, before)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("clinic.example:7100", ("clinic.example", 7100)),
        ("192.0.2.7:1", ("192.0.2.7", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("[2001:DB8::7]:443", ("2001:DB8::7", 443)),
        ("my_host-1:80", ("my_host-1", 80)),
    ],
)
def test_host_and_port(address, parts):
    assert split_address(address) == parts


class TestPlaces:
    places = tuple(
        {"address": f"{host}.example:7100", "fingerprint": digit * 64} for host, digit in zip("abd", "123", strict=True)
    )

    def job(self, *places):
        first, second, dealer = places
        parties = (Party.of(name="clinic", **first), Party.of(name="lab", **second))
        return job_with(parties=parties, dealer=Dealer.of(**dealer))

    def test_a_job_whose_roles_all_have_a_place(self):
        job = self.job(*self.places)
        job.check_places()
        assert job.names == ("clinic", "lab")
        assert job.roles == ("clinic", "lab", "dealer")
        assert job.place("lab") == job.parties[1]
        assert job.place("dealer") == job.dealer

    @pytest.mark.parametrize("what", ["address", "fingerprint"])
    @pytest.mark.parametrize(("number", "role"), list(enumerate(["clinic", "lab", "dealer"])))
    def test_every_role_needs_one(self, what, number, role):
        places = [dict(place) for place in self.places]
        del places[number][what]
        said = refusal(self.job(*places).check_places)
        assert said == f'"{role}" has no {what}; every role needs one to run on a machine of its own'

    @pytest.mark.parametrize("what", ["address", "fingerprint"])
    @pytest.mark.parametrize(("first", "second"), [(0, 1), (0, 2), (1, 2)])
    def test_no_two_roles_have_the_same(self, what, first, second):
        places = [dict(place) for place in self.places]
        places[second][what] = places[first][what]
        roles = ["clinic", "lab", "dealer"]
        said = refusal(self.job(*places).check_places)
        assert said == f'"{roles[first]}" and "{roles[second]}" have the same {what}; give each its own'
