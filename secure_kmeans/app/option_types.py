"""The types of options: how the text on a command line becomes a value."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from secure_kmeans.app.inputs import INITS, LabelsTo
from secure_kmeans.app.proposal import Bounds

_TO_ALL_OR_NOBODY: Final = ("all", "nobody")


class ColumnsType(click.ParamType[tuple[str, ...]]):
    """Names or numbers of columns, separated by commas."""

    name = "list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """See :meth:`click.ParamType.convert`."""
        if isinstance(value, tuple):
            return value
        try:
            columns = tuple(cell.strip() for cell in next(csv.reader([value], skipinitialspace=True), []))
        except csv.Error:
            columns = ("",)
        if not columns or not all(columns):
            self.fail("a name is empty; separate names or numbers by single commas", param, ctx)
        return columns


class BoundsType(click.ParamType[Bounds]):
    """A pair of bounds for each column."""

    name = "low:high,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Bounds:
        """See :meth:`click.ParamType.convert`."""
        if isinstance(value, tuple):
            return value
        try:
            pairs = [(float(low), float(high)) for low, high in (pair.split(":") for pair in value.split(","))]
        except ValueError:
            pairs = [(math.nan, math.nan)]
        if not all(math.isfinite(bound) for pair in pairs for bound in pair):
            self.fail("write one pair of numbers for each column, like 0:150,0:100", param, ctx)
        lower, upper = zip(*pairs, strict=True)
        return lower, upper


class NumbersType(click.ParamType[tuple[float, ...]]):
    """A number above 0 for each column."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """See :meth:`click.ParamType.convert`."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(map(float, value.split(",")))
        except ValueError:
            numbers = (math.nan,)
        if not all(math.isfinite(number) and number > 0 for number in numbers):
            self.fail("write one number above 0 for each column, like 1,0.5", param, ctx)
        return numbers


class StartType(click.ParamType[str]):
    """An initialisation, or a file of centroids."""

    name = "start"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See :meth:`click.ParamType.convert`."""
        if value not in INITS and not Path(value).is_file():
            self.fail(f'"{value}" is neither {", ".join(INITS)} nor a file of centroids', param, ctx)
        return str(value)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """See :meth:`click.ParamType.shell_complete`."""
        named = [CompletionItem(init) for init in INITS if init.startswith(incomplete)]
        return [*named, CompletionItem(incomplete, type="file")]


class WholeType(click.IntRange):
    """A whole number."""

    name = "whole number"


class LabelsType(click.ParamType[LabelsTo]):
    """Who learns the labels."""

    name = "labels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> LabelsTo:
        """See :meth:`click.ParamType.convert`."""
        if value in _TO_ALL_OR_NOBODY or isinstance(value, tuple):
            return value  # type: ignore[no-any-return]
        names = tuple(name.strip() for name in value.split(","))
        if not all(names):
            self.fail("write all, nobody, or names of parties separated by single commas", param, ctx)
        return names

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """See :meth:`click.ParamType.shell_complete`."""
        return [CompletionItem(each) for each in _TO_ALL_OR_NOBODY if each.startswith(incomplete)]


class RealType(click.FloatRange):
    """A number."""

    name = "number"
