"""The base class of all that the roles of a run agree on."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticUndefined

from secure_kmeans.errors import JobError
from secure_kmeans.words import shown

Numbers = tuple[float, ...]

NAME_PATTERN: Final = r"\w[\w.-]{0,63}"
"""A role's name, which is also the name of folders: it starts with neither a dot nor a dash."""

Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]


class Agreed(BaseModel):
    """A typed and frozen value. Unknown keys are refused, and nothing is converted silently."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def of(cls, **values: object) -> Self:
        """Make a checked instance.

        Raises
        ------
        JobError
            One line that names the key and what is wrong with it.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise JobError(explain(error)) from None

    @classmethod
    def default_of(cls, key: str) -> Any:
        """The default of a key, which stands here alone.

        Raises
        ------
        KeyError
            Where the key has no default.
        """
        default = cls.model_fields[key].get_default(call_default_factory=True, validated_data={})
        if default is PydanticUndefined:
            raise KeyError(key)
        return default


def explain(error: ValidationError) -> str:
    """The first finding of a validation, in one line, without the offending value."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = shown(".".join(str(part) for part in first["loc"]), 200)
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
