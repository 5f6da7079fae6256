"""Reads chunks of a stage: which tasks are free, due or abandoned; and remembers for how long it has watched others."""

import random
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from gomr.backends import Found, Item, Range
from gomr.model import ATTEMPT_WAITS, TaskRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.membership import Presence
from gomr.scheduling.stages import StageView, fold
from gomr.scheduling.stragglers import Watched, stragglers

LEFT_SECONDS = 2.0  # that what is complete is left to whoever completed it: a chunk to fold, a stage to close

FREE, DUE, ABANDONED, SLOW = "free", "due", "abandoned", "slow"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that looked open: `item` is its record where it has one, `backup` that of its backup."""

    at: StageView
    chunk: int
    index: int
    kind: str
    item: Item | None = None
    backup: Item | None = None

    @property
    def task_key(self) -> str:
        """The key of the task's own record."""
        return keys.task(self.at.job, self.at.stage, self.chunk, self.index)


Said = dict[int, tuple[Found, Found]]
"""By chunk: its tasks in flight, and those that are done."""


def chunk_ranges(at: StageView, chunks: Sequence[int]) -> list[Range]:
    """Return what to read of some chunks."""
    ranges = []
    for chunk in chunks:
        tasks, done = keys.tasks(at.job, at.stage, chunk), keys.done(at.job, at.stage, chunk)
        ranges += [Range(tasks, keys.end_of(tasks)), Range(done, keys.end_of(done), keys_only=True)]
    return ranges


def by_chunk(chunks: Sequence[int], found: Sequence[Found]) -> Said:
    """Return what their `chunk_ranges` say."""
    return dict(zip(chunks, zip(found[::2], found[1::2], strict=True), strict=True))


class Scan:
    """Looks through chunks for one worker. For one thread at a time."""

    def __init__(self, cluster: Cluster, worker: str, lease_seconds: float, active: Collection[str]) -> None:
        self._cluster = cluster
        self._worker = worker
        self._lease_seconds = lease_seconds
        self._active = active  # nonces of the tasks in hand
        self._presence = Presence(cluster, lease_seconds)
        self._since: dict[str, dict[tuple[str, int], float]] = {}  # by chunk: (key, revision) -> first seen so when
        self._complete: dict[str, float] = {}  # by the prefix of what is complete: since when it has been seen so
        self._exhausted: set[str] = set()  # chunks in which no task was free: of use only to those who wait
        self._watched: list[tuple[StageView, Watched]] = []  # tasks that others run
        self.due_in_seconds = float("inf")  # until the next waiting task may be tried

    def begin(self, jobs: Iterable[str]) -> None:
        """Begin a look at what is live now; forget what was seen of other jobs."""
        prefixes = tuple(keys.job(job) for job in jobs)
        self._since = {chunk: seen for chunk, seen in self._since.items() if chunk.startswith(prefixes)}
        self._complete = {what: since for what, since in self._complete.items() if what.startswith(prefixes)}
        self._exhausted = {chunk for chunk in self._exhausted if chunk.startswith(prefixes)}
        self._watched = []
        self.due_in_seconds = float("inf")

    def is_exhausted(self, at: StageView, chunk: int) -> bool:
        """Say whether no task of a chunk was free when it was read last: what is open there has been tried before."""
        return keys.tasks(at.job, at.stage, chunk) in self._exhausted

    def open_tasks(self, at: StageView, said: Said, place: float) -> list[Candidate]:
        """Return the open tasks of some chunks, the best last; fold those of which all tasks are done.

        The best are free: those from this `place` among them on, from 0 to 1, up to the next task that is not. Behind
        it another worker's own begin, which it is coming to soon.
        """
        free: list[Candidate] = []
        again: list[Candidate] = []
        for chunk, (in_flight, finished) in said.items():
            numbers = at.record.chunk_tasks(chunk)
            if len(finished.items) == len(numbers):
                if self.is_left(keys.done(at.job, at.stage, chunk)):
                    fold(self._cluster, at, chunk)
                continue
            taken = {keys.number_of(item.key) for item in (*in_flight.items, *finished.items)}
            here = [Candidate(at, chunk, index, FREE) for index in numbers if index not in taken]
            (self._exhausted.discard if here else self._exhausted.add)(keys.tasks(at.job, at.stage, chunk))
            free += here
            again += self._in_flight(at, chunk, in_flight)
        random.shuffle(again)  # all who look see the same
        return [*again, *reversed(_run(free, int(place * len(free))))]

    def slow(self) -> list[Candidate]:
        """Return tasks to run a second time, where nothing else is to be done: those that take far too long."""
        found = []
        for at in {at.job: at for at, _ in self._watched}.values():
            watched = [task for view, task in self._watched if view.job == at.job]
            for task, backup in stragglers(self._cluster, at, watched):
                if backup is None or not self._presence.alive({TaskRecord.from_json(backup.value).worker}):
                    found.append(Candidate(at, task.chunk, task.index, SLOW, task.item, backup))
        random.shuffle(found)
        return found

    def is_left(self, complete: str) -> bool:
        """Say whether something is complete for so long that whoever completed it is not to finish it any more."""
        now = time.monotonic()
        left = self._complete.setdefault(complete, now) + LEFT_SECONDS - now
        if left > 0:
            self.due_in_seconds = min(self.due_in_seconds, left)
        return left <= 0

    def _in_flight(self, at: StageView, chunk: int, found: Found) -> list[Candidate]:
        """Return those of the tasks in flight that may be claimed now, and watch the others."""
        prefix, now = keys.tasks(at.job, at.stage, chunk), time.monotonic()
        seen = self._since.get(prefix, {})
        self._since[prefix] = since = {
            (item.key, item.revision): seen.get((item.key, item.revision), now) for item in found.items
        }
        tasks = [(item, TaskRecord.from_json(item.value), since[item.key, item.revision]) for item in found.items]
        running = [(record.worker, first) for _, record, first in tasks if record.state != ATTEMPT_WAITS]
        overdue = {worker for worker, first in running if now - first >= self._lease_seconds}
        alive = self._presence.alive(overdue - {self._worker})
        open_tasks = []
        for item, record, first in tasks:
            kind = self._kind(record, now - first, alive)
            if kind:
                open_tasks.append(Candidate(at, chunk, keys.number_of(item.key), kind, item))
            elif record.state != ATTEMPT_WAITS and record.worker != self._worker and at.head.backups:
                self._watched.append((at, Watched(chunk, keys.number_of(item.key), item, now - first)))
        return open_tasks

    def _kind(self, record: TaskRecord, watched_seconds: float, alive: set[str]) -> str:
        """Say how a task in flight may be claimed: DUE, ABANDONED, or "" for not now."""
        if record.state == ATTEMPT_WAITS:
            # By the clock that all share, or by having watched it long enough: a wrong clock can only shorten.
            left = min(record.not_before_seconds - time.time(), record.delay_seconds - watched_seconds)
            if left <= 0:
                return DUE
            self.due_in_seconds = min(self.due_in_seconds, left)
            return ""
        if record.worker == self._worker:
            return "" if record.nonce in self._active else ABANDONED  # a claim whose answer was never known
        # The lease is over, and this worker saw no change for as long: an outage that ends every lease at once gives
        # the owners time to come back.
        is_over = watched_seconds >= self._lease_seconds and record.worker not in alive
        return ABANDONED if is_over else ""


def _run(free: list[Candidate], first: int) -> list[Candidate]:
    """Return the tasks from `first` on that follow each other without a gap."""
    end = first + 1
    while end < len(free) and free[end].index == free[end - 1].index + 1:
        end += 1
    return free[first:end]
