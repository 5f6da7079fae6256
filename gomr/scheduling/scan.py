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

FOLD_SECONDS = 2.0  # that a chunk whose tasks are all done is left to whoever committed the last one

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


class Scan:
    """Looks through chunks for one worker. For one thread at a time."""

    def __init__(self, cluster: Cluster, worker: str, lease_seconds: float, active: Collection[str]) -> None:
        self._cluster = cluster
        self._worker = worker
        self._lease_seconds = lease_seconds
        self._active = active  # nonces of the tasks in hand
        self._presence = Presence(cluster, lease_seconds)
        self._since: dict[str, dict[tuple[str, int], float]] = {}  # by chunk: (key, revision) -> first seen so when
        self._complete: dict[str, float] = {}  # by chunk: since when all its tasks are done
        self._watched: list[tuple[StageView, Watched]] = []  # tasks that others run
        self.due_in_seconds = float("inf")  # until the next waiting task may be tried

    def begin(self, jobs: Iterable[str]) -> None:
        """Begin a look at what is live now; forget what was seen of other jobs."""
        prefixes = tuple(keys.job(job) for job in jobs)
        self._since = {chunk: seen for chunk, seen in self._since.items() if chunk.startswith(prefixes)}
        self._complete = {chunk: since for chunk, since in self._complete.items() if chunk.startswith(prefixes)}
        self._watched = []
        self.due_in_seconds = float("inf")

    def chunks(self, at: StageView, chunks: Sequence[int], own: range) -> list[Candidate]:
        """Return the open tasks of some chunks, the best last; fold those of which all tasks are done.

        The best are free, and in this worker's `own` share of the stage.
        """
        ranges = []
        for chunk in chunks:
            tasks, done = keys.tasks(at.job, at.stage, chunk), keys.done(at.job, at.stage, chunk)
            ranges += [Range(tasks, keys.end_of(tasks)), Range(done, keys.end_of(done), keys_only=True)]
        found = self._cluster.read(*ranges)
        free: list[Candidate] = []
        again: list[Candidate] = []
        for number, chunk in enumerate(chunks):
            in_flight, finished = found[2 * number : 2 * number + 2]
            numbers = at.record.chunk_tasks(chunk)
            if len(finished.items) == len(numbers):
                self._fold_in_time(at, chunk)
                continue
            taken = {keys.number_of(item.key) for item in (*in_flight.items, *finished.items)}
            free += [Candidate(at, chunk, index, FREE) for index in numbers if index not in taken]
            again += self._in_flight(at, chunk, in_flight)
        random.shuffle(again)  # all who look see the same
        return [*again, *_in_turn(free, own)]

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

    def _fold_in_time(self, at: StageView, chunk: int) -> None:
        """Fold a chunk that somebody else should have folded by now."""
        now = time.monotonic()
        left = self._complete.setdefault(keys.done(at.job, at.stage, chunk), now) + FOLD_SECONDS - now
        if left <= 0:
            fold(self._cluster, at, chunk)
        else:
            self.due_in_seconds = min(self.due_in_seconds, left)

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


def _in_turn(free: list[Candidate], own: range) -> list[Candidate]:
    """Return free tasks, the best last: from the first of our own share on; where none is, from anywhere on."""
    first = next((number for number, task in enumerate(free) if task.index in own), None)
    if first is None:
        first = random.randrange(len(free) or 1)  # noqa: S311 - spreads workers, hides nothing
    return [*reversed(free[:first]), *reversed(free[first:])]
