"""A worker's place in the cluster: a leased key, kept alive; a hint that saves time, never a permission."""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gomr.backends import Put, Range
from gomr.errors import CoordinatorError
from gomr.logs import log
from gomr.model import WorkerRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster

HEARTBEATS_PER_LEASE = 3
PRESENCE_BATCH = 100  # workers asked for in one transaction: etcd allows 128 operations


def new_worker_id() -> str:
    """Return an id that is never used again."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(8)}"


class Membership:
    """Keeps one worker's key alive, from a thread of its own."""

    def __init__(
        self,
        cluster: Cluster,
        worker: str,
        record: WorkerRecord,
        lease_seconds: float,
        on_beat: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._worker = worker
        self._record = record
        self._lease_seconds = lease_seconds
        self._on_beat = on_beat
        self._lease = 0
        self._lock = threading.Lock()
        self._hurry = threading.Event()
        self._is_written = False
        self._is_seen = False  # since the last heartbeat
        self._looked = 0.0  # when the keys of this worker were last read
        self.is_asked_to_drain = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="heartbeat", daemon=True)

    def join(self) -> None:
        """Register, then beat until `leave`; `on_beat` runs at each heartbeat."""
        self._cluster.retried(self._register)
        try:
            self._thread.start()
        except RuntimeError:  # no more threads on this machine: nobody shall wait for our lease
            self._cluster.coordinator.revoke_lease(self._lease)
            raise

    def update(self, change: Callable[[WorkerRecord], WorkerRecord], *, now: bool = False) -> None:
        """Change the record that others see: with the next heartbeat, or `now`."""
        with self._lock:
            before, self._record = self._record, change(self._record)
            self._is_written = self._is_written and self._record == before
        if now:
            self._hurry.set()

    def seen(self) -> None:
        """Note that a transaction has just found the worker's key there: the next heartbeat need not look."""
        self._is_seen = True

    def leave(self) -> None:
        """Stop beating and end the lease, so that nobody waits for it."""
        self._stopped.set()
        self._hurry.set()
        self._thread.join()
        try:
            self._cluster.coordinator.revoke_lease(self._lease)
        except CoordinatorError as error:
            log.warning("lease.left", error=str(error), next=f"it ends by itself in {self._lease_seconds:g} s")

    def _register(self) -> None:
        """Get a lease and put the worker's key on it."""
        self._lease = self._cluster.coordinator.grant_lease(self._lease_seconds)
        self._put()

    def _put(self) -> None:
        with self._lock:
            value = self._record.to_json()
            self._is_written = True
        try:
            self._cluster.coordinator.transact((), [Put(keys.worker(self._worker), value, lease=self._lease)])
        except CoordinatorError:
            self._is_written = False  # without the key this worker can claim nothing: the next beat tries again
            raise

    def _is_there(self) -> bool:
        """Say whether the worker's key is there: a late put of an earlier lease may have taken it along to its end.

        What a transaction has seen meanwhile is not asked for; but once a lease whether somebody wants it drained.
        """
        now = time.monotonic()
        if self._is_seen and now - self._looked < self._lease_seconds:
            return True
        self._looked = now
        own, asked = keys.worker(self._worker), keys.drain_request(self._worker)
        there, drain = self._cluster.read(Range(own, count_only=True), Range(asked, count_only=True))
        self.is_asked_to_drain = drain.count > 0
        return there.count > 0

    def _keep(self) -> None:
        """Beat at a third of the lease; a lease that is gone is asked for anew. Work goes on meanwhile."""
        next_beat = time.monotonic()
        while not self._stopped.is_set():
            self._hurry.wait(max(0.0, next_beat - time.monotonic()))
            if self._stopped.is_set():
                return
            self._hurry.clear()
            next_beat = time.monotonic() + self._lease_seconds / HEARTBEATS_PER_LEASE
            try:
                if self._cluster.coordinator.keep_lease(self._lease, timeout_seconds=self._lease_seconds / 3) <= 0:
                    log.warning("lease.lost", worker=self._worker, next="asking for a new one")
                    self._register()
                self._on_beat()
                if not self._is_there() or not self._is_written:
                    self._put()
                self._is_seen = False
            except CoordinatorError as error:
                log.warning("heartbeat.failed", worker=self._worker, error=str(error))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a worker stands among all, in the order of their keys: those who begin at their own places do not meet."""

    before: int = 0
    workers: int = 1

    def place(self, count: int) -> float:
        """Return this worker's own place in a row of so many: from 0 to below `count`."""
        return min(self.before, self.workers - 1) * count / self.workers


class Presence:
    """Tells which workers are there; each answer holds for a third of a lease. For one thread at a time."""

    def __init__(self, cluster: Cluster, lease_seconds: float) -> None:
        self._cluster = cluster
        self._seconds = lease_seconds / 3
        self._known: dict[str, tuple[float, bool]] = {}  # worker -> until when that is known, and whether it is there

    def alive(self, workers: Iterable[str]) -> set[str]:
        """Return those of `workers` whose keys stand."""
        wanted, now = {*workers}, time.monotonic()
        self._known = {worker: known for worker, known in self._known.items() if known[0] > now}
        unknown = sorted(wanted - self._known.keys())
        for first in range(0, len(unknown), PRESENCE_BATCH):
            batch = unknown[first : first + PRESENCE_BATCH]
            found = self._cluster.read(*(Range(keys.worker(worker), count_only=True) for worker in batch))
            for worker, item in zip(batch, found, strict=True):
                self._known[worker] = (now + self._seconds, item.count > 0)
        return {worker for worker in wanted if self._known[worker][1]}
