"""Looks for tasks that are open: by job, stage and chunk; folds and closes what others left unfinished."""

import json
import random
from bisect import bisect_left
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog

from gomr.backends import Item, Range
from gomr.errors import GomrError, StorageError
from gomr.model import OPEN, RECORD_FORMAT, RUNNING, JobHead, StageRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.scan import Candidate, Scan
from gomr.scheduling.stages import StageView, close

FAIR_JOBS = 8  # of one priority that share the slots at a time, the oldest: a transaction holds few reads
FAIR_TASKS = 8  # a slot looks again which job has the fewest tasks in flight after so many
BATCH_CHUNKS_MAX = 8  # that one transaction reads: 2,048 tasks at most, well below gRPC's 4 MB
WATCH_CHUNKS_MAX = 16  # that a look goes through where no task is free, to find abandoned ones
SHARE_PARTS = 2  # of what is this worker's to do, it takes so much at a look: others who have done theirs may help
CROWD = 16  # idle workers at the same chunks that need no dice to keep out of each other's way
_log = structlog.get_logger("gomr")

DAMAGED = (GomrError, StorageError, ValueError, LookupError, TypeError, ArithmeticError)


@dataclass(slots=True)
class Standing:
    """Where this worker stands among all, in the order of their keys."""

    before: int = 0
    workers: int = 1

    def share(self, tasks: int) -> range:
        """Return this worker's own part of so many tasks: those who begin at their own do not meet."""
        before = min(self.before, self.workers - 1)
        return range(before * tasks // self.workers, (before + 1) * tasks // self.workers)


class Lookout:
    """Looks for one worker, and remembers what it saw. For one thread at a time."""

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
        self._can_run = can_run
        self._scan = Scan(cluster, worker, lease_seconds, active)
        self._standing = Standing()
        self._views: dict[tuple[str, int], StageView] = {}  # by job, and the revision of its queue key
        self.revision = 0  # of the last look at the queue: what to wait after
        self.live_jobs = 0  # that this worker can run

    @property
    def due_in_seconds(self) -> float:
        """Until the next waiting task may be tried."""
        return self._scan.due_in_seconds

    @property
    def workers(self) -> int:
        """How many workers there were at the last look."""
        return self._standing.workers

    def look(self) -> list[Candidate]:
        """Return open tasks of one job, the best last; fold and close what others left unfinished."""
        items = self._queue()
        self._scan.begin(_job_of(item) for item in items)
        live_jobs = 0
        found: list[Candidate] = []
        for item in self._in_order(items):
            try:
                at = self._view(item)
                if at is not None:
                    live_jobs += 1
                    found = self._scan_stage(at)
            except DAMAGED as error:  # one damaged job shall not keep a worker from all others
                _log.error("job.unreadable", key=item.key, error=str(error))
            if found:
                break
        self.live_jobs = live_jobs
        if found:
            return found[-FAIR_TASKS:] if len(items) > 1 else found
        self.forget()
        slow = self._scan.slow()
        return slow if self._is_our_turn(len(slow), self._standing.workers) else []

    def forget(self) -> None:
        """Forget how the jobs stood: read their heads and stages anew."""
        self._views = {}

    def _queue(self) -> tuple[Item, ...]:
        """Return the live jobs, and remember where this worker stands among all."""
        everyone = keys.end_of(keys.WORKERS)
        answer = self._cluster.transact(
            (),
            [
                Range(keys.QUEUE, keys.end_of(keys.QUEUE)),
                Range(keys.WORKERS, keys.worker(self._worker), count_only=True),
                Range(keys.WORKERS, everyone, count_only=True),
            ],
        )
        self.revision = answer.revision
        queue, before, workers = answer.found
        self._standing = Standing(before.count, max(1, workers.count))
        return queue.items

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

    def _view(self, item: Item) -> StageView | None:
        """Return the open stage of a job that this worker can run.

        The queue key changes with the head and the stage: while it does not, they need not be read again.
        """
        job = _job_of(item)
        at = self._views.get((job, item.revision)) or self._read_view(job)
        if at is None or not self._can_run(job, at.head):
            return None
        self._views[job, item.revision] = at
        return at

    def _read_view(self, job: str) -> StageView | None:
        prefix = keys.job(job) + "s/"
        heads, stages = self._cluster.read(Range(keys.head(job)), Range(prefix, keys.end_of(prefix)))
        if not heads.items:
            return None
        head = JobHead.from_json(heads.items[0].value)
        if head.state != RUNNING or head.format > RECORD_FORMAT:
            return None
        for item in stages.items:
            if item.key == keys.stage(job, head.stage):
                record = StageRecord.from_json(item.value)
                if record.state == OPEN:
                    return StageView(job, head.stage, head, heads.items[0].revision, record, item.revision)
        return None

    def _scan_stage(self, at: StageView) -> list[Candidate]:
        """Return this worker's share of the open tasks that it finds first; begin at its own place."""
        folded_keys, tasks, done = (prefix(at.job, at.stage) for prefix in (keys.chunks, keys.tasks, keys.done))
        items, in_flight, finished = self._cluster.read(
            Range(folded_keys, keys.end_of(folded_keys), keys_only=True),
            Range(tasks, keys.end_of(tasks), count_only=True),
            Range(done, keys.end_of(done), count_only=True),
        )
        folded = {keys.number_of(item.key) for item in items.items}
        unfinished = [chunk for chunk in range(at.record.chunks) if chunk not in folded]
        if not unfinished:
            close(self._cluster, at)
            return []
        free = sum(len(at.record.chunk_tasks(chunk)) for chunk in unfinished) - in_flight.count - finished.count
        own = self._standing.share(at.record.tasks)
        if free:
            chunk_size = at.record.chunk_size
            order = _in_turn(unfinished, range(own.start // chunk_size, own.stop // chunk_size + 1))
        else:
            order = _in_turn(unfinished, range(0))[:WATCH_CHUNKS_MAX]
        idle = max(1, self._standing.workers - in_flight.count)
        read, batch_size = 0, 1
        while read < len(order):
            batch = order[read : read + batch_size]
            found = self._scan.chunks(at, batch, own)
            read, batch_size = read + len(batch), min(2 * batch_size, BATCH_CHUNKS_MAX)
            if found:
                share = -(-max(free, len(found)) // (SHARE_PARTS * self._standing.workers))
                return found[-share:] if self._is_our_turn(len(found), idle * read / len(unfinished)) else []
        return []

    def _is_our_turn(self, tasks: int, rivals: float) -> bool:
        """Throw the dice where so many workers look at so few tasks that nearly all would go away empty-handed."""
        return rivals <= CROWD or random.random() < tasks / rivals  # noqa: S311 - spreads workers, hides nothing


def _in_turn(unfinished: list[int], own: range) -> list[int]:
    """Return chunks as they are to be read: our own first; where none of them is left, from anywhere on."""
    first = bisect_left(unfinished, own.start)
    if first == len(unfinished) or unfinished[first] not in own:
        first = random.randrange(len(unfinished))  # noqa: S311 - spreads workers, hides nothing
    return unfinished[first:] + unfinished[:first]


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
