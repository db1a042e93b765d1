"""The job of SVK."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from secure_kmeans.errors import JobError
from secure_kmeans.job import Agreed, Endpoint, Init, Kind, KMeansJob, Name, Party
from secure_kmeans.job.clustering import ROW_INITS, check_public_minimum, check_resolution, grid_shifts
from secure_kmeans.protocols.disclosures import DEALER as DEALER
from secure_kmeans.words import key, shown

Align = Literal["psi", "order", "none"]

MOST_ROWS: Final = 1 << 24
"""The largest set of identifiers."""


class ColumnsParty(Party):
    """A party that holds columns.

    Attributes
    ----------
    columns : tuple of str
        To cluster by, of its table.
    id : str or None
        Its column of identifiers; None: the job's ``id``.
    most_rows : int or None
        The largest number of rows that its table may have; None: the job's ``most_rows``.
    """

    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    id: str | None = None
    most_rows: Annotated[int, Field(ge=1, le=MOST_ROWS)] | None = None


class Disclose(Agreed):
    """What a run discloses of its model.

    Attributes
    ----------
    centroids : "own", "all" or "nobody"
        With "own" each party learns the final centroids in its own columns, with "all" every party all of them. With
        "nobody" each party keeps its share of them.
    labels : "all", "nobody", names of parties, or None
        Who learns the final labels. None: all, or nobody where the labels are hidden.
    """

    centroids: Literal["own", "all", "nobody"] = "own"
    labels: Literal["all", "nobody"] | tuple[Name, ...] | None = None


class SvkJob(KMeansJob):
    """Secure k-means of rows whose columns several parties hold.

    Attributes
    ----------
    parties : tuple of ColumnsParty
    columns : tuple of str
        All columns, in the order of the parties. They follow from the parties. A name that two parties use stands with
        its party before it.
    dealer : Endpoint
    align : "psi", "order" or "none"
        How rows of the same entities find each other: by the identifiers that all parties have; by their order, which
        is compared; or by their order, which is not.
    id : str or None
        The column of identifiers in every table.
    most_rows : int or None
        The largest number of rows that a table may have, with "psi". Every party's set of identifiers is filled up to
        it, so that nobody learns how many there are.
    hide_labels : bool
        The labels stay secret in every iteration.
    hide_counts : bool
        The cluster sizes stay secret, too; only with ``hide_labels``.
    resolution : n_features numbers or None
        With ``hide_labels``: the grid on which the centroids are disclosed, of which the fewer digits say less about
        who is in a small cluster. With ``hide_counts``, of each column the smallest step between two values; see
        :class:`~secure_kmeans.protocols.shk.job.ShkJob`.
    disclose : Disclose
    reveal_inertia : bool or None
        The inertia is disclosed at the end. None: where the centroids and the final labels are.
    """

    HELPERS: ClassVar[Mapping[str, Kind]] = {DEALER: Kind.DEALER}
    INITS: ClassVar[tuple[Init, ...]] = ROW_INITS
    FOLLOWING: ClassVar[frozenset[str]] = frozenset({"columns"})
    FIT_KEYS: ClassVar[frozenset[str]] = KMeansJob.FIT_KEYS | {"hide_counts", "resolution", "reveal_inertia"}
    MODEL_KEYS: ClassVar[tuple[str, ...]] = (*KMeansJob.MODEL_KEYS, "hide_labels")

    protocol: Literal["svk"] = "svk"
    parties: tuple[ColumnsParty, ...]
    dealer: Endpoint = Endpoint()
    align: Align = "psi"
    id: str | None = None
    most_rows: Annotated[int, Field(ge=1, le=MOST_ROWS)] | None = None
    hide_labels: bool = False
    hide_counts: bool = False
    resolution: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    disclose: Disclose = Disclose()
    reveal_inertia: bool | None = None

    @classmethod
    def of(cls, **values: object) -> Self:
        """See :meth:`~secure_kmeans.job.Agreed.of`; the columns need not be given."""
        return super().of(**{"columns": joined_columns(values.get("parties"))} | values)

    @classmethod
    def from_file(cls, values: Mapping[str, Any]) -> Self:
        """See :meth:`~secure_kmeans.job.KMeansJob.from_file`; the columns stand with the parties.

        Raises
        ------
        JobError
        """
        if "columns" in values:
            raise JobError("columns: each party has its own; write them below its name in [[parties]]")
        return super().from_file({"columns": joined_columns(values.get("parties"))} | dict(values))

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        for party in self.parties:
            if len(set(party.columns)) != len(party.columns) or not all(party.columns):
                raise ValueError(f'parties: every column of "{party.name}" needs a name of its own')
        if self.columns != joined_columns(self.parties):
            raise ValueError("columns: they follow from the parties; leave them out")
        return self

    @model_validator(mode="after")
    def _check_alignment(self) -> Self:
        for party in self.parties:
            identifier = self.id_of(party.name)
            if self.align == "none":
                if identifier is not None:
                    raise ValueError('id: with align = "none" no identifier is compared; leave it out')
            elif identifier is None:
                raise ValueError(
                    f'id: the rows of "{party.name}" need a column of identifiers to be aligned by; name it, or set '
                    f"{key('align')} to none"
                )
            elif identifier in party.columns:
                raise ValueError(f'id: "{shown(identifier)}" of "{party.name}" is a column to cluster by, too')
            if self.align == "psi" and (party.most_rows or self.most_rows) is None:
                raise ValueError(
                    f'most_rows: agree on the largest number of rows that the table of "{party.name}" may have'
                )
            if self.align != "psi" and (party.most_rows or self.most_rows) is not None:
                raise ValueError('most_rows: only align = "psi" compares sets of identifiers; leave it out')
        return self

    @model_validator(mode="after")
    def _check_hiding(self) -> Self:
        labels, fits = self.disclose.labels, self.task == "fit"
        if isinstance(labels, tuple) and not (labels and set(labels) < set(self.names)):
            raise ValueError('disclose.labels: name some of the parties, or write "all" or "nobody"')
        if fits and not self.hide_labels and labels not in (None, "all"):
            raise ValueError(f"disclose.labels: all parties see the labels of each iteration; set {key('hide_labels')}")
        if not fits and labels == "nobody":
            raise ValueError('disclose.labels: a prediction is for its labels; write "all", or name some parties')
        if fits and not self.hide_labels and self.disclose.centroids == "nobody":
            raise ValueError(
                "disclose.centroids: with the labels each party knows the centroids in its own columns; set "
                f"{key('hide_labels')}"
            )
        if self.hide_counts and not self.hide_labels:
            raise ValueError(f"hide_counts: the sizes follow from the labels; set {key('hide_labels')}, too")
        if self.hide_counts and self.reveal_inertia:
            raise ValueError("reveal_inertia: with it the sizes can follow from the centroids; leave it out")
        if self.hide_counts and labels not in (None, "nobody") and fits:
            raise ValueError("hide_counts: the sizes follow from the labels; disclose the labels to nobody")
        if self.reveal_inertia and fits and (self.labels_to != "all" or self.disclose.centroids == "nobody"):
            raise ValueError("reveal_inertia: it is made from the labels and the centroids; leave it out")
        if self.resolution is not None and not self.hide_labels:
            raise ValueError("resolution: by public labels each party knows all digits of its centroids; leave it out")
        if self.hide_labels and not self.hide_counts:
            check_public_minimum(self.min_cluster_size)
        check_resolution(self.resolution, self.columns)
        return self

    # ------------------------------------------------------------------ columns

    @property
    def widths(self) -> tuple[int, ...]:
        """The number of each party's columns, in rank order."""
        return tuple(len(party.columns) for party in self.parties)

    def columns_of(self, party: str) -> slice:
        """The positions of a party's columns among all columns; none for a helper."""
        rank = self.names.index(party) if party in self.names else len(self.names)
        start = sum(self.widths[:rank])
        return slice(start, start + (self.widths[rank] if rank < len(self.names) else 0))

    def id_of(self, party: str) -> str | None:
        """The column of identifiers in a party's table; None where rows are not aligned by identifiers."""
        return self.parties[self.names.index(party)].id or self.id

    def most_rows_of(self, party: str) -> int:
        """The size to which a party's set of identifiers is filled up; with ``align = "psi"``."""
        most = self.parties[self.names.index(party)].most_rows or self.most_rows
        assert most is not None
        return most

    # --------------------------------------------------------------- disclosures

    engine: ClassVar[Literal["secure"]] = "secure"
    """What computes on the shares."""

    @property
    def labels_to(self) -> Literal["all", "nobody"] | tuple[str, ...]:
        """Who learns the final labels."""
        if self.disclose.labels is not None:
            return self.disclose.labels
        return "nobody" if self.hide_labels and self.task == "fit" else "all"

    @property
    def discloses_inertia(self) -> bool:
        """Whether all parties learn the inertia."""
        if self.reveal_inertia is None:
            return self.labels_to == "all" and self.disclose.centroids != "nobody"
        return self.reveal_inertia

    @property
    def start_is_known(self) -> bool:
        """Whether each party knows its own columns of the first centroids."""
        return self.centroids is not None or (self.seed is not None and self.init == "random")

    @property
    def withheld_below(self) -> int:
        """With labels that all see, a party knows the centroids in its own columns, whatever their size."""
        return 1 if not self.hide_labels and self.disclose.centroids == "own" else self.min_cluster_size

    def centroid_shifts(self, n_samples: int) -> np.ndarray | None:
        """See :func:`~secure_kmeans.job.clustering.grid_shifts`; None without hidden sizes or a resolution."""
        on_grid = self.hide_counts or self.resolution is not None
        return grid_shifts(self, self.resolution, n_samples) if on_grid else None

    @property
    def sizes_are_hidden(self) -> bool:
        """Whether nobody learns the sizes."""
        return self.hide_counts

    # ---------------------------------------------------------------- prediction

    def prediction(self, session: str) -> Self:
        """As for every k-means; a prediction discloses its labels to the same parties, or to all."""
        labels = self.disclose.labels
        disclose = Disclose(labels=labels if isinstance(labels, tuple) else None)
        return super().prediction(session).model_copy(update={"disclose": disclose})

    def check_model_of(self, fitted: KMeansJob) -> None:
        """Also refuse another division of the columns among the parties.

        Raises
        ------
        JobError
        """
        super().check_model_of(fitted)
        if self.widths != getattr(fitted, "widths", ()):
            raise JobError("parties: the model is of other columns of each party; use the run's own")


def joined_columns(parties: Any) -> tuple[str, ...]:
    """The names of all columns; ``("?",)`` where the parties are no list of parties with columns."""
    held = [_name_and_columns(party) for party in parties] if isinstance(parties, list | tuple) else []
    uses = Counter(column for _, columns in held for column in set(columns))
    joined = (column if uses[column] == 1 else f"{name}.{column}" for name, columns in held for column in columns)
    return tuple(joined) or ("?",)


def _name_and_columns(party: Any) -> tuple[str, Sequence[str]]:
    values = party if isinstance(party, dict) else getattr(party, "__dict__", {})
    columns = values.get("columns")
    if not isinstance(columns, list | tuple) or not all(isinstance(column, str) for column in columns):
        columns = ()
    return str(values.get("name")), columns
