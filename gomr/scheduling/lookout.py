"""Looks for tasks that are open: by job, stage and chunk; folds and closes what others left unfinished."""

import json
import random
from collections.abc import Callable, Collection, Iterator, Sequence

from gomr.backends import Found, Item, Range
from gomr.errors import GomrError, StorageError
from gomr.logs import log
from gomr.model import OPEN, RECORD_FORMAT, RUNNING, JobHead, StageRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.membership import Standing
from gomr.scheduling.scan import Candidate, Said, Scan, by_chunk, chunk_ranges
from gomr.scheduling.stages import StageView, close

FAIR_JOBS = 8  # of one priority that share the slots at a time, the oldest: a transaction holds few reads
FAIR_TASKS = 8  # a slot looks again which job has the fewest tasks in flight after so many
BATCH_CHUNKS_MAX = 8  # that one transaction reads: 2,048 tasks at most, of some hundred bytes each
WATCH_CHUNKS_MAX = 16  # from its own place on, and as many from anywhere on, that a look goes through
WHOLE_SHARE_MIN = 16  # open tasks that a worker takes for its own at a look; of fewer, half: others may help
CROWD = 16  # idle workers at the same chunks that need no dice to keep out of each other's way
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
        self._last: StageView | None = None  # the stage at which the last look ended
        self._ahead: list[int] = []  # chunks of it that the next look reads together with the queue
        self._seen: Sequence[Found] = ()  # what `_listing` of that stage, and `chunk_ranges` of those chunks, say now
        self.revision = 0  # of the last look at the queue: what to wait after
        self.is_registered = False  # whether this worker's own key was there at the last look
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
                log.error("job.unreadable", key=item.key, error=str(error))
            if found:
                break
        self.live_jobs = live_jobs
        if not found:
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
            Range(keys.worker(self._worker), count_only=True),
            Range(keys.WORKERS, keys.worker(self._worker), count_only=True),
            Range(keys.WORKERS, everyone, count_only=True),
        ]
        if self._last:
            ranges += [*_listing(self._last), *chunk_ranges(self._last, self._ahead)]
        answer = self._cluster.transact((), ranges)
        self.revision = answer.revision
        queue, own, before, workers, *self._seen = answer.found
        self.is_registered = own.count > 0
        live = {(_job_of(item), item.revision) for item in queue.items}
        self._views = {place: at for place, at in self._views.items() if place in live}
        if self._last not in self._views.values():
            self._last = None
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
        """Return this worker's share of the open tasks that it finds first; close the stage where all are done."""
        is_known = at is self._last
        seen = self._seen if is_known else self._cluster.read(*_listing(at))
        chunks, in_flight, done, *ahead = seen
        folded = {keys.number_of(item.key) for item in chunks.items}
        unfinished = [chunk for chunk in range(at.record.chunks) if chunk not in folded]
        if not unfinished:
            if self._scan.is_left(keys.chunks(at.job, at.stage)):
                close(self._cluster, at)
                self.forget()
            return []
        free = sum(len(at.record.chunk_tasks(chunk)) for chunk in unfinished) - in_flight.count - done.count
        known = by_chunk(self._ahead, ahead) if is_known else {}
        known = {chunk: said for chunk, said in known.items() if chunk not in folded}
        promising = [chunk for chunk in unfinished if free and not self._scan.is_exhausted(at, chunk)]
        place = self._standing.place(len(promising))
        anywhere = _from_anywhere(unfinished)[:BATCH_CHUNKS_MAX]
        self._last, self._ahead = at, anywhere
        order = [] if known else anywhere  # where none is free, only what has been tried before may be open
        if free:
            order = _in_turn(promising, unfinished, int(place))
        read = 0
        for found in self._batches(at, known, order):
            is_own = not read or order[0] in found
            tasks = self._scan.open_tasks(at, found, place % 1 if is_own else random.random())  # noqa: S311 - spreads
            read += len(found)
            if tasks:
                self._ahead = [tasks[-1].chunk]
                idle = max(1, self._standing.workers - in_flight.count)
                self._rivals = idle * min(1.0, read / len(promising or unfinished))
                share = -(-max(free, len(tasks)) // self._standing.workers)
                is_whole = share >= WHOLE_SHARE_MIN or self._standing.workers == 1
                return tasks[-(share if is_whole else -(-share // 2)) :]
        return []

    def _batches(self, at: StageView, known: Said, order: list[int]) -> Iterator[Said]:
        """Yield what chunks say: those that were read ahead, then the others in order, ever more at a time."""
        if known:
            yield known
        order = [chunk for chunk in order if chunk not in known]
        size = 1
        while order:
            yield by_chunk(order[:size], self._cluster.read(*chunk_ranges(at, order[:size])))
            order, size = order[size:], min(2 * size, BATCH_CHUNKS_MAX)

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


def _in_turn(promising: list[int], unfinished: list[int], first: int) -> list[int]:
    """Return the chunks to read at a look: some from our own place on; then some from anywhere, the promising first."""
    ours = promising[first : first + WATCH_CHUNKS_MAX]
    others = [*_from_anywhere(promising), *_from_anywhere(unfinished)]
    return [*ours, *[chunk for chunk in dict.fromkeys(others) if chunk not in ours][:WATCH_CHUNKS_MAX]]


def _from_anywhere(chunks: list[int]) -> list[int]:
    start = random.randrange(len(chunks) or 1)  # noqa: S311 - spreads workers, hides nothing
    return chunks[start:] + chunks[:start]


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
