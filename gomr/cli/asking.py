"""Asks an executable what it is while the rest of gomr is imported: the one takes as long as the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gomr.config import Config
from gomr.executables import Inquiry, asked


@contextmanager
def asked_early(job: str) -> Iterator[Inquiry | None]:
    """Ask the executable `job`; a job file is built first, and one that is not there is said later."""
    path = executable_named(job)
    if path is None:
        yield None
        return
    with asked(path, Config().path("cache_dir")) as inquiry:
        yield inquiry


def executable_named(job: str) -> Path | None:
    """Return the executable that `job` names; None for a job file, and where there is no such file."""
    path = Path(job)
    return path if path.suffix != ".py" and path.is_file() else None
