"""Looks for tasks that are open: by job, stage and chunk; folds and closes what others left unfinished."""

import json
import random
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence

import structlog

from gomr.backends import Found, Item, Range
from gomr.errors import GomrError, StorageError
from gomr.model import OPEN, RECORD_FORMAT, RUNNING, JobHead, StageRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.membership import Standing
from gomr.scheduling.scan import Candidate, Scan
from gomr.scheduling.stages import StageView, close

FAIR_JOBS = 8  # of one priority that share the slots at a time, the oldest: a transaction holds few reads
FAIR_TASKS = 8  # a slot looks again which job has the fewest tasks in flight after so many
BATCH_CHUNKS_MAX = 8  # that one transaction reads: 2,048 tasks at most, of some hundred bytes each
WATCH_CHUNKS_MAX = 16  # of its own share, and of others', that a look goes through
WHOLE_SHARE_MIN = 16  # tasks that a worker takes for its own at a look; of fewer, half: others may help with the rest
CROWD = 16  # idle workers at the same chunks that need no dice to keep out of each other's way
_log = structlog.get_logger("gomr")

DAMAGED = (GomrError, StorageError, ValueError, LookupError, TypeError, ArithmeticError)


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
        self._rivals = 1.0  # idle workers that may see what the last look found
        self._refusals = 0  # of the dice, in a row
        self._last: StageView | None = None  # the stage in which the last tasks were found
        self._listed: Sequence[Found] = ()  # what `_listing` of it says now
        self.revision = 0  # of the last look at the queue: what to wait after
        self.live_jobs = 0  # that this worker can run
        self.due_in_seconds = float("inf")  # until the next waiting task may be tried

    @property
    def workers(self) -> int:
        """How many workers there were at the last look."""
        return self._standing.workers

    def look(self, *, is_idle: bool = False) -> list[Candidate]:
        """Return open tasks of one job, the best last; fold and close what others left unfinished.

        `is_idle` says that the slot found nothing when it looked before: only such slots herd.
        """
        items = self._queue()
        self._scan.begin(_job_of(item) for item in items)
        found = self._find(items)
        self.due_in_seconds = self._scan.due_in_seconds
        if is_idle and not self._is_our_turn(len(found)):
            return []
        return found[-FAIR_TASKS:] if len(items) > 1 else found

    def _find(self, items: tuple[Item, ...]) -> list[Candidate]:
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
        if not found:
            self.forget()
            self._rivals = self._standing.workers
            found = self._scan.slow()
        return found

    def forget(self) -> None:
        """Forget how the jobs stood: read their heads and stages anew."""
        self._views = {}
        self._last = None

    def _queue(self) -> tuple[Item, ...]:
        """Return the live jobs; remember where this worker stands among all, and how the stage is that it was at."""
        everyone = keys.end_of(keys.WORKERS)
        ranges = [
            Range(keys.QUEUE, keys.end_of(keys.QUEUE)),
            Range(keys.WORKERS, keys.worker(self._worker), count_only=True),
            Range(keys.WORKERS, everyone, count_only=True),
        ]
        answer = self._cluster.transact((), [*ranges, *(_listing(self._last) if self._last else ())])
        self.revision = answer.revision
        queue, before, workers, *self._listed = answer.found
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
        listed = self._listed if at is self._last else self._cluster.read(*_listing(at))
        chunks, in_flight, finished = listed
        folded = {keys.number_of(item.key) for item in chunks.items}
        unfinished = [chunk for chunk in range(at.record.chunks) if chunk not in folded]
        if not unfinished:
            close(self._cluster, at)
            return []
        free = sum(len(at.record.chunk_tasks(chunk)) for chunk in unfinished) - in_flight.count - finished.count
        own = self._standing.share(at.record.tasks)
        chunk_size = at.record.chunk_size
        order = _in_turn(unfinished, range(own.start // chunk_size, own.stop // chunk_size + 1) if free else range(0))
        idle = max(1, self._standing.workers - in_flight.count)
        read, batch_size = 0, 1
        while read < len(order):
            batch = order[read : read + batch_size]
            found = self._scan.chunks(at, batch, own)
            read, batch_size = read + len(batch), min(2 * batch_size, BATCH_CHUNKS_MAX)
            if found:
                self._last = at
                self._rivals = idle * read / len(unfinished)
                share = -(-max(free, len(found)) // self._standing.workers)
                return found[-(share if share >= WHOLE_SHARE_MIN else -(-share // 2)) :]
        return []

    def _is_our_turn(self, tasks: int) -> bool:
        """Throw the dice where so many workers look at so few tasks that nearly all would go away empty-handed.

        How many there are is a guess: after each refusal it is halved, so that a task which this worker alone can run
        waits for a few looks at most.
        """
        rivals = self._rivals / 2**self._refusals
        if not tasks or rivals <= CROWD or random.random() < tasks / rivals:  # noqa: S311 - spreads workers, hides nothing
            self._refusals = 0
            return True
        self._refusals += 1
        return False


def _listing(at: StageView) -> list[Range]:
    """Return what tells how far a stage is: its folded chunks, and how many tasks are in flight, and done."""
    chunks, tasks, done = (prefix(at.job, at.stage) for prefix in (keys.chunks, keys.tasks, keys.done))
    return [
        Range(chunks, keys.end_of(chunks), keys_only=True),
        Range(tasks, keys.end_of(tasks), count_only=True),
        Range(done, keys.end_of(done), count_only=True),
    ]


def _in_turn(unfinished: list[int], own: range) -> list[int]:
    """Return the chunks to read at a look: some of our own first, then some from anywhere on."""
    first = bisect_left(unfinished, own.start)
    ours = [chunk for chunk in unfinished[first : first + WATCH_CHUNKS_MAX] if chunk in own]
    start = random.randrange(len(unfinished))  # noqa: S311 - spreads workers, hides nothing
    others = (unfinished[start:] + unfinished[:start])[:WATCH_CHUNKS_MAX]
    return ours + [chunk for chunk in others if chunk not in ours]


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
