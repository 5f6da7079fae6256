"""What racing processes do; each starts its rounds together with the others, or there would be no race."""

from collections.abc import Sequence
from threading import Barrier

from gomr.backends import Delete, Put, Range, Revision, Version
from gomr.testing.base import open_coordinator, open_storage

TASKS = 200
ROUNDS = 30  # of a race that may not show every time
START_SECONDS_MAX = 60.0  # for all racers to be ready; a loaded machine takes its time

_lines: list[Barrier] = []  # one, in a process that races


def stand_in_line(line: Barrier) -> None:
    """Make this process a racer; all of them share `line`."""
    _lines[:] = [line]


def start_together() -> None:
    """Wait until every racer has come so far."""
    _lines[0].wait(START_SECONDS_MAX)


def put_many(url: str, plugins: Sequence[str] | None, number: int, name: str) -> list[bool]:
    """Race for TASKS keys; return which of them this process wrote."""
    coordinator = open_coordinator(url, plugins)
    try:
        won = []
        for task in range(TASKS):
            key = f"{name}/{task}"
            start_together()
            won.append(coordinator.transact([Version(key, exists=False)], [Put(key, b"%d" % number)]).ok)
        return won
    finally:
        coordinator.close()


def count_up(url: str, plugins: Sequence[str] | None, _number: int, name: str) -> int:
    """Add one to a number again and again, by compare and swap; return how often it was done."""
    coordinator = open_coordinator(url, plugins)
    done = 0
    try:
        start_together()
        for _ in range(TASKS):
            (item,) = coordinator.transact((), [Range(name)]).found[0].items
            new = b"%d" % (int(item.value) + 1)
            done += coordinator.transact([Revision(name, item.revision)], [Put(name, new)]).ok
    finally:
        coordinator.close()
    return done


def claim_and_commit(url: str, plugins: Sequence[str] | None, number: int, name: str) -> list[int]:
    """Claim tasks as workers do; return those that this process committed."""
    coordinator = open_coordinator(url, plugins)
    committed = []
    try:
        start_together()
        for task in range(TASKS):
            claim, done = f"{name}/t/{task:05d}", f"{name}/d/{task:05d}"
            compares = [Version(claim, exists=False), Version(done, exists=False)]
            claimed = coordinator.transact(compares, [Put(claim, b"%d" % number)])
            if claimed.ok:
                fence = [Revision(claim, claimed.revision)]
                if coordinator.transact(fence, [Put(done, b"%d" % number), Delete(claim)]).ok:
                    committed.append(task)
    finally:
        coordinator.close()
    return committed


def create_many(url: str, plugins: Sequence[str] | None, number: int, name: str) -> list[bool]:
    """Race for ROUNDS objects; return which of them this process wrote."""
    storage = open_storage(url, plugins)
    try:
        won = []
        for turn in range(ROUNDS):
            start_together()
            won.append(storage.create(f"{name}/{turn}", f"racer {number}".encode()))
        return won
    finally:
        storage.close()


def replace_and_read(url: str, plugins: Sequence[str] | None, number: int, name: str) -> list[tuple[int, int]]:
    """Replace an object again and again; return of each read how many different bytes it had, and its size."""
    storage = open_storage(url, plugins)
    seen = []
    try:
        start_together()
        for _ in range(ROUNDS):
            storage.put(name, b"%d" % number * 300_000)
            data = storage.read(name)
            seen.append((len(set(data)), len(data)))
    finally:
        storage.close()
    return seen
