"""Back ends that are broken on purpose, as a plugin: the conformance kit must find each of them."""

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from gomr.backends import Answer, Compare, Coordinator, LogSink, Operation, Put, Range, Storage, Writer
from gomr.builtin.file import FileStorage
from gomr.builtin.sqlite import SqliteCoordinator
from gomr.errors import Refused
from gomr.hookspecs import Backend, hookimpl
from gomr.urls import URL


class OverwritingStorage(FileStorage):
    """Create overwrites, and says that it was first."""

    def create(self, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True


class LookingStorage(FileStorage):
    """Create looks, and then puts: two who look at once are both first."""

    def create(self, key: str, data: bytes) -> bool:
        if (self.local_path(key)).exists():
            return False
        time.sleep(0.002)
        self.put(key, data)
        return True


class HurriedStorage(FileStorage):
    """An object is visible before its commit."""

    def write(self, key: str) -> Writer:
        path = self.local_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return super().write(key)


class ForgetfulStorage(FileStorage):
    """What is written is seen by others only a moment later."""

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        old = self._old.get(key)
        data = super().read(key, offset, length)
        self._old[key] = data
        return data if old is None or random.random() < 0.5 else old

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._old: dict[str, bytes] = {}


class HastyCoordinator(SqliteCoordinator):
    """A lease ends early."""

    def grant_lease(self, seconds: float, *, timeout_seconds: float = 10.0) -> int:
        return super().grant_lease(seconds * 0.6, timeout_seconds=timeout_seconds)


class LyingCoordinator(SqliteCoordinator):
    """Of some transactions that were applied it says that they certainly were not: a lost Unknown."""

    def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        orelse: Sequence[Operation] = (),
        *,
        timeout_seconds: float = 10.0,
        durable: bool = False,
    ) -> Answer:
        answer = super().transact(compares, then, orelse, timeout_seconds=timeout_seconds, durable=durable)
        if any(isinstance(operation, Put) for operation in then) and random.random() < 0.2:
            raise Refused("the connection broke: surely nothing was done")
        return answer


class StaleCoordinator(SqliteCoordinator):
    """Reads are answered from what it saw a moment ago."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._seen: dict[str, tuple[float, Answer]] = {}

    def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        orelse: Sequence[Operation] = (),
        *,
        timeout_seconds: float = 10.0,
        durable: bool = False,
    ) -> Answer:
        is_read = not compares and all(isinstance(operation, Range) for operation in then)
        at, answer = self._seen.get(repr(then), (0.0, None))
        if is_read and answer is not None and time.monotonic() - at < 0.05:
            return answer
        answer = super().transact(compares, then, orelse, timeout_seconds=timeout_seconds, durable=durable)
        if is_read:
            self._seen[repr(then)] = (time.monotonic(), answer)
        return answer


class DeafCoordinator(SqliteCoordinator):
    """A wait sleeps through changes."""

    def wait(self, key: str, end: str, after_revision: int, timeout_seconds: float) -> None:
        time.sleep(timeout_seconds)


class FaultySink(LogSink):
    """It raises for what is not JSON, and forgets every other event."""

    can_read = True
    events: ClassVar[list[Mapping[str, Any]]] = []
    counts: ClassVar[Counter[str]] = Counter()
    lock = threading.Lock()

    def emit(self, event: Mapping[str, Any]) -> None:
        import json

        json.dumps(event)
        with self.lock:
            self.counts["all"] += 1
            if self.counts["all"] % 2:
                self.events.append(event)

    def read(self, match: Mapping[str, str], since_seconds: float) -> Iterable[Mapping[str, Any]]:  # type: ignore[override]
        return [event for event in self.events if all(str(event.get(name)) == match[name] for name in match)]


def _opener(kind: type[Any]) -> Any:
    def opened(url: URL) -> Any:
        url.check_options()
        return kind(Path(url.path))

    return opened


def _all(base: type[Any]) -> Iterable[Backend[Any]]:
    for name, kind in vars(sys.modules[__name__]).items():
        if isinstance(kind, type) and issubclass(kind, base) and kind.__module__ == __name__:
            yield Backend(name.lower(), _opener(kind))


@hookimpl
def gomr_storages() -> Iterable[Backend[Storage]]:
    """Offer the broken storages, each by its name."""
    return _all(FileStorage)


@hookimpl
def gomr_coordinators() -> Iterable[Backend[Coordinator]]:
    """Offer the broken coordinators."""
    return _all(SqliteCoordinator)


@hookimpl
def gomr_log_sinks() -> Iterable[Backend[LogSink]]:
    """Offer the broken sink."""
    yield Backend("faultysink", lambda url: url.check_options() or FaultySink())  # type: ignore[func-returns-value]
