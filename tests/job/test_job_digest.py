import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_kmeans.job import digest_of_keys
from secure_kmeans.job.fixed_point import choose_precision_bits
from secure_kmeans.protocols import read_job
from secure_kmeans.protocols.shk.job import ShkJob
from tests.job.job_files import FINGERPRINTS, FULL, MINIMAL, PREDICTION, SESSION, Read, changed

OTHER_VALUES = {
    "columns": '["age", "weight"]',
    "n_init": "8",
    "init": '"random"',
    "max_iter": "51",
    "tol": "1.0000001e-6",
    "min_cluster_size": "4",
    "seed": "12",
    "centroids": "[[1, 2.5], [100, 50.000001]]",
    "precision_bits": "19",
    "engine": '"secure"',
    "reveal_inertia": "true",
    "reveal_mean_distance": "false",
    "timeout": "12.5",
    "purpose": '"opening hours"',
    "contact": '""',
}
OTHER_TEXTS = {
    "parties": [
        ("clinic.example:7100", "clinic.example:7101"),
        (FINGERPRINTS[0], "0" * 64),
        ('"lab"', '"Lab"'),
    ],
    "dealer": [("192.0.2.7", "192.0.2.8"), (FINGERPRINTS[2], "0" * 64)],
    "scaling": [("[0, 0]", "[0, -1e-9]"), ("120", "121"), ('"minmax"', '"uniform"')],
}


def different(one: ShkJob, other: ShkJob) -> list[str]:
    """The keys whose digests differ."""
    return [each for each in one.digests if one.digests[each] != other.digests[each]]


class TestDigest:
    @pytest.mark.parametrize("key", OTHER_VALUES)
    def test_every_key_counts_and_is_named(self, read: Read, key: str) -> None:
        self.check_difference(read(FULL), read(changed(**{key: OTHER_VALUES[key]})), key)

    @pytest.mark.parametrize(
        ("key", "before", "after"), [(key, *texts) for key in OTHER_TEXTS for texts in OTHER_TEXTS[key]]
    )
    def test_every_endpoint_and_bound_counts(self, read: Read, key: str, before: str, after: str) -> None:
        assert before in FULL
        self.check_difference(read(FULL), read(FULL.replace(before, after)), key)

    def test_keys_that_no_file_changes(self, read: Read) -> None:
        job = read(MINIMAL)
        self.check_difference(job, job.model_copy(update={"bounds_from_data": True}), "bounds_from_data")
        self.check_difference(job, read(MINIMAL.replace("n_clusters = 3", "n_clusters = 4")), "n_clusters")
        secret = MINIMAL.replace("n_clusters = 3", "n_clusters = 3\nhide_counts = true")
        self.check_difference(job, read(secret), "hide_counts")
        coarse = read(f"resolution = [1, 0.5]\n{secret}")
        self.check_difference(read(secret), coarse, "resolution")
        self.check_difference(coarse, read(f"resolution = [1, 0.50000001]\n{secret}"), "resolution")
        self.check_difference(job, read(f'{MINIMAL}\n[disclose]\ncentroids = "nobody"\n'), "disclose")
        prediction = read(PREDICTION)
        self.check_difference(prediction, read(PREDICTION.replace(SESSION, "0" * 64)), "model")
        self.check_difference(prediction, prediction.model_copy(update={"task": "fit"}), "task")
        tested = {*OTHER_VALUES, *OTHER_TEXTS, "bounds_from_data", "n_clusters", "protocol", "hide_counts"}
        tested |= {"task", "model", "resolution", "disclose"}
        assert tested == set(ShkJob.model_fields)

    @staticmethod
    def check_difference(one: ShkJob, other: ShkJob, key: str) -> None:
        assert one.digest != other.digest
        assert len(one.digest) == 32
        assert [each for each in different(one, other) if "." not in each] == [key]

    def test_of_a_list_of_texts_every_element_is_named(self, read: Read) -> None:
        other = changed(columns='["age", "weight"]')
        assert different(read(FULL), read(other)) == ["columns", "columns.2"]
        one = read(FULL)
        assert one.digests["columns.1"] != one.digests["columns.2"]
        assert {each for each in one.digests if "." in each} == {"columns.1", "columns.2"}

    def test_the_order_of_the_parties_counts(self, read: Read) -> None:
        swapped = MINIMAL.replace("clinic", "x").replace("lab", "clinic").replace("x", "lab")
        assert read(swapped).digest != read(MINIMAL).digest

    @pytest.mark.parametrize(
        "text",
        [
            "# a comment\n" + FULL,
            FULL.replace("\n", "\r\n"),
            FULL.replace(" = ", "=").replace("\n\n", "\n\n\n"),
            FULL.replace("1e-6", "0.000001"),
            FULL.replace("[0, 0]", "[0.0, 0e5]").replace("[1, 2.5]", "[\n1.00, 25e-1,\n]"),
            FULL.replace('"age"', "'age'").replace('"dose"', '"d\\u006fse"'),
            FULL.replace("timeout = 12", "timeout = 12.0").replace("seed = 11", "seed = 0b1011"),
        ],
        ids=["comment", "line ends", "layout", "number", "whole numbers", "quotes", "spellings"],
    )
    def test_layout_and_spelling_do_not_count(self, read: Read, text: str) -> None:
        assert text != FULL
        assert read(text).digest == read(FULL).digest
        assert read(text).digests == read(FULL).digests

    @settings(max_examples=30)
    @given(data=st.data())
    def test_the_order_of_keys_and_written_defaults_do_not_count(
        self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        defaults = {
            "protocol": '"shk"',
            "task": '"fit"',
            "init": '"farthest"',
            "n_init": "5",
            "max_iter": "100",
            "tol": "0",
            "min_cluster_size": "5",
            "disclose": "{}",
            "precision_bits": str(choose_precision_bits(2, 3, 1.0)),
            "reveal_mean_distance": "false",
            "timeout": "60",
            "purpose": '""',
            "dealer": "{}",
        }
        written = data.draw(st.lists(st.sampled_from(sorted(defaults)), unique=True))
        lines = ['columns = ["age", "dose"]', "n_clusters = 3", "scaling = { upper = [120, 50.5], lower = [0, 0] }"]
        lines += ['parties = [{ name = "clinic" }, { name = "lab" }]', *(f"{key} = {defaults[key]}" for key in written)]
        folder = tmp_path_factory.mktemp("jobs")
        (folder / "one.toml").write_text("\n".join(data.draw(st.permutations(lines))))
        (folder / "other.toml").write_text(MINIMAL)
        assert read_job(folder / "one.toml").digest == read_job(folder / "other.toml").digest

    def test_it_follows_from_the_keys_and_values_alone(self, read: Read) -> None:
        job = read(FULL)
        assert digest_of_keys(json.loads(job.model_dump_json())) == job.digest
        assert digest_of_keys(json.loads(job.model_dump_json()) | {"seed": 12}) != job.digest

    def test_it_stays_the_same_from_one_version_to_the_next(self, read: Read) -> None:
        values = json.loads(read(FULL).model_dump_json())
        assert ShkJob.model_validate_json(json.dumps(dict(reversed(values.items())))).digest == read(FULL).digest
