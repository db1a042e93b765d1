from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import secure_kmeans
from secure_kmeans.job import Endpoint
from secure_kmeans.net.handshake import common_checkpoint, difference, hello_of, session_of
from secure_kmeans.net.messages import Checkpoint, Hello, decode_message, encode_message
from tests.jobs import a_job

ROLES = ("clinic", "lab", "dealer")
COLUMNS = ("age", "visits")
JOB = a_job("clinic", "lab", columns=COLUMNS)
CLINIC = hello_of(JOB, "clinic", "data", b"c" * 32)
LAB = hello_of(JOB, "lab", "data", b"l" * 32)
DEALER = hello_of(JOB, "dealer", "data", b"d" * 32)

digests = st.binary(min_size=32, max_size=32)
checkpoints = st.builds(Checkpoint, iteration=st.integers(0, 6), session=st.sampled_from([b"s" * 32, b"t" * 32]))


def lab_with(**values: Any) -> Hello:
    return msgspec.structs.replace(LAB, **values)


def lab_of(**values: object) -> Hello:
    """The lab's Hello where its job has these keys."""
    return hello_of(a_job("clinic", "lab", **({"columns": COLUMNS} | values)), "lab", "data", b"l" * 32)


def differing(keys: str) -> str:
    return f"its job differs from this role's in {keys}; use the same job file"


class TestHello:
    def test_it_holds_the_role_and_the_digests_of_its_job(self) -> None:
        held = [Checkpoint(3, b"s" * 32)]
        hello = hello_of(JOB, "lab", "control", b"n" * 32, True, held)
        assert hello.program == secure_kmeans.__version__
        assert (hello.role, hello.line, hello.nonce, hello.resume) == ("lab", "control", b"n" * 32, True)
        assert (hello.keys, hello.digest) == (JOB.digests, JOB.digest)
        assert hello.checkpoints == tuple(held)
        assert decode_message(encode_message(hello)) == hello

    def test_a_list_of_texts_has_a_digest_for_each_element(self) -> None:
        assert {key for key in LAB.keys if key.startswith("columns")} == {"columns", "columns.1", "columns.2"}

    def test_a_role_that_keeps_no_states_says_nothing_of_resuming(self) -> None:
        hello = hello_of(JOB, "dealer", "data", b"d" * 32, True, [Checkpoint(1, bytes(32))])
        assert (hello.resume, hello.checkpoints) == (None, ())


class TestDifference:
    def test_none(self) -> None:
        assert difference(CLINIC, LAB, JOB.role("lab")) is None
        assert difference(LAB, CLINIC, JOB.role("clinic")) is None

    @pytest.mark.parametrize(
        ("theirs", "message"),
        [
            (
                lab_with(program="0.0.1"),
                "it runs version 0.0.1 of secure_kmeans, this role version " + secure_kmeans.__version__,
            ),
            (lab_with(role="clinic"), 'it calls itself "clinic", but shows the certificate of "lab"'),
            (lab_of(columns=("age", "visits", "dose")), differing("columns, scaling")),
            (lab_of(columns=("age", "visit")), differing("columns (number 2)")),
            (lab_of(columns=("visits", "age")), differing("columns (numbers 1, 2)")),
            (lab_of(n_clusters=3), differing("n_clusters")),
            (lab_of(tol=1e-7, seed=4, n_init=2), differing("n_init, seed, tol")),
            (lab_of(dealer=Endpoint(address="dealer:7100")), differing("dealer")),
            (lab_with(keys={**LAB.keys, "colour": bytes(32)}, digest=bytes(32)), differing("colour")),
            (lab_with(keys={key: value for key, value in LAB.keys.items() if key != "tol"}), differing("tol")),
            (lab_with(keys=LAB.keys | {"columns.2": bytes(32)}), differing("columns.2")),
            (lab_with(digest=bytes(32)), differing("its digest")),
            (
                lab_with(resume=True),
                "it resumes a run, this role starts anew; start all parties alike",
            ),
        ],
    )
    def test_each_is_named(self, theirs: Hello, message: str) -> None:
        assert difference(CLINIC, theirs, JOB.role("lab")) == message

    def test_resuming_alone_is_named(self) -> None:
        own = msgspec.structs.replace(CLINIC, resume=True)
        expected = "it starts anew, this role resumes a run; start all parties alike"
        assert difference(own, LAB, JOB.role("lab")) == expected
        assert difference(own, lab_with(resume=True), JOB.role("lab")) is None

    @pytest.mark.parametrize("resume", [False, True])
    def test_a_helper_agrees_with_parties_that_resume_or_not(self, resume: bool) -> None:
        party = msgspec.structs.replace(CLINIC, resume=resume)
        assert difference(party, DEALER, JOB.role("dealer")) is None
        assert difference(DEALER, party, JOB.role("clinic")) is None

    def test_a_party_has_to_say_whether_it_resumes(self) -> None:
        reason = 'it does not say whether it resumes a run, but "lab" keeps states to resume from'
        assert difference(CLINIC, lab_with(resume=None), JOB.role("lab")) == reason
        assert difference(DEALER, lab_with(resume=None), JOB.role("lab")) == reason

    @pytest.mark.parametrize(
        ("resume", "number", "expected"),
        [
            (True, 0, "it says that it resumes a run and names 0 states to resume from"),
            (False, 0, "it says that it does not resume a run and names 0 states to resume from"),
            (None, 2, "it says nothing of resuming and names 2 states to resume from"),
            (True, 1, "it says that it resumes a run and names 1 states to resume from"),
        ],
    )
    def test_a_helper_that_says_so_is_refused(self, resume: bool | None, number: int, expected: str) -> None:
        held = tuple(Checkpoint(iteration, bytes(32)) for iteration in range(number))
        theirs = msgspec.structs.replace(DEALER, resume=resume, checkpoints=held)
        assert difference(CLINIC, theirs, JOB.role("dealer")) == f'{expected}, but "dealer" keeps none'

    def test_the_numbers_of_many_elements_are_cut(self) -> None:
        ours, theirs = (
            hello_of(a_job("clinic", "lab", columns=tuple(f"{letter}{n}" for n in range(12))), "lab", "data", bytes(32))
            for letter in "xy"
        )
        assert difference(ours, theirs, JOB.role("lab")) == differing("columns (numbers 1, 2, 3, 4, ...)")
        theirs = msgspec.structs.replace(theirs, keys=ours.keys | {key: bytes(32) for key in ("columns", "columns.10")})
        assert difference(ours, theirs, JOB.role("lab")) == differing("columns (number 10)")

    def test_no_reason_is_long(self) -> None:
        keys = {f"key{number}": bytes(32) for number in range(1000)}
        reason = difference(CLINIC, lab_with(keys=keys), JOB.role("lab"))
        assert reason is not None
        assert len(reason) < 800

    def test_the_version_is_named_before_other_differences(self) -> None:
        theirs = msgspec.structs.replace(lab_of(n_clusters=3, columns=("x", "y")), program="2", role="other")
        assert (difference(CLINIC, theirs, JOB.role("lab")) or "").startswith("it runs version 2 ")

    def test_nonce_line_and_checkpoints_may_differ(self) -> None:
        theirs = lab_with(nonce=b"z" * 32, line="control", checkpoints=(Checkpoint(1, bytes(32)),))
        assert difference(CLINIC, theirs, JOB.role("lab")) is None


def hellos_with(**changes: Any) -> dict[str, Hello]:
    return {
        role: msgspec.structs.replace(hello_of(JOB, role, "data", role[0].encode() * 32), **changes.get(role, {}))
        for role in ROLES
    }


class TestSession:
    SESSION = session_of(JOB.digest, hellos_with(), ROLES)

    def test_all_roles_compute_the_same(self) -> None:
        hellos = hellos_with()
        backwards = dict(reversed(hellos.items()))
        on_the_other_line = {role: msgspec.structs.replace(it, line="control") for role, it in hellos.items()}
        assert len(self.SESSION) == 32
        assert session_of(JOB.digest, backwards, ROLES) == self.SESSION
        assert session_of(JOB.digest, on_the_other_line, ROLES) == self.SESSION

    @settings(max_examples=40)
    @given(st.sampled_from(ROLES), digests)
    def test_another_nonce_is_another_session(self, role: str, nonce: bytes) -> None:
        assume(nonce != hellos_with()[role].nonce)
        assert session_of(JOB.digest, hellos_with(**{role: {"nonce": nonce}}), ROLES) != self.SESSION

    @settings(max_examples=40)
    @given(digests)
    def test_another_job_is_another_session(self, digest: bytes) -> None:
        assert (session_of(digest, hellos_with(), ROLES) == self.SESSION) == (digest == JOB.digest)

    @pytest.mark.parametrize(("role", "resume"), [("clinic", True), ("lab", None), ("dealer", False)])
    def test_another_word_on_resuming_is_another_session(self, role: str, resume: bool | None) -> None:
        assert session_of(JOB.digest, hellos_with(**{role: {"resume": resume}}), ROLES) != self.SESSION

    @settings(max_examples=40)
    @given(st.lists(checkpoints, max_size=3), st.lists(checkpoints, max_size=3))
    @example([Checkpoint(2**64 - 1, b"s" * 32)], [])
    def test_other_checkpoints_are_another_session(self, clinics: list[Checkpoint], labs: list[Checkpoint]) -> None:
        def session(one: Sequence[Checkpoint], other: Sequence[Checkpoint]) -> bytes:
            hellos = hellos_with(clinic={"checkpoints": tuple(one)}, lab={"checkpoints": tuple(other)})
            return session_of(JOB.digest, hellos, ROLES)

        assert (session(clinics, labs) == self.SESSION) == (not clinics and not labs)
        assert (session(clinics, labs) == session(labs, clinics)) == (clinics == labs)

    def test_roles_that_swap_nonces_are_in_another_session(self) -> None:
        swapped = hellos_with(clinic={"nonce": b"l" * 32}, lab={"nonce": b"c" * 32})
        assert session_of(JOB.digest, swapped, ROLES) != self.SESSION

    @pytest.mark.parametrize("number", [255, 256, 1000])
    def test_any_number_of_checkpoints_can_be_sent(self, number: int) -> None:
        many = tuple(Checkpoint(iteration, b"s" * 32) for iteration in range(number))
        hellos = hellos_with(clinic={"checkpoints": many})
        assert decode_message(encode_message(hellos["clinic"])) == hellos["clinic"]
        assert len(session_of(JOB.digest, hellos, ROLES)) == 32


class TestCommonCheckpoint:
    @settings(max_examples=40)
    @given(st.lists(st.lists(checkpoints, max_size=8), min_size=2, max_size=4))
    def test_it_is_the_last_that_all_parties_hold(self, held: list[list[Checkpoint]]) -> None:
        names = [f"p{number}" for number in range(len(held))]
        job = a_job(*names)
        hellos = {
            name: hello_of(job, name, "data", bytes(32), True, each) for name, each in zip(names, held, strict=True)
        }
        hellos["dealer"] = hello_of(job, "dealer", "data", bytes(32))
        in_common = [each for each in held[0] if all(each in others for others in held)]
        assert common_checkpoint(hellos) == max(in_common, default=None)

    @settings(max_examples=40)
    @given(st.permutations([Checkpoint(1, b"s" * 32), Checkpoint(2, b"s" * 32), Checkpoint(2, b"t" * 32)]))
    def test_the_order_in_which_they_are_sent_does_not_matter(self, sent: list[Checkpoint]) -> None:
        hellos = {name: hello_of(JOB, name, "data", bytes(32), True, sent) for name in ("clinic", "lab")}
        hellos["lab"] = hello_of(JOB, "lab", "data", bytes(32), True, sorted(sent))
        assert common_checkpoint(hellos) == Checkpoint(2, b"t" * 32)

    def test_the_same_iteration_of_another_run_is_not_in_common(self) -> None:
        held = {"clinic": (Checkpoint(4, b"s" * 32),), "lab": (Checkpoint(4, b"t" * 32),)}
        hellos = {name: hello_of(JOB, name, "data", bytes(32), True, each) for name, each in held.items()}
        assert common_checkpoint(hellos) is None

    def test_there_is_none_where_the_run_starts_anew(self) -> None:
        assert common_checkpoint(hellos_with()) is None

    def test_there_is_none_without_parties(self) -> None:
        assert common_checkpoint({}) is None
        assert common_checkpoint({"dealer": DEALER}) is None
