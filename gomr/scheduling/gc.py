"""Deletes what nobody needs: executables without a job, remains of failed submits and of superseded attempts.

Ages are judged by the storage's own clock: a marker object is written now, and its modification time is "now". What
somebody is about to use is protected by a leased intent: gc looks for intents in the transaction that marks the object
as being deleted, and a submit looks for that mark in the transaction that puts its intent (DESIGN.md, "gc").
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gomr.backends import Found, Put, Range, Version
from gomr.model import DONE, ENDED, REMOVING, STORED
from gomr.planning import COPIES
from gomr.scheduling import control, keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import finished_tasks
from gomr.scheduling.status import jobs

GRACE_SECONDS = 24 * 3600.0  # far beyond any upload; a submit that takes longer keeps its intent alive
DELETION_SECONDS = 60.0  # the lease of the mark on an object that is being deleted
MARKER = "gc/marker"


@dataclass(frozen=True, slots=True)
class Garbage:
    """One thing that gc deleted, or would delete: a storage key or a prefix ending in "/"."""

    key: str
    reason: str
    size: int


def collect(
    cluster: Cluster, *, grace_seconds: float = GRACE_SECONDS, results: bool = False, dry_run: bool = False
) -> Iterator[Garbage]:
    """Delete garbage, and yield it; with `results`, ended jobs older than the grace go too."""
    cluster.identify()
    cluster.storage.put(MARKER, b"")
    before = cluster.storage.stat(MARKER).modified_seconds - grace_seconds
    known = dict(jobs(cluster))
    for job, head in known.items():
        old = head.state in ENDED and head.finished_seconds < before
        if head.state == REMOVING or (results and old):
            if not dry_run:
                control.remove(cluster, job)
            yield Garbage(keys.job_folder(job), "removed job" if head.state == REMOVING else f"{head.state} job", 0)
        elif head.state == DONE:
            yield from _superseded(cluster, job, head.stages, before, dry_run)
    used = {head.executable for _, head in jobs(cluster)}
    yield from _unused(cluster, "bin/", used, before, dry_run)
    yield from _unused_inputs(cluster, before, dry_run)
    yield from _half_submitted(cluster, set(known), before, dry_run)


def _unused(cluster: Cluster, prefix: str, used: set[str], before: float, dry_run: bool) -> Iterator[Garbage]:
    for info in cluster.storage.list(prefix):
        digest = info.key.removeprefix(prefix)
        if digest not in used and info.modified_seconds < before and (dry_run or _delete(cluster, digest, info.key)):
            yield Garbage(info.key, "executable of no job", info.size)


def _unused_inputs(cluster: Cluster, before: float, dry_run: bool) -> Iterator[Garbage]:
    """Yield the copies of local inputs that no job names. While they are looked through, no submit may use one."""
    old = [info for info in cluster.storage.list(COPIES) if info.modified_seconds < before]
    if not old:
        return
    with _marked(cluster, keys.INPUTS_INTENT) as answer:
        if answer is None:
            return
        used: set[str] = set()
        for job, head in jobs(cluster):
            if head.state != REMOVING:
                record = cluster.job_record(job, head.record_digest)
                used |= {item["url"].removeprefix(STORED) for item in record.inputs}
        for info in old:
            if info.key.removeprefix(COPIES) not in used:
                if not dry_run:
                    cluster.storage.delete([info.key])
                yield Garbage(info.key, "input of no job", info.size)


def _half_submitted(cluster: Cluster, known: set[str], before: float, dry_run: bool) -> Iterator[Garbage]:
    """Yield the objects of jobs that the coordinator does not know: their submitter died."""
    newest: dict[str, float] = {}
    for info in cluster.storage.list("jobs/"):
        job = info.key.split("/")[1]
        newest[job] = max(newest.get(job, 0.0), info.modified_seconds)
    for job, modified_seconds in newest.items():
        if job in known or modified_seconds >= before:
            continue
        folder = keys.job_folder(job)
        if dry_run or _delete(cluster, job, folder):
            yield Garbage(folder, "job that was never submitted whole", 0)


def _superseded(cluster: Cluster, job: str, stages: list[str], before: float, dry_run: bool) -> Iterator[Garbage]:
    """Yield what attempts wrote that no result is made of: those that do not count, and all of earlier stages."""
    for stage in stages:
        counted: set[str] = set()
        reason = "intermediate data of a job that is done"
        if stage == stages[-1]:
            record, _ = cluster.stage(job, stage)
            finished = finished_tasks(cluster, job, stage, record.manifest_digest)
            counted = {keys.attempt_object(job, stage, task.index, task.done.nonce) for task in finished}
            reason = "attempt that does not count"
        for info in list(cluster.storage.list(f"{keys.job_folder(job)}{stage}/")):
            is_attempt = info.key.split("/")[3].isdigit()
            if is_attempt and info.key not in counted and info.modified_seconds < before:
                if not dry_run:
                    cluster.storage.delete([info.key])
                yield Garbage(info.key, reason, info.size)


def _delete(cluster: Cluster, name: str, key: str) -> bool:
    """Delete an object, or a folder, unless somebody is about to use it or a job has come to use it meanwhile."""
    with _marked(cluster, name) as answer:
        if answer is None:
            return False
        heads = {item.key.split("/")[1]: item.value for item in answer.items if item.key.endswith("/h")}
        if name in heads or any(json.loads(head)["executable"] == name for head in heads.values()):
            return False
        if key.endswith("/"):
            control.delete_objects(cluster, key)
        else:
            cluster.storage.delete([key])
    return True


@contextmanager
def _marked(cluster: Cluster, name: str) -> Iterator[Found | None]:
    """Mark `name` as being deleted while the block runs; yield the keys of all jobs as they were at that moment.

    Yields None where another gc is at it, or a submit is about to use it.
    """
    with cluster.lease(DELETION_SECONDS) as lease:
        mark, nonce = keys.deletion(name), secrets.token_bytes(8)
        intents = keys.intents(name)
        look = [Range(mark), Range(intents, keys.end_of(intents)), Range("j/", keys.end_of("j/"))]
        answer = cluster.transact([Version(mark, exists=False)], [Put(mark, nonce, lease), *look], look)
        marks, users, jobs_found = answer.found
        is_ours = bool(marks.items) and marks.items[0].value == nonce
        yield jobs_found if is_ours and not users.items else None
