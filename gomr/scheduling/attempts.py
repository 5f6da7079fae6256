"""Ends an attempt: commit, failure, or giving the task back. Each is one fenced transaction."""

import json
import random
import time
from dataclasses import dataclass, replace
from typing import Any

from gomr.backends import Compare, Delete, Operation, Put, Range, Revision
from gomr.model import (
    ATTEMPT_WAITS,
    FAILED,
    LIVE,
    OPEN,
    STOPPED,
    DoneRecord,
    JobHead,
    StageRecord,
    TaskRecord,
)
from gomr.scheduling import history, keys
from gomr.scheduling.claims import Bid, Claim
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.skipping import skip
from gomr.scheduling.stages import chunk_facts, fold

ATTEMPTS_MAX = 4  # of failures by the job's own doing; Spark's spark.task.maxFailures has the same default
RETRY_SECONDS_FIRST, RETRY_SECONDS_MAX = 1.0, 100.0  # doubled each time, full jitter (Temporal's defaults)
POSTPONED_SECONDS = 5.0  # after half a minute of patience with a storage that does not answer
DEAD_LETTER_ERRORS = 3  # the last ones, over all reruns: of at most 4 KB each
ORPHAN_SECONDS = 600.0  # a finished result is kept for so long while the coordinator does not answer


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended: `counted` where its result stands; else `own_object_useless` says whether to delete it."""

    counted: bool
    own_object_useless: bool = False


def commit(cluster: Cluster, claim: Claim, done: DoneRecord, bid: Bid | None = None) -> Ended:
    """Commit a finished attempt; fold its chunk where it was the last. Losing the fence is no error.

    With a `bid`, claim the next task in the same transaction; where that one is taken, commit alone.
    """
    at = claim.at
    done_prefix = keys.done(at.job, at.stage, claim.chunk)
    done_key = keys.done_task(at.job, at.stage, claim.chunk, claim.index)
    compares: list[Compare] = [
        Revision(claim.key, claim.revision),
        Revision(keys.stage(at.job, at.stage), at.revision),
    ]
    then: list[Operation] = [
        Put(done_key, done.to_json()),
        Delete(claim.task_key),
        Delete(claim.backup_key),
        Range(done_prefix, keys.end_of(done_prefix), count_only=True),
    ]
    orelse = [Range(done_key), Range(keys.chunk(at.job, at.stage, claim.chunk))]
    if bid:
        compares, then, orelse = [*compares, *bid.compares], [*then, bid.put], [*orelse, bid.look]
    answer = cluster.retried(lambda: cluster.coordinator.transact(compares, then, orelse), ORPHAN_SECONDS)
    if bid:
        bid.hear(answer)
        if not bid.revision:
            return commit(cluster, claim, done)
    if answer.ok:
        if answer.found[0].count == len(at.record.chunk_tasks(claim.chunk)):
            fold(cluster, at, claim.chunk)
        return Ended(counted=True)
    stored, folded = answer.found[:2]
    if stored.items:
        ours = DoneRecord.from_json(stored.items[0].value).nonce == done.nonce
        return Ended(counted=ours, own_object_useless=not ours)
    if folded.items:
        ours = _folded_nonce(cluster, claim, folded.items[0].value) == done.nonce
        return Ended(counted=ours, own_object_useless=not ours)
    return Ended(counted=False)  # the stage stopped, or another attempt runs: what we wrote is left to gc


def fail(cluster: Cluster, claim: Claim, error: dict[str, Any], *, final: bool = False) -> bool:
    """Record a failed attempt: wait for the next one, or fail the job at the limit. Return whether the job failed.

    That of a backup is forgotten.

    `error` is the error object of a result file; kind "host" counts as a loss of the machine, any other as a failure
    of the job. `final` errors (an input that changed) are not tried again. Nor are those that say so of themselves,
    such as a value that no pickle takes; but where the job may give up one more record, the next attempt skips theirs.
    """
    if claim.record.backup:  # the task's own attempt goes on, and counts its own failures
        _replace(cluster, claim, Delete(claim.key))
        return False
    host = error.get("kind") == "host"
    record = claim.record
    failures = record.failures + (not host)
    losses = record.losses + host
    error = {
        **history.bounded(error),
        "task": claim.name,
        "attempt": record.attempt,
        "worker": record.worker,
        "ended": time.time(),
    }
    if not final and skip(cluster, claim, error):
        return False
    spent = failures >= claim.at.head.attempts_max or losses >= claim.at.head.losses_max
    if final or error.get("final") or spent:
        entries = history.with_attempt(record, history.FAILED, error)
        last = replace(record, failures=failures, losses=losses, history=entries)
        return _fail_job(cluster, claim, last, error)
    ceiling = min(RETRY_SECONDS_MAX, RETRY_SECONDS_FIRST * 2 ** (failures + losses - 1))
    delay = ceiling * random.random()  # noqa: S311 - jitter, not a secret
    waiting = replace(
        record,
        state=ATTEMPT_WAITS,
        failures=failures,
        losses=losses,
        delay_seconds=delay,
        not_before_seconds=time.time() + delay,
        error=error,
        history=history.with_attempt(record, history.FAILED, error),
        trace=record.trace or bool(error.get("died") and claim.at.head.max_skipped),
    )
    _leave(cluster, claim, waiting)
    return False


def postpone(cluster: Cluster, claim: Claim, reason: str) -> None:
    """Leave a task for later that a back end did not let us do: neither the job nor this machine is to blame."""
    delay = POSTPONED_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, not a secret
    error = {"kind": "storage", "message": reason, "task": claim.name, "attempt": claim.record.attempt}
    waiting = replace(
        claim.record,
        state=ATTEMPT_WAITS,
        delay_seconds=delay,
        not_before_seconds=time.time() + delay,
        error=error,
        history=history.with_attempt(claim.record, history.POSTPONED, error),
    )
    _leave(cluster, claim, waiting)


def give_back(cluster: Cluster, claim: Claim) -> None:
    """Give a task back untried: the next worker need not wait for a lease to end."""
    record = claim.record
    if record.attempt == 1:
        _replace(cluster, claim, Delete(claim.key))
        return
    _leave(cluster, claim, replace(record, state=ATTEMPT_WAITS, delay_seconds=0.0, not_before_seconds=0.0))


def too_many_losses(claim: Claim) -> bool:
    """Say whether a task has ended so many workers that it is not to be tried again."""
    return claim.record.losses >= claim.at.head.losses_max


def _leave(cluster: Cluster, claim: Claim, waiting: TaskRecord) -> None:
    """Leave a task as `waiting`. Of a backup nothing is left: the task's own attempt goes on."""
    _replace(cluster, claim, Delete(claim.key) if claim.record.backup else Put(claim.key, waiting.to_json()))


def _replace(cluster: Cluster, claim: Claim, operation: Operation) -> None:
    """Change the task's record if the fence still holds; if it does not, another has taken the task."""
    compares: list[Compare] = [
        Revision(claim.key, claim.revision),
        Revision(keys.stage(claim.at.job, claim.at.stage), claim.at.revision),
    ]
    cluster.transact(compares, [operation])


def _fail_job(cluster: Cluster, claim: Claim, record: TaskRecord, error: dict[str, Any]) -> bool:
    """End the job `failed`, unless the fence is gone or the job has ended; its finished tasks stay for `gomr rerun`."""
    job, stage = claim.at.job, claim.at.stage
    while True:
        letter = keys.dead_letter(job, stage, claim.index)
        found_task, found_stage, found_head, found_letter = cluster.read(
            Range(claim.key), Range(keys.stage(job, stage)), Range(keys.head(job)), Range(letter)
        )
        if not (found_task.items and found_stage.items and found_head.items):
            return False
        head = JobHead.from_json(found_head.items[0].value)
        stage_record = StageRecord.from_json(found_stage.items[0].value)
        if found_task.items[0].revision != claim.revision or head.state not in LIVE or stage_record.state != OPEN:
            return False
        errors = json.loads(found_letter.items[0].value) if found_letter.items else []
        failed = replace(head, state=FAILED, finished_seconds=time.time(), error=error)
        answer = cluster.transact(
            [
                Revision(claim.key, claim.revision),
                Revision(keys.stage(job, stage), found_stage.items[0].revision),
                Revision(keys.head(job), found_head.items[0].revision),
            ],
            [
                Put(claim.key, replace(record, state=ATTEMPT_WAITS, error=error).to_json()),
                Put(keys.stage(job, stage), replace(stage_record, state=STOPPED).to_json()),
                Put(keys.head(job), failed.to_json()),
                Put(letter, json.dumps([*errors, error][-DEAD_LETTER_ERRORS:]).encode()),
                Delete(keys.queue(job, head.priority)),
            ],
            durable=True,
        )
        if answer.ok:
            return True


def _folded_nonce(cluster: Cluster, claim: Claim, chunk_value: bytes) -> str:
    digest = json.loads(chunk_value)["record"]
    for task in chunk_facts(cluster, claim.at.job, claim.at.stage, digest):
        if task.index == claim.index:
            return task.done.nonce
    return ""
