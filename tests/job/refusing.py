"""The message with which a value is refused."""

from collections.abc import Callable

import pytest

from secure_kmeans.errors import JobError


def refusal(make: Callable[..., object], **values: object) -> str:
    """Call ``make(**values)``, which has to raise a JobError of one line, and return its message."""
    with pytest.raises(JobError) as caught:
        make(**values)
    message = str(caught.value)
    assert "\n" not in message
    return message
