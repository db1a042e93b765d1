import base64
import os
import shutil
import stat
from collections import namedtuple
from pathlib import Path

import msgspec
import numpy as np
import pytest
from secure_kmeans.fixed_point import choose_precision_bits
from secure_kmeans.ledger import ALL, Disclosure, What
from secure_kmeans.protocols.resumption import State
from secure_kmeans.state import StateFolder
from sklearn.datasets import make_blobs

from secure_kmeans.errors import StateError
from secure_kmeans.job import Job, Party, Scaling
from secure_kmeans.net.messages import Checkpoint
from secure_kmeans.protocols import shk
from tests.parties import run_parties

ROWS = make_blobs(40, centers=4, n_features=2, random_state=3)[0]
SESSION, OTHER_SESSION = bytes(range(32)), bytes(range(1, 33))
TABLE = b"t" * 32


def job_for(parties: int, **options) -> Job:
    return Job.of(
        **{
            "parties": Party.named(*(f"party_{rank}" for rank in range(parties))),
            "columns": ("x", "y"),
            "n_clusters": 4,
            "n_init": 2,
            "init": "random",
            "seed": 8,
            "tol": 0.0,
            "scaling": Scaling.of(lower=tuple(ROWS.min(axis=0)), upper=tuple(ROWS.max(axis=0))),
            "precision_bits": choose_precision_bits(2, 4, 1.0),
        }
        | options
    )


JOB = job_for(2)


def state_after(iteration: int) -> State:
    return State(
        iteration=iteration,
        counts=[20, 20],
        seed=8,
        shape=(1, 2, 2),
        centroids=np.arange(4, dtype=np.int64).tobytes(),
        before=b"",
        active=[0],
        converged=[False],
        sizes=[[[30, 10]] * iteration],
        n_iter=[iteration],
        seconds=[0.5] * iteration,
        ledger=[Disclosure(What.ROW_COUNTS, ALL), Disclosure(What.STOP_BIT, ALL, iteration)],
    )


def folder_of(path: Path, job: Job = JOB, party: str = "party_0", table: bytes = TABLE) -> StateFolder:
    return StateFolder(path, job, party, table)


def refusal(path: Path) -> str:
    with pytest.raises(StateError) as caught:
        folder_of(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    assert "--state" in said
    return said


@pytest.fixture
def folder(tmp_path):
    with folder_of(tmp_path / "state") as made:
        yield made


def files(folder: StateFolder) -> list[Path]:
    return sorted(folder.path.glob("*.state"))


class TestFolder:
    def test_nobody_but_its_owner_may_read(self, tmp_path):
        before = os.umask(0)
        try:
            with folder_of(tmp_path / "a" / "state") as folder:
                folder.save(SESSION, state_after(0))
                modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder.path, *files(folder))]
        finally:
            os.umask(before)
        assert modes == [0o700, 0o600]

    @pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
    def test_a_folder_that_others_may_enter_is_refused(self, tmp_path, mode):
        path = tmp_path / "open"
        path.mkdir()
        path.chmod(mode)
        assert "others may enter this folder; chmod 700 it" in refusal(path)

    def test_one_run_at_a_time(self, tmp_path):
        with folder_of(tmp_path / "state"):
            assert "another run uses this folder" in refusal(tmp_path / "state")
        with folder_of(tmp_path / "state") as again:
            assert again.checkpoints() == ()

    def test_a_file_in_the_way_is_told_before_the_run(self, tmp_path):
        (tmp_path / "file").write_text("")
        assert "exists" in refusal(tmp_path / "file").lower()
        assert "directory" in refusal(tmp_path / "file" / "below").lower()

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
    def test_a_folder_that_cannot_be_written_is_told_before_the_run(self, tmp_path):
        (tmp_path / "state").mkdir(mode=0o500)
        assert "denied" in refusal(tmp_path / "state")

    def test_a_full_disk_is_told_before_the_run(self, tmp_path, monkeypatch):
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 4096, 4096))
        assert "there is no room left for" in refusal(tmp_path / "state")

    def test_a_disk_that_fills_meanwhile_leaves_the_earlier_states(self, folder, monkeypatch):
        folder.save(SESSION, state_after(1))

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StateError, match="No space left on device; the state cannot be kept"):
            folder.save(SESSION, state_after(2))
        assert folder.checkpoints() == (Checkpoint(1, SESSION),)

    def test_what_was_saved_is_loaded(self, folder):
        folder.save(SESSION, state_after(3))
        (checkpoint,) = folder.checkpoints()
        assert checkpoint == Checkpoint(3, SESSION)
        assert folder.load(checkpoint) == state_after(3)

    def test_the_last_two_are_kept(self, folder):
        for iteration in range(5):
            folder.save(SESSION, state_after(iteration))
            expected = [Checkpoint(kept, SESSION) for kept in range(max(0, iteration - 1), iteration + 1)]
            assert list(folder.checkpoints()) == expected
        assert len(files(folder)) == 2

    def test_the_last_two_are_kept_where_the_clock_stands_still(self, folder):
        for iteration in range(12):
            folder.save(SESSION, state_after(iteration))
            for file in files(folder):
                os.utime(file, ns=(10**18, 10**18))
            assert Checkpoint(iteration, SESSION) in folder.checkpoints()
            assert iteration == 0 or Checkpoint(iteration - 1, SESSION) in folder.checkpoints()

    def test_a_state_kept_twice_is_one_state(self, folder):
        for iteration in (4, 5, 5):
            folder.save(SESSION, state_after(iteration))
        assert [checkpoint.iteration for checkpoint in folder.checkpoints()] == [4, 5]

    def test_a_run_resumed_and_cut_off_at_once_can_be_resumed_again(self, tmp_path):
        """One party kept one state more; it is also the only one to keep the first of the resumed run."""
        with folder_of(tmp_path / "first") as first, folder_of(tmp_path / "second", party="party_1") as second:
            for each, iterations in ((first, (4, 5, 6)), (second, (4, 5))):
                for iteration in iterations:
                    each.save(SESSION, state_after(iteration))
            common = max(set(first.checkpoints()) & set(second.checkpoints()))
            assert common == Checkpoint(5, SESSION)
            first.load(common)
            second.load(common)
            first.save(OTHER_SESSION, state_after(5))
            assert set(first.checkpoints()) & set(second.checkpoints())

    @pytest.mark.parametrize(
        ("job", "party", "table"),
        [(job_for(2, seed=9), "party_0", TABLE), (JOB, "party_1", TABLE), (JOB, "party_0", b"u" * 32)],
        ids=["job", "party", "table"],
    )
    def test_a_state_of_another_run_is_not_found(self, tmp_path, job, party, table):
        with folder_of(tmp_path / "state") as folder:
            folder.save(SESSION, state_after(1))
        with folder_of(tmp_path / "state", job, party, table) as other:
            assert other.checkpoints() == ()
        with folder_of(tmp_path / "state") as again:
            assert len(again.checkpoints()) == 1

    def test_a_file_cut_off_anywhere_is_no_state(self, folder):
        folder.save(SESSION, state_after(1))
        folder.save(SESSION, state_after(2))
        file = files(folder)[-1]
        data = file.read_bytes()
        for length in range(len(data)):
            file.write_bytes(data[:length])
            assert folder.checkpoints() == (Checkpoint(1, SESSION),)
        file.write_bytes(data)
        assert len(folder.checkpoints()) == 2

    def test_a_file_with_a_flipped_bit_is_no_state(self, folder):
        folder.save(SESSION, state_after(1))
        (file,) = files(folder)
        data = file.read_bytes()
        for place in range(len(data)):
            file.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
            assert folder.checkpoints() == ()

    def test_files_of_others_are_left_alone_and_do_no_harm(self, folder):
        from hashlib import sha256

        payloads = [b"", b"\xc0", b"\x81", msgspec.msgpack.encode({"job": 1}), b"\x91" * 5000]
        for number, payload in enumerate(payloads):
            (folder.path / f"{number}.state").write_bytes(sha256(payload).digest() + payload)
        (folder.path / "folder.state").mkdir()
        (folder.path / "notes.txt").write_text("mine")
        assert folder.checkpoints() == ()

    def test_cleared_it_leaves_nothing(self, tmp_path):
        with folder_of(tmp_path / "state") as folder:
            for iteration in range(3):
                folder.save(SESSION, state_after(iteration))
            files(folder)[0].with_suffix(".part").write_text("of a run that was killed")
            folder.clear()
        assert list(tmp_path.iterdir()) == []

    def test_cleared_it_leaves_what_is_not_its_own(self, tmp_path):
        with folder_of(tmp_path / "state") as folder:
            folder.save(SESSION, state_after(1))
            (folder.path / "notes.txt").write_text("mine")
            folder.clear()
        assert {path.name for path in (tmp_path / "state").iterdir()} <= {"lock", "notes.txt"}
        assert (tmp_path / "state" / "notes.txt").read_text() == "mine"


def fit(job: Job, slices: list[np.ndarray], resumed: list[str] | None = None) -> list[dict]:
    """At each party what it learned, and its states as base64 in the order in which they were kept."""

    def body(session):
        kept = []

        def keep(state):
            kept.append(base64.b64encode(msgspec.msgpack.encode(state)).decode())

        state, rows = None, np.empty((0, 2))
        if not session.deals:
            state = resumed and msgspec.msgpack.decode(base64.b64decode(resumed[session.rank]), type=State)
            rows = job.scaling.apply(slices[session.rank])
        found = shk.fit(session, job, rows, lambda *_: None, keep, state)
        return {
            "centroids": found.centroids.tolist(),
            "sizes": found.sizes.tolist(),
            "labels": found.labels.tolist(),
            "n_iter": found.n_iter,
            "converged": found.converged,
            "best": found.best_restart,
            "seed": found.seed,
            "sizes_by_iteration": found.sizes_by_iteration,
            "ledger": [[entry.what, entry.to, entry.iteration] for entry in session.ledger.entries],
            "kept": kept,
        }

    return run_parties(len(job.parties), body, precision_bits=job.precision_bits)


def states(answers: list[dict], number: int) -> list[State]:
    return [msgspec.msgpack.decode(base64.b64decode(answer["kept"][number]), type=State) for answer in answers]


def opened(states: list[State]) -> list[int]:
    return np.sum([np.frombuffer(state.centroids, dtype=np.int64) for state in states], axis=0, dtype=np.int64).tolist()


@pytest.fixture(scope="module", params=[2, 3])
def uninterrupted(request):
    job = job_for(request.param)
    slices = np.split(ROWS, [25, 30][: request.param - 1])
    return job, slices, fit(job, slices)


class TestResume:
    def test_a_state_is_kept_after_the_start_and_after_each_iteration(self, uninterrupted):
        _, _, answers = uninterrupted
        for answer in answers:
            assert len(answer["kept"]) >= answer["n_iter"] + 1
        for number in range(len(answers[0]["kept"])):
            kept = states(answers, number)
            assert [state.iteration for state in kept] == [number] * len(answers)
            assert [state.counts for state in kept] == [kept[0].counts] * len(answers)
        assert opened(states(answers, -1)) != opened(states(answers, 0))

    def test_cut_off_after_any_iteration_it_ends_as_if_it_were_not(self, uninterrupted):
        job, slices, answers = uninterrupted
        for number in range(len(answers[0]["kept"])):
            resumed = fit(job, slices, [answer["kept"][number] for answer in answers])
            for one, other in zip(answers, resumed, strict=True):
                for key in one.keys() - {"kept"}:
                    assert (key, other[key]) == (key, one[key])
            again = states(resumed, 0)
            assert [state.iteration for state in again] == [number] * len(answers)
            assert opened(again) == opened(states(answers, number))
            for before, after in zip(states(answers, number), again, strict=True):
                shares = (np.frombuffer(state.centroids, dtype=np.int64) for state in (before, after))
                assert not np.intersect1d(*shares).size  # the same centroids under fresh shares

    def test_a_resumed_run_can_be_resumed(self, uninterrupted):
        job, slices, answers = uninterrupted
        first = fit(job, slices, [answer["kept"][1] for answer in answers])
        second = fit(job, slices, [answer["kept"][1] for answer in first])
        for one, other in zip(answers, second, strict=True):
            assert {key: other[key] for key in one.keys() - {"kept"}} == {
                key: one[key] for key in one.keys() - {"kept"}
            }

    def test_shares_of_two_runs_do_not_go_together(self, uninterrupted):
        job, slices, answers = uninterrupted
        other = fit(job, slices)
        mixed = [other[0]["kept"][1], *(answer["kept"][1] for answer in answers[1:])]
        decoded = [msgspec.msgpack.decode(base64.b64decode(state), type=State) for state in mixed]
        assert opened(decoded) != opened(states(answers, 1))

    def test_another_number_of_rows_is_refused_by_all(self, uninterrupted):
        job, slices, answers = uninterrupted
        other = [slices[0][:-1], *slices[1:]]
        with pytest.raises(AssertionError, match="StateError: a party has another number of rows"):
            fit(job, other, [answer["kept"][1] for answer in answers])
