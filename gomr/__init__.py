"""gomr: master-less MapReduce. These are the names for job files and programs.

This module is imported inside every executable, so it needs the standard library alone; `Client` and
`GomrError` are loaded when they are first asked for.
"""

from typing import TYPE_CHECKING, Any

from gomr.job.context import count, input_name, log, param
from gomr.job.reducers import first, largest, smallest, total
from gomr.job.sort import Sort
from gomr.job.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from gomr.client import Client
    from gomr.errors import GomrError

__all__ = [
    "Client",
    "GomrError",
    "Sort",
    "__version__",
    "count",
    "first",
    "input_name",
    "largest",
    "log",
    "param",
    "smallest",
    "total",
]


def __getattr__(name: str) -> Any:
    """Load the names that need more than the standard library."""
    if name == "Client":
        from gomr.client import Client

        return Client
    if name == "GomrError":
        from gomr.errors import GomrError

        return GomrError
    raise AttributeError(f"module 'gomr' has no attribute {name!r}")
