"""The three contracts of back ends: Storage, Coordinator, LogSink. Primitives, not policy.

The docstrings are the contract: what the caller may assume, and what an implementation MUST do. Claiming, leases,
fencing and stages are written once, in `gomr.scheduling`, on top of these.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

COPY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object: its size in bytes, its modification time in seconds by the storage's own clock, and a
    `version` that changes whenever the bytes do (an ETag, a modification time)."""

    key: str
    size: int
    modified_seconds: float
    version: str


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
    """Where bytes live: a flat space of keys ("a/b/c", UTF-8, no leading slash) under one URL.

    An implementation MUST be safe for several threads, MUST raise only the storage errors of `gomr.errors` for what
    goes wrong outside of it, and MUST keep each object complete or absent. `requests` counts what was asked of it:
    "put", "get", "list", "stat", "delete", "put_bytes", "get_bytes".
    """

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()

    @abstractmethod
    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes from `offset`, or all that follow it; fewer at the end. Raises NotFound."""

    @abstractmethod
    def write(self, key: str) -> Writer:
        """Start an object; what it replaces stays readable until the commit."""

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free; return whether this call wrote it.

        Of several racing calls exactly one MUST return True, if the storage can do it at all. gomr uses it for
        objects whose racing writers write the same bytes, so a storage that cannot may overwrite.
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

    def close(self) -> None:
        """Let go of connections. Calling it twice MUST do nothing."""


@dataclass(frozen=True, slots=True)
class Version:
    """A comparison: the key is there (`exists`), or is not."""

    key: str
    exists: bool


@dataclass(frozen=True, slots=True)
class Revision:
    """A comparison: the key was last changed by the transaction of that revision."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Put:
    """Set a key; it goes when `lease` ends, unless that is 0."""

    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a key, or all from `key` up to but not including `end`."""

    key: str
    end: str = ""


@dataclass(frozen=True, slots=True)
class Range:
    """Read a key, or all from `key` up to but not including `end`, in key order; `limit` 0 is no limit."""

    key: str
    end: str = ""
    limit: int = 0
    keys_only: bool = False
    count_only: bool = False


Compare = Version | Revision
Operation = Put | Delete | Range


@dataclass(frozen=True, slots=True)
class Item:
    """A key as it was read; `revision` is that of the transaction which last changed it."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a Range: the items (none where `count_only`), and how many keys there are in all."""

    items: tuple[Item, ...] = ()
    count: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a transaction did: `ok` where all comparisons held and `then` ran, else `orelse` ran.

    `revision` is that of this transaction where it changed anything, else the latest. `found` holds one entry for
    each Range of the branch that ran, in order.
    """

    ok: bool
    revision: int
    found: tuple[Found, ...] = ()


class Coordinator(ABC):
    """Where small, consistent state lives: a transactional map from str keys (ASCII) to bytes.

    Transactions MUST be strictly serializable; operations run in order, and a Range sees earlier operations of its
    own transaction. Revisions grow with every changing transaction and MUST never be used again, also after a delete.
    Every time-out and broken connection MUST be raised as Unknown, every certain refusal as Refused. Two coordinators
    with different namespaces MUST not see each other's keys. Safe for several threads. A transaction of gomr holds
    fewer than 10 comparisons and 10 operations, and values of at most some 10 KB.
    """

    lease_seconds_min = 2.0
    """The shortest lease it can keep, in seconds; etcd's own minimum."""

    @abstractmethod
    def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        orelse: Sequence[Operation] = (),
        *,
        timeout_seconds: float = 10.0,
        durable: bool = False,
    ) -> Answer:
        """Run one transaction; `durable` ones MUST survive a power cut once this returns."""

    @abstractmethod
    def grant_lease(self, seconds: float, *, timeout_seconds: float = 10.0) -> int:
        """Return a new lease that ends by itself after `seconds`, never earlier."""

    @abstractmethod
    def keep_lease(self, lease: int, *, timeout_seconds: float = 10.0) -> float:
        """Give the lease its whole time again; return the seconds it now has, 0.0 where it is gone."""

    @abstractmethod
    def revoke_lease(self, lease: int, *, timeout_seconds: float = 10.0) -> None:
        """End the lease and delete its keys; one that is gone is no error."""

    @abstractmethod
    def wait(self, key: str, end: str, after_revision: int, timeout_seconds: float) -> None:
        """Return when a key of the range may have changed since `after_revision`, or when the time is over.

        A hint: it may return early, and callers read again. It MUST return late only by `timeout_seconds`.
        """

    def close(self) -> None:
        """Let go of connections. Calling it twice MUST do nothing."""


class LogSink(ABC):
    """Where log events go."""

    @abstractmethod
    def emit(self, event: Mapping[str, Any]) -> None:
        """Take one event, a flat mapping of JSON types. MUST NOT block on a network, and MUST NOT raise."""

    def close(self, timeout_seconds: float) -> None:
        """Send what is still held, for at most `timeout_seconds`. Calling it twice MUST do nothing."""
