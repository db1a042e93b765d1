import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from secure_kmeans.fixed_point import choose_precision_bits

from secure_kmeans.errors import JobError
from secure_kmeans.job import Dealer, Job, Party, Scaling, read_job

MINIMAL = """
columns = ["age", "dose"]
n_clusters = 3

[[parties]]
name = "clinic"

[[parties]]
name = "lab"

[scaling]
lower = [0, 0]
upper = [120, 50.5]
"""
FINGERPRINTS = ["ab" * 32, "0123456789abcdef" * 4, "f" * 64]
FULL = f"""
protocol = "shk"
task = "fit"
columns = ["age", "dose"]
n_clusters = 2
init = "k-means++"
n_init = 7
max_iter = 50
tol = 1e-6
seed = 11
centroids = [[1, 2.5], [100, 50]]
precision_bits = 20
engine = "crypten"
hide_counts = false
reveal_inertia = false
reveal_mean_distance = true
timeout = 12
transport = "gloo"
parties = [
    {{ name = "clinic", address = "clinic.example:7100", fingerprint = "{FINGERPRINTS[0]}" }},
    {{ name = "lab", address = "[2001:db8::1]:7100", fingerprint = "{FINGERPRINTS[1]}" }},
]

[dealer]
address = "192.0.2.7:65535"
fingerprint = "{FINGERPRINTS[2]}"

[scaling]
method = "minmax"
lower = [0, 0]
upper = [120, 50.5]
"""

NO_ADDRESSES = ["clinic.example", "clinic.example:", ":7100", "h:0", "h:70000", "h:65536", "h:-1", "[::1]"]
NO_ADDRESSES += ["::1:7100", "[::1]7100", "[host]:7100", "https://h:7100", "h:7100/", "h:0x10", "h:7100 ", "h h:1", ""]
NO_TOML = ["columns = ", "columns == 1", "[scaling\n", "a = 1\na = 2", 'a = "secretname', "a = secretname", "\x00"]
NO_TOML += ["[[parties]]\nname = secretname", "seed = 1 secretname", "seed = 2024-99-99"]


@pytest.fixture
def read(tmp_path):
    def reading(text: str | bytes) -> Job:
        path = tmp_path / "job.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_job(path)

    return reading


@pytest.fixture
def refusal(tmp_path, read):
    def refused(text: str | bytes) -> str:
        with pytest.raises(JobError) as caught:
            read(text)
        said = str(caught.value)
        assert "\n" not in said
        assert said.startswith(f"{tmp_path / 'job.toml'}: ")
        return said.removeprefix(f"{tmp_path / 'job.toml'}: ")

    return refused


def changed(**replacements: str) -> str:
    """The full example with other values, in TOML."""
    text = FULL
    for key, value in replacements.items():
        text, found = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert found == 1, key
    return text


class TestReading:
    def test_the_least_that_a_job_says(self, read):
        assert read(MINIMAL) == Job.of(
            parties=Party.named("clinic", "lab"),
            columns=("age", "dose"),
            n_clusters=3,
            scaling=Scaling.of(lower=(0.0, 0.0), upper=(120.0, 50.5)),
            precision_bits=choose_precision_bits(2, 3, 1.0),
        )

    def test_all_that_a_job_says(self, read):
        assert read(FULL) == Job.of(
            parties=(
                Party.of(name="clinic", address="clinic.example:7100", fingerprint=FINGERPRINTS[0]),
                Party.of(name="lab", address="[2001:db8::1]:7100", fingerprint=FINGERPRINTS[1]),
            ),
            dealer=Dealer.of(address="192.0.2.7:65535", fingerprint=FINGERPRINTS[2]),
            columns=("age", "dose"),
            n_clusters=2,
            init="k-means++",
            n_init=7,
            max_iter=50,
            tol=1e-6,
            seed=11,
            centroids=((1.0, 2.5), (100.0, 50.0)),
            scaling=Scaling.of(method="minmax", lower=(0.0, 0.0), upper=(120.0, 50.5)),
            precision_bits=20,
            engine="crypten",
            reveal_inertia=False,
            reveal_mean_distance=True,
            timeout=12.0,
            transport="gloo",
        )

    def test_every_key_is_in_the_full_example(self, read):
        assert set(re.findall(r"(?m)^(?:\[)?(\w+)(?: =|\])", FULL)) >= set(Job.model_fields) - {"bounds_from_data"}

    def test_a_prediction(self, read):
        job = read(changed(task='"predict"', centroids="[[1, 1], [500, 1]]"))
        assert (job.task, job.centroids) == ("predict", ((1.0, 1.0), (500.0, 1.0)))

    def test_line_ends_of_another_system(self, read):
        assert read(FULL.replace("\n", "\r\n").encode()) == read(FULL)


class TestRefused:
    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("secret = 1", "secret: Extra inputs are not permitted"),
            (
                "bounds_from_data = true",
                "bounds_from_data: this is no key of a job file: the parties of a job file agree",
            ),
            ("bounds_from_data = false", "bounds_from_data: this is no key"),
            ('engine = "numpy"', 'the engine "numpy" does not compute "shk"'),
            ('engine = "gpu"', "engine: Input should be "),
            ('hide_counts = "yes"', "hide_counts: "),
            ('hide_counts = true\nengine = "crypten"', 'hide_counts: only the engine "secure" divides'),
            ("hide_counts = true\nreveal_mean_distance = true", "hide_counts: the mean-distance loss is made from"),
            ('protocol = "plaintext"', 'protocol: Input should be "shk"'),
            ("task = 1", "task: Input should be 'fit' or 'predict'"),
            ('task = "predict"', "a prediction needs centroids"),
            ('n_init = "5"', "n_init: "),
            ("n_init = 5.0", "n_init: "),
            ("n_init = true", "n_init: "),
            ("n_init = 1001", "n_init: "),
            ("max_iter = 0", "max_iter: "),
            ("tol = nan", "tol: Input should be a finite number"),
            ("tol = inf", "tol: Input should be a finite number"),
            ("tol = -1e-9", "tol: "),
            ("tol = 1e999", "tol: Input should be a finite number"),
            ('tol = "small"', "tol: "),
            ("seed = -1", "seed: "),
            ("seed = 9007199254740992", "seed: "),
            ("seed = 2024-01-01", "seed: "),
            ("timeout = 12:00:00", "timeout: "),
            ("timeout = 0", "timeout: "),
            ("timeout = +inf", "timeout: "),
            ("reveal_inertia = 1", "reveal_inertia: "),
            ('transport = "udp"', "transport: Input should be 'tls' or 'gloo'"),
            ("centroids = [[0, 0]]", "centroids must have 3 rows of 2 numbers"),
            ("centroids = [[0, 0], [1, nan], [2, 2]]", "centroids.1.1: "),
            ("centroids = [[0, 0], [1, 1], [900, 2]]", 'centroid 2 lies outside the bounds of column "age"'),
            ('dealer = "here"', "dealer: "),
            ("dealer = { name = 'dealer' }", "dealer.name: "),
            ("precision_bits = 7", "precision_bits: "),
            ("precision_bits = 31", "precision_bits: "),
            ("precision_bits = 24.0", "precision_bits: "),
        ],
    )
    def test_a_line_too_many(self, refusal, line, message):
        assert refusal(f"{line}\n{MINIMAL}").startswith(message)

    @pytest.mark.parametrize("key", ["columns", "n_clusters"])
    def test_a_missing_key(self, refusal, key):
        assert refusal(re.sub(rf"(?m)^{key} = .*$", "", MINIMAL)) == f"{key}: Field required"

    @pytest.mark.parametrize(
        ("without", "message"),
        [("[scaling]", "scaling: Field required"), ("[[parties]]", "parties: Field required")],
    )
    def test_a_missing_table(self, refusal, without, message):
        kept = re.sub(rf"(?s){re.escape(without)}.*?(?=\n\[(?!\[)|\Z)", "", MINIMAL)
        assert refusal(kept) == message

    @pytest.mark.parametrize("key", ["lower", "upper"])
    def test_missing_bounds(self, refusal, key):
        assert refusal(re.sub(rf"(?m)^{key} = .*$", "", MINIMAL)) == f"scaling.{key}: Field required"

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            ('"age", "dose"', '"age", 7', "columns.1: "),
            ('"age", "dose"', '"age", 2024-01-01', "columns.1: "),
            ('"age", "dose"', '"age", "age"', "every column needs a name of its own"),
            ('"age", "dose"', '"age", ""', "every column needs a name of its own"),
            ('"age", "dose"', '"age"', "bounds for 2 columns, but there are 1"),
            ('"lab"', "2024-01-01", "parties.1.name: "),
            ('"lab"', "7", "parties.1.name: "),
            ('"lab"', '"a/b"', "parties.1.name: "),
            ('"lab"', '".."', "parties.1.name: "),
            ('"lab"', '"Clinic"', "two parties have the same name"),
            ('"lab"', '"dealer"', '"dealer" and "all" are reserved'),
            ('name = "lab"', 'name = "lab"\ntable = "lab.csv"', "parties.1.table: "),
            ("n_clusters = 3", "n_clusters = 0", "n_clusters: "),
            ("[120, 50.5]", "[-1, 50]", "scaling: column 1: its lower bound is above its upper bound"),
            ("[120, 50.5]", "[inf, 50]", "scaling.upper.0: "),
            ("[120, 50.5]", "[2024-01-01, 50]", "scaling.upper.0: "),
            ("[120, 50.5]", "120", "scaling.upper: "),
            ("[scaling]", '[scaling]\nmethod = "standard"', "scaling.method: "),
            ("[scaling]", "[scaling]\nunit = 1", "scaling.unit: "),
        ],
    )
    def test_another_value(self, refusal, before, after, message):
        assert before in MINIMAL
        assert refusal(MINIMAL.replace(before, after)).startswith(message)

    @pytest.mark.parametrize("address", NO_ADDRESSES)
    def test_an_address_that_is_none(self, refusal, address):
        said = refusal(changed().replace("192.0.2.7:65535", address))
        assert said == f'dealer.address: "{address}" is no address; write host:port, like clinic.example:7100'

    @pytest.mark.parametrize("fingerprint", ["", "ab" * 31, "ab" * 33, "AB" * 32, "0g" * 32, ":".join(["ab"] * 32)])
    def test_a_fingerprint_that_is_none(self, refusal, fingerprint):
        assert refusal(FULL.replace(FINGERPRINTS[0], fingerprint)).startswith("parties.0.fingerprint: ")

    def test_more_precision_than_the_bounds_leave_room_for(self, refusal, read):
        most = choose_precision_bits(2, 3, 1.0)
        assert read(f"precision_bits = {most}\n{MINIMAL}") == read(MINIMAL)
        assert refusal(f"precision_bits = {most + 1}\n{MINIMAL}") == (
            f"precision_bits: {most + 1} leave the ring no room for these bounds; at most {most} do"
        )

    def test_bounds_that_leave_no_room_at_all(self, refusal):
        text = MINIMAL.replace("[120, 50.5]", "[1e12, 1e12]").replace("[scaling]", '[scaling]\nmethod = "none"')
        assert refusal(text)

    @pytest.mark.parametrize(
        "line",
        [
            "tol = " + "9" * 5000,
            "tol = 0x" + "f" * 5000,
            "max_iter = " + "9" * 5000,
            "x = " + "[" * 20000,
            '"a\\nb" = 1',
        ],
        ids=["long number", "long hexadecimal number", "long whole number", "deep", "key of two lines"],
    )
    def test_values_that_no_job_has(self, refusal, line):
        refusal(f"{line}\n{MINIMAL}")

    def test_more_clusters_than_numbers_can_tell(self, refusal):
        refusal(MINIMAL.replace("n_clusters = 3", "n_clusters = " + "9" * 400))


class TestFiles:
    def test_no_file(self, tmp_path):
        with pytest.raises(JobError) as caught:
            read_job(tmp_path / "none.toml")
        assert str(caught.value) == f"{tmp_path / 'none.toml'}: No such file or directory"

    def test_a_folder(self, tmp_path):
        with pytest.raises(JobError) as caught:
            read_job(tmp_path)
        assert str(caught.value) == f"{tmp_path}: Is a directory"

    def test_not_text(self, refusal):
        assert refusal(b'columns = ["\xff"]') == "this is not text in UTF-8"

    @pytest.mark.parametrize("text", NO_TOML)
    def test_not_toml(self, refusal, text):
        said = refusal(text)
        assert "line" in said or "end of document" in said
        assert "secretname" not in said

    @pytest.mark.parametrize("value", ['"secretname"', "['secretname']", "{ secretname = 1 }"])
    @pytest.mark.parametrize(
        "key", ["task", "n_clusters", "init", "tol", "seed", "precision_bits", "timeout", "transport"]
    )
    def test_a_wrong_value_is_never_repeated(self, refusal, key, value):
        assert refusal(changed(**{key: value})).startswith(key)
        assert "secretname" not in refusal(changed(**{key: value})).replace(f"{key}.secretname", "")


OTHER_VALUES = {
    "task": '"predict"',
    "columns": '["age", "weight"]',
    "n_init": "8",
    "init": '"random"',
    "max_iter": "51",
    "tol": "1.0000001e-6",
    "seed": "12",
    "centroids": "[[1, 2.5], [100, 50.000001]]",
    "precision_bits": "19",
    "engine": '"secure"',
    "reveal_inertia": "true",
    "reveal_mean_distance": "false",
    "timeout": "12.5",
    "transport": '"tls"',
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


class TestDigest:
    @pytest.mark.parametrize("key", OTHER_VALUES)
    def test_every_key_counts_and_is_named(self, read, key):
        self.check_difference(read(FULL), read(changed(**{key: OTHER_VALUES[key]})), key)

    @pytest.mark.parametrize(
        ("key", "before", "after"), [(key, *texts) for key in OTHER_TEXTS for texts in OTHER_TEXTS[key]]
    )
    def test_every_place_and_bound_counts(self, read, key, before, after):
        assert before in FULL
        self.check_difference(read(FULL), read(FULL.replace(before, after)), key)

    def test_keys_that_no_file_changes(self, read):
        job = read(MINIMAL)
        self.check_difference(job, job.model_copy(update={"bounds_from_data": True}), "bounds_from_data")
        self.check_difference(job, read(MINIMAL.replace("n_clusters = 3", "n_clusters = 4")), "n_clusters")
        secret = MINIMAL.replace("n_clusters = 3", "n_clusters = 3\nhide_counts = true")
        self.check_difference(job, read(secret), "hide_counts")
        tested = {*OTHER_VALUES, *OTHER_TEXTS, "bounds_from_data", "n_clusters", "protocol", "hide_counts"}
        assert tested == set(Job.model_fields)

    @staticmethod
    def check_difference(one: Job, other: Job, key: str) -> None:
        assert one.digest != other.digest
        assert len(one.digest) == 32
        assert [each for each in one.digests if one.digests[each] != other.digests[each]] == [key]

    def test_the_order_of_the_parties_counts(self, read):
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
    def test_layout_and_spelling_do_not_count(self, read, text):
        assert text != FULL
        assert read(text).digest == read(FULL).digest
        assert read(text).digests == read(FULL).digests

    @settings(max_examples=30)
    @given(data=st.data())
    def test_the_order_of_keys_and_written_defaults_do_not_count(self, data, tmp_path_factory):
        defaults = {
            "protocol": '"shk"',
            "task": '"fit"',
            "init": '"farthest"',
            "n_init": "5",
            "max_iter": "100",
            "tol": "1e-8",
            "precision_bits": str(choose_precision_bits(2, 3, 1.0)),
            "reveal_inertia": "true",
            "reveal_mean_distance": "false",
            "timeout": "60",
            "transport": '"tls"',
            "dealer": "{}",
        }
        written = data.draw(st.lists(st.sampled_from(sorted(defaults)), unique=True))
        lines = ['columns = ["age", "dose"]', "n_clusters = 3", "scaling = { upper = [120, 50.5], lower = [0, 0] }"]
        lines += ['parties = [{ name = "clinic" }, { name = "lab" }]', *(f"{key} = {defaults[key]}" for key in written)]
        folder = tmp_path_factory.mktemp("jobs")
        (folder / "one.toml").write_text("\n".join(data.draw(st.permutations(lines))))
        (folder / "other.toml").write_text(MINIMAL)
        assert read_job(folder / "one.toml").digest == read_job(folder / "other.toml").digest

    def test_it_stays_the_same_from_one_version_to_the_next(self, read):
        values = json.loads(read(FULL).model_dump_json())
        assert Job.model_validate_json(json.dumps(dict(reversed(values.items())))).digest == read(FULL).digest
