"""Jobs for tests that are about no protocol in particular."""

from typing import ClassVar, TypeVar

from secure_kmeans.job import Endpoint, Kind, KMeansJob, Party, Scaling


class AnyJob(KMeansJob):
    """The job of a protocol for k-means with one helper. The protocol does not exist."""

    HELPERS: ClassVar = {"dealer": Kind.DEALER}

    protocol: str = "any"
    dealer: Endpoint = Endpoint()


J = TypeVar("J", bound=KMeansJob)


def a_job(*names: str, **values: object) -> AnyJob:
    """A job without endpoints.

    Parameters
    ----------
    *names : str
        The parties; "a" and "b" where none is named.
    **values
        Keys of the job. The bounds of all columns are 0 and 1 where no scaling is given.
    """
    return a_job_of(AnyJob, *names, **values)


def a_job_of(job_class: type[J], *names: str, **values: object) -> J:
    """Like :func:`a_job`, for a job class of which all keys but those of k-means have defaults."""
    columns = values.get("columns", ("x", "y"))
    assert isinstance(columns, tuple)
    keys = {
        "parties": Party.named(*(names or ("a", "b"))),
        "columns": columns,
        "n_clusters": 2,
        "scaling": Scaling.of(lower=(0.0,) * len(columns), upper=(1.0,) * len(columns)),
        "precision_bits": 20,
    }
    return job_class.of(**(keys | values))
