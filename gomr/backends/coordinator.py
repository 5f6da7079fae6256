"""The contract of a coordinator: where small, consistent state lives."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gomr.backends.finding import Finding


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
    fewer than 10 comparisons and at most 101 operations (100 of them Ranges), and values of at most some 10 KB.
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

    def diagnose(self) -> Iterator[Finding]:
        """Yield what `gomr doctor` is to say of this coordinator beyond what it tries on any of them."""
        yield from ()

    def close(self) -> None:
        """Let go of connections. Calling it twice MUST do nothing."""
