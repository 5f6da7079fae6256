"""The simulated coordinator's server: a transactional map with leases, as the contract of `Coordinator` has it."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gomr.backends import Answer, Compare, Delete, Found, Item, Operation, Put, Range, Version
from gomr.errors import OutOfSpace, Refused
from tests.simulation.kernel import Kernel


@dataclass(slots=True)
class Lease:
    """A lease: the keys that go with it, and when that is."""

    seconds: float
    ends: float
    keys: set[str] = field(default_factory=set)


def kind_of(key: str) -> str:
    """Return what a key is of: "h" for a head, "j/t" for a task of a job, and so on."""
    kind, _, rest = key.partition("/")
    return f"j/{rest.partition('/')[2][:1]}" if kind == "j" else kind


class KeyValue:
    """The truth. Nothing here fails or waits: faults are the network's."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.revision = 1
        self.transactions = 0
        self.full_until = 0.0  # it stores nothing before
        self.items: dict[str, Item] = {}
        self.leases: dict[int, Lease] = {}
        self.on_change: list[Callable[[str, Item | None, Item | None], None]] = []
        self.watchers: defaultdict[str, dict[object, Callable[[str], None]]] = defaultdict(dict)  # by that part, too
        self.last_change: dict[str, int] = {}  # by the first part of the key, deletions too: what `wait` asks
        self._keys: list[str] = []
        self._lease_of: dict[str, int] = {}
        self._lease_count = 0

    def transact(self, compares: Sequence[Compare], then: Sequence[Operation], orelse: Sequence[Operation]) -> Answer:
        """Run one transaction. Raises Refused for a lease that is gone, OutOfSpace."""
        self.transactions += 1
        ok = all(self._holds(compare) for compare in compares)
        operations = then if ok else orelse
        if self.full_until > self.kernel.now and any(isinstance(operation, Put) for operation in operations):
            raise OutOfSpace("no space")
        for operation in operations:
            if isinstance(operation, Put) and operation.lease and operation.lease not in self.leases:
                raise Refused("requested lease not found")
        if any(isinstance(operation, Put) or self._deletes(operation) for operation in operations):
            self.revision += 1
        found = tuple(
            self._range(operation) for operation in operations if isinstance(operation, Range) or self._apply(operation)
        )
        return Answer(ok, self.revision, found)

    def grant(self, seconds: float) -> int:
        """Return a new lease."""
        self._lease_count += 1
        self.leases[self._lease_count] = Lease(seconds, 0.0)
        self.keep(self._lease_count)
        return self._lease_count

    def keep(self, number: int) -> float:
        """Give a lease its whole time again."""
        lease = self.leases.get(number)
        if lease is None:
            return 0.0
        lease.ends = self.kernel.now + lease.seconds
        self.kernel.at(lease.ends, lambda: self._end_in_time(number))
        return lease.seconds

    def revoke(self, number: int) -> bool:
        """End a lease; return whether it was there."""
        lease = self.leases.pop(number, None)
        if lease is not None and lease.keys:
            self.revision += 1
            for key in sorted(lease.keys):
                self._change(key, None)
        return lease is not None

    def revoke_all(self) -> None:
        """End all leases."""
        for number in list(self.leases):
            self.revoke(number)

    def empty(self) -> None:
        """Lose everything, as a server does that comes back on an empty disk: its revisions begin anew."""
        self.items.clear()
        self.leases.clear()
        self._keys.clear()
        self._lease_of.clear()
        self.last_change.clear()
        self.revision = 1

    def keep_all(self) -> None:
        """Give every lease its whole time, as etcd does when a leader is elected."""
        for number in list(self.leases):
            self.keep(number)

    def range_items(self, key: str, end: str) -> list[Item]:
        """Return the items of a range."""
        first = bisect_left(self._keys, key)
        last = bisect_left(self._keys, end) if end else first + (key in self.items)
        return [self.items[name] for name in self._keys[first:last]]

    def _range(self, operation: Operation) -> Found:
        assert isinstance(operation, Range)
        if operation.count_only and operation.end:
            return Found((), bisect_left(self._keys, operation.end) - bisect_left(self._keys, operation.key))
        items = self.range_items(operation.key, operation.end)
        if operation.count_only:
            return Found((), len(items))
        shown = items[: operation.limit or None]
        if operation.keys_only:
            shown = [Item(item.key, b"", item.revision) for item in shown]
        return Found(tuple(shown), len(items))

    def _holds(self, compare: Compare) -> bool:
        item = self.items.get(compare.key)
        if isinstance(compare, Version):
            return (item is not None) == compare.exists
        return item is not None and item.revision == compare.revision

    def _deletes(self, operation: Operation) -> bool:
        return isinstance(operation, Delete) and bool(self.range_items(operation.key, operation.end))

    def _apply(self, operation: Operation) -> bool:
        """Make a change; return False, as it has no answer."""
        if isinstance(operation, Put):
            self._change(operation.key, Item(operation.key, operation.value, self.revision), operation.lease)
        elif isinstance(operation, Delete):
            for item in self.range_items(operation.key, operation.end):
                self._change(item.key, None)
        return False

    def _change(self, key: str, item: Item | None, lease: int = 0) -> None:
        before = self.items.get(key)
        held_by = self._lease_of.pop(key, 0)
        if held_by in self.leases:
            self.leases[held_by].keys.discard(key)
        if item is None:
            if before is None:
                return
            del self.items[key]
            self._keys.pop(bisect_left(self._keys, key))
        else:
            if before is None:
                insort(self._keys, key)
            self.items[key] = item
            if lease:
                self._lease_of[key] = lease
                self.leases[lease].keys.add(key)
        kind = key.partition("/")[0]
        self.last_change[kind] = self.revision
        for watcher in [*self.watchers[kind].values()]:
            watcher(key)
        for heard in self.on_change:
            heard(key, before, item)

    def _end_in_time(self, number: int) -> None:
        lease = self.leases.get(number)
        if lease is not None and lease.ends <= self.kernel.now:
            self.revoke(number)
