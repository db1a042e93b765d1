"""The results folder of a run."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from secure_kmeans.job import NAME_PATTERN
from secure_kmeans.net.identity import Identity
from secure_kmeans.private_files import FILE_MODE, make_folder, missing_folders
from secure_kmeans.report.report import Report
from secure_kmeans.report.signature import SUFFIX, sign

_SPARE_BYTES: Final = 4 << 20
"""Free bytes beyond the results' own, for the report and the pictures."""
_REPORT: Final = "report.json"
_SIGNATURE: Final = f"report{SUFFIX}"


class ResultsFolder:
    """The folder of a run's files. Files are written aside and appear together when :meth:`publish` is called.

    Only their owner can read them.

    Parameters
    ----------
    path : path
        Made where it is missing, for its owner alone; one that exists keeps its mode. Files of the same names are
        replaced.
    needed : int
        Bytes that the results may take.

    Raises
    ------
    OSError
        Before the run, where nothing or not enough can be written there.
    """

    def __init__(self, path: str | Path, needed: int = 0) -> None:
        self.path = Path(path)
        self._forgotten: set[str] = set()
        self._made = missing_folders(self.path)
        make_folder(self.path)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=self.path):
            pass
        if shutil.disk_usage(self.path).free < needed + _SPARE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    @cached_property
    def aside(self) -> Path:
        """The folder in which files wait until they are published. Only its owner can enter it."""
        return Path(tempfile.mkdtemp(prefix=".writing-", dir=self.path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if "aside" in vars(self):
            shutil.rmtree(self.aside, ignore_errors=True)
        with suppress(OSError):  # a folder with published results is not empty and stays
            for folder in self._made:
                folder.rmdir()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) and not error.filename:
            error.filename = str(self.path)

    def write_report(self, report: Report, name: str = _REPORT) -> None:
        """Write a report."""
        (self.aside / name).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def sign_report(self, identity: Identity) -> None:
        """Sign the report that was written, in a file beside it; a report that is written again is signed anew."""
        signature = sign((self.aside / _REPORT).read_bytes(), identity)
        (self.aside / _SIGNATURE).write_bytes(signature)

    def write_labels(self, labels: Mapping[str, Iterable[int | None]]) -> None:
        """Write ``labels_<party>.csv`` of each party in ``labels``. Where a label is None, its cell is empty."""
        for party, own in labels.items():
            self.write_csv(f"labels_{party}.csv", ["row", "cluster"], enumerate(own, start=1))

    def write_csv(self, name: str, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
        """Write one table in UTF-8, lines ended by a newline."""
        with (self.aside / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)

    def write_text(self, name: str, text: str) -> None:
        """Write one text in UTF-8."""
        (self.aside / name).write_text(text, encoding="utf-8")

    def forget(self, name: str) -> None:
        """Let a file of an earlier run disappear when the others are published."""
        self._forgotten.add(name)

    def publish(self) -> list[Path]:
        """Remove what an earlier run left, move every file from aside, the report last, and return their paths.

        Labels and signature of an earlier run are removed where another report replaces its own.
        """
        if (self.aside / _REPORT).exists():
            self._remove_labels_of_earlier_run()
            (self.path / _SIGNATURE).unlink(missing_ok=True)
        for name in self._forgotten:
            with suppress(OSError):
                (self.path / name).unlink(missing_ok=True)
        files = sorted(self.aside.iterdir(), key=lambda file: (file.name == _REPORT, file.name))
        for file in files:
            file.chmod(FILE_MODE)  # pictures are made as the user's mask says
        return [file.rename(self.path / file.name) for file in files]

    def _remove_labels_of_earlier_run(self) -> None:
        for party in _parties_in(self.path / _REPORT):
            with suppress(OSError):
                (self.path / f"labels_{party}.csv").unlink(missing_ok=True)


def _parties_in(path: Path) -> list[str]:
    """The parties that a report of version 1 to 3 names; none where the file is no report."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(report, dict) or report.get("version") not in (1, 2, 3):
        return []
    samples = report.get("n_samples")
    parties = list(samples) if isinstance(samples, dict) else []
    return [party for party in parties if re.fullmatch(NAME_PATTERN, party)]
