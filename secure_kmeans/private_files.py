"""Files and folders that only their owner can read."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


def make_folder(path: Path) -> list[Path]:
    """Make a folder that only its owner can enter, and its missing parents likewise.

    A folder that exists keeps its mode.

    Returns
    -------
    The folders that were made, the innermost first.

    Raises
    ------
    OSError
    """
    missing = missing_folders(path)
    for folder in reversed(missing):
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    path.mkdir(exist_ok=True)  # refuses a file in its place
    return missing


def missing_folders(path: Path) -> list[Path]:
    """The folders of a path that do not exist, the innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def only_for_its_owner(path: str, flags: int) -> int:
    """The ``opener`` of a new file that only its owner can read."""
    return os.open(path, flags, FILE_MODE)


def is_open_to_others(path: Path) -> bool:
    """Whether anybody but the owner may read, write or enter.

    Raises
    ------
    OSError
    """
    return bool(path.stat().st_mode & 0o077)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file, complete or not at all, also when the power fails. Only its owner can read it.

    Raises
    ------
    OSError
    """
    aside = path.with_name(f"{path.name}.part")
    try:
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()  # it may have another mode
        with open(aside, "wb", opener=only_for_its_owner) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk: a file that was renamed has its new name after a power cut.

    Raises
    ------
    OSError
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
