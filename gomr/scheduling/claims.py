"""Claims open tasks: each in one transaction, by any number of workers that never ask one another."""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from gomr.backends import Answer, Compare, Put, Range, Revision, Version
from gomr.model import ATTEMPT_RUNS, JobHead, TaskRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.history import LOST, OVERTAKEN, with_attempt
from gomr.scheduling.lookout import Lookout
from gomr.scheduling.scan import ABANDONED, FREE, SLOW, Candidate
from gomr.scheduling.stages import StageView

CONFLICTS_MAX = 8  # claims lost in a row before a slot rests


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
        """The key of the record that is this claim: the task's own, or that of its backup."""
        return self.backup_key if self.record.backup else self.task_key

    @property
    def task_key(self) -> str:
        """The key of the task's own record."""
        return keys.task(self.at.job, self.at.stage, self.chunk, self.index)

    @property
    def backup_key(self) -> str:
        """The key of the record of its backup."""
        return keys.backup(self.at.job, self.at.stage, self.chunk, self.index)

    @property
    def name(self) -> str:
        """The task's name for people."""
        return f"{self.at.stage}/{self.index}"


@dataclass(slots=True)
class Bid:
    """A claim that is about to be made: what must hold for it. `revision` is 0 until it is made.

    Whoever makes it puts `put` where `compares` hold, and reads `look`, as the last, where they do not.
    """

    claim: Claim
    compares: list[Compare]
    revision: int = 0

    @property
    def put(self) -> Put:
        """What makes the claim."""
        return Put(self.claim.key, self.claim.record.to_json())

    @property
    def look(self) -> Range:
        """What tells whether a request whose answer was lost has made the claim before."""
        return Range(self.claim.key)

    def hear(self, answer: Answer) -> None:
        """Note whether the claim is made: by the transaction that was answered so, or by an earlier run of it."""
        if answer.ok:
            self.revision = answer.revision
            return
        nonce = self.claim.record.nonce
        own = (item.revision for item in answer.found[-1].items if TaskRecord.from_json(item.value).nonce == nonce)
        self.revision = next(own, 0)


class Claims:
    """Claims tasks for the slots of one worker. Safe for several threads."""

    def __init__(
        self, cluster: Cluster, worker: str, lease_seconds: float, can_run: Callable[[str, JobHead], bool]
    ) -> None:
        self._cluster = cluster
        self._worker = worker
        self._lock = threading.Lock()
        self._candidates: list[Candidate] = []
        self._made: list[Claim] = []  # by commits, and not begun
        self._is_ended = False
        self._found = threading.Event()  # there may be a task to have in hand beside those that run
        self._active: set[str] = set()  # nonces of the tasks in hand
        self.lookout = Lookout(cluster, worker, lease_seconds, can_run, self._active)

    def claim(self, *, is_idle: bool = False) -> Claim | None:
        """Claim one task; None where nothing is open now. `is_idle` says that the last one was None, too."""
        conflicts = 0
        while conflicts < CONFLICTS_MAX:
            with self._lock:
                if self._made:
                    return self._made.pop()
                if not self._candidates:
                    self._candidates = self.lookout.look(is_idle=is_idle)
                    if not self._candidates:
                        return None
                    self._found.set()
                candidate = self._candidates.pop()
            claim = self._try(self._bid(candidate))
            if claim is not None:
                return claim
            conflicts += 1
        with self._lock:
            self.lookout.forget()
        return None

    def claim_ahead(self, spare: int, seconds: float) -> Claim | None:
        """Claim a free task beside those that run, of more than `spare` that the last look found; None of fewer.

        So nobody waits for a task that another worker holds and does not run: there are more than enough for all, or
        there is no other worker. Returns None only after a wait for the next look, of at most `seconds`.
        """
        with self._lock:
            if self._made:
                return self._made.pop()
            candidate = self._next_free(spare)
            if candidate is None and not self._is_ended:
                self._found.clear()
        if candidate is None:
            self._found.wait(seconds)
            return None
        return self._try(self._bid(candidate))

    def end(self) -> None:
        """Have `claim_ahead` wait no more."""
        with self._lock:
            self._is_ended = True
            self._found.set()

    def next_bid(self, current: Claim, spare: int = 0) -> Bid | None:
        """Return a bid for the next free task of more than `spare` that the last look found, to be made with a commit.

        None where there is none. `current` is the task that is committed. Whoever takes the bid calls `settle`
        afterwards, however that went.
        """
        with self._lock:
            candidate = self._next_free(spare)
        if candidate is None:
            return None
        # Another slot's look may be older than our claim; a transaction changes a key only once.
        return None if candidate.task_key == current.task_key else self._bid(candidate)

    def _next_free(self, spare: int) -> Candidate | None:
        if self.lookout.workers == 1:
            spare = 0
        if len(self._candidates) <= spare or self._candidates[-1].kind != FREE:
            return None
        return self._candidates.pop()

    def settle(self, bid: Bid) -> None:
        """Have `claim` return what a bid has won; forget what it has not."""
        claim = self._settled(bid)
        if claim is not None:
            with self._lock:
                self._made.append(claim)
                self._found.set()

    def not_begun(self) -> list[Claim]:
        """Return the tasks that were claimed by commits and not begun: not to be begun any more."""
        with self._lock:
            made, self._made = self._made, []
        return made

    def look_again(self) -> None:
        """Let go what the last look found: the queue has changed, and another job may come first."""
        with self._lock:
            self._candidates = []

    def release(self, claim: Claim) -> None:
        """Forget a task that was in hand, however it ended."""
        self._active.discard(claim.record.nonce)

    def _bid(self, candidate: Candidate) -> Bid:
        at, nonce = candidate.at, secrets.token_hex(8)
        record, compares = self._record(candidate, nonce)
        compares += [
            Version(keys.worker(self._worker), exists=True),
            Revision(keys.stage(at.job, at.stage), at.revision),
            Revision(keys.head(at.job), at.head_revision),  # it changes where the job is paused
        ]
        self._active.add(nonce)
        return Bid(Claim(at, candidate.chunk, candidate.index, record, 0), compares)

    def _try(self, bid: Bid) -> Claim | None:
        try:
            bid.hear(self._cluster.transact(bid.compares, [bid.put], [bid.look]))
        finally:
            claim = self._settled(bid)
        return claim

    def _settled(self, bid: Bid) -> Claim | None:
        if bid.revision:
            return replace(bid.claim, revision=bid.revision)
        self._active.discard(bid.claim.record.nonce)
        with self._lock:
            self._candidates = []  # the chunk has changed under us: what it looked like is of no more use
        return None

    def _record(self, candidate: Candidate, nonce: str) -> tuple[TaskRecord, list[Compare]]:
        """Return the record of this attempt, and what must hold for it to begin."""
        at, key = candidate.at, candidate.task_key
        if candidate.item is None:
            return TaskRecord(ATTEMPT_RUNS, 1, self._worker, nonce, started_seconds=time.time()), [
                Version(key, exists=False),
                Version(keys.done_task(at.job, at.stage, candidate.chunk, candidate.index), exists=False),
                Version(keys.chunk(at.job, at.stage, candidate.chunk), exists=False),
            ]
        compares: list[Compare] = [Revision(key, candidate.item.revision)]
        before = TaskRecord.from_json(candidate.item.value)
        record = replace(before, state=ATTEMPT_RUNS, worker=self._worker, nonce=nonce, started_seconds=time.time())
        if candidate.kind == SLOW:
            backup = keys.backup(at.job, at.stage, candidate.chunk, candidate.index)
            if candidate.backup is None:
                compares.append(Version(backup, exists=False))
            else:  # its worker is gone
                gone = TaskRecord.from_json(candidate.backup.value).worker
                compares += [Revision(backup, candidate.backup.revision), Version(keys.worker(gone), exists=False)]
            return replace(record, backup=True, history=with_attempt(before, OVERTAKEN)), compares
        if candidate.kind == ABANDONED:
            record = replace(record, losses=before.losses + 1, history=with_attempt(before, LOST))
            if before.worker != self._worker:
                compares.append(Version(keys.worker(before.worker), exists=False))
        return replace(record, attempt=before.attempt + 1), compares
