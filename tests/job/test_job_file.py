import re
from pathlib import Path

import pytest

from secure_kmeans.errors import JobError
from secure_kmeans.job import Endpoint, Party, Scaling
from secure_kmeans.job.fixed_point import choose_precision_bits
from secure_kmeans.protocols import read_job
from secure_kmeans.protocols.shk.job import Disclose, ShkJob
from tests.job.job_files import FINGERPRINTS, FULL, MINIMAL, PREDICTION, SESSION, Read, Refusal, changed

NO_ADDRESSES = ["clinic.example", "clinic.example:", ":7100", "h:0", "h:70000", "h:65536", "h:-1", "[::1]"]
NO_ADDRESSES += ["::1:7100", "[::1]7100", "[host]:7100", "https://h:7100", "h:7100/", "h:0x10", "h:7100 ", "h h:1", ""]
NO_TOML = ["columns = ", "columns == 1", "[scaling\n", "a = 1\na = 2", 'a = "secretname', "a = secretname", "\x00"]
NO_TOML += ["[[parties]]\nname = secretname", "seed = 1 secretname", "seed = 2024-99-99"]


class TestReading:
    def test_the_least_that_a_job_says(self, read: Read) -> None:
        assert read(MINIMAL) == ShkJob.of(
            parties=Party.named("clinic", "lab"),
            columns=("age", "dose"),
            n_clusters=3,
            scaling=Scaling.of(lower=(0.0, 0.0), upper=(120.0, 50.5)),
            precision_bits=choose_precision_bits(2, 3, 1.0),
        )

    def test_all_that_a_job_says(self, read: Read) -> None:
        assert read(FULL) == ShkJob.of(
            parties=(
                Party.of(name="clinic", address="clinic.example:7100", fingerprint=FINGERPRINTS[0]),
                Party.of(name="lab", address="[2001:db8::1]:7100", fingerprint=FINGERPRINTS[1]),
            ),
            dealer=Endpoint.of(address="192.0.2.7:65535", fingerprint=FINGERPRINTS[2]),
            columns=("age", "dose"),
            n_clusters=2,
            init="k-means++",
            n_init=7,
            max_iter=50,
            tol=1e-6,
            min_cluster_size=3,
            seed=11,
            centroids=((1.0, 2.5), (100.0, 50.0)),
            scaling=Scaling.of(method="minmax", lower=(0.0, 0.0), upper=(120.0, 50.5)),
            precision_bits=20,
            engine="crypten",
            disclose=Disclose(centroids="all"),
            reveal_inertia=False,
            reveal_mean_distance=True,
            timeout=12.0,
            purpose="Opening hours",
            contact="the desk, 555-0100",
        )

    def test_every_key_is_in_the_full_example(self, read: Read) -> None:
        others = {"bounds_from_data", "model", "resolution"}  # of no file, of a prediction, of hidden sizes
        assert set(re.findall(r"(?m)^(?:\[)?(\w+)(?: =|\])", FULL)) >= set(ShkJob.model_fields) - others

    def test_a_prediction(self, read: Read) -> None:
        job = read(PREDICTION)
        assert (job.task, job.model, job.centroids) == ("predict", SESSION, None)

    def test_a_model_that_nobody_learns(self, read: Read) -> None:
        assert read(f'{MINIMAL}\n[disclose]\ncentroids = "nobody"\n').disclose == Disclose(centroids="nobody")
        assert read(f"{MINIMAL}\n[disclose]\n").disclose == Disclose()

    def test_line_ends_of_another_system(self, read: Read) -> None:
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
            ('engine = "numpy"', "engine: Input should be "),
            ('engine = "gpu"', "engine: Input should be "),
            ('hide_counts = "yes"', "hide_counts: "),
            ('hide_counts = true\nengine = "crypten"', 'hide_counts: only the engine "secure" divides'),
            ("hide_counts = true\nreveal_mean_distance = true", "hide_counts: the mean-distance loss is made from"),
            ('protocol = "plaintext"', "protocol: there is no protocol of this name; it should be one of"),
            ("protocol = 1", "protocol: Input should be a valid string"),
            ("task = 1", "task: Input should be 'fit' or 'predict'"),
            ('task = "predict"', "model: a prediction needs the session of the run whose model it takes"),
            (f'model = "{SESSION}"', "model: a fit takes no model; leave it out"),
            ('task = "predict"\nmodel = "5E"', "model: String should match pattern"),
            ('task = "predict"\ncentroids = [[1, 1], [2, 2], [3, 3]]', "centroids: a job's prediction takes its model"),
            *(
                (f'task = "predict"\nmodel = "{SESSION}"\n{line}', f"{line.split()[0]}: a prediction has no use for")
                for line in (
                    'disclose = { centroids = "nobody" }',
                    "hide_counts = true",
                    'init = "random"',
                    "max_iter = 9",
                    "min_cluster_size = 1",
                    "n_init = 1",
                    "reveal_inertia = false",
                    "reveal_mean_distance = true",
                    "seed = 1",
                    "tol = 1e-3",
                )
            ),
            ('n_init = "5"', "n_init: "),
            ("n_init = 5.0", "n_init: "),
            ("n_init = true", "n_init: "),
            ("n_init = 1001", "n_init: "),
            ("min_cluster_size = 0", "min_cluster_size: "),
            ("min_cluster_size = 17", "min_cluster_size: more than 16 only with hidden sizes"),
            ("resolution = [1, 1]", "resolution: without hidden sizes all digits"),
            ("hide_counts = true\nresolution = [1]", "resolution: 1 number for 2 columns; give one for each"),
            ("hide_counts = true\nreveal_inertia = true", "reveal_inertia: with it the sizes can follow"),
            ('disclose = { centroids = "nobody" }\nreveal_inertia = true', "disclose: the losses are made from the"),
            ("resolution = [1, 0]", "resolution.1: "),
            ("resolution = 1", "resolution: "),
            ('disclose = "nobody"', "disclose: "),
            ('disclose = { centroids = "clinic" }', "disclose.centroids: "),
            ('disclose = { sizes = "all" }', "disclose.sizes: "),
            ("max_iter = 0", "max_iter: "),
            ('purpose = "a\\nb"', "purpose: write one line of printable characters"),
            ("contact = 5", "contact: Input should be a valid string"),
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
            ('transport = "tls"', "transport: Extra inputs are not permitted"),
            ("centroids = [[0, 0]]", "centroids: there must be 3 rows of 2 numbers"),
            ("centroids = [[0, 0], [1, nan], [2, 2]]", "centroids.1.1: "),
            ("centroids = [[0, 0], [1, 1], [900, 2]]", 'centroids: centroid 2 lies outside the bounds of column "age"'),
            ('dealer = "here"', "dealer: "),
            ("dealer = { name = 'dealer' }", "dealer.name: "),
            ("precision_bits = 7", "precision_bits: "),
            ("precision_bits = 31", "precision_bits: "),
            ("precision_bits = 24.0", "precision_bits: "),
        ],
    )
    def test_a_line_too_many(self, refusal: Refusal, line: str, message: str) -> None:
        assert refusal(f"{line}\n{MINIMAL}").startswith(message)

    @pytest.mark.parametrize("key", ["columns", "n_clusters"])
    def test_a_missing_key(self, refusal: Refusal, key: str) -> None:
        assert refusal(re.sub(rf"(?m)^{key} = .*$", "", MINIMAL)) == f"{key}: Field required"

    @pytest.mark.parametrize(
        ("without", "message"),
        [("[scaling]", "scaling: Field required"), ("[[parties]]", "parties: Field required")],
    )
    def test_a_missing_table(self, refusal: Refusal, without: str, message: str) -> None:
        kept = re.sub(rf"(?s){re.escape(without)}.*?(?=\n\[(?!\[)|\Z)", "", MINIMAL)
        assert refusal(kept) == message

    @pytest.mark.parametrize("key", ["lower", "upper"])
    def test_missing_bounds(self, refusal: Refusal, key: str) -> None:
        assert refusal(re.sub(rf"(?m)^{key} = .*$", "", MINIMAL)) == f"scaling.{key}: Field required"

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            ('"age", "dose"', '"age", 7', "columns.1: "),
            ('"age", "dose"', '"age", 2024-01-01', "columns.1: "),
            ('"age", "dose"', '"age", "age"', "columns: every column needs a name of its own"),
            ('"age", "dose"', '"age", ""', "columns: every column needs a name of its own"),
            ('"age", "dose"', '"age"', "scaling: bounds for 2 columns, but there are 1"),
            ('"lab"', "2024-01-01", "parties.1.name: "),
            ('"lab"', "7", "parties.1.name: "),
            ('"lab"', '"a/b"', "parties.1.name: "),
            ('"lab"', '".."', "parties.1.name: "),
            ('"lab"', '"Clinic"', "two parties have the same name"),
            ('"lab"', '"dealer"', '"dealer" is reserved'),
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
    def test_another_value(self, refusal: Refusal, before: str, after: str, message: str) -> None:
        assert before in MINIMAL
        assert refusal(MINIMAL.replace(before, after)).startswith(message)

    @pytest.mark.parametrize("address", NO_ADDRESSES)
    def test_an_address_that_is_none(self, refusal: Refusal, address: str) -> None:
        said = refusal(changed().replace("192.0.2.7:65535", address))
        assert said == f'dealer.address: "{address}" is no address; write host:port, like clinic.example:7100'

    @pytest.mark.parametrize("fingerprint", ["", "ab" * 31, "ab" * 33, "AB" * 32, "0g" * 32, ":".join(["ab"] * 32)])
    def test_a_fingerprint_that_is_none(self, refusal: Refusal, fingerprint: str) -> None:
        assert refusal(FULL.replace(FINGERPRINTS[0], fingerprint)).startswith("parties.0.fingerprint: ")

    def test_more_precision_than_the_bounds_leave_room_for(self, refusal: Refusal, read: Read) -> None:
        most = choose_precision_bits(2, 3, 1.0)
        assert read(f"precision_bits = {most}\n{MINIMAL}") == read(MINIMAL)
        assert refusal(f"precision_bits = {most + 1}\n{MINIMAL}") == (
            f"precision_bits: {most + 1} leave the ring no room for these bounds; at most {most} do"
        )

    def test_bounds_that_leave_no_room_at_all(self, refusal: Refusal) -> None:
        text = MINIMAL.replace("[120, 50.5]", "[1e12, 1e12]").replace("[scaling]", '[scaling]\nmethod = "none"')
        assert refusal(text).startswith("the bounds are too large for the fixed point with 2 columns and 3 clusters")

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
    def test_values_that_no_job_has(self, refusal: Refusal, line: str) -> None:
        said = refusal(f"{line}\n{MINIMAL}")
        assert len(said) < 400

    def test_more_clusters_than_numbers_can_tell(self, refusal: Refusal) -> None:
        said = refusal(MINIMAL.replace("n_clusters = 3", "n_clusters = " + "9" * 400))
        assert "number is too large" in said


class TestFiles:
    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(JobError) as caught:
            read_job(tmp_path / "none.toml")
        assert str(caught.value) == f"{tmp_path / 'none.toml'}: No such file or directory"

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(JobError) as caught:
            read_job(tmp_path)
        assert str(caught.value) == f"{tmp_path}: Is a directory"

    def test_not_text(self, refusal: Refusal) -> None:
        assert refusal(b'columns = ["\xff"]') == "this is not text in UTF-8"

    @pytest.mark.parametrize("text", NO_TOML)
    def test_not_toml(self, refusal: Refusal, text: str) -> None:
        said = refusal(text)
        assert "line" in said or "end of document" in said
        assert "secretname" not in said

    @pytest.mark.parametrize("value", ['"secretname"', "['secretname']", "{ secretname = 1 }"])
    @pytest.mark.parametrize("key", ["task", "n_clusters", "init", "tol", "seed", "precision_bits", "timeout"])
    def test_a_wrong_value_is_never_repeated(self, refusal: Refusal, key: str, value: str) -> None:
        assert refusal(changed(**{key: value})).startswith(key)
        assert "secretname" not in refusal(changed(**{key: value})).replace(f"{key}.secretname", "")
