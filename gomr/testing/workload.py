"""Clients that read, write and swap a few keys at random, and record what they were told."""

import random
import threading
import time
from collections.abc import Callable

from gomr.backends import Coordinator, Put, Range, Revision, Version
from gomr.errors import Refused, Unknown
from gomr.testing.histories import NEVER, READ, SWAP, WRITE, Event

CLIENTS = 4
KEYS = 8  # few enough for clients to meet, and enough for the history of each to be short
PAUSE_SECONDS = 0.005  # between the operations of a client: a check's time grows with those at once, not with all
UNKNOWN_SECONDS = 0.2  # before the next operation of a client whose server is down
CALL_SECONDS = 2.0


class Workload:
    """Several clients, each with a connection of its own."""

    def __init__(self, connect: Callable[[], Coordinator], name: str) -> None:
        self._connect = connect
        self._name = name
        self._events: list[Event] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._problems: list[BaseException] = []

    def run(self, seconds: float, fault: Callable[[], None], faults: int = 0) -> list[Event]:
        """Run the clients, with `faults` faults spread over the time; return the history."""
        threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(faults):
                time.sleep(seconds / (faults + 1))
                fault()
            time.sleep(seconds / (faults + 1))
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()
        if self._problems:
            raise self._problems[0]
        return self._events

    def _client(self, number: int) -> None:
        coordinator = self._connect()
        chance = random.Random(f"{self._name} {number}")
        seen: dict[str, tuple[str | None, int]] = {}
        count = 0
        try:
            while not self._ended.is_set():
                count += 1
                key = f"{self._name}/{chance.randrange(KEYS)}"
                kind = chance.choice((READ, WRITE, SWAP, SWAP))
                self._operate(coordinator, kind, key, f"{number}.{count}", seen)
                time.sleep(PAUSE_SECONDS * chance.random())
        except BaseException as error:
            self._problems.append(error)
        finally:
            coordinator.close()

    def _operate(
        self, coordinator: Coordinator, kind: str, key: str, value: str, seen: dict[str, tuple[str | None, int]]
    ) -> None:
        """Make one operation and record it; `seen` tells the value and revision that this client last saw of a key."""
        expected, revision = seen.get(key, (None, 0))
        start = time.monotonic()
        try:
            if kind == READ:
                answer = coordinator.transact((), [Range(key)], timeout_seconds=CALL_SECONDS)
            elif kind == WRITE:
                answer = coordinator.transact((), [Put(key, value.encode())], timeout_seconds=CALL_SECONDS)
            else:
                compare = Revision(key, revision) if revision else Version(key, exists=False)
                answer = coordinator.transact(
                    [compare], [Put(key, value.encode())], [Range(key)], timeout_seconds=CALL_SECONDS
                )
        except Unknown:
            self._record(Event(key, kind, start, NEVER, value, expected))
            self._ended.wait(UNKNOWN_SECONDS)
            return
        except Refused:  # certainly not applied: as if it had not been
            return
        end = time.monotonic()
        items = answer.found[0].items if answer.found else ()
        if items:
            seen[key] = (items[0].value.decode(), items[0].revision)
        elif kind == WRITE or (kind == SWAP and answer.ok):
            seen[key] = (value, answer.revision)
        if kind == READ:
            value_read = items[0].value.decode() if items else None
            self._record(Event(key, READ, start, end, value_read))
        else:
            self._record(Event(key, kind, start, end, value, expected, answer.ok))
            if not answer.ok:  # what a refused swap was told counts as a read
                self._record(Event(key, READ, start, end, items[0].value.decode() if items else None))

    def _record(self, event: Event) -> None:
        with self._lock:
            self._events.append(event)
