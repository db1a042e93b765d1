"""The job of SVK: its columns, how rows are aligned, what it discloses, and the messages with which it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from secure_kmeans.errors import JobError
from secure_kmeans.job import Party, Scaling
from secure_kmeans.job.clustering import LARGEST_PUBLIC_MINIMUM
from secure_kmeans.job.ledger import ALL, OWNER
from secure_kmeans.protocols import read_job
from secure_kmeans.protocols.svk import SVK, SvkJob
from secure_kmeans.protocols.svk import disclosures as may
from secure_kmeans.protocols.svk.disclosures import EVERYTHING, disclosures
from secure_kmeans.protocols.svk.job import MOST_ROWS, ColumnsParty, Disclose
from tests.job.job_files import SESSION
from tests.job.refusing import refusal

CLINIC = ColumnsParty.of(name="clinic", columns=("age", "dose"))
LAB = ColumnsParty.of(name="lab", columns=("iron",))
BOUNDS = Scaling.of(lower=(0.0,), upper=(1.0,))
REGISTRY = ColumnsParty.of(name="registry", columns=("weight", "age"))


def job_with(**values: Any) -> SvkJob:
    """A job of the clinic and the lab whose rows are not aligned by identifiers, unless the values say otherwise."""
    parties = values.get("parties", (CLINIC, LAB))
    d = sum(len(getattr(party, "columns", ())) for party in parties)
    usual = {
        "parties": parties,
        "n_clusters": 2,
        "align": "none",
        "scaling": values.get("scaling") or Scaling.of(lower=(0.0,) * d, upper=(1.0,) * d),
        "precision_bits": 20,
    }
    return SvkJob.of(**usual | values)


def hidden(**values: Any) -> SvkJob:
    return job_with(hide_labels=True, **values)


def predicting(**values: Any) -> SvkJob:
    return job_with(task="predict", model=SESSION, **values)


class TestColumns:
    def test_they_follow_from_the_parties(self) -> None:
        job = job_with()
        assert job.columns == ("age", "dose", "iron")
        assert job.widths == (2, 1)
        assert [job.columns_of(name) for name in ("clinic", "lab", "dealer")] == [slice(0, 2), slice(2, 3), slice(3, 3)]

    def test_a_name_that_two_parties_use_stands_with_its_party(self) -> None:
        job = job_with(parties=(CLINIC, LAB, REGISTRY))
        assert job.columns == ("clinic.age", "dose", "iron", "weight", "registry.age")
        assert job.columns_of("registry") == slice(3, 5)

    def test_a_joined_name_must_not_be_another_column_s(self) -> None:
        odd = ColumnsParty.of(name="odd", columns=("clinic.age",))
        message = refusal(job_with, parties=(CLINIC, REGISTRY, odd))
        assert message == "columns: every column needs a name of its own"

    def test_a_party_has_no_column_twice_and_none_without_a_name(self) -> None:
        for columns in (("age", "age"), ("age", "")):
            strange = ColumnsParty.of(name="lab", columns=columns)
            message = refusal(job_with, parties=(CLINIC, strange), columns=("clinic.age", "dose", "lab.age", "iron"))
            assert message == 'parties: every column of "lab" needs a name of its own'

    @pytest.mark.parametrize("columns", [("age", "dose"), ("dose", "age", "iron"), ("a", "b", "c")])
    def test_other_columns_are_refused(self, columns: tuple[str, ...]) -> None:
        scaling = Scaling.of(lower=(0.0,) * len(columns), upper=(1.0,) * len(columns))
        message = refusal(job_with, columns=columns, scaling=scaling)
        assert message == "columns: they follow from the parties; leave them out"

    def test_a_party_without_columns_is_refused(self) -> None:
        assert refusal(ColumnsParty.of, name="lab", columns=()).startswith("columns: ")
        assert refusal(job_with, parties=(CLINIC, Party.of(name="lab"))).startswith("parties.1: ")
        message = refusal(job_with, parties=({"name": "clinic", "columns": ("a",)}, {"name": "lab"}), scaling=BOUNDS)
        assert message == "parties.1.columns: Field required"

    @pytest.mark.parametrize("parties", [None, 5, "clinic", ({"columns": 7},), ({},), (3, 4)])
    def test_what_is_no_list_of_parties_is_refused_as_such(self, parties: object) -> None:
        message = refusal(SvkJob.of, parties=parties, n_clusters=1, align="none", scaling=BOUNDS, precision_bits=20)
        assert message.startswith("parties")

    def test_bounds_are_for_all_columns(self) -> None:
        message = refusal(job_with, scaling=Scaling.of(lower=(0.0,) * 2, upper=(1.0,) * 2))
        assert message == "scaling: bounds for 2 columns, but there are 3"

    @pytest.mark.parametrize("parties", [1, 11])
    def test_two_to_ten_parties(self, parties: int) -> None:
        many = tuple(ColumnsParty.of(name=f"p{rank}", columns=(f"x{rank}",)) for rank in range(parties))
        assert refusal(job_with, parties=many) == f"a secure run takes 2 to 10 parties, not {parties}"


class TestAlignment:
    def test_by_identifiers_unless_the_job_says_otherwise(self) -> None:
        job = job_with(align="psi", id="patient", most_rows=1000)
        assert SvkJob.default_of("align") == "psi"
        assert [job.id_of(name) for name in job.names] == ["patient", "patient"]
        assert [job.most_rows_of(name) for name in job.names] == [1000, 1000]

    def test_a_party_may_have_its_own_identifier_and_number_of_rows(self) -> None:
        lab = ColumnsParty.of(name="lab", columns=("iron",), id="no", most_rows=5)
        job = job_with(parties=(CLINIC, lab), align="psi", id="patient", most_rows=1000)
        assert [job.id_of(name) for name in job.names] == ["patient", "no"]
        assert [job.most_rows_of(name) for name in job.names] == [1000, 5]

    def test_every_party_needs_an_identifier(self) -> None:
        clinic = ColumnsParty.of(name="clinic", columns=("age",), id="patient", most_rows=5)
        for align in ("psi", "order"):
            parties = (clinic if align == "psi" else clinic.model_copy(update={"most_rows": None}), LAB)
            message = refusal(job_with, parties=parties, align=align)
            assert message == (
                'id: the rows of "lab" need a column of identifiers to be aligned by; name it, or set align to none'
            )

    def test_an_identifier_is_no_column_to_cluster_by(self) -> None:
        message = refusal(job_with, align="psi", id="iron", most_rows=5)
        assert message == 'id: "iron" of "lab" is a column to cluster by, too'

    def test_every_party_needs_a_largest_number_of_rows(self) -> None:
        clinic = ColumnsParty.of(name="clinic", columns=("age",), most_rows=5)
        message = refusal(job_with, parties=(clinic, LAB), align="psi", id="patient")
        assert message == 'most_rows: agree on the largest number of rows that the table of "lab" may have'

    @pytest.mark.parametrize("most", [0, -1, MOST_ROWS + 1, 2.5, True, "10"])
    def test_a_largest_number_that_is_none(self, most: object) -> None:
        assert refusal(job_with, align="psi", id="patient", most_rows=most).startswith("most_rows: ")
        assert refusal(ColumnsParty.of, name="lab", columns=("iron",), most_rows=most).startswith("most_rows: ")
        assert job_with(align="psi", id="patient", most_rows=MOST_ROWS).most_rows_of("lab") == MOST_ROWS

    @pytest.mark.parametrize("keys", [{"align": "order", "id": "patient"}, {"align": "none"}])
    def test_without_psi_there_is_no_largest_number(self, keys: dict[str, Any]) -> None:
        message = 'most_rows: only align = "psi" compares sets of identifiers; leave it out'
        assert refusal(job_with, most_rows=5, **keys) == message
        lab = ColumnsParty.of(name="lab", columns=("iron",), most_rows=5)
        assert refusal(job_with, parties=(CLINIC, lab), **keys) == message

    def test_without_alignment_there_is_no_identifier(self) -> None:
        message = 'id: with align = "none" no identifier is compared; leave it out'
        assert refusal(job_with, id="patient") == message
        lab = ColumnsParty.of(name="lab", columns=("iron",), id="no")
        assert refusal(job_with, parties=(CLINIC, lab)) == message

    def test_only_these_three(self) -> None:
        assert refusal(job_with, align="guess").startswith("align: ")


class TestDisclose:
    def test_labels_are_for_all_or_for_nobody(self) -> None:
        assert job_with().labels_to == "all"
        assert hidden().labels_to == "nobody"
        assert hidden(disclose=Disclose(labels="all")).labels_to == "all"
        assert hidden(disclose=Disclose(labels=("lab",))).labels_to == ("lab",)
        assert predicting().labels_to == predicting(hide_labels=True).labels_to == "all"
        assert predicting(disclose=Disclose(labels=("lab",))).labels_to == ("lab",)

    @pytest.mark.parametrize("labels", [(), ("clinic", "lab"), ("clinic", "other"), ("dealer",)])
    def test_labels_go_to_some_of_the_parties(self, labels: tuple[str, ...]) -> None:
        message = refusal(hidden, disclose=Disclose(labels=labels))
        assert message == 'disclose.labels: name some of the parties, or write "all" or "nobody"'

    @pytest.mark.parametrize("labels", ["nobody", ("lab",)])
    def test_open_labels_are_open(self, labels: Any) -> None:
        message = refusal(job_with, disclose=Disclose(labels=labels))
        assert message == "disclose.labels: all parties see the labels of each iteration; set hide_labels"

    @pytest.mark.parametrize("hide_labels", [False, True])
    def test_a_prediction_is_for_its_labels(self, hide_labels: bool) -> None:
        message = refusal(predicting, hide_labels=hide_labels, disclose=Disclose(labels="nobody"))
        assert message == ('disclose.labels: a prediction is for its labels; write "all", or name some parties')

    def test_with_open_labels_each_party_knows_its_columns_of_the_centroids(self) -> None:
        assert refusal(job_with, disclose=Disclose(centroids="nobody")) == (
            "disclose.centroids: with the labels each party knows the centroids in its own columns; set hide_labels"
        )
        assert not hidden(disclose=Disclose(centroids="nobody")).discloses_inertia

    def test_sizes_follow_from_labels(self) -> None:
        assert refusal(job_with, hide_counts=True) == (
            "hide_counts: the sizes follow from the labels; set hide_labels, too"
        )
        assert refusal(hidden, hide_counts=True, disclose=Disclose(labels="all")) == (
            "hide_counts: the sizes follow from the labels; disclose the labels to nobody"
        )

    def test_the_inertia(self) -> None:
        assert job_with().discloses_inertia
        assert not job_with(reveal_inertia=False).discloses_inertia
        assert not hidden().discloses_inertia
        assert hidden(disclose=Disclose(labels="all")).discloses_inertia
        assert not hidden(disclose=Disclose(labels="all", centroids="nobody")).discloses_inertia
        assert refusal(hidden, hide_counts=True, reveal_inertia=True) == (
            "reveal_inertia: with it the sizes can follow from the centroids; leave it out"
        )
        message = "reveal_inertia: it is made from the labels and the centroids; leave it out"
        assert refusal(hidden, reveal_inertia=True) == message
        assert refusal(hidden, reveal_inertia=True, disclose=Disclose(labels=("lab",))) == message
        nobody = Disclose(labels="all", centroids="nobody")
        assert refusal(hidden, reveal_inertia=True, disclose=nobody) == message

    def test_a_resolution_is_for_hidden_labels(self) -> None:
        assert refusal(job_with, resolution=(0.5,) * 3) == (
            "resolution: by public labels each party knows all digits of its centroids; leave it out"
        )
        coarse = hidden(resolution=(0.5, 0.25, 1.0)).centroid_shifts(100)
        assert coarse is not None
        assert coarse.tolist() == [19, 18, 20]
        assert refusal(hidden, hide_counts=True, resolution=(0.5,)) == (
            "resolution: 1 number for 3 columns; give one for each"
        )
        shifts = hidden(hide_counts=True, resolution=(0.5, 0.25, 1.0)).centroid_shifts(100)
        assert shifts is not None
        assert shifts.tolist() == [19, 18, 20]
        assert hidden().centroid_shifts(100) is None

    def test_public_sizes_allow_no_large_minimum(self) -> None:
        most = LARGEST_PUBLIC_MINIMUM
        assert hidden(min_cluster_size=most).withheld_below == most
        assert refusal(hidden, min_cluster_size=most + 1) == (
            f"min_cluster_size: more than {most} only with hidden sizes; set hide_counts"
        )
        assert hidden(min_cluster_size=1000, hide_counts=True).withheld_below == 1000
        assert job_with(min_cluster_size=1000, disclose=Disclose(centroids="all")).withheld_below == 1000
        assert job_with(min_cluster_size=1000).withheld_below == 1, "each party knows its columns of all centroids"

    def test_a_start_is_known_where_each_party_knows_its_columns_of_it(self) -> None:
        assert job_with(centroids=((0.0,) * 3, (1.0,) * 3)).start_is_known
        assert job_with(seed=1, init="random").start_is_known
        assert not job_with(seed=1, init="farthest").start_is_known
        assert not job_with(init="random").start_is_known

    @pytest.mark.parametrize(
        ("job", "expected"),
        [
            (job_with(disclose=Disclose(centroids="all")), {may.FINAL_CENTROIDS: ALL, may.LABELS: ALL}),
            (job_with(), {may.OWN_CENTROIDS: OWNER, may.NEVER_FILLED: "dealer"}),
            (job_with(seed=1, init="random"), {may.STARTING_ROWS: ALL}),
            (hidden(disclose=Disclose(labels=("lab",))), {may.LABELS_TO_SOME: OWNER, may.CLUSTER_SIZES: ALL}),
            (hidden(disclose=Disclose(centroids="nobody")), {may.WITHHELD: ALL}),
            (predicting(), {may.FINAL_LABELS: ALL, may.ROW_COUNTS: ALL}),
        ],
    )
    def test_what_is_announced(self, job: SvkJob, expected: dict[Any, str]) -> None:
        announced = disclosures(job)
        assert {disclosure: disclosure.to for disclosure in announced if disclosure in expected} == expected
        assert [each for each in EVERYTHING if each in announced] == list(announced)

    def test_what_is_hidden_is_not_announced(self) -> None:
        for_nobody = hidden(hide_counts=True, disclose=Disclose(centroids="nobody"))
        what = {disclosure.what for disclosure in disclosures(for_nobody)}
        sizes = {may.CLUSTER_SIZES, may.SMALL_CLUSTERS, may.FINAL_SIZES, may.WITHHELD}
        centroids = {may.OWN_CENTROIDS, may.FINAL_CENTROIDS, may.INERTIA}
        labels = {may.LABELS, may.FINAL_LABELS, may.LABELS_TO_SOME, may.NEVER_FILLED}
        assert not what & {each.what for each in sizes | centroids | labels}
        assert len(disclosures(predicting())) == 3


class TestDigests:
    def test_every_key_is_compared(self) -> None:
        job = job_with(align="psi", id="patient", most_rows=9)
        others = [
            job_with(align="order", id="patient"),
            job_with(align="psi", id="number", most_rows=9),
            job_with(align="psi", id="patient", most_rows=10),
            job_with(align="psi", id="patient", most_rows=9, hide_labels=True),
            job_with(align="psi", id="patient", most_rows=9, hide_labels=True, hide_counts=True),
            job_with(align="psi", id="patient", most_rows=9, disclose=Disclose(centroids="all")),
            job_with(align="psi", id="patient", most_rows=9, parties=(LAB, CLINIC)),
            job_with(
                align="psi",
                parties=(CLINIC, ColumnsParty.of(name="lab", columns=("iron",), id="number")),
                id="patient",
                most_rows=9,
            ),
        ]
        for each in ("digest", "state_digest"):
            assert len({getattr(other, each) for other in [job, *others]}) == len(others) + 1

    def test_endpoints_do_not_bind_a_state(self) -> None:
        reached = LAB.model_copy(update={"address": "lab.example:7100", "fingerprint": "ab" * 32})
        job, other = job_with(), job_with(parties=(CLINIC, reached))
        assert job.state_digest == other.state_digest
        assert job.digest != other.digest
        assert other.with_endpoints({}) == job


class TestPrediction:
    def test_it_keeps_the_division_and_the_mode(self) -> None:
        fitted = hidden(align="psi", id="patient", most_rows=9, disclose=Disclose(labels=("lab",)), n_init=3, seed=4)
        job = fitted.prediction(SESSION)
        assert (job.task, job.model, job.labels_to, job.hide_labels) == ("predict", SESSION, ("lab",), True)
        assert (job.align, job.id, job.most_rows, job.parties) == ("psi", "patient", 9, fitted.parties)
        assert SvkJob.of(**{name: getattr(job, name) for name in SvkJob.model_fields}) == job
        assert job_with().prediction(SESSION).labels_to == "all"
        assert hidden(hide_counts=True, resolution=(0.5,) * 3).prediction(SESSION).resolution is None

    @pytest.mark.parametrize(
        ("key", "value"),
        [("hide_counts", True), ("resolution", (0.5,) * 3), ("reveal_inertia", True), ("n_init", 2), ("seed", 1)],
    )
    def test_it_has_no_use_for_keys_of_a_fit(self, key: str, value: object) -> None:
        needed = {"hide_counts": True} if key == "resolution" else {}
        message = refusal(predicting, hide_labels=True, **needed | {key: value})
        assert message.endswith("a prediction has no use for this key of a fit; leave it out")

    def test_its_model_is_of_the_same_columns(self) -> None:
        job = job_with().prediction(SESSION)
        SVK.check_model(job, job_with())
        other = tuple(
            ColumnsParty.of(name=name, columns=columns)
            for name, columns in (("clinic", ("age",)), ("lab", ("dose", "iron")))
        )
        assert job_with(parties=other).columns == job.columns
        with pytest.raises(JobError, match=r"^parties: the model is of other columns of each party"):
            SVK.check_model(job, job_with(parties=other))


FILE = """
protocol = "svk"
n_clusters = 3
id = "patient"
most_rows = 500

[[parties]]
name = "clinic"
columns = ["age", "dose"]

[[parties]]
name = "lab"
columns = ["age"]
id = "number"
most_rows = 900

[scaling]
lower = [0, 0, 0]
upper = [120, 50.5, 120]
"""


class TestFile:
    def read(self, text: str, tmp_path: Path) -> SvkJob:
        (tmp_path / "job.toml").write_text(text)
        job = read_job(tmp_path / "job.toml")
        assert isinstance(job, SvkJob)
        return job

    def test_the_least_that_one_says(self, tmp_path: Path) -> None:
        job = self.read(FILE, tmp_path)
        assert job.columns == ("clinic.age", "dose", "lab.age")
        assert (job.align, job.hide_labels, job.disclose) == ("psi", False, Disclose())
        assert [(job.id_of(name), job.most_rows_of(name)) for name in job.names] == [("patient", 500), ("number", 900)]
        assert [role.name for role in job.roles] == ["clinic", "lab", "dealer"]

    def test_all_that_one_can_say(self, tmp_path: Path) -> None:
        more = 'hide_labels = true\nresolution = [1, 0.5, 1]\nalign = "psi"\n'
        more += 'disclose = { centroids = "all", labels = ["lab"] }\n'
        job = self.read(more + FILE, tmp_path)
        assert (job.hide_labels, job.hide_counts, job.resolution) == (True, False, (1.0, 0.5, 1.0))
        assert job.disclose == Disclose(centroids="all", labels=("lab",))

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('columns = ["age", "dose", "iron"]', "columns: each party has its own; write them below its name"),
            ("bounds_from_data = true", "bounds_from_data: "),
            ("hide_label = true", "hide_label: "),
            ('engine = "crypten"', "engine: "),
            ('disclose = { labels = ["nobody else"] }', "disclose.labels"),
            ('resolution = [1, 2, "x"]', "resolution.2: "),
            ("hide_counts = true", "hide_counts: the sizes follow from the labels"),
            (
                'hide_labels = true\nhide_counts = true\ndisclose = { labels = ["lab"] }',
                "hide_counts: the sizes follow from the labels; disclose the labels to nobody",
            ),
        ],
    )
    def test_a_line_that_is_refused(self, line: str, message: str, tmp_path: Path) -> None:
        with pytest.raises(JobError) as caught:
            self.read(line + "\n" + FILE, tmp_path)
        said = str(caught.value).removeprefix(f"{tmp_path / 'job.toml'}: ")
        assert said.startswith(message)
        assert "\n" not in said

    def test_parties_without_columns(self, tmp_path: Path) -> None:
        with pytest.raises(JobError, match=r"parties\.1\.columns: "):
            self.read(FILE.replace('columns = ["age"]\n', ""), tmp_path)
        with pytest.raises(JobError, match="parties"):
            self.read('parties = "clinic"\n' + FILE[: FILE.index("[[parties]]")], tmp_path)
