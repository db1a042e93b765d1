import os
import shutil
import stat
from collections import namedtuple
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from secure_kmeans.errors import StateError
from secure_kmeans.net.messages import Checkpoint
from secure_kmeans.roles.states import StateFolder
from tests.protocols.toy.installed import job_of_mean
from tests.protocols.toy.mean import MeanJob

SESSION, OTHER_SESSION = bytes(range(32)), bytes(range(1, 33))
DIGEST = b"t" * 32
JOB = job_of_mean()


def state_after(iteration: int) -> bytes:
    return bytes([iteration]) * 100


def folder_of(path: Path, job: MeanJob = JOB, party: str = "clinic", digest: bytes = DIGEST) -> StateFolder:
    return StateFolder(path, job, party, digest, 1000)


def refusal(path: Path) -> str:
    with pytest.raises(StateError) as caught:
        folder_of(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    assert "for the states" in said
    return said


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    with folder_of(tmp_path / "state") as made:
        yield made


def files(folder: StateFolder) -> list[Path]:
    return sorted(folder.path.glob("*.state"))


class TestRefusals:
    def test_nobody_but_its_owner_may_read(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            with folder_of(tmp_path / "a" / "state") as folder:
                folder.save(SESSION, 0, b"a state")
                modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder.path, *files(folder))]
        finally:
            os.umask(before)
        assert modes == [0o700, 0o600]

    @pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
    def test_a_folder_that_others_may_enter(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "open"
        path.mkdir()
        path.chmod(mode)
        assert "others may enter this folder; chmod 700 it" in refusal(path)

    def test_a_folder_that_another_run_uses(self, tmp_path: Path) -> None:
        with folder_of(tmp_path / "state"):
            assert "another run uses this folder" in refusal(tmp_path / "state")
        with folder_of(tmp_path / "state") as again:
            assert again.checkpoints() == ()

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        assert "exists" in refusal(tmp_path / "file").lower()
        assert "directory" in refusal(tmp_path / "file" / "below").lower()

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "state").mkdir(mode=0o500)
        assert "denied" in refusal(tmp_path / "state")

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 4096, 4096))
        assert f"there is no room left for {2 * 1000 + (1 << 20):,} bytes" in refusal(tmp_path / "state")

    def test_a_disk_that_fills_up_leaves_the_earlier_states(
        self, folder: StateFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder.save(SESSION, 1, b"a state")

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StateError, match="No space left on device; the state cannot be kept"):
            folder.save(SESSION, 2, b"another state")
        assert folder.checkpoints() == (Checkpoint(1, SESSION),)

    @pytest.mark.parametrize(
        ("party", "found"), [("clinic", "no state"), ("lab", "states of another job or table")], ids=["none", "others'"]
    )
    def test_nothing_to_resume_from(self, tmp_path: Path, party: str, found: str) -> None:
        with folder_of(tmp_path / "state", party="clinic") as folder:
            if party != "clinic":
                folder.save(SESSION, 1, b"a state")
        with (
            folder_of(tmp_path / "state", party=party) as folder,
            pytest.raises(StateError, match=f"{folder.path}: there is {found} to resume from; start the run anew"),
        ):
            folder.to_resume_from()


class TestStates:
    def test_a_saved_state_is_loaded(self, folder: StateFolder) -> None:
        folder.save(SESSION, 3, state_after(3))
        (checkpoint,) = folder.to_resume_from()
        assert checkpoint == Checkpoint(3, SESSION)
        assert folder.load(checkpoint) == state_after(3)

    def test_the_last_two_are_kept(self, folder: StateFolder) -> None:
        for iteration in range(5):
            folder.save(SESSION, iteration, state_after(iteration))
            expected = [Checkpoint(kept, SESSION) for kept in range(max(0, iteration - 1), iteration + 1)]
            assert list(folder.checkpoints()) == expected
        assert len(files(folder)) == 2

    def test_the_last_two_are_kept_where_the_clock_stands_still(self, folder: StateFolder) -> None:
        for iteration in range(12):
            folder.save(SESSION, iteration, state_after(iteration))
            for file in files(folder):
                os.utime(file, ns=(10**18, 10**18))
            assert Checkpoint(iteration, SESSION) in folder.checkpoints()
            assert iteration == 0 or Checkpoint(iteration - 1, SESSION) in folder.checkpoints()

    def test_a_state_kept_twice_is_one_state(self, folder: StateFolder) -> None:
        for iteration in (4, 5, 5):
            folder.save(SESSION, iteration, state_after(iteration))
        assert [checkpoint.iteration for checkpoint in folder.checkpoints()] == [4, 5]

    def test_a_run_resumed_and_cut_off_at_once_can_be_resumed_again(self, tmp_path: Path) -> None:
        """One party kept one state more; it is also the only one to keep the first of the resumed run."""
        with folder_of(tmp_path / "first") as first, folder_of(tmp_path / "second", party="lab") as second:
            for each, iterations in ((first, (4, 5, 6)), (second, (4, 5))):
                for iteration in iterations:
                    each.save(SESSION, iteration, state_after(iteration))
            common = max(set(first.checkpoints()) & set(second.checkpoints()))
            assert common == Checkpoint(5, SESSION)
            assert first.load(common) == second.load(common) == state_after(5)
            first.save(OTHER_SESSION, 5, state_after(5))
            assert set(first.checkpoints()) & set(second.checkpoints())

    @pytest.mark.parametrize(
        ("job", "party", "digest"),
        [(job_of_mean(seed=9), "clinic", DIGEST), (JOB, "lab", DIGEST), (JOB, "clinic", b"u" * 32)],
        ids=["job", "party", "table"],
    )
    def test_a_state_of_another_run_is_not_found(self, tmp_path: Path, job: MeanJob, party: str, digest: bytes) -> None:
        with folder_of(tmp_path / "state") as folder:
            folder.save(SESSION, 1, b"a state")
        with folder_of(tmp_path / "state", job, party, digest) as other:
            assert other.checkpoints() == ()
        with folder_of(tmp_path / "state") as again:
            assert len(again.checkpoints()) == 1

    def test_a_job_with_another_timeout_finds_its_states(self, tmp_path: Path) -> None:
        with folder_of(tmp_path / "state") as folder:
            folder.save(SESSION, 1, b"a state")
        with folder_of(tmp_path / "state", job_of_mean(timeout=7.0)) as again:
            assert again.checkpoints() == (Checkpoint(1, SESSION),)


class TestDamage:
    def test_a_file_cut_off_anywhere_is_no_state(self, folder: StateFolder) -> None:
        folder.save(SESSION, 1, b"a state")
        folder.save(SESSION, 2, b"another state")
        file = files(folder)[-1]
        data = file.read_bytes()
        for length in range(len(data)):
            file.write_bytes(data[:length])
            assert folder.checkpoints() == (Checkpoint(1, SESSION),)
        file.write_bytes(data)
        assert len(folder.checkpoints()) == 2

    def test_a_file_with_a_flipped_bit_is_no_state(self, folder: StateFolder) -> None:
        folder.save(SESSION, 1, b"a state")
        (file,) = files(folder)
        data = file.read_bytes()
        for position in range(len(data)):
            flipped = bytes([data[position] ^ 1 << position % 8])
            file.write_bytes(data[:position] + flipped + data[position + 1 :])
            assert folder.checkpoints() == ()

    def test_files_of_others_are_left_alone_and_do_no_harm(self, folder: StateFolder) -> None:
        payloads = [b"", b"\xc0", b"\x81", msgspec.msgpack.encode({"job": 1}), b"\x91" * 5000]
        for number, payload in enumerate(payloads):
            (folder.path / f"{number}.state").write_bytes(sha256(payload).digest() + payload)
        (folder.path / "folder.state").mkdir()
        (folder.path / "notes.txt").write_text("mine")
        assert folder.checkpoints() == ()
        assert (folder.path / "notes.txt").exists()


class TestClear:
    def test_nothing_is_left(self, tmp_path: Path) -> None:
        with folder_of(tmp_path / "state") as folder:
            for iteration in range(3):
                folder.save(SESSION, iteration, state_after(iteration))
            files(folder)[0].with_suffix(".part").write_text("of a run that was killed")
            folder.clear()
        assert list(tmp_path.iterdir()) == []

    def test_files_of_others_are_left(self, tmp_path: Path) -> None:
        with folder_of(tmp_path / "state") as folder:
            folder.save(SESSION, 1, b"a state")
            (folder.path / "notes.txt").write_text("mine")
            folder.clear()
        assert {path.name for path in (tmp_path / "state").iterdir()} <= {"lock", "notes.txt"}
        assert (tmp_path / "state" / "notes.txt").read_text() == "mine"

    def test_a_folder_that_was_not_used_is_removed(self, tmp_path: Path) -> None:
        with folder_of(tmp_path / "a" / "state"):
            pass
        assert list(tmp_path.iterdir()) == []
