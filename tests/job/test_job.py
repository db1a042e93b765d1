from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from secure_kmeans.job import SEEDS, Endpoint, Job, Kind, KMeansJob, Party, Role, Scaling
from secure_kmeans.protocols.shk.job import Disclose, ShkJob
from tests.job.refusing import refusal
from tests.jobs import a_job_of

NEEDED = {"parties", "columns", "n_clusters", "scaling", "precision_bits"}


def job_with(*names: str, **values: Any) -> ShkJob:
    return a_job_of(ShkJob, *names, **values)


class TestDefaults:
    def test_of_every_key(self) -> None:
        job = job_with()
        defaults = {name: getattr(job, name) for name in ShkJob.model_fields if name not in NEEDED}
        assert defaults == {
            "protocol": "shk",
            "engine": "secure",
            "task": "fit",
            "init": "farthest",
            "dealer": Endpoint(),
            "n_init": 5,
            "max_iter": 100,
            "tol": 0.0,
            "min_cluster_size": 5,
            "seed": None,
            "bounds_from_data": False,
            "centroids": None,
            "model": None,
            "hide_counts": False,
            "resolution": None,
            "disclose": Disclose(centroids="all"),
            "reveal_inertia": None,
            "reveal_mean_distance": False,
            "timeout": 60.0,
            "purpose": "",
            "contact": "",
        }
        assert defaults == {name: ShkJob.default_of(name) for name in defaults}

    @pytest.mark.parametrize("key", sorted(NEEDED))
    def test_a_key_without_a_default_is_needed(self, key: str) -> None:
        values = {name: getattr(job_with(), name) for name in NEEDED - {key}}
        assert refusal(ShkJob.of, **values).startswith(f"{key}: ")
        with pytest.raises(KeyError, match=key):
            ShkJob.default_of(key)


class TestValues:
    def test_frozen(self) -> None:
        job = job_with()
        with pytest.raises(ValidationError, match="frozen"):
            job.n_clusters = 3
        assert job.n_clusters == 2

    @pytest.mark.parametrize("key", ["purpose", "contact"])
    def test_texts_for_people(self, key: str) -> None:
        for text in ("", "x" * 500, 'Où? "Zürich", 50 % - 東京'):
            assert getattr(job_with(**{key: text}), key) == text
        assert refusal(ShkJob.of, **{**dict(job_with()), key: "x" * 501}).startswith(f"{key}: ")
        for text in ("two\nlines", "\x1b[31m", "\u202eback", "a\tb"):
            said = refusal(ShkJob.of, **{**dict(job_with()), key: text})
            assert said == f"{key}: write one line of printable characters"

    def test_json_and_back(self) -> None:
        job = job_with(seed=SEEDS - 1, centroids=((0.1, 0.2), (1 / 3, 1e-300)), tol=1e-17)
        assert ShkJob.model_validate_json(job.model_dump_json()) == job

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("protocol", "secretname"),
            ("engine", "secretname"),
            ("seed", -1),
            ("seed", SEEDS),
            ("seed", "secretname"),
            ("seed", False),
            ("timeout", 0.5),
            ("timeout", 86401.0),
            ("timeout", float("nan")),
            ("timeout", True),
            ("hide_counts", "secretname"),
            ("reveal_inertia", 1),
            ("secret", "secretname"),
            ("transport", "secretname"),
        ],
    )
    def test_a_value_that_is_not_allowed(self, key: str, value: object) -> None:
        message = refusal(job_with, **{key: value})
        assert message.startswith(f"{key}: ")
        assert "secretname" not in message

    def test_limits_that_are_allowed(self) -> None:
        assert (job_with(seed=0, timeout=1.0).seed, job_with(timeout=86400.0).timeout) == (0, 86400.0)
        assert job_with(*"abcdefghij", seed=SEEDS - 1).seed == SEEDS - 1

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"engine": "crypten"}, 'only the engine "secure" divides by counts that stay secret'),
            ({"reveal_mean_distance": True}, "the mean-distance loss is made from the cluster sizes; leave it out"),
        ],
    )
    def test_hidden_counts(self, values: dict[str, object], message: str) -> None:
        assert refusal(job_with, hide_counts=True, **values) == f"hide_counts: {message}"
        assert job_with(hide_counts=True).hide_counts


class TestParties:
    @pytest.mark.parametrize("number", [1, 11])
    def test_a_run_takes_two_to_ten(self, number: int) -> None:
        assert refusal(lambda: job_with(*"abcdefghijk"[:number])) == (
            f"a secure run takes 2 to 10 parties, not {number}"
        )

    def test_no_more_roles_than_thirty_two(self) -> None:
        class Crowd(KMeansJob):
            MOST_PARTIES: ClassVar[int] = 40
            HELPERS: ClassVar = {"server": Kind.SERVER}

            protocol: str = "crowd"
            server: Endpoint = Endpoint()

        names = [f"p{number}" for number in range(32)]
        assert len(a_job_of(Crowd, *names[:31]).roles) == 32
        assert refusal(lambda: a_job_of(Crowd, *names)) == "a secure run takes 2 to 31 parties, not 32"

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (("clinic", "Clinic"), "two parties have the same name"),
            (("dealer", "b"), '"dealer" is reserved, no party may be called so'),
            (("Dealer", "b"), '"dealer" is reserved, no party may be called so'),
            (("a", "all"), '"all" is reserved, no party may be called so'),
        ],
    )
    def test_names_that_clash(self, names: tuple[str, str], message: str) -> None:
        assert refusal(lambda: job_with(*names)) == message

    @pytest.mark.parametrize("name", ["", "a b", "a/b", "a\n", "a" * 65, ".a", "-a"])
    def test_a_name_that_could_not_be_a_file_name(self, name: str) -> None:
        parties = ({"name": "b"}, {"name": name})
        assert refusal(job_with, parties=parties).startswith("parties.1.name: ")


ENDPOINTS = [
    {"address": f"{host}.example:7100", "fingerprint": digit * 64} for host, digit in zip("abd", "123", strict=True)
]


def job_at(*endpoints: dict[str, str]) -> ShkJob:
    first, second, dealer = endpoints
    parties = (Party.of(name="clinic", **first), Party.of(name="lab", **second))
    return job_with(parties=parties, dealer=Endpoint.of(**dealer))


class TestRoles:
    def test_the_parties_and_then_the_helpers(self) -> None:
        job = job_at(*ENDPOINTS)
        assert job.names == ("clinic", "lab")
        assert job.roles == (
            Role("clinic", Kind.PARTY, "a.example:7100", "1" * 64),
            Role("lab", Kind.PARTY, "b.example:7100", "2" * 64),
            Role("dealer", Kind.DEALER, "d.example:7100", "3" * 64),
        )
        assert job.role("dealer") is not None
        assert job.role("lab") == job.roles[1]

    def test_a_role_that_does_not_exist(self) -> None:
        with pytest.raises(KeyError, match="nobody"):
            job_with().role("nobody")

    def test_only_parties_keep_states(self) -> None:
        assert [role.keeps_states for role in job_with().roles] == [True, True, False]

    def test_other_endpoints(self) -> None:
        job = job_at(*ENDPOINTS)
        moved = job.with_endpoints({"lab": Endpoint.of(address="c.example:1"), "dealer": job.dealer})
        assert [role.address for role in moved.roles] == [None, "c.example:1", "d.example:7100"]
        assert [role.fingerprint for role in moved.roles] == [None, None, "3" * 64]
        assert moved.names == job.names


class TestEndpoints:
    def test_a_job_whose_roles_can_find_each_other_passes(self) -> None:
        job = job_at(*ENDPOINTS)
        job.check_endpoints()
        assert all(role.address and role.fingerprint for role in job.roles)

    @pytest.mark.parametrize("what", ["address", "fingerprint"])
    @pytest.mark.parametrize(("number", "role"), list(enumerate(["clinic", "lab", "dealer"])))
    def test_every_role_needs_one(self, what: str, number: int, role: str) -> None:
        endpoints = [dict(endpoint) for endpoint in ENDPOINTS]
        del endpoints[number][what]
        said = refusal(job_at(*endpoints).check_endpoints)
        assert said == f'"{role}" has no {what}; every role needs one to run on a machine of its own'

    @pytest.mark.parametrize("what", ["address", "fingerprint"])
    @pytest.mark.parametrize(("first", "second"), [(0, 1), (0, 2), (1, 2)])
    def test_no_two_roles_have_the_same(self, what: str, first: int, second: int) -> None:
        endpoints = [dict(endpoint) for endpoint in ENDPOINTS]
        endpoints[second][what] = endpoints[first][what]
        roles = ["clinic", "lab", "dealer"]
        said = refusal(job_at(*endpoints).check_endpoints)
        assert said == f'"{roles[first]}" and "{roles[second]}" have the same {what}; give each its own'


class TestStateDigest:
    def test_neither_endpoints_nor_the_timeout_count(self) -> None:
        job = job_at(*ENDPOINTS)
        assert job.state_digest == job.model_copy(update={"timeout": 7.0}).state_digest
        assert job.state_digest == job.with_endpoints({}).state_digest
        assert job.state_digest == job.model_copy(update={"purpose": "another", "contact": "nobody"}).state_digest
        assert job.state_digest != job.digest

    @pytest.mark.parametrize(
        "values",
        [
            {"n_clusters": 3},
            {"seed": 1},
            {"scaling": Scaling.of(lower=(0.0, 0.0), upper=(1.0, 2.0))},
            {"hide_counts": True},
            {"min_cluster_size": 4},
            {"disclose": Disclose(centroids="nobody")},
            {"parties": Party.named("a", "c")},
        ],
    )
    def test_all_else_counts(self, values: dict[str, Any]) -> None:
        assert job_with(**values).state_digest != job_with().state_digest


def test_a_protocols_own_job_adds_its_keys() -> None:
    class MeanJob(Job):
        HELPERS: ClassVar = {"leader": Kind.SERVER}
        FEWEST_PARTIES: ClassVar[int] = 3

        protocol: str = "mean"
        leader: Endpoint = Endpoint()

    job = MeanJob.of(parties=Party.named("a", "b", "c"))
    assert [(role.name, role.kind) for role in job.roles][-1] == ("leader", Kind.SERVER)
    assert set(job.digests) == {"protocol", "parties", "seed", "timeout", "purpose", "contact", "leader"}
    assert refusal(MeanJob.of, parties=Party.named("a", "b")) == "a secure run takes 3 to 10 parties, not 2"
    assert refusal(MeanJob.of, parties=Party.named("a", "b", "leader")).startswith('"leader" is reserved')
