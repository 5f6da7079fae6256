"""Looks for tasks that are open: by job, stage and chunk; folds and closes what others left unfinished."""

import json
import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog

from gomr.backends import Item, Range
from gomr.errors import GomrError, StorageError
from gomr.model import ATTEMPT_WAITS, OPEN, RECORD_FORMAT, RUNNING, JobHead, StageRecord, TaskRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import StageView, close, fold
from gomr.scheduling.stragglers import Watched, stragglers

FAIR_JOBS = 8  # of one priority that share the slots at a time, the oldest: a transaction holds few reads
FAIR_TASKS = 8  # a slot looks again which job has the fewest tasks in flight after so many
_log = structlog.get_logger("gomr")

DAMAGED = (GomrError, StorageError, ValueError, LookupError, TypeError, ArithmeticError)

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


class Lookout:
    """Looks for one worker, and remembers what it saw: for how long, by its own clock. For one thread at a time."""

    def __init__(
        self,
        cluster: Cluster,
        worker: str,
        lease_seconds: float,
        can_run: Callable[[str, JobHead], bool],
        active: Collection[str],
    ) -> None:
        self._cluster = cluster
        self._worker = worker
        self._lease_seconds = lease_seconds
        self._can_run = can_run
        self._active = active  # nonces of the tasks in hand
        self._seen: dict[tuple[str, int], float] = {}  # (key, revision) -> when this worker first saw it
        self._watched: list[tuple[StageView, Watched]] = []  # tasks that others run
        self.revision = 0  # of the last look at the queue: what to wait after
        self.live_jobs = 0  # that this worker can run
        self.due_in_seconds = float("inf")  # until the next waiting task may be tried

    def look(self) -> list[Candidate]:
        """Return the open tasks of one chunk, the best last; fold and close what others left unfinished."""
        answer = self._cluster.transact(
            (),
            [
                Range(keys.QUEUE, keys.end_of(keys.QUEUE)),
                Range(keys.WORKERS, keys.end_of(keys.WORKERS), keys_only=True),
            ],
        )
        self.revision = answer.revision
        self.due_in_seconds = float("inf")
        self._watched = []
        live_jobs = 0
        queue, workers = answer.found
        is_shared = len(queue.items) > 1
        alive = {item.key for item in workers.items}
        seen: dict[tuple[str, int], float] = {}
        found: list[Candidate] = []
        for item in self._in_order(queue.items):
            try:
                at = self._view(_job_of(item))
                if at is not None:
                    live_jobs += 1
                    found = self._scan_stage(at, alive, seen)
            except DAMAGED as error:  # one damaged job shall not keep a worker from all others
                _log.error("job.unreadable", key=item.key, error=str(error))
            if found:
                found = found[-FAIR_TASKS:] if is_shared else found
                break
        self.live_jobs = live_jobs
        if not found:
            self._seen = seen  # a whole look: what was not seen again is gone
            found = self._slow(alive)
        else:
            self._seen.update(seen)
        return found

    def _in_order(self, items: tuple[Item, ...]) -> list[Item]:
        """Return the live jobs as they are to be looked at: by priority, then those with the fewest tasks in flight.

        So jobs of one priority get equal shares of all slots, whatever their size, and no job waits for another's end.
        """
        ordered = sorted(items, key=_queue_order)
        first = [item for item in ordered if _priority(item) == _priority(ordered[0])][:FAIR_JOBS]
        if len(first) < 2:
            return ordered
        prefixes = [keys.job(_job_of(item)) + "t/" for item in first]
        counts = self._cluster.read(*(Range(prefix, keys.end_of(prefix), count_only=True) for prefix in prefixes))
        in_flight = dict(zip((item.key for item in first), (found.count for found in counts), strict=True))
        first.sort(key=lambda item: (in_flight[item.key], _queue_order(item)))
        return first + [item for item in ordered if item.key not in in_flight]

    def _view(self, job: str) -> StageView | None:
        """Return the open stage of a job that this worker can run."""
        prefix = keys.job(job) + "s/"
        heads, stages = self._cluster.read(Range(keys.head(job)), Range(prefix, keys.end_of(prefix)))
        if not heads.items:
            return None
        head = JobHead.from_json(heads.items[0].value)
        if head.state != RUNNING or head.format > RECORD_FORMAT or not self._can_run(job, head):
            return None
        for item in stages.items:
            if item.key == keys.stage(job, head.stage):
                record = StageRecord.from_json(item.value)
                if record.state == OPEN:
                    return StageView(job, head.stage, head, heads.items[0].revision, record, item.revision)
        return None

    def _scan_stage(self, at: StageView, alive: set[str], seen: dict[tuple[str, int], float]) -> list[Candidate]:
        prefix = keys.chunks(at.job, at.stage)
        items = self._cluster.read(Range(prefix, keys.end_of(prefix), keys_only=True))[0].items
        folded = {keys.number_of(item.key) for item in items}
        if len(folded) == at.record.chunks:
            close(self._cluster, at)
            return []
        unfinished = [chunk for chunk in range(at.record.chunks) if chunk not in folded]
        start = self._place(alive) * len(unfinished)
        first = int(start)
        for chunk in unfinished[first:] + unfinished[:first]:
            found = self._scan_chunk(at, chunk, start - first, alive, seen)
            if found:
                return found
        return []

    def _place(self, alive: set[str]) -> float:
        """Return where this worker stands among all, from 0 up to 1: workers that look at once begin far apart.

        They never meet while there are more tasks than workers: each begins at its own share of the open chunks, and
        within a chunk that several share, at its own part of it.
        """
        own = keys.worker(self._worker)
        if own not in alive:
            return random.random()  # noqa: S311 - spreads workers, hides nothing
        return sum(other < own for other in alive) / len(alive)

    def _scan_chunk(
        self, at: StageView, chunk: int, place: float, alive: set[str], seen: dict[tuple[str, int], float]
    ) -> list[Candidate]:
        tasks, done = keys.tasks(at.job, at.stage, chunk), keys.done(at.job, at.stage, chunk)
        in_flight, finished = self._cluster.read(
            Range(tasks, keys.end_of(tasks)), Range(done, keys.end_of(done), keys_only=True)
        )
        numbers = at.record.chunk_tasks(chunk)
        if len(finished.items) == len(numbers):
            fold(self._cluster, at, chunk)
            return []
        taken = {keys.number_of(item.key) for item in (*in_flight.items, *finished.items)}
        free = [Candidate(at, chunk, index, FREE) for index in numbers if index not in taken]
        start = int(place * len(free))
        free = [*reversed(free[:start]), *reversed(free[start:])]  # the last is tried first
        again = []
        for item in in_flight.items:
            record = TaskRecord.from_json(item.value)
            kind = self._kind(item, record, alive, seen)
            if not kind:
                self._watch(at, chunk, item, record, seen)
            else:
                again.append(Candidate(at, chunk, keys.number_of(item.key), kind, item))
        return again + free if free else again

    def _watch(
        self, at: StageView, chunk: int, item: Item, record: TaskRecord, seen: dict[tuple[str, int], float]
    ) -> None:
        if record.state != ATTEMPT_WAITS and record.worker != self._worker and at.head.backups:
            seconds = time.monotonic() - seen[item.key, item.revision]
            self._watched.append((at, Watched(chunk, keys.number_of(item.key), item, seconds)))

    def _slow(self, alive: set[str]) -> list[Candidate]:
        """Return tasks to run a second time, where nothing else is to be done: those that take far too long."""
        found = []
        for at in {at.job: at for at, _ in self._watched}.values():
            watched = [task for view, task in self._watched if view.job == at.job]
            for task, backup in stragglers(self._cluster, at, watched):
                if backup is None or keys.worker(TaskRecord.from_json(backup.value).worker) not in alive:
                    found.append(Candidate(at, task.chunk, task.index, SLOW, task.item, backup))
        random.shuffle(found)
        return found

    def _kind(self, item: Item, record: TaskRecord, alive: set[str], seen: dict[tuple[str, int], float]) -> str:
        """Say how a task in flight may be claimed: DUE, ABANDONED, or "" for not now."""
        mark = (item.key, item.revision)
        now = time.monotonic()
        since = seen[mark] = self._seen.get(mark, now)
        if record.state == ATTEMPT_WAITS:
            # By the clock that all share, or by having watched it long enough: a wrong clock can only shorten.
            left = min(record.not_before_seconds - time.time(), since + record.delay_seconds - now)
            if left <= 0:
                return DUE
        elif record.worker == self._worker:
            return "" if record.nonce in self._active else ABANDONED  # a claim whose answer was never known
        elif keys.worker(record.worker) in alive:
            return ""
        else:
            # The lease is over, and this worker saw no change for as long: an outage that ends every lease at once
            # gives the owners time to come back.
            left = since + self._lease_seconds - now
            if left <= 0:
                return ABANDONED
        self.due_in_seconds = min(self.due_in_seconds, left)
        return ""


def _queue_order(item: Item) -> tuple[str, float, str]:
    """Return what live jobs are sorted by: the highest priority first, of these the oldest."""
    try:
        return _priority(item), float(json.loads(item.value)["created"]), item.key
    except (ValueError, KeyError, TypeError):
        return _priority(item), float("inf"), item.key


def _priority(item: Item) -> str:
    return item.key.rpartition("/")[0]


def _job_of(item: Item) -> str:
    return item.key.rpartition("/")[2]
