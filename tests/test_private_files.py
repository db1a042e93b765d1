import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from secure_kmeans.private_files import is_open_to_others, make_folder, missing_folders, replace_file, sync_folder


@pytest.fixture(autouse=True)
def _no_mask() -> Iterator[None]:
    """Whatever a mask would forbid, the code has to forbid itself."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_folder_that_is_made_is_its_owner_s_and_no_other_changes(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results").chmod(0o755)
    path = tmp_path / "results" / "job" / "north"
    assert missing_folders(path) == [path, path.parent]
    assert make_folder(path) == [path, path.parent]
    assert [mode(folder) for folder in (path, path.parent, tmp_path / "results")] == [0o700, 0o700, 0o755]
    assert make_folder(path) == []
    assert not is_open_to_others(path)
    assert is_open_to_others(tmp_path / "results")


@pytest.mark.parametrize("below", [".", "deep"])
def test_a_file_in_the_place_of_a_folder(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        make_folder(tmp_path / "file" / below)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text("earlier")
    path.chmod(0o644)
    (tmp_path / "list.json.part").write_text("left by a process that was killed")
    (tmp_path / "list.json.part").chmod(0o644)
    replace_file(path, b"later")
    assert path.read_bytes() == b"later"
    assert mode(path) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["list.json"]


def test_the_folder_is_synced_after_the_name_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bool, bool]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), (tmp_path / "state").exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    replace_file(tmp_path / "state", b"x")
    assert synced == [(False, False), (True, True)]


def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.json"
    replace_file(path, b"earlier")

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"later")
    assert path.read_bytes() == b"earlier"
    assert [each.name for each in tmp_path.iterdir()] == ["list.json"]


def test_only_a_folder_is_synced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "file")
