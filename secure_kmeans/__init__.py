"""Clustering of several organisations' tables, computed on secret shares: nobody sees another party's rows."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from secure_kmeans.errors import (
    DataError,
    IdentityError,
    JobError,
    ProtocolError,
    RoleError,
    SecureKMeansError,
    StateError,
)
from secure_kmeans.version import VERSION

if TYPE_CHECKING:
    from secure_kmeans.estimators import PlaintextKMeans, SecureKMeans
    from secure_kmeans.report.report import Report
    from secure_kmeans.report.sections import KMeansReport

__version__ = VERSION

__all__ = [
    "DataError",
    "IdentityError",
    "JobError",
    "KMeansReport",
    "PlaintextKMeans",
    "ProtocolError",
    "Report",
    "RoleError",
    "SecureKMeans",
    "SecureKMeansError",
    "StateError",
    "__version__",
]

_WHERE: Final = {
    "KMeansReport": "secure_kmeans.report.sections",
    "PlaintextKMeans": "secure_kmeans.estimators",
    "Report": "secure_kmeans.report.report",
    "SecureKMeans": "secure_kmeans.estimators",
}
"""Imported when they are first used: scikit-learn takes seconds, and neither the command line nor a role needs it."""


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
