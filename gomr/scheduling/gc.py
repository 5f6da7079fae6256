"""Deletes what nobody needs: executables without a job, remains of failed submits and of superseded attempts.

Ages are judged by the storage's own clock: a marker object is written now, and its modification time is "now". No name
of an object is used twice, so that garbage is garbage for ever and no deletion comes too late; what a submit is about
to use, its intent keeps (DESIGN.md, "gc").
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from gomr.backends import Delete, Item, ObjectInfo, Range, Revision
from gomr.errors import NotFound, NotFoundError, UsageError
from gomr.inputs import COPIES
from gomr.model import DONE, ENDED, REMOVING, STORED, JobHead
from gomr.scheduling import control, keys
from gomr.scheduling.cluster import Cluster, check_layout
from gomr.scheduling.stages import finished_tasks
from gomr.scheduling.status import jobs
from gomr.scheduling.uploads import held_object

GRACE_SECONDS = 24 * 3600.0  # far beyond any upload; a submit that takes longer keeps its intent alive
MARKER = "gc/marker"
# All that gomr writes below the root of a storage, except for the object that names the cluster, which stays for ever.
OWN_FOLDERS = (keys.EXECUTABLES, COPIES, "jobs/", "gc/", "doctor/", "probe-")
# As many as one request of S3 deletes.
VERSIONS_PER_DELETION = 1000
NAMES_PER_LOOK = 50  # two ranges each: a transaction of etcd's takes 128


@dataclass(frozen=True, slots=True)
class Garbage:
    """One thing that gc deleted, or would delete: a storage key or a prefix ending in "/"."""

    key: str
    reason: str
    size: int


def collect(
    cluster: Cluster,
    *,
    grace_seconds: float = GRACE_SECONDS,
    results: bool = False,
    versions: bool = False,
    dry_run: bool = False,
) -> Iterator[Garbage]:
    """Delete garbage, and yield it; with `results`, ended jobs older than the grace go too.

    With `versions`, so does what a versioned storage keeps of objects that were deleted or replaced before the grace.

    Raises UsageError where a newer gomr has submitted a job: what that needs is not known here.
    """
    cluster.identify()
    cluster.storage.put(MARKER, b"")
    before = cluster.storage.stat(MARKER).modified_seconds - grace_seconds
    for job, head in _known_jobs(cluster):
        old = results and head.state in ENDED and head.finished_seconds < before and _is_old(cluster, job, before)
        if head.state == REMOVING or old:
            if not dry_run and not _removed(cluster, job, before):
                continue
            yield Garbage(keys.job_folder(job), "removed job" if head.state == REMOVING else f"{head.state} job", 0)
        elif head.state == DONE:
            try:
                yield from _superseded(cluster, job, head.stages, before, dry_run)
            except (NotFound, NotFoundError) as error:
                if any(other == job and now.state == DONE for other, now in jobs(cluster)):  # it was not removed
                    raise NotFoundError(f"job {job} has lost a part of its records: gomr rm {job}") from error
    yield from _unused(cluster, before, dry_run)
    yield from _half_submitted(cluster, before, dry_run)
    if versions:
        yield from _old_versions(cluster, before, dry_run)


def delete_intermediate(cluster: Cluster, job: str) -> None:
    """Delete at once what the earlier stages of a job that is done have written; a job in another state keeps it."""
    head, _ = cluster.head(job)
    if head.state == DONE:
        for stage in head.stages[:-1]:
            written = control.objects_below(cluster, f"{keys.job_folder(job)}{stage}/")
            control.delete_objects(cluster, filter(_is_attempt, written))


def _known_jobs(cluster: Cluster) -> list[tuple[str, JobHead]]:
    found = jobs(cluster)
    for job, head in found:
        check_layout(job, head)
    return found


def _is_old(cluster: Cluster, job: str, before: float) -> bool:
    """Say whether all that a job wrote is old, by the storage's clock: the one of its last worker may be wrong."""
    return all(info.modified_seconds < before for info in cluster.storage.list(keys.job_folder(job)))


def _removed(cluster: Cluster, job: str, before: float) -> bool:
    try:
        control.remove(cluster, job, before)
    except (NotFoundError, UsageError):  # gone, or run again, since it was looked at
        return False
    return True


def _unused(cluster: Cluster, before: float, dry_run: bool) -> Iterator[Garbage]:
    """Yield the executables and the copies of inputs that no job uses, and no submit is about to use."""
    old: dict[str, list[ObjectInfo]] = {}
    for folder in (keys.EXECUTABLES, COPIES):
        for info in cluster.storage.list(folder):
            if info.modified_seconds < before:
                old.setdefault(info.key.rpartition("/")[0], []).append(info)
    free = dict(_without_intent(cluster, list(old)))
    used = _used(cluster, with_inputs=any(name.startswith(COPIES) for name in free))  # now: after the intents
    for name, holder in free.items():
        for info in old[name]:
            if info.key in used or not (dry_run or _let_go(cluster, info.key, holder)):
                continue
            if not dry_run:
                cluster.storage.delete([info.key])
            yield Garbage(info.key, f"{'input' if name.startswith(COPIES) else 'executable'} of no job", info.size)


def _without_intent(cluster: Cluster, names: Sequence[str]) -> Iterator[tuple[str, Item | None]]:
    """Yield each name that no submit is about to use, with the key that says which object holds its bytes.

    Each with its intents at one moment: whoever has used it before has opened a job by now, or never will; whoever
    comes to use it later changes that key.
    """
    for start in range(0, len(names), NAMES_PER_LOOK):
        batch = names[start : start + NAMES_PER_LOOK]
        look = []
        for name in batch:
            intents = keys.intents(name)
            look += [Range(keys.holder(name)), Range(intents, keys.end_of(intents), count_only=True)]
        found = cluster.read(*look)
        for name, holders, intended in zip(batch, found[::2], found[1::2], strict=True):
            if not intended.count:
                yield name, holders.items[0] if holders.items else None


def _used(cluster: Cluster, *, with_inputs: bool) -> set[str]:
    """Return the keys of the objects that jobs use now."""
    used: set[str] = set()
    for job, head in _known_jobs(cluster):
        used.add(head.executable_object)
        if with_inputs and head.state != REMOVING:
            used |= _inputs_of(cluster, job, head)
    cluster.run_there([])  # it knew all jobs until here
    return used


def _inputs_of(cluster: Cluster, job: str, head: JobHead) -> set[str]:
    """Return the keys of the copies that a job reads; none where it was removed meanwhile."""
    try:
        record = cluster.job_record(job, head.record_digest)
    except NotFoundError:
        if any(other == job and now.state != REMOVING for other, now in jobs(cluster)):
            raise
        return set()
    return {COPIES + item["url"].removeprefix(STORED) for item in record.inputs if item["url"].startswith(STORED)}


def _let_go(cluster: Cluster, key: str, holder: Item | None) -> bool:
    """Have no submit use an object any more; return False where one has come to use it since its holder was read."""
    if holder is None or held_object(holder) != key:
        return True
    return cluster.transact([Revision(holder.key, holder.revision)], [Delete(holder.key)], durable=True).ok


def _half_submitted(cluster: Cluster, before: float, dry_run: bool) -> Iterator[Garbage]:
    """Yield the folders of jobs that never opened, or were removed while something was still being written."""
    found: dict[str, list[ObjectInfo]] = {}
    for info in cluster.storage.list("jobs/"):
        found.setdefault(info.key.split("/")[1], []).append(info)
    for job, objects in found.items():
        if max(info.modified_seconds for info in objects) >= before:
            continue
        folder = keys.job_folder(job)
        intents = keys.intents(folder.rstrip("/"))
        look = [Range(keys.head(job)), Range(intents, keys.end_of(intents), count_only=True)]
        if any(there.count for there in cluster.run_there(look)):
            continue
        if not dry_run:
            control.delete_objects(cluster, [info.key for info in objects])
        yield Garbage(folder, "job that was never submitted whole", 0)


def _old_versions(cluster: Cluster, before: float, dry_run: bool) -> Iterator[Garbage]:
    """Yield the versions that hide behind gomr's keys: no name is used twice, and nothing reads an old version.

    In gomr's own folders alone, for the root of the storage may be a bucket of many things.
    """
    for folder in OWN_FOLDERS:
        versions = cluster.storage.old_versions(folder)
        old = (version for version in versions if version.superseded_seconds <= before)
        while batch := list(islice(old, VERSIONS_PER_DELETION)):
            if not dry_run:
                cluster.storage.delete_versions(batch)
            for version in batch:
                yield Garbage(version.key, "mark of a deletion" if version.is_marker else "old version", version.size)


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
            if _is_attempt(info.key) and info.key not in counted and info.modified_seconds < before:
                if not dry_run:
                    cluster.storage.delete([info.key])
                yield Garbage(info.key, reason, info.size)


def _is_attempt(key: str) -> bool:
    """Say whether an object of a stage is what an attempt wrote: the others tell of the stage itself."""
    return key.split("/")[3].isdigit()
