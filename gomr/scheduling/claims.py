"""Finds open tasks and claims them: one transaction a claim, by any number of workers that never ask one another."""

import json
import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from gomr.backends import Compare, Item, Put, Range, Revision, Version
from gomr.errors import GomrError, StorageError
from gomr.model import (
    ATTEMPT_RUNS,
    ATTEMPT_WAITS,
    OPEN,
    RECORD_FORMAT,
    RUNNING,
    JobHead,
    StageRecord,
    TaskRecord,
)
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import StageView, close, fold

CONFLICTS_MAX = 8  # claims lost in a row before the chunk is read again
_log = structlog.get_logger("gomr")

FREE, DUE, ABANDONED = "free", "due", "abandoned"


@dataclass(frozen=True, slots=True)
class Claim:
    """A task in this worker's hands. `revision` of its record is the fence: who commits must still hold it."""

    at: StageView
    chunk: int
    index: int
    record: TaskRecord
    revision: int

    @property
    def key(self) -> str:
        """The key of the task's record."""
        return keys.task(self.at.job, self.at.stage, self.chunk, self.index)

    @property
    def name(self) -> str:
        """The task's name for people."""
        return f"{self.at.stage}/{self.index}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that looked open when its chunk was read."""

    at: StageView
    chunk: int
    index: int
    kind: str
    item: Item | None = None


class Claims:
    """Claims tasks for the slots of one worker. Safe for several threads."""

    def __init__(
        self, cluster: Cluster, worker: str, lease_seconds: float, can_run: Callable[[str, JobHead], bool]
    ) -> None:
        self._cluster = cluster
        self._worker = worker
        self._lease_seconds = lease_seconds
        self._can_run = can_run
        self._lock = threading.Lock()
        self._candidates: list[Candidate] = []
        self._seen: dict[tuple[str, int], float] = {}  # (key, revision) -> when this worker first saw it
        self._active: set[str] = set()  # nonces of the tasks in hand
        self.revision = 0  # of the last look at the queue: what to wait after
        self.live_jobs = 0  # that this worker can run
        self.due_in_seconds = float("inf")  # until the next waiting task may be tried

    def claim(self) -> Claim | None:
        """Claim one task; None where nothing is open now."""
        conflicts = 0
        while conflicts < CONFLICTS_MAX:
            with self._lock:
                if not self._candidates:
                    self._candidates = self._scan()
                    if not self._candidates:
                        return None
                candidate = self._candidates.pop()
            claim = self._try(candidate)
            if claim is not None:
                return claim
            conflicts += 1
            if conflicts % 2 == 0:  # the chunk has changed under us: what it looked like is of no more use
                with self._lock:
                    self._candidates = []
        return None

    def release(self, claim: Claim) -> None:
        """Forget a task that was in hand, however it ended."""
        self._active.discard(claim.record.nonce)

    def _try(self, candidate: Candidate) -> Claim | None:
        at, nonce = candidate.at, secrets.token_hex(8)
        key = keys.task(at.job, at.stage, candidate.chunk, candidate.index)
        compares: list[Compare] = [
            Version(keys.worker(self._worker), exists=True),
            Revision(keys.stage(at.job, at.stage), at.revision),
        ]
        record = TaskRecord(ATTEMPT_RUNS, 1, self._worker, nonce)
        if candidate.item is None:
            compares += [
                Version(key, exists=False),
                Version(keys.done_task(at.job, at.stage, candidate.chunk, candidate.index), exists=False),
                Version(keys.chunk(at.job, at.stage, candidate.chunk), exists=False),
            ]
        else:
            compares.append(Revision(key, candidate.item.revision))
            before = TaskRecord.from_json(candidate.item.value)
            record = replace(before, state=ATTEMPT_RUNS, attempt=before.attempt + 1, worker=self._worker, nonce=nonce)
            if candidate.kind == ABANDONED:
                record = replace(record, losses=before.losses + 1)
                if before.worker != self._worker:
                    compares.append(Version(keys.worker(before.worker), exists=False))
        self._active.add(nonce)
        revision = 0
        try:
            answer = self._cluster.transact(compares, [Put(key, record.to_json())], [Range(key)])
            revision = answer.revision if answer.ok else _own_revision(answer.found[0].items, nonce)
        finally:
            if not revision:
                self._active.discard(nonce)
        return Claim(at, candidate.chunk, candidate.index, record, revision) if revision else None

    def _scan(self) -> list[Candidate]:
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
        live_jobs = 0
        queue, workers = answer.found
        alive = {item.key for item in workers.items}
        seen: dict[tuple[str, int], float] = {}
        found: list[Candidate] = []
        for item in sorted(queue.items, key=_queue_order):
            try:
                at = self._view(item.key.rpartition("/")[2])
                if at is not None:
                    live_jobs += 1
                    found = self._scan_stage(at, alive, seen)
            except (GomrError, StorageError) as error:  # one damaged job shall not keep a worker from all others
                _log.error("job.unreadable", key=item.key, error=str(error))
            if found:
                break
        self.live_jobs = live_jobs
        if not found:
            self._seen = seen  # a whole look: what was not seen again is gone
        else:
            self._seen.update(seen)
        return found

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
        window = max(1, 4 * len(alive) // at.record.chunk_size)
        first = random.randrange(min(window, len(unfinished)))  # noqa: S311 - spreads workers, hides nothing
        for chunk in unfinished[first:] + unfinished[:first]:
            found = self._scan_chunk(at, chunk, alive, seen)
            if found:
                return found
        return []

    def _scan_chunk(
        self, at: StageView, chunk: int, alive: set[str], seen: dict[tuple[str, int], float]
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
        random.shuffle(free)  # workers that look at once shall not all take the first
        again = []
        for item in in_flight.items:
            kind = self._kind(item, alive, seen)
            if kind:
                again.append(Candidate(at, chunk, keys.number_of(item.key), kind, item))
        return again + free if free else again

    def _kind(self, item: Item, alive: set[str], seen: dict[tuple[str, int], float]) -> str:
        """Say how a task in flight may be claimed: DUE, ABANDONED, or "" for not now."""
        record = TaskRecord.from_json(item.value)
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


def _queue_order(item: Item) -> tuple[float, str]:
    """Return what live jobs are sorted by: the oldest first."""
    try:
        return float(json.loads(item.value)["created"]), item.key
    except (ValueError, KeyError, TypeError):
        return float("inf"), item.key


def _own_revision(items: tuple[Item, ...], nonce: str) -> int:
    """Return the revision of our own record, put by a run of the claim whose answer was lost; else 0."""
    return next((item.revision for item in items if TaskRecord.from_json(item.value).nonce == nonce), 0)
