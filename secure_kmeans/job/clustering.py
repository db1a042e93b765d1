"""Clustering: the keys that every k-means has: columns, clusters, start, stop rule and scaling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal, Self, get_args

import numpy as np
from pydantic import Field, field_validator, model_validator

from secure_kmeans.errors import JobError
from secure_kmeans.job.agreed import Agreed, Numbers
from secure_kmeans.job.fixed_point import LEAST_PRECISION_BITS, bits_to_hold, choose_precision_bits, mean_bits
from secure_kmeans.job.job import Job
from secure_kmeans.job.scaling import Scaling
from secure_kmeans.words import column_title, counted, key

Init = Literal["farthest", "k-means++", "random", "moments", "uniform"]

ROW_INITS: Final[tuple[Init, ...]] = ("farthest", "k-means++", "random")
"""Starts that begin at rows."""

POINT_INITS: Final[tuple[Init, ...]] = ("moments", "uniform")
"""Starts that begin at points which are no rows: spread around the mean of all rows, or drawn within the bounds."""

USUAL_CLUSTERS: Final = 5
"""What the command line and the estimators take where nobody says how many clusters; a job file has to say it."""

MOST_STARTS: Final = 1000

LARGEST_PUBLIC_MINIMUM: Final = 16
"""The largest ``min_cluster_size`` where sizes are disclosed; see :mod:`secure_kmeans.mpc.withholding`."""

_START_SLACK: Final = 0.01
"""Scaled units that a start may lie beyond the bounds: a rounding."""


class Clustering(Agreed):
    """A k-means problem, whichever protocol solves it.

    Attributes
    ----------
    task : "fit" or "predict"
        To cluster, or to label new rows by a model that stays in shares.
    columns : tuple of str
    n_clusters : int
    init : "farthest", "k-means++", "random", "moments" or "uniform"
        Ignored where ``centroids`` are given. Each protocol can do some of them, :attr:`INITS`.
    n_init : int
        Starts that run side by side; the best is kept.
    max_iter : int
    tol : float
        The run stops when the squared movements of all centroids add up to no more than this part of the mean variance
        of the columns, as scikit-learn's does; 0: when no centroid moves any more.
    min_cluster_size : int
        A cluster of fewer rows is withheld: neither its centroid nor its size is disclosed.
    scaling : Scaling
    centroids : tuple of tuples or None
        Where to start, in original units, within the bounds.
    precision_bits : int
        Fractional bits of the fixed point.
    """

    INITS: ClassVar[tuple[Init, ...]] = get_args(Init)
    """The starts that can be chosen."""

    task: Literal["fit", "predict"] = "fit"
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    n_clusters: Annotated[int, Field(ge=1)]
    init: Init = "farthest"
    n_init: Annotated[int, Field(ge=1, le=MOST_STARTS)] = 5
    max_iter: Annotated[int, Field(ge=1)] = 100
    tol: Annotated[float, Field(ge=0, le=1)] = 0.0
    min_cluster_size: Annotated[int, Field(ge=1)] = 5
    scaling: Scaling
    centroids: tuple[Numbers, ...] | None = None
    precision_bits: Annotated[int, Field(ge=LEAST_PRECISION_BITS, le=30)]

    @property
    def restarts(self) -> int:
        """Starts that run side by side: 1 where the centroids are given."""
        return 1 if self.centroids is not None else self.n_init

    @property
    def withheld_below(self) -> int:
        """Clusters of fewer rows are withheld."""
        return self.min_cluster_size

    @property
    def sizes_known_from(self) -> int:
        """The size of a cluster of fewer rows is not disclosed."""
        return self.withheld_below

    @property
    def fewest_to_move(self) -> int:
        """A cluster of fewer rows keeps its centroid."""
        return 1

    @property
    def sizes_are_hidden(self) -> bool:
        """Whether nobody learns the sizes."""
        return False

    def centroid_shifts(self, n_samples: int) -> np.ndarray | None:
        """Bits of each coordinate of a centroid that stay secret, (n_features,) ints; None where all are disclosed."""
        del n_samples
        return None

    def mean_bits(self, n_samples: int) -> int:
        """Fractional bits of the final means of n rows, in units of each column's range."""
        return mean_bits(n_samples)

    @field_validator("init", mode="before")
    @classmethod
    def _check_init(cls, init: Any) -> Any:
        if init not in cls.INITS:
            *first, last = (f"'{each}'" for each in cls.INITS)
            raise ValueError(f"Input should be {', '.join(first)} or {last}")
        return init

    @model_validator(mode="after")
    def _check_shapes(self) -> Self:
        d = len(self.columns)
        if len(set(self.columns)) != d or not all(self.columns):
            raise ValueError("columns: every column needs a name of its own")
        if len(self.scaling.lower) != d:
            raise ValueError(f"scaling: bounds for {counted(len(self.scaling.lower), 'column')}, but there are {d}")
        if self.centroids is None:
            return self
        if self.task == "predict":
            raise ValueError(
                "centroids: a job's prediction takes its model from the parties' states; leave them out. "
                "`secure-kmeans predict REPORT` labels rows by the public centroids of a report"
            )
        if [len(centroid) for centroid in self.centroids] != [d] * self.n_clusters:
            rows, numbers = counted(self.n_clusters, "row"), counted(d, "number")
            raise ValueError(f"centroids: there must be {rows} of {numbers}")
        if outside := self.outside(np.array(self.centroids)):
            raise ValueError(f"centroids: {outside}")
        return self

    def outside(self, centroids: np.ndarray) -> str:
        """Which of (k, n_features) centroids lies beyond the bounds, where it could leave the ring; "" if none does."""
        slack = _START_SLACK * self.scaling.units
        beyond = (centroids < self.scaling.lower - slack) | (centroids > self.scaling.upper + slack)
        if not beyond.any():
            return ""
        number, column = np.argwhere(beyond)[0]
        return f"centroid {number} lies outside the bounds of {column_title(self.columns, int(column))}"


def grid_shifts(clustering: Clustering, resolution: Sequence[float] | None, n_samples: int) -> np.ndarray:
    """Bits of each coordinate of a centroid that stay secret where the sizes are hidden, (n_features,) ints.

    A cell of the grid is at least as wide as the resolution g of its column. Then the means S g / t of every number of
    rows t lie in every cell, so that a centroid says nothing about its t. Where g is not known, the cell is the
    column's range divided by sqrt(n): no g is larger than the range, so that this holds for every t from sqrt(n) on,
    and a cell is about as wide as the sampling error of a mean.

    Parameters
    ----------
    clustering : Clustering
    resolution : n_features numbers, or None
        Of each column the smallest step between two values.
    n_samples : int
    """
    ranges = np.subtract(clustering.scaling.upper, clustering.scaling.lower)
    steps = ranges / math.sqrt(n_samples) if resolution is None else np.minimum(resolution, ranges)
    scaled = steps / clustering.scaling.units * 2.0**clustering.precision_bits
    return np.array([bits_to_hold(float(step)) for step in scaled], dtype=np.int64)


def check_resolution(resolution: Sequence[float] | None, columns: Sequence[str]) -> None:
    """Refuse a grid that has not one step for each column.

    Raises
    ------
    ValueError
    """
    if resolution is not None and len(resolution) != len(columns):
        numbers, many = counted(len(resolution), "number"), counted(len(columns), "column")
        raise ValueError(f"resolution: {numbers} for {many}; give one for each")


def check_public_minimum(least: int) -> None:
    """Refuse a ``min_cluster_size`` that is too large for sizes that are disclosed.

    Raises
    ------
    ValueError
    """
    if least > LARGEST_PUBLIC_MINIMUM:
        raise ValueError(
            f"min_cluster_size: more than {LARGEST_PUBLIC_MINIMUM} only with hidden sizes; set {key('hide_counts')}"
        )


class KMeansJob(Job, Clustering):
    """The job of a protocol for k-means.

    Attributes
    ----------
    bounds_from_data : bool
        The bounds are the tables' own smallest and largest values, which discloses them. Not in a job file: the parties
        of a job file agree on bounds.
    model : str or None
        Of a prediction: the session of the fit whose model the parties keep in shares, in hexadecimal.
    """

    NOT_IN_A_FILE: ClassVar[frozenset[str]] = frozenset({"bounds_from_data"})

    FIT_KEYS: ClassVar[frozenset[str]] = frozenset(
        {"init", "n_init", "max_iter", "tol", "min_cluster_size", "centroids", "seed", "bounds_from_data"}
    )
    """Keys that a prediction has no use for."""

    MODEL_KEYS: ClassVar[tuple[str, ...]] = ("columns", "n_clusters", "scaling", "precision_bits")
    """Keys in which a prediction has to be as the fit whose model it takes."""

    bounds_from_data: bool = False
    model: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None

    @property
    def starts_are_public(self) -> bool:
        """Whether all parties know at which rows the starts begin."""
        return self.task == "fit" and self.centroids is None and self.seed is not None

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        if self.task == "fit" and self.model is not None:
            raise ValueError("model: a fit takes no model; leave it out")
        if self.task == "predict" and self.model is None:
            raise ValueError(
                "model: a prediction needs the session of the run whose model it takes; use the job file that the run "
                "wrote"
            )
        if self.task == "predict":
            for key in sorted(self.FIT_KEYS):
                if getattr(self, key) != self.default_of(key):
                    raise ValueError(f"{key}: a prediction has no use for this key of a fit; leave it out")
        return self

    def prediction(self, session: str) -> Self:
        """The job that labels new rows by the model that the parties keep of a run of this job.

        Parameters
        ----------
        session : str
            Of the run, in hexadecimal.
        """
        defaults = {key: self.default_of(key) for key in self.FIT_KEYS}
        return self.model_copy(update=defaults | {"task": "predict", "model": session})

    def check_model_of(self, fitted: KMeansJob) -> None:
        """Refuse to label rows by the model of a run whose job differs in what the model depends on.

        Raises
        ------
        JobError
        """
        if self.names != fitted.names:
            raise JobError(f"parties: the model is of {', '.join(fitted.names)}; a prediction needs the same parties")
        for name in self.MODEL_KEYS:
            if getattr(self, name) != getattr(fitted, name):
                raise JobError(f"{name}: the job differs in it from the run whose model it takes; use the run's own")

    @classmethod
    def from_file(cls, values: Mapping[str, Any]) -> Self:
        """Make a job from the content of its file. Without ``precision_bits`` it has the most that fit.

        Raises
        ------
        JobError
        """
        missing = "precision_bits" not in values
        job = super().from_file({"precision_bits": LEAST_PRECISION_BITS} | dict(values))
        most = choose_precision_bits(len(job.columns), job.n_clusters, job.scaling.largest)
        if job.precision_bits > most:
            raise JobError(
                f"precision_bits: {job.precision_bits} leave the ring no room for these bounds; at most {most} do"
            )
        return job.model_copy(update={"precision_bits": most}) if missing else job
