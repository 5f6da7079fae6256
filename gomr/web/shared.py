"""A value that many ask for at a time: one makes it, and all get it for a while."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

COST_FACTOR = 4.0  # a value is kept at least so many times as long as it took to make: looking stays cheap
FAILURE_SECONDS = 1.0  # that a failure is kept: who waited for it does not try at once what has just failed

T = TypeVar("T")


class Shared(Generic[T]):
    """A value that `make` makes, kept for `seconds`. Safe for several threads: one makes it, the others wait."""

    def __init__(self, make: Callable[[], T], seconds: float) -> None:
        self._make = make
        self._seconds = seconds
        self._lock = threading.Lock()
        self._until = 0.0
        self._value: T | None = None
        self._failure: Exception | None = None
        self.used = time.monotonic()

    def get(self) -> T:
        """Return the value, made now or a moment ago. Raises what `make` raises, now or a moment ago."""
        with self._lock:
            started = self.used = time.monotonic()
            if started > self._until:
                try:
                    self._value, self._failure = self._make(), None
                except Exception as error:
                    self._failure, self._until = error, time.monotonic() + FAILURE_SECONDS
                    raise
                now = time.monotonic()
                self._until = now + max(self._seconds, COST_FACTOR * (now - started))
            if self._failure is not None:
                raise self._failure
            return self._value  # type: ignore[return-value] # it was made

    def forget(self) -> None:
        """Have the next `get` make it anew."""
        self._until = 0.0


class SharedByKey(Generic[T]):
    """Shared values by key, each made of its key's parts.

    Those not asked for in `idle_seconds` are let go, and of more than `most` the oldest.
    """

    def __init__(self, make: Callable[..., T], seconds: float, *, idle_seconds: float = 60.0, most: int = 100) -> None:
        self._make = make
        self._seconds = seconds
        self._idle_seconds = idle_seconds
        self._most = most
        self._lock = threading.Lock()
        self._values: dict[tuple[Hashable, ...], Shared[T]] = {}

    def get(self, *key: Any) -> T:
        """Return the value of a key. Raises what `make` raises."""
        with self._lock:
            now = time.monotonic()
            used = {name: value for name, value in self._values.items() if now - value.used < self._idle_seconds}
            shared = used.pop(key, None) or Shared(lambda: self._make(*key), self._seconds)
            self._values = {**used, key: shared}
            while len(self._values) > self._most:
                del self._values[next(iter(self._values))]
            shared.used = now
        return shared.get()

    def forget(self, first: Hashable) -> None:
        """Have the values of keys with this first part made anew."""
        with self._lock:
            for key, value in self._values.items():
                if key[0] == first:
                    value.forget()
