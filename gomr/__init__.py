"""gomr: master-less MapReduce. These are the names for job files and programs.

This module is imported inside every executable, and by each process that stands between a worker and a job, so it loads
nothing before it is asked for it. All but `Client` and `GomrError` need the standard library alone.
"""

from gomr.job.version import VERSION

__version__ = VERSION
TYPE_CHECKING = False  # as in `typing`, which takes longer to import than all the rest of such a process

if TYPE_CHECKING:
    from gomr.client import Client
    from gomr.errors import GomrError
    from gomr.job.context import count, input_name, log, param
    from gomr.job.reducers import first, largest, smallest, total
    from gomr.job.sort import Sort

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

_HOMES = {
    "Client": "gomr.client",
    "GomrError": "gomr.errors",
    **dict.fromkeys(("count", "input_name", "log", "param"), "gomr.job.context"),
    **dict.fromkeys(("first", "largest", "smallest", "total"), "gomr.job.reducers"),
    "Sort": "gomr.job.sort",
}


def __getattr__(name: str) -> object:
    """Load a name from where it lives."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'gomr' has no attribute {name!r}")
    found: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found  # a mapper may ask for it with every record
    return found
