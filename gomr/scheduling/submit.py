"""Submits a job: objects first, then one transaction, so that a job is there whole or not at all."""

import hashlib
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gomr.backends import Compare, Operation, Put, Range, Version
from gomr.errors import NotFoundError, UnavailableError, UsageError
from gomr.model import MAP_STAGE, OPEN, REDUCE_STAGE, REMOVING, RUNNING, Input, JobHead, JobRecord, StageRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.intents import CUT_OFF, Intent, intended
from gomr.scheduling.stages import chunk_size, queue_entry
from gomr.scheduling.uploads import OnUpload, needs_copy, store_file, store_inputs


@dataclass(frozen=True, slots=True)
class Submitted:
    """The outcome of a submit: `executable_uploaded` is false where its bytes were stored already.

    `attached`: the job was there, submitted with the same idempotency key.
    """

    job: str
    executable_uploaded: bool
    attached: bool


def new_job_id(name: str) -> str:
    """Return a job id that is never used again. Raises UsageError for a bad name."""
    job = f"{name}-{secrets.token_hex(6)}"
    if not keys.JOB_ID.fullmatch(job):
        raise UsageError(f"job name {name!r}: use up to 60 of a-z, 0-9, '.', '_', '-', a letter or digit first")
    return job


def submit(
    cluster: Cluster,
    executable: Path,
    record: JobRecord,
    idempotency_key: str = "",
    on_upload: OnUpload = lambda _stored, _total: None,
) -> Submitted:
    """Store the executable and local inputs if they are not stored yet, then the job; return how it went.

    With an idempotency key, the first submit of a job of this name makes the job, and the others find it.
    """
    named = hashlib.sha256(f"{record.name}\0{idempotency_key}".encode()).hexdigest() if idempotency_key else ""
    if named and (found := cluster.read(Range(keys.idempotency(named)))[0].items):
        return _attached(cluster, found[0].value.decode(), record)
    inputs = [Input(**item) for item in record.inputs]
    with intended(cluster, record.job) as intent:
        name = keys.executable(record.executable)
        copy = store_file(
            cluster, intent, executable, name, record.executable, lambda _position: intent.renew_in_time()
        )
        to_copy = [item for item in inputs if needs_copy(cluster, item)]
        if to_copy:

            def renewing(moved: int, total: int) -> None:
                intent.renew_in_time()
                on_upload(moved, total)

            copies = store_inputs(cluster, intent, to_copy, renewing)
            stored = {item.url: copy for item, copy in zip(to_copy, copies, strict=True)}
            record = replace(record, inputs=[asdict(stored.get(item.url, item)) for item in inputs])
        intent.renew()
        data = record.to_json()
        digest = hashlib.sha256(data).hexdigest()
        cluster.storage.put(keys.job_record(record.job, digest), data)
        head = replace(_head(record, digest), executable_object=copy.key, idempotency=named)
        other = _open_job(cluster, record, head, intent)
        if other:
            return _attached(cluster, other, record)
        return Submitted(record.job, executable_uploaded=copy.is_new, attached=False)


def _head(record: JobRecord, record_digest: str) -> JobHead:
    return JobHead(
        name=record.name,
        state=RUNNING,
        stage=MAP_STAGE,
        stages=[MAP_STAGE, REDUCE_STAGE] if record.describe["reducer"] else [MAP_STAGE],
        executable=record.executable,
        record_digest=record_digest,
        created_seconds=record.created_seconds,
        requires=record.describe["requires"],
        attempts_max=record.attempts_max,
        priority=record.priority,
        backups=record.backups,
        max_skipped=record.max_skipped,
        losses_max=record.losses_max,
        input_bytes=sum(item["size"] for item in record.inputs),
    )


def _open_job(cluster: Cluster, record: JobRecord, head: JobHead, intent: Intent) -> str:
    """Make the job visible to workers; return the job that its idempotency key names already, or ""."""
    job, tasks = record.job, len(record.splits)
    compares: list[Compare] = [Version(keys.head(job), exists=False), intent.stands, intent.is_unused]
    then: list[Operation] = [
        Put(keys.head(job), head.to_json()),
        Put(keys.stage(job, MAP_STAGE), StageRecord(tasks, chunk_size(tasks), OPEN).to_json()),
        Put(keys.queue(job, head.priority), queue_entry(head)),
        intent.using(),
    ]
    look = [Range(keys.head(job))]
    if head.idempotency:
        compares.append(Version(keys.idempotency(head.idempotency), exists=False))
        then.append(Put(keys.idempotency(head.idempotency), job.encode()))
        look.append(Range(keys.idempotency(head.idempotency)))
    answer = cluster.transact(compares, then, look, durable=True)
    if answer.ok or answer.found[0].items:  # by a run of this transaction whose answer was lost
        return ""
    if head.idempotency and answer.found[1].items:
        return answer.found[1].items[0].value.decode()
    raise UnavailableError(CUT_OFF)


def _attached(cluster: Cluster, job: str, record: JobRecord) -> Submitted:
    """Return the job that another submit of the same key has made. Raises UsageError, UnavailableError."""
    try:
        head, _ = cluster.head(job)
    except NotFoundError:
        head = None
    if head is None or head.state == REMOVING:
        raise UnavailableError(f"job {job} is being removed (gomr rm {job} ends it); submit again when it is gone")
    if head.executable != record.executable:
        raise UsageError(f"job {job} exists with another executable; choose another --idempotency-key")
    return Submitted(job, executable_uploaded=False, attached=True)
