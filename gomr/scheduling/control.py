"""Cancels, runs again and removes jobs."""

import secrets
import time
from dataclasses import replace

from gomr.backends import Compare, Delete, Operation, Put, Range, Revision
from gomr.errors import NotFoundError, UsageError
from gomr.model import CANCELLED, DONE, ENDED, OPEN, REMOVING, RUNNING, STOPPED
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import queue_entry

DELETE_BATCH = 500


def cancel(cluster: Cluster, job: str) -> str:
    """End a running job as `cancelled`; return the state it has now. A job that has ended stays as it is."""
    while True:
        head, head_revision = cluster.head(job)
        if head.state != RUNNING:
            return head.state
        stage, stage_revision = cluster.stage(job, head.stage)
        answer = cluster.transact(
            [Revision(keys.head(job), head_revision), Revision(keys.stage(job, head.stage), stage_revision)],
            [
                Put(keys.head(job), replace(head, state=CANCELLED, finished_seconds=time.time()).to_json()),
                Put(keys.stage(job, head.stage), replace(stage, state=STOPPED).to_json()),
                Delete(keys.queue(job)),
            ],
            durable=True,
        )
        if answer.ok:
            return CANCELLED


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
        in_flight = keys.tasks(job, head.stage)
        compares: list[Compare] = [
            Revision(keys.head(job), head_revision),
            Revision(keys.stage(job, head.stage), stage_revision),
        ]
        then: list[Operation] = [
            Put(keys.head(job), opened.to_json()),
            Put(keys.stage(job, head.stage), replace(stage, state=OPEN).to_json()),
            Delete(in_flight, keys.end_of(in_flight)),
            Put(keys.queue(job), queue_entry(opened)),
        ]
        if cluster.transact(compares, then, durable=True).ok:
            return


def remove(cluster: Cluster, job: str) -> None:
    """Delete an ended job: its objects, then its keys, the head last, so that a half removed job can be removed again.

    Raises UsageError for a running job, NotFoundError for none.
    """
    while True:
        head, revision = cluster.head(job)
        if head.state == RUNNING:
            raise UsageError(f"job {job} is running; cancel it first: gomr cancel {job}")
        if head.state == REMOVING:  # by somebody who died over it, or is at it still: both may delete
            break
        answer = cluster.transact(
            [Revision(keys.head(job), revision)], [Put(keys.head(job), replace(head, state=REMOVING).to_json())]
        )
        if answer.ok:
            revision = answer.revision
            break
    # The head stays until the last object is gone, and no job of the same id can be submitted while it stays.
    delete_objects(cluster, keys.job_folder(job))
    prefix = keys.job(job)
    cluster.transact([Revision(keys.head(job), revision)], [Delete(prefix, keys.end_of(prefix))], durable=True)


def delete_objects(cluster: Cluster, prefix: str) -> int:
    """Delete every object below a storage prefix; return how many."""
    names = [info.key for info in cluster.storage.list(prefix)]
    for start in range(0, len(names), DELETE_BATCH):
        batch = names[start : start + DELETE_BATCH]
        cluster.storage.delete(batch)
    return len(names)


def find(cluster: Cluster, text: str) -> str:
    """Return the one job whose id is or starts with `text`. Raises NotFoundError, UsageError where several do."""
    prefix = f"j/{text}"
    items = cluster.read(Range(prefix, keys.end_of(prefix), keys_only=True))[0].items
    found = sorted({item.key.split("/")[1] for item in items if item.key.endswith("/h")})
    if text in found:
        return text
    if not found:
        raise NotFoundError(f"no job {text!r}; `gomr jobs` lists them")
    if len(found) > 1:
        raise UsageError(f"{text!r} is the start of {len(found)} jobs: {', '.join(found[:5])}; write more of the id")
    return found[0]
