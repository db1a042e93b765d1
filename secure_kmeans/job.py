"""The job: what all roles agree on before a run, and nothing that is secret.

A party's own secrets (where its table lies, its key) are never part of it. :func:`read_job` reads one from TOML;
``docs/job.md`` describes every key.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from secure_kmeans.errors import JobError
from secure_kmeans.fixed_point import LEAST_PRECISION_BITS, choose_precision_bits

Init = Literal["farthest", "k-means++", "random"]
ScalingMethod = Literal["uniform", "minmax", "none"]
Numbers = tuple[float, ...]

SEEDS: Final = 2**53
"""Seeds lie below this, so that every reader of JSON keeps them whole."""

LARGEST_MAGNITUDE: Final = 2.0**53
"""Larger numbers have no unit digit left in double precision."""

MOST_PARTIES: Final = 10
LONGEST_TIMEOUT: Final = 86400.0

DEALER: Final = "dealer"
"""The name of the role that hands out correlated randomness."""

NAME_PATTERN: Final = r"\w[\w.-]{0,63}"
"""Of a role's name, which is also that of folders: no dot or dash in front."""

Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]


def split_address(address: str) -> tuple[str, int]:
    """Host and port.

    Raises
    ------
    ValueError
    """
    label = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    found = re.fullmatch(rf"(?:\[([0-9A-Fa-f:.]+)\]|({label}(?:\.{label})*\.?)):([0-9]{{1,5}})", address)
    if not found or not 0 < int(found[3]) < 1 << 16:
        raise ValueError(f'"{address}" is no address; write host:port, like clinic.example:7100')
    return found[1] or found[2], int(found[3])


def _checked_address(address: str) -> str:
    split_address(address)
    return address


Address = Annotated[str, AfterValidator(_checked_address)]
"""``host:port``; an IPv6 address stands in brackets."""
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a certificate in DER, in hexadecimal."""


class _Agreed(BaseModel):
    """Typed, frozen, unknown keys refused, no silent conversions."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def of(cls, **values: object) -> Self:
        """A checked instance.

        Raises
        ------
        JobError
            One line that names the key and what is wrong with it.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise JobError(explain(error)) from None


class Scaling(_Agreed):
    """How a table's units become numbers near 1 in the ring, and back.

    ``lower`` and ``upper`` bound every value of a column; the parties agree on them, because
    bounds taken from the data disclose two values of each column.

    - ``uniform``: ``(x - lower) / max(upper - lower)``. One factor for all columns, so the
      clusters are those of the table as it is.
    - ``minmax``: ``(x - lower) / (upper - lower)``. Every column weighs the same.
    - ``none``: ``x``. For tables that are scaled already.
    """

    method: ScalingMethod = "uniform"
    lower: Numbers
    upper: Numbers

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.lower) != len(self.upper) or not self.lower:
            raise ValueError("a scaling needs one lower and one upper bound for each column")
        for number, (low, high) in enumerate(zip(self.lower, self.upper, strict=True), start=1):
            if low > high:
                raise ValueError(f"column {number}: its lower bound is above its upper bound")
            if max(abs(low), abs(high)) > LARGEST_MAGNITUDE:
                raise ValueError(f"column {number}: its bounds are too large for the fixed point; use a larger unit")
        return self

    @property
    def units(self) -> np.ndarray:
        """Original units to one scaled unit, of shape (n_features,)."""
        ranges = np.subtract(self.upper, self.lower)
        if self.method == "none":
            return np.ones_like(ranges)
        if self.method == "uniform":
            ranges = np.full_like(ranges, ranges.max())
        return np.where(ranges > 0, ranges, 1.0)

    @property
    def offsets(self) -> np.ndarray:
        """What becomes 0, of shape (n_features,)."""
        return np.zeros(len(self.lower)) if self.method == "none" else np.array(self.lower)

    @property
    def largest(self) -> float:
        """Bound of |scaled value|."""
        if self.method != "none":
            return 1.0
        return float(max(np.abs(self.lower).max(), np.abs(self.upper).max()))

    @property
    def width(self) -> float:
        """Bound of the difference of two scaled values of a column."""
        return float((np.subtract(self.upper, self.lower) / self.units).max())

    @property
    def diagonal(self) -> float:
        """No two rows are farther apart, in original units; 1 where all rows must be equal."""
        return float(np.linalg.norm(np.subtract(self.upper, self.lower))) or 1.0

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Original to scaled units, (n, n_features) to the same shape."""
        scaled: np.ndarray = (rows - self.offsets) / self.units
        return scaled

    def invert(self, scaled: np.ndarray) -> np.ndarray:
        """Scaled to original units, (n, n_features) to the same shape."""
        rows: np.ndarray = scaled * self.units + self.offsets
        return rows


class Dealer(_Agreed):
    """Where the dealer is found, and its certificate; None where all roles run on one machine.

    Attributes
    ----------
    address : Address or None
    fingerprint : Fingerprint or None
    """

    address: Address | None = None
    fingerprint: Fingerprint | None = None


class Party(Dealer):
    """A party's name, where it is found, and its certificate.

    Attributes
    ----------
    name : str
    """

    name: Name

    @classmethod
    def named(cls, *names: str) -> tuple[Self, ...]:
        """Parties without a place, for a run on one machine."""
        return tuple(cls.of(name=name) for name in names)


class Job(_Agreed):
    """One secure k-means run, as all its roles agree on it.

    Attributes
    ----------
    protocol : "shk" or "plaintext"
    engine : "secure" or "crypten" for shk, "numpy" for plaintext
        "crypten" computes with CrypTen's own circuits, for comparison only: many times slower.
    task : "fit" or "predict"
        ``predict`` labels new rows with ``centroids``.
    parties : tuple of Party
        In rank order; two to ten for a secure run.
    dealer : Dealer
    columns : tuple of str
        Names, the same in every table.
    n_clusters, n_init, max_iter, tol
        As in scikit-learn. ``tol`` bounds the sum of the squared movements of all centroids, in
        scaled units.
    init : "farthest", "k-means++" or "random"
        Ignored where ``centroids`` are given.
    seed : int or None
        Where the public coins come from; None: the parties toss them together.
    scaling : Scaling
    bounds_from_data : bool
        The bounds are the tables' own smallest and largest values: a disclosure.
    centroids : tuple of tuples or None
        Public centroids in original units: the start of a fit, within the bounds; the model of a predict.
    precision_bits : int
        Fractional bits of the fixed point.
    hide_counts : bool
        Whether the cluster sizes stay secret, in every iteration and at the end.
    reveal_inertia, reveal_mean_distance : bool
        Whether these sums over all parties' rows are disclosed at the end.
    timeout : float
        Seconds after which a silent role counts as failed, up to a day.
    transport : "tls" or "gloo"
        What carries the shares; "gloo" encrypts nothing and is for a trusted network only.
    """

    protocol: Literal["shk", "plaintext"] = "shk"
    engine: Literal["secure", "crypten", "numpy"] = "secure"
    task: Literal["fit", "predict"] = "fit"
    parties: tuple[Party, ...]
    dealer: Dealer = Dealer()
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    n_clusters: Annotated[int, Field(ge=1)]
    init: Init = "farthest"
    n_init: Annotated[int, Field(ge=1, le=1000)] = 5
    max_iter: Annotated[int, Field(ge=1)] = 100
    tol: Annotated[float, Field(ge=0)] = 1e-8
    seed: Annotated[int, Field(ge=0, lt=SEEDS)] | None = None
    scaling: Scaling
    bounds_from_data: bool = False
    centroids: tuple[Numbers, ...] | None = None
    precision_bits: Annotated[int, Field(ge=8, le=30)]
    hide_counts: bool = False
    reveal_inertia: bool = True
    reveal_mean_distance: bool = False
    timeout: Annotated[float, Field(ge=1, le=LONGEST_TIMEOUT)] = 60.0
    transport: Literal["tls", "gloo"] = "tls"

    @property
    def names(self) -> tuple[str, ...]:
        """The parties' names, in rank order."""
        return tuple(party.name for party in self.parties)

    @property
    def roles(self) -> tuple[str, ...]:
        """The parties' names in rank order, then the dealer's."""
        return (*self.names, DEALER)

    def place(self, role: str) -> Dealer:
        """Where a role is found."""
        return {**dict(zip(self.names, self.parties, strict=True)), DEALER: self.dealer}[role]

    @property
    def digests(self) -> dict[str, bytes]:
        """SHA-256 of each key's value: what two parties compare."""
        values = json.loads(self.model_dump_json())
        return {key: hashlib.sha256(json.dumps(value).encode()).digest() for key, value in values.items()}

    @property
    def digest(self) -> bytes:
        """SHA-256 of the whole job; layout and comments of its file do not matter."""
        return hashlib.sha256(b"".join(key.encode() + value for key, value in sorted(self.digests.items()))).digest()

    @property
    def state_digest(self) -> bytes:
        """SHA-256 of all that a result follows from: what a state, to resume from, is bound to.

        Where the roles are found, by what transport and for how long they wait may change before a run goes on.
        """
        bare = {"parties": Party.named(*self.names), "dealer": Dealer(), "timeout": 60.0, "transport": "tls"}
        return hashlib.sha256(b"state" + self.model_copy(update=bare).digest).digest()

    def check_places(self) -> None:
        """Refuse a job whose roles cannot find or recognise each other.

        Raises
        ------
        JobError
            Where a role has no address or no fingerprint, or two have the same.
        """
        for what in ("address", "fingerprint"):
            found: dict[str, str] = {}
            for role in self.roles:
                value = getattr(self.place(role), what)
                if value is None:
                    raise JobError(f'"{role}" has no {what}; every role needs one to run on a machine of its own')
                if value in found:
                    raise JobError(f'"{found[value]}" and "{role}" have the same {what}; give each its own')
                found[value] = role

    @model_validator(mode="after")
    def _check_parties(self) -> Self:
        names = {name.casefold() for name in self.names}
        if self.protocol == "shk" and not 2 <= len(self.parties) <= MOST_PARTIES:
            raise ValueError(f"a secure run takes 2 to {MOST_PARTIES} parties, not {len(self.parties)}")
        if (self.protocol == "shk") == (self.engine == "numpy"):
            raise ValueError(f'the engine "{self.engine}" does not compute "{self.protocol}"')
        if len(names) != len(self.parties):
            raise ValueError("two parties have the same name")
        if self.protocol != "plaintext" and {DEALER, "all"} & names:
            raise ValueError('"dealer" and "all" are reserved, no party may be called so')
        return self

    @model_validator(mode="after")
    def _check_hidden_counts(self) -> Self:
        if self.hide_counts and self.engine == "crypten":
            raise ValueError('hide_counts: only the engine "secure" divides by counts that stay secret')
        if self.hide_counts and self.reveal_mean_distance:
            raise ValueError("hide_counts: the mean-distance loss is made from the cluster sizes; leave it out")
        return self

    @model_validator(mode="after")
    def _check_shapes(self) -> Self:
        d = len(self.columns)
        if len(set(self.columns)) != d or not all(self.columns):
            raise ValueError("every column needs a name of its own")
        if len(self.scaling.lower) != d:
            raise ValueError(f"bounds for {len(self.scaling.lower)} columns, but there are {d}")
        if self.centroids is None:
            if self.task == "predict":
                raise ValueError("a prediction needs centroids")
        elif [len(centroid) for centroid in self.centroids] != [d] * self.n_clusters:
            raise ValueError(f"centroids must have {self.n_clusters} rows of {d} numbers")
        elif self.task == "fit":
            self._check_start(np.array(self.centroids))
        return self

    def _check_start(self, centroids: np.ndarray) -> None:
        """Centroids beyond the bounds, give or take a rounding, could leave the ring."""
        slack = 0.01 * self.scaling.units
        outside = (centroids < self.scaling.lower - slack) | (centroids > self.scaling.upper + slack)
        if outside.any():
            number, column = np.argwhere(outside)[0]
            raise ValueError(f'centroid {number} lies outside the bounds of column "{self.columns[column]}"')


def read_job(path: str | Path) -> Job:
    """Read a job from a TOML file.

    Where ``precision_bits`` is missing, the most that the bounds leave room for are taken.

    Raises
    ------
    JobError
        One line that names the file, the key and what is wrong with it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except OSError as error:
        raise JobError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise JobError(f"{path}: this is not text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise JobError(f"{path}: {error}") from None
    except (ValueError, RecursionError):
        raise JobError(f"{path}: a number is too long, or its tables lie too deep in each other") from None
    try:
        return _validated(values)
    except JobError as error:
        raise JobError(f"{path}: {error}") from None
    except (ValueError, OverflowError, RecursionError):
        raise JobError(f"{path}: a number is too large, or its tables lie too deep in each other") from None


def _validated(values: dict[str, Any]) -> Job:
    if "bounds_from_data" in values:
        raise JobError("bounds_from_data: this is no key of a job file: the parties of a job file agree on bounds")
    if values.get("protocol", "shk") != "shk":
        raise JobError('protocol: Input should be "shk"')
    missing = "precision_bits" not in values
    if missing:
        values = values | {"precision_bits": LEAST_PRECISION_BITS}
    try:
        # TOML's dates are no values of a job: what they become has the type of none, so that they are refused.
        job = Job.model_validate_json(json.dumps(values, default=lambda _date: {}))
    except ValidationError as error:
        raise JobError(explain(error)) from None
    most = choose_precision_bits(len(job.columns), job.n_clusters, job.scaling.largest)
    if job.precision_bits > most:
        raise JobError(
            f"precision_bits: {job.precision_bits} leave the ring no room for these bounds; at most {most} do"
        )
    return job.model_copy(update={"precision_bits": most}) if missing else job


def explain(error: ValidationError) -> str:
    """The first finding of a validation, as one line, without the offending value."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part)[:100] for part in first["loc"])
    where = "".join(character if character.isprintable() else "?" for character in where)
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
