"""Claims open tasks: one transaction a claim, by any number of workers that never ask one another."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from gomr.backends import Compare, Item, Put, Range, Revision, Version
from gomr.model import ATTEMPT_RUNS, JobHead, TaskRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.lookout import Lookout
from gomr.scheduling.scan import ABANDONED, SLOW, Candidate
from gomr.scheduling.stages import StageView

CONFLICTS_MAX = 8  # claims lost in a row before the chunk is read again


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


class Claims:
    """Claims tasks for the slots of one worker. Safe for several threads."""

    def __init__(
        self, cluster: Cluster, worker: str, lease_seconds: float, can_run: Callable[[str, JobHead], bool]
    ) -> None:
        self._cluster = cluster
        self._worker = worker
        self._lock = threading.Lock()
        self._candidates: list[Candidate] = []
        self._active: set[str] = set()  # nonces of the tasks in hand
        self.lookout = Lookout(cluster, worker, lease_seconds, can_run, self._active)

    def claim(self, *, is_idle: bool = False) -> Claim | None:
        """Claim one task; None where nothing is open now. `is_idle` says that the last one was None, too."""
        conflicts = 0
        while conflicts < CONFLICTS_MAX:
            with self._lock:
                if not self._candidates:
                    self._candidates = self.lookout.look(is_idle=is_idle)
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
        self.look_again()
        return None

    def look_again(self) -> None:
        """Forget what the last look found: the queue has changed, and another job may come first."""
        with self._lock:
            self._candidates = []
            self.lookout.forget()

    def release(self, claim: Claim) -> None:
        """Forget a task that was in hand, however it ended."""
        self._active.discard(claim.record.nonce)

    def _try(self, candidate: Candidate) -> Claim | None:
        at, nonce = candidate.at, secrets.token_hex(8)
        record, compares = self._record(candidate, nonce)
        claim = Claim(at, candidate.chunk, candidate.index, record, 0)
        compares += [
            Version(keys.worker(self._worker), exists=True),
            Revision(keys.stage(at.job, at.stage), at.revision),
            Revision(keys.head(at.job), at.head_revision),  # it changes where the job is paused
        ]
        self._active.add(nonce)
        revision = 0
        try:
            answer = self._cluster.transact(compares, [Put(claim.key, record.to_json())], [Range(claim.key)])
            revision = answer.revision if answer.ok else _own_revision(answer.found[0].items, nonce)
        finally:
            if not revision:
                self._active.discard(nonce)
        return replace(claim, revision=revision) if revision else None

    def _record(self, candidate: Candidate, nonce: str) -> tuple[TaskRecord, list[Compare]]:
        """Return the record of this attempt, and what must hold for it to begin."""
        at = candidate.at
        key = keys.task(at.job, at.stage, candidate.chunk, candidate.index)
        if candidate.item is None:
            return TaskRecord(ATTEMPT_RUNS, 1, self._worker, nonce), [
                Version(key, exists=False),
                Version(keys.done_task(at.job, at.stage, candidate.chunk, candidate.index), exists=False),
                Version(keys.chunk(at.job, at.stage, candidate.chunk), exists=False),
            ]
        compares: list[Compare] = [Revision(key, candidate.item.revision)]
        before = TaskRecord.from_json(candidate.item.value)
        record = replace(before, state=ATTEMPT_RUNS, worker=self._worker, nonce=nonce)
        if candidate.kind == SLOW:
            backup = keys.backup(at.job, at.stage, candidate.chunk, candidate.index)
            if candidate.backup is None:
                compares.append(Version(backup, exists=False))
            else:  # its worker is gone
                gone = TaskRecord.from_json(candidate.backup.value).worker
                compares += [Revision(backup, candidate.backup.revision), Version(keys.worker(gone), exists=False)]
            return replace(record, backup=True), compares
        if candidate.kind == ABANDONED:
            record = replace(record, losses=before.losses + 1)
            if before.worker != self._worker:
                compares.append(Version(keys.worker(before.worker), exists=False))
        return replace(record, attempt=before.attempt + 1), compares


def _own_revision(items: tuple[Item, ...], nonce: str) -> int:
    """Return the revision of our own record, put by a run of the claim whose answer was lost; else 0."""
    return next((item.revision for item in items if TaskRecord.from_json(item.value).nonce == nonce), 0)
