"""Models in shares: where the commands find them, and the job file that labels new rows with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from secure_kmeans.errors import JobError, StateError
from secure_kmeans.job import Job
from secure_kmeans.job.result import Result
from secure_kmeans.job.toml import to_toml
from secure_kmeans.protocols import protocol_of

if TYPE_CHECKING:
    from secure_kmeans.report.folder import ResultsFolder
    from secure_kmeans.roles.models import KeptModel

JOB_SUFFIX: Final = "-predict.toml"
"""After a fit's name: the job file of its predictions."""
STATES: Final = Path("state")


def model_of(job: Job, party: str, states: Path | None) -> bytes | None:
    """A party's share of the model that a job takes; None where it takes none.

    Parameters
    ----------
    job : Job
    party : str
    states : path, optional
        The party's state folder; by default each folder ``state/*/PARTY`` is searched.

    Raises
    ------
    StateError, JobError
    """
    session = protocol_of(job.protocol).model_taken(job)
    if session is None:
        return None
    from secure_kmeans.roles.models import model_for

    folders = sorted(STATES.glob(f"*/{party}")) if states is None else [states]
    return model_for(job, session, party, folders)


def models_of(job: Job, states: Path | None) -> list[bytes]:
    """Each party's share of the model that a job takes, in rank order; empty where it takes none.

    ``states`` holds the state folder of each party.
    """
    found = [model_of(job, name, None if states is None else states / name) for name in job.names]
    return [share for share in found if share is not None]


def model_of_all_parties(states: Path, session: str | None = None) -> list[KeptModel]:
    """Each party's share of one model, in rank order.

    Parameters
    ----------
    states : path
        The folder that holds the state folder of each party.
    session : str, optional
        The first digits of the session; by default that of the latest run of which all parties keep their shares.

    Raises
    ------
    StateError
    """
    from secure_kmeans.roles.models import models_in

    if own := models_in(states):
        raise StateError(
            f'{states}: this is the state folder of "{own[0].party}" alone. With all parties on this machine, name the '
            "folder above it; on machines of their own, start each role with the job file whose name ends in "
            f"{JOB_SUFFIX}"
        )
    kept = [model for folder in sorted(states.glob("*")) for model in models_in(folder)]
    by_session: dict[str, dict[str, KeptModel]] = {}
    for model in sorted(kept, key=lambda model: model.started):
        if session is None or model.session.startswith(session):
            by_session.setdefault(model.session, {})[model.party] = model
    whole = [parts for parts in by_session.values() if set(next(iter(parts.values())).job.names) <= parts.keys()]
    if not whole:
        which = "a model" if session is None else f"the model of session {session}"
        raise StateError(
            f"{states}: not every party keeps its share of {which} here; name the folder of the fit's states"
        )
    if session is not None and len(whole) > 1:
        raise StateError(
            f"{states}: there are {len(whole)} models whose session begins with {session}; give more digits"
        )
    parts = whole[-1]
    return [parts[name] for name in next(iter(parts.values())).job.names]


def write_prediction_job(folder: ResultsFolder, name: str, job: Job, results: Sequence[Result]) -> bool:
    """Write the job file that labels new rows by the model which the parties keep of a run; whether there is one.

    Without one, that of an earlier run in the same folder is removed.
    """
    protocol, file = protocol_of(job.protocol), f"{name}{JOB_SUFFIX}"
    first = results[0]
    if protocol.model_kept(first) is None:
        folder.forget(file)
        return False
    comment = (
        "Labels of new rows, on shares, by the model that the parties keep in their state folders.\n"
        "Every role, the dealer included, needs a copy of this file, which holds no secret. Each party starts it with\n"
        f"    launcher.py {file} --party NAME --identity DIR --table ROWS --state FOLDER-OF-THE-FIT\n"
    )
    prediction = protocol.prediction(job, first.session)
    if protocol.may_lack_rows(prediction):
        comment += "and a party without new rows leaves --table out."
    else:
        comment += "where ROWS holds the party's own columns of the new rows."
    folder.write_text(file, to_toml(prediction, comment))
    return True


def refuse_to_resume(job: Job, resume: bool) -> None:
    """Refuse to resume a prediction, which keeps no states.

    Raises
    ------
    JobError
    """
    if resume and protocol_of(job.protocol).model_taken(job) is not None:
        raise JobError("resume: a prediction is a single step and keeps no states; start it anew")
