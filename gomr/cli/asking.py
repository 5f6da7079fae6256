"""Asks an executable what it is while the rest of gomr is imported: the one takes as long as the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gomr.config import Config
from gomr.executables import Inquiry, asked


@contextmanager
def asked_early(job: str) -> Iterator[Inquiry | None]:
    """Ask the executable `job`; a job file is built first, and one that is not there is said later."""
    path = Path(job)
    if path.suffix == ".py" or not path.is_file():
        yield None
        return
    with asked(path, Config().path("cache_dir")) as inquiry:
        yield inquiry
