"""Deletes what nobody needs: executables without a job, remains of failed submits and of superseded attempts.

Ages are judged by the storage's own clock: a marker object is written now, and its modification time is "now". What
somebody is about to use is protected by a leased intent: gc looks for intents in the transaction that marks the object
as being deleted, and a submit looks for that mark in the transaction that puts its intent (DESIGN.md, "gc").
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gomr.backends import ObjectInfo
from gomr.errors import NotFoundError
from gomr.model import DONE, ENDED, REMOVING, STORED, JobHead
from gomr.planning import COPIES
from gomr.scheduling import control, keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.marks import marked
from gomr.scheduling.stages import finished_tasks
from gomr.scheduling.status import jobs

GRACE_SECONDS = 24 * 3600.0  # far beyond any upload; a submit that takes longer keeps its intent alive
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
            if not dry_run and not _removed(cluster, job):
                continue  # somebody else is at it
            yield Garbage(keys.job_folder(job), "removed job" if head.state == REMOVING else f"{head.state} job", 0)
        elif head.state == DONE:
            yield from _superseded(cluster, job, head.stages, before, dry_run)
    used = {head.executable for _, head in jobs(cluster)}
    yield from _unused(cluster, "bin/", used, before, dry_run)
    yield from _unused_inputs(cluster, before, dry_run)
    yield from _half_submitted(cluster, known, before, dry_run)


def _removed(cluster: Cluster, job: str) -> bool:
    try:
        return control.remove(cluster, job)
    except NotFoundError:
        return False


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
    garbage: list[Garbage] = []  # told only after the mark is gone: who hears of it may take its time
    with marked(cluster, keys.INPUTS_INTENT) as mark:
        if mark is not None:
            used: set[str] = set()
            for job, head in jobs(cluster):
                if head.state != REMOVING:
                    mark.keep()
                    record = cluster.job_record(job, head.record_digest)
                    used |= {item["url"].removeprefix(STORED) for item in record.inputs}
            unused = [info for info in old if info.key.removeprefix(COPIES) not in used]
            if not dry_run:
                control.delete_objects(cluster, [info.key for info in unused], mark.keep)
            garbage = [Garbage(info.key, "input of no job", info.size) for info in unused]
    yield from garbage


def _half_submitted(cluster: Cluster, known: dict[str, JobHead], before: float, dry_run: bool) -> Iterator[Garbage]:
    """Yield the objects of jobs that the coordinator does not know, and records that another submit's won against."""
    newest: dict[str, float] = {}
    records: list[ObjectInfo] = []
    for info in cluster.storage.list("jobs/"):
        job, name = info.key.split("/")[1:3]
        newest[job] = max(newest.get(job, 0.0), info.modified_seconds)
        is_record = name.startswith("job-") and job in known and info.modified_seconds < before
        if is_record and info.key != keys.job_record(job, known[job].record_digest):
            records.append(info)
    for job, modified_seconds in newest.items():
        if job in known or modified_seconds >= before:
            continue
        folder = keys.job_folder(job)
        if dry_run or _delete(cluster, job, folder):
            yield Garbage(folder, "job that was never submitted whole", 0)
    for info in records:
        if _delete_record(cluster, info.key, dry_run):
            yield Garbage(info.key, "record of a submit that found the job there", info.size)


def _delete_record(cluster: Cluster, key: str, dry_run: bool) -> bool:
    """Delete a job's record unless its head names it; return whether it did, or would."""
    job = key.split("/")[1]
    with marked(cluster, job) as mark:
        if mark is None:
            return False
        try:
            head, _ = cluster.head(job)
        except NotFoundError:
            return False  # removed meanwhile
        if key == keys.job_record(job, head.record_digest):
            return False
        if not dry_run:
            control.delete_objects(cluster, [key], mark.keep)
    return True


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
    with marked(cluster, name) as mark:
        if mark is None:
            return False
        # Whoever opened a job before the mark stood is seen here; nobody can begin to while it stands.
        if any(name in (job, head.executable) for job, head in jobs(cluster)):
            return False
        mark.lingers = not key.endswith("/")  # an executable may be stored again by that name; what jobs write is not
        names = control.objects_below(cluster, key) if key.endswith("/") else [key]
        control.delete_objects(cluster, names, mark.keep)
    return True
