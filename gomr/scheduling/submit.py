"""Submits a job: objects first, then one transaction, so that a job is there whole or not at all."""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gomr.backends import COPY_BYTES, Put, Range, Version
from gomr.errors import NotFound, UnavailableError, UsageError
from gomr.model import MAP_STAGE, OPEN, REDUCE_STAGE, RUNNING, JobHead, JobRecord, StageRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import chunk_size, queue_entry

INTENT_SECONDS = 300.0  # renewed at each step; a submitter that is gone for so long leaves its objects to gc


@dataclass(frozen=True, slots=True)
class Submitted:
    """The outcome of a submit: `executable_uploaded` is false where its bytes were stored already."""

    job: str
    executable_uploaded: bool
    attached: bool


@contextmanager
def intent(cluster: Cluster, *names: str) -> Iterator[Callable[[], None]]:
    """Protect objects from gc while they are not yet named by a job; yields a function that renews the protection.

    Raises UnavailableError while gc is deleting one of them.
    """
    lease = cluster.coordinator.grant_lease(INTENT_SECONDS)
    try:
        answer = cluster.transact(
            [Version(keys.deletion(name), exists=False) for name in names],
            [Put(keys.intent(name), b"", lease) for name in names],
        )
        if not answer.ok:
            raise UnavailableError("gc is deleting an unused copy of this executable just now; try again in a minute")
        yield lambda: _renew(cluster, lease)
    finally:
        cluster.coordinator.revoke_lease(lease)


def new_job_id(name: str, idempotency_key: str = "") -> str:
    """Return a random job id, or the one that this key always gives. Raises UsageError for a bad name."""
    if idempotency_key:
        suffix = hashlib.sha256(f"{name}\0{idempotency_key}".encode()).hexdigest()[:12]
    else:
        suffix = secrets.token_hex(6)
    job = f"{name}-{suffix}"
    if not keys.JOB_ID.fullmatch(job):
        raise UsageError(f"job name {name!r}: use up to 60 of a-z, 0-9, '.', '_', '-', a letter or digit first")
    return job


def submit(cluster: Cluster, executable: Path, record: JobRecord) -> Submitted:
    """Store the executable if it is not stored yet, then the job; return how it went."""
    with intent(cluster, record.executable, record.job) as renew:
        uploaded = _store_executable(cluster, executable, record.executable)
        renew()
        data = record.to_json()
        digest = hashlib.sha256(data).hexdigest()
        cluster.retried(lambda: cluster.storage.put(keys.job_record(record.job, digest), data))
        renew()
        return Submitted(record.job, uploaded, attached=not _open_job(cluster, record, digest))


def _store_executable(cluster: Cluster, executable: Path, digest: str) -> bool:
    """Upload the executable under its digest, unless it is there with the right size; return whether it was."""
    key = keys.executable(digest)
    try:
        if cluster.retried(lambda: cluster.storage.stat(key)).size == executable.stat().st_size:
            return False
    except NotFound:
        pass

    def upload() -> None:
        read = hashlib.sha256()
        with executable.open("rb") as file, cluster.storage.write(key) as writer:
            while data := file.read(COPY_BYTES):
                read.update(data)
                writer.write(data)
            if read.hexdigest() != digest:
                raise UsageError(f"{executable} changed while it was uploaded; submit again")

    cluster.retried(upload)
    return True


def _open_job(cluster: Cluster, record: JobRecord, record_digest: str) -> bool:
    """Make the job visible to workers; return whether it is new. Two submits of one id: one wins, both have the job."""
    stages = [MAP_STAGE, REDUCE_STAGE] if record.describe["reducer"] else [MAP_STAGE]
    head = JobHead(
        name=record.name,
        state=RUNNING,
        stage=MAP_STAGE,
        stages=stages,
        executable=record.executable,
        record_digest=record_digest,
        created_seconds=record.created_seconds,
        requires=record.describe["requires"],
        attempts_max=record.attempts_max,
    )
    tasks = len(record.splits)
    stage = StageRecord(tasks, chunk_size(tasks), OPEN)
    answer = cluster.transact(
        [Version(keys.head(record.job), exists=False)],
        [
            Put(keys.head(record.job), head.to_json()),
            Put(keys.stage(record.job, MAP_STAGE), stage.to_json()),
            Put(keys.queue(record.job), queue_entry(head)),
        ],
        [Range(keys.head(record.job))],
        durable=True,
    )
    if answer.ok:
        return True
    other = JobHead.from_json(answer.found[0].items[0].value)
    if other.executable != record.executable:
        raise UsageError(f"job {record.job} exists with another executable; choose another --idempotency-key")
    return other.record_digest == record_digest  # ours, from a run of this transaction whose answer was lost


def _renew(cluster: Cluster, lease: int) -> None:
    if cluster.coordinator.keep_lease(lease) <= 0:
        raise UnavailableError("the submit was cut off from the coordinator for too long; submit again")
