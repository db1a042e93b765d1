"""A party's consent to what a run will disclose, before anything is sent.

The functions here are made for the ``announce`` callback of :func:`~secure_kmeans.app.commands.take_part`: an exception
ends the command there.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from secure_kmeans.app.commands import Announcement
from secure_kmeans.errors import ConsentError
from secure_kmeans.job.ledger import ALL, OWNER, Disclosure

RECIPIENTS: Final = {ALL: "all parties", OWNER: "each party"}
"""How a person reads the recipients that are no role."""

_KEY: Final = "accept"


def check_consent(announcement: Announcement, *, yes: bool, accepted: Path | None) -> None:
    """Refuse to run where the party does not agree.

    Parameters
    ----------
    announcement : Announcement
        What was shown.
    yes : bool
        Whether the party agrees to all of it beforehand.
    accepted : path or None
        The party's own list of what may be disclosed; see :func:`read_accepted`. A person is asked where there is
        neither.

    Raises
    ------
    ConsentError
        Where the party says no, the list lacks something, or there is nobody to ask.
    """
    if yes:
        return
    if accepted is not None:
        check_against(accepted, announcement.disclosures)
    elif sys.stdin.isatty() and sys.stdout.isatty():
        if not click.confirm("Take part, and disclose this?", default=False, err=True):
            raise ConsentError("you did not agree; nothing was sent")
    else:
        raise ConsentError(
            "nobody can be asked, because this is no terminal; nothing was sent. Agree beforehand to what the job "
            "discloses: by --yes, or by --accept FILE with a list of what may be disclosed (docs/deployment.md)"
        )


def check_against(path: Path, disclosures: Sequence[Disclosure]) -> None:
    """Refuse what a party's own list does not accept.

    Raises
    ------
    ConsentError
        Names all that is missing.
    """
    accepted = read_accepted(path)
    missing = [text_of(each) for each in disclosures if not accepted & {each.what, text_of(each)}]
    if missing:
        listed = ", ".join(f'"{text}"' for text in missing)
        raise ConsentError(f"{path}: the job would disclose what is not accepted there: {listed}; nothing was sent")


def text_of(disclosure: Disclosure) -> str:
    """What is disclosed and to whom, as a list of accepted disclosures may have it."""
    return f"{disclosure.what} to {RECIPIENTS.get(disclosure.to, disclosure.to)}"


def read_accepted(path: Path) -> set[str]:
    """Read the list of a party that takes part without being asked.

    It is TOML with the one key ``accept``, a list of texts. Each is what is disclosed, as the announcement says it,
    such as ``"cluster sizes"``; or this and to whom, such as ``"number of rows of each party to dealer"``. What no job
    discloses does no harm there.

    Raises
    ------
    ConsentError
        Where the file is no such list.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConsentError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise ConsentError(f'{path}: this is no TOML; write {_KEY} = ["cluster sizes", ...]') from None
    texts = content.get(_KEY)
    fits = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    if set(content) != {_KEY} or not fits:
        raise ConsentError(f'{path}: the file needs the key {_KEY}, a list of texts, and no other: {_KEY} = ["..."]')
    return set(texts or [])
