"""Values that commands take and return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secure_kmeans.job import Clustering, Job
from secure_kmeans.job.ledger import Disclosure
from secure_kmeans.job.result import Result

if TYPE_CHECKING:
    from secure_kmeans.report.report import Report


@dataclass(frozen=True)
class Announcement:
    """What is known before anything is sent or started.

    Attributes
    ----------
    job : Job
    disclosures : tuple of Disclosure
        All that a run may disclose.
    advice : tuple of str
        What is worth a thought, one line each. Keys are marked, see :func:`secure_kmeans.words.named`.
    runs : int
        How many runs follow; each may disclose all of this.
    """

    job: Job
    disclosures: tuple[Disclosure, ...]
    advice: tuple[str, ...] = ()
    runs: int = 1


Announce = Callable[[Announcement], None]
"""Callback(announcement), before a run."""


def no_announcement(announcement: Announcement) -> None:
    """Ignore an announcement."""
    del announcement


@dataclass(frozen=True)
class Run:
    """What a command that ran something returns.

    Attributes
    ----------
    job : Job or Clustering
        A Clustering after a run in the clear.
    report : Report or None
        None at a helper, such as the dealer.
    results : tuple of Result
        Of the parties that ran here, in rank order.
    files : tuple of paths
    disclosures : tuple of Disclosure
        All that the run could disclose. What it did disclose is the report's ledger.
    advice : tuple of str
    kept : path or None
        The folder of states where the parties' shares of the model are kept; None where all of the model is public.
    """

    job: Job | Clustering
    report: Report | None
    results: tuple[Result, ...] = ()
    files: tuple[Path, ...] = ()
    disclosures: tuple[Disclosure, ...] = ()
    advice: tuple[str, ...] = ()
    kept: Path | None = None


@dataclass(frozen=True)
class Predicted:
    """Labels of new rows by public centroids.

    Attributes
    ----------
    files : tuple of paths
    remarks : tuple of str
        What a reader of the labels should know, one line each.
    """

    files: tuple[Path, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class RoleFiles:
    """Where one role's files are, and how it meets the others.

    Attributes
    ----------
    table, identity, states, output, history : path or None
        A prediction takes its share of the model from ``states``.
    listen : str or None
        The address to listen on, where it is not the job's.
    wait : float or None
        Seconds to wait for the other roles; None: without a limit.
    resume : bool
        Go on after the last iteration of a run that was cut off.
    chunk_rows : int or None
        The most rows of a table that are read at once; None: each table is read whole.
    """

    table: Path | None = None
    identity: Path | None = None
    states: Path | None = None
    output: Path | None = None
    history: Path | None = None
    listen: str | None = None
    wait: float | None = None
    resume: bool = False
    chunk_rows: int | None = None


@dataclass(frozen=True)
class Checked:
    """What a role can know before a run, without a network.

    Attributes
    ----------
    job : Job
    findings : tuple of str
        What fits, one line each.
    advice : tuple of str
        What is worth a thought, one line each. Keys are marked, see :func:`secure_kmeans.words.named`.
    disclosures : tuple of Disclosure
        All that a run of the job may disclose.
    """

    job: Job
    findings: tuple[str, ...]
    advice: tuple[str, ...]
    disclosures: tuple[Disclosure, ...]


@dataclass(frozen=True)
class NewIdentity:
    """An identity that was just made.

    Attributes
    ----------
    name : str
        Of the role.
    folder : path
    fingerprint : str
        For the job: SHA-256 of the certificate, in hexadecimal.
    """

    name: str
    folder: Path
    fingerprint: str


@dataclass(frozen=True)
class Verified:
    """A report whose signature was verified.

    Attributes
    ----------
    path : path
        Of the report.
    signer : str
        The party that signed it.
    fingerprint : str
        Of the certificate that it signed with, in hexadecimal.
    findings : tuple of str
        What was verified, one line each.
    statements : tuple of str
        What the report says of the run, one line each.
    caveats : tuple of str
        What was not verified, one line each.
    """

    path: Path
    signer: str
    fingerprint: str
    findings: tuple[str, ...]
    statements: tuple[str, ...]
    caveats: tuple[str, ...]
