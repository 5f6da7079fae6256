"""Cancels, runs again and removes jobs."""

import secrets
import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from gomr.backends import Compare, Delete, Operation, Put, Range, Revision, Version
from gomr.errors import NotFoundError, UsageError
from gomr.model import CANCELLED, DONE, ENDED, LIVE, OPEN, PAUSED, REMOVING, RUNNING, STOPPED
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import queue_entry

DELETE_BATCH = 500
DRAIN_SECONDS = 120.0  # that a request to drain stands: many times the heartbeats of any worker


def cancel(cluster: Cluster, job: str) -> str:
    """End a running job as `cancelled`; return the state it has now. A job that has ended stays as it is."""
    while True:
        head, head_revision = cluster.head(job)
        if head.state not in LIVE:
            return head.state
        stage, stage_revision = cluster.stage(job, head.stage)
        answer = cluster.transact(
            [Revision(keys.head(job), head_revision), Revision(keys.stage(job, head.stage), stage_revision)],
            [
                Put(keys.head(job), replace(head, state=CANCELLED, finished_seconds=time.time()).to_json()),
                Put(keys.stage(job, head.stage), replace(stage, state=STOPPED).to_json()),
                Delete(keys.queue(job, head.priority)),
            ],
            durable=True,
        )
        if answer.ok:
            return CANCELLED


def pause(cluster: Cluster, job: str) -> None:
    """Have no more tasks of a job started; those that run go on to their end. Raises UsageError for an ended job."""
    _switch(cluster, job, RUNNING, PAUSED)


def resume(cluster: Cluster, job: str) -> None:
    """Go on with a paused job. Raises UsageError for an ended one."""
    _switch(cluster, job, PAUSED, RUNNING)


def _switch(cluster: Cluster, job: str, old: str, new: str) -> None:
    """Change the head alone: claims and closes rest on it, while commits and folds rest on the stage, and go on."""
    while True:
        head, revision = cluster.head(job)
        if head.state == new:
            return
        if head.state != old:
            raise UsageError(f"job {job} is {head.state}; only a live one can be paused and resumed")
        key = keys.queue(job, head.priority)
        queued: Operation = Put(key, queue_entry(head)) if new == RUNNING else Delete(key)
        then = [Put(keys.head(job), replace(head, state=new).to_json()), queued]
        if cluster.transact([Revision(keys.head(job), revision)], then, durable=True).ok:
            return


def rerun(cluster: Cluster, job: str) -> None:
    """Open a failed or cancelled job again; its finished tasks count. Raises UsageError for any other state."""
    nonce = secrets.token_hex(8)
    while True:
        head, head_revision = cluster.head(job)
        if head.rerun == nonce:
            return  # by a run of the transaction whose answer was lost
        if head.state not in ENDED or head.state == DONE:
            raise UsageError(f"job {job} is {head.state}; only a failed or cancelled job can go on (submit it again)")
        stage, stage_revision = cluster.stage(job, head.stage)
        opened = replace(head, state=RUNNING, finished_seconds=0.0, error={}, rerun=nonce)
        in_flight, backups = keys.tasks(job, head.stage), keys.backups(job, head.stage)
        compares: list[Compare] = [
            Revision(keys.head(job), head_revision),
            Revision(keys.stage(job, head.stage), stage_revision),
        ]
        then: list[Operation] = [
            Put(keys.head(job), opened.to_json()),
            Put(keys.stage(job, head.stage), replace(stage, state=OPEN).to_json()),
            Delete(in_flight, keys.end_of(in_flight)),
            Delete(backups, keys.end_of(backups)),
            Put(keys.queue(job, head.priority), queue_entry(opened)),
        ]
        if cluster.transact(compares, then, durable=True).ok:
            return


def drain(cluster: Cluster, worker: str) -> None:
    """Ask a live worker to drain. Raises NotFoundError where no such worker is alive."""
    lease = cluster.grant_lease(DRAIN_SECONDS)
    alive = [Version(keys.worker(worker), exists=True)]
    if not cluster.transact(alive, [Put(keys.drain_request(worker), b"", lease)]).ok:
        cluster.end_lease(lease)
        raise NotFoundError(f"no worker {worker!r} is alive; `gomr workers` lists them")


def remove(cluster: Cluster, job: str, finished_before: float = float("inf")) -> None:
    """Delete an ended job: its objects, then its keys, the head last, so that a half removed job can be removed again.

    Two may do it at once: job ids are never used again. Raises UsageError for a job that runs, or has run again and
    ended no earlier than `finished_before` (seconds since the epoch), NotFoundError for none.
    """
    head, revision = cluster.head(job)
    while head.state != REMOVING:  # by another, or by somebody who died over it
        if head.state in LIVE:
            raise UsageError(f"job {job} is {head.state}; cancel it first: gomr cancel {job}")
        if head.finished_seconds >= finished_before:
            raise UsageError(f"job {job} has run again")
        removing = Put(keys.head(job), replace(head, state=REMOVING).to_json())
        answer = cluster.transact([Revision(keys.head(job), revision)], [removing], durable=True)  # no way back
        if answer.ok:
            revision = answer.revision
            break
        try:
            head, revision = cluster.head(job)
        except NotFoundError:
            return  # the answer was lost, and another has done the rest
    delete_objects(cluster, objects_below(cluster, keys.job_folder(job)))
    prefix = keys.job(job)
    then: list[Operation] = [Delete(prefix, keys.end_of(prefix)), Delete(keys.head(job))]
    if head.idempotency:
        then.append(Delete(keys.idempotency(head.idempotency)))
    cluster.transact([Revision(keys.head(job), revision)], then, durable=True)


def delete_objects(cluster: Cluster, names: Iterable[str]) -> None:
    """Delete objects batch by batch."""
    left = iter(names)
    while batch := list(islice(left, DELETE_BATCH)):
        cluster.storage.delete(batch)


def objects_below(cluster: Cluster, prefix: str) -> list[str]:
    """Return the keys of all objects below a storage prefix."""
    return [info.key for info in cluster.storage.list(prefix)]


def find(cluster: Cluster, text: str) -> str:
    """Return the one job whose id is or starts with `text`. Raises NotFoundError, UsageError where several do."""
    prefix = keys.head(text)
    items = cluster.read(Range(prefix, keys.end_of(prefix), keys_only=True))[0].items
    found = [item.key.removeprefix(keys.HEADS) for item in items]
    if text in found:
        return text
    if not found:
        raise NotFoundError(f"no job {text!r}; `gomr jobs` lists them")
    if len(found) > 1:
        raise UsageError(f"{text!r} is the start of {len(found)} jobs: {', '.join(found[:5])}; write more of the id")
    return found[0]
