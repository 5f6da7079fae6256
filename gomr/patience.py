"""Asks a back end again while it does not answer, for a bounded time."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from gomr.backends import Finding, ObjectInfo, OldVersion, Storage, Writer
from gomr.errors import OutOfSpace, Unavailable, Unknown

PATIENCE_SECONDS = 30.0  # how long a back end that answers nothing is asked again, before the caller hears of it
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.05, 2.0
T = TypeVar("T")


def patiently(action: Callable[[], T], patience_seconds: float = PATIENCE_SECONDS) -> T:
    """Run `action`, again while Unknown, OutOfSpace or Unavailable is raised, for `patience_seconds` from the first."""
    deadline = float("inf")
    delay = RETRY_SECONDS_MIN
    while True:
        try:
            return action()
        except (Unknown, OutOfSpace, Unavailable):
            if deadline == float("inf"):  # from here on: an upload may work for minutes before it breaks off
                deadline = time.monotonic() + patience_seconds
            elif time.monotonic() > deadline:
                raise
        time.sleep(delay * random.random())  # noqa: S311 - jitter, not a secret
        delay = min(2 * delay, RETRY_SECONDS_MAX)


class PatientStorage(Storage):
    """A storage whose requests are made again while it is unavailable; but for `write`, whose bytes are gone then."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.requests = storage.requests

    @property
    def impatient(self) -> Storage:
        """The storage that is asked once."""
        return self._storage

    @property
    def creates_exclusively(self) -> bool:  # type: ignore[override]
        """Ask the storage."""
        return self._storage.creates_exclusively

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read patiently."""
        return patiently(lambda: self._storage.read(key, offset, length))

    def write(self, key: str) -> Writer:
        """Start an object."""
        return self._storage.write(key)

    def create(self, key: str, data: bytes) -> bool:
        """Create patiently."""
        return patiently(lambda: self._storage.create(key, data))

    def stat(self, key: str) -> ObjectInfo:
        """Describe patiently."""
        return patiently(lambda: self._storage.stat(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List patiently: the whole list, before the first of it is seen."""
        yield from patiently(lambda: [*self._storage.list(prefix)])

    def delete(self, keys: Iterable[str]) -> None:
        """Delete patiently."""
        names = [*keys]
        patiently(lambda: self._storage.delete(names))

    def old_versions(self, prefix: str) -> Iterator[OldVersion]:
        """List old versions patiently."""
        yield from patiently(lambda: [*self._storage.old_versions(prefix)])

    def delete_versions(self, versions: Iterable[OldVersion]) -> None:
        """Delete versions patiently."""
        old = [*versions]
        patiently(lambda: self._storage.delete_versions(old))

    def put_file(self, key: str, path: Path) -> None:
        """Store a file patiently."""
        patiently(lambda: self._storage.put_file(key, path))

    def put(self, key: str, data: bytes) -> None:
        """Store bytes patiently."""
        patiently(lambda: self._storage.put(key, data))

    def local_path(self, key: str) -> Path | None:
        """Ask the storage."""
        return self._storage.local_path(key)

    def chunks(self, key: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes patiently: after a failure it goes on where it was."""
        read = 0
        pieces: Iterator[bytes] | None = None

        def next_piece() -> bytes:
            nonlocal pieces
            if pieces is None:
                pieces = self._storage.chunks(key, offset + read, None if length is None else length - read)
            try:
                return next(pieces, b"")
            except Unavailable:
                pieces = None  # a generator that raised is at its end
                raise

        while data := patiently(next_piece):
            read += len(data)
            yield data

    def diagnose(self) -> Iterator[Finding]:
        """Ask the storage."""
        return self._storage.diagnose()

    def close(self) -> None:
        """Close the storage."""
        self._storage.close()
