"""The protocols of the papers, by name.

To add one: a folder beside this file, and a line in :data:`PROTOCOLS`. A package of its own can bring one, too, by an
entry point in the group ``secure_kmeans.protocols``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import tomllib
from pathlib import Path
from typing import Any, Final

from secure_kmeans.errors import JobError
from secure_kmeans.job import Job
from secure_kmeans.protocols.base import Protocol
from secure_kmeans.words import printable

PROTOCOLS: Final[dict[str, str]] = {
    "shk": "secure_kmeans.protocols.shk:SHK",
    "smo07": "secure_kmeans.protocols.smo07:SMO07",
    "svk": "secure_kmeans.protocols.svk:SVK",
}
"""The place of each protocol: ``module:object``."""

USUAL: Final = "shk"
"""The protocol of a job that names none."""


def protocol_of(name: str) -> Protocol[Any, Any]:
    """The protocol of this name.

    Raises
    ------
    JobError
        Where there is none.
    """
    where = PROTOCOLS.get(name) or _brought_by_others().get(name)
    if where is None:
        known = ", ".join(f'"{each}"' for each in sorted({*PROTOCOLS, *_brought_by_others()}))
        raise JobError(f"protocol: there is no protocol of this name; it should be one of {known}")
    module, _, attribute = where.partition(":")
    protocol: Protocol[Any, Any] = getattr(importlib.import_module(module), attribute)
    return protocol


def _brought_by_others() -> dict[str, str]:
    """Protocols of other installed packages; none of them can take the name of one that stands here."""
    found = importlib.metadata.entry_points(group="secure_kmeans.protocols")
    return {each.name: each.value for each in found if each.name not in PROTOCOLS}


def read_job(path: str | Path) -> Job:
    """Read a job from a TOML file, of any protocol.

    Raises
    ------
    JobError
        One line that names the file, the key and what is wrong with it.
    """
    shown = printable(str(path))
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except OSError as error:
        raise JobError(f"{shown}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise JobError(f"{shown}: this is not text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise JobError(f"{shown}: {error}") from None
    except (ValueError, RecursionError):
        raise JobError(f"{shown}: a number is too long, or its tables lie too deep in each other") from None
    try:
        return job_of(values)
    except JobError as error:
        raise JobError(f"{shown}: {error.marked}") from None
    except (ValueError, OverflowError, RecursionError):
        raise JobError(f"{shown}: a number is too large, or its tables lie too deep in each other") from None


def job_of(values: dict[str, Any]) -> Job:
    """Make a job, of the protocol that it names, from the content of its file.

    Raises
    ------
    JobError
    """
    name = values.get("protocol", USUAL)
    if not isinstance(name, str):
        raise JobError("protocol: Input should be a valid string")
    job: Job = protocol_of(name).Job.from_file(values)
    return job
