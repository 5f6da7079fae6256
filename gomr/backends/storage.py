"""The contract of a storage: where bytes live."""

import os
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from gomr.backends.finding import Finding
from gomr.errors import Denied

COPY_BYTES = 1024 * 1024
KEY_BYTES_MAX = 900  # S3 allows 1,024, a prefix of the user's included

_tally: ContextVar["RequestCounter | None"] = ContextVar("_tally", default=None)


class RequestCounter:
    """Counts requests and bytes by kind: "put", "get", "list", "head", "delete", "put_bytes", "get_bytes"."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, kind: str, requests: int, size: int) -> None:
        """Count."""
        with self._lock:
            self._counts[kind] += requests
            if size:
                self._counts[f"{kind}_bytes"] += size

    def counts(self) -> dict[str, int]:
        """Return what was counted so far."""
        with self._lock:
            return dict(self._counts)


@contextmanager
def counted_requests() -> Iterator[RequestCounter]:
    """Yield a counter of the storage requests made within the block, in this thread or in a copy of its context."""
    counter = RequestCounter()
    token = _tally.set(counter)
    try:
        yield counter
    finally:
        _tally.reset(token)


def checked_key(key: str) -> str:
    """Return `key` where it is one. Raises Denied."""
    if any(part in ("", ".", "..") for part in key.split("/")) or "\0" in key:
        raise Denied(f"{key!r} is not a key: no empty part, no '.', no '..'")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise Denied(f"{key!r} is not a key: not UTF-8") from None
    if size > KEY_BYTES_MAX:
        raise Denied(f"{key[:40]!r}... is not a key: longer than {KEY_BYTES_MAX} bytes")
    return key


def file_version(found: os.stat_result) -> str:
    """Return what tells a local file from what it was before: the version of its ObjectInfo."""
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object: its size in bytes, its modification time in seconds by the storage's own clock, and a
    `version` that changes whenever the bytes do (an ETag, a modification time)."""

    key: str
    size: int
    modified_seconds: float
    version: str


@dataclass(frozen=True, slots=True)
class OldVersion:
    """What a storage keeps of an object that was replaced or deleted: it takes room, and no read of a key sees it.

    `superseded_seconds` says when that was, by the storage's own clock. A marker is what hides the older versions of a
    deleted object; it goes after them.
    """

    key: str
    version: str
    size: int
    superseded_seconds: float
    is_marker: bool = False


class Writer(ABC):
    """An object being written. Nothing of it MUST be visible before `commit`, and nothing ever after `abort`."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Append `data`."""

    @abstractmethod
    def commit(self) -> None:
        """Make the object visible, complete and durable, replacing an older one."""

    @abstractmethod
    def abort(self) -> None:
        """Drop what was written. Calling it after `commit`, or twice, MUST do nothing."""

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or abort where the block failed."""
        if kind is None:
            self.commit()
        else:
            self.abort()


class Storage(ABC):
    """Where bytes live: a flat space of keys under one URL.

    A key is "a/b/c": UTF-8, up to KEY_BYTES_MAX bytes, no empty part, no ".", no ".."; an implementation MUST refuse
    another one with Denied (`checked_key`). No key of gomr is a folder of another one, so a storage need not hold
    both "a" and "a/b". An implementation MUST be safe for several threads, MUST raise only the storage errors of
    `gomr.errors` for what goes wrong outside of it, MUST try again by itself what is worth it within seconds, MUST
    keep each object complete or absent, and MUST `count` each request it makes.
    """

    creates_exclusively = True
    """Whether of several racing calls of `create` exactly one returns True."""

    def __init__(self) -> None:
        self.requests = RequestCounter()

    def count(self, kind: str, size: int = 0, requests: int = 1) -> None:
        """Count requests of one kind ("put", "get", "list", "head" or "delete") and the bytes they moved."""
        self.requests.add(kind, requests, size)
        tally = _tally.get()
        if tally is not None:
            tally.add(kind, requests, size)

    @abstractmethod
    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes from `offset`, or all that follow it; fewer at the end. Raises NotFound."""

    @abstractmethod
    def write(self, key: str) -> Writer:
        """Start an object; what it replaces stays readable until the commit."""

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free; return whether this call wrote it.

        Of several racing calls exactly one MUST return True; a storage that cannot do it MUST say so
        (`creates_exclusively`), and may overwrite: gomr's racing writers of one key write the same bytes.
        """

    @abstractmethod
    def stat(self, key: str) -> ObjectInfo:
        """Describe the object. Raises NotFound."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every object whose key starts with `prefix`, in key order."""

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; a missing one is no error."""

    def old_versions(self, prefix: str) -> Iterator[OldVersion]:  # noqa: ARG002 - most storages keep nothing
        """Yield what is kept of objects below `prefix` that were deleted or replaced, of each key the oldest first."""
        yield from ()

    def delete_versions(self, versions: Iterable[OldVersion]) -> None:
        """Delete what `old_versions` yielded, in that order. Whoever writes a key meanwhile MUST lose nothing.

        A storage that yields none is never called.
        """
        raise NotImplementedError

    def put_file(self, key: str, path: Path) -> None:
        """Store the finished local file `path`, which the storage may take over (by renaming it)."""
        with path.open("rb") as file, self.write(key) as writer:
            while data := file.read(COPY_BYTES):
                writer.write(data)

    def local_path(self, key: str) -> Path | None:  # noqa: ARG002 - a storage without local files has none
        """Return the path of the object's file on this machine, where there is one: then nothing is copied."""
        return None

    def put(self, key: str, data: bytes) -> None:
        """Write a small object."""
        with self.write(key) as writer:
            writer.write(data)

    def chunks(self, key: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `offset` on, in bounded pieces."""
        left = self.stat(key).size - offset if length is None else length
        while left > 0 and (data := self.read(key, offset, min(COPY_BYTES, left))):
            yield data
            offset += len(data)
            left -= len(data)

    def diagnose(self) -> Iterator[Finding]:
        """Yield what `gomr doctor` is to say of this storage beyond what it tries on any of them."""
        yield from ()

    def close(self) -> None:
        """Let go of connections. Calling it twice MUST do nothing."""
