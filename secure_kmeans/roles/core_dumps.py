"""Core dumps, which would write a role's rows, shares and keys to the disk."""

from __future__ import annotations

import resource
from typing import Final

_BYTES: Final = 1
"""A file of one byte is too small for a dump, so none is written. A dump that the system pipes to a program, whatever
the limit, is left out by Linux at a limit of exactly 1 (``fs/coredump.c``)."""


def switch_off_core_dumps() -> None:
    """Let this process, and those that it starts from now on, leave no core dump.

    The hard limit stays: this may be somebody's notebook, and a hard limit cannot be raised again.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = _BYTES if hard == resource.RLIM_INFINITY else min(_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, hard))
