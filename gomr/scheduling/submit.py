"""Submits a job: objects first, then one transaction, so that a job is there whole or not at all."""

import hashlib
import secrets
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gomr.backends import Put, Range, Version
from gomr.errors import UnavailableError, UsageError
from gomr.model import MAP_STAGE, OPEN, REDUCE_STAGE, REMOVING, RUNNING, Input, JobHead, JobRecord, StageRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import chunk_size, queue_entry
from gomr.scheduling.uploads import OnUpload, needs_copies, store_file, store_inputs

CUT_OFF = "the submit was cut off from the coordinator for too long; submit again"
INTENT_SECONDS = 300.0  # renewed at each step; a submitter that is gone for so long leaves its objects to gc


@dataclass(frozen=True, slots=True)
class Submitted:
    """The outcome of a submit: `executable_uploaded` is false where its bytes were stored already."""

    job: str
    executable_uploaded: bool
    attached: bool


class Intent:
    """A submitter's leased claim on objects that no job names yet; gc leaves them alone while it stands."""

    def __init__(self, cluster: Cluster, lease: int, names: tuple[str, ...]) -> None:
        self._cluster = cluster
        self._lease = lease
        nonce = secrets.token_hex(8)  # each submitter has keys of its own: one that leaves takes no other's away
        self.keys = [f"{keys.intents(name)}{nonce}" for name in names]
        self._renewed = time.monotonic()
        answer = cluster.transact(
            [Version(keys.CLUSTER, exists=True), *(Version(keys.deletion(name), exists=False) for name in names)],
            [Put(key, b"", lease) for key in self.keys],
            [Range(keys.CLUSTER, count_only=True)],
        )
        if not answer.ok and not answer.found[0].count:
            raise UnavailableError("the coordinator has lost all it held since this command began; see gomr doctor")
        if not answer.ok:
            raise UnavailableError(
                "gc is deleting objects that this job would use, or has just done so; try again in five minutes"
            )

    def renew_in_time(self) -> None:
        """Renew where a quarter of the time is over. Raises UnavailableError where the lease is gone."""
        if time.monotonic() - self._renewed > INTENT_SECONDS / 4:
            self.renew()

    def renew(self) -> None:
        """Give the lease its whole time again. Raises UnavailableError where it is gone."""
        self._renewed = time.monotonic()
        if self._cluster.retried(lambda: self._cluster.coordinator.keep_lease(self._lease)) <= 0:
            raise UnavailableError(CUT_OFF)


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


def submit(
    cluster: Cluster, executable: Path, record: JobRecord, on_upload: OnUpload = lambda _stored, _total: None
) -> Submitted:
    """Store the executable and local inputs if they are not stored yet, then the job; return how it went."""
    inputs = [Input(**item) for item in record.inputs]
    copies = needs_copies(cluster, inputs)
    names = (record.executable, record.job, *([keys.INPUTS_INTENT] if copies else []))
    with cluster.lease(INTENT_SECONDS) as lease:
        intent = Intent(cluster, lease, names)
        key = keys.executable(record.executable)
        uploaded = store_file(cluster, executable, key, record.executable, lambda _position: intent.renew_in_time())
        if copies:

            def renewing(stored: int, total: int) -> None:
                intent.renew_in_time()
                on_upload(stored, total)

            record = replace(record, inputs=[asdict(item) for item in store_inputs(cluster, inputs, renewing)])
        intent.renew()
        data = record.to_json()
        digest = hashlib.sha256(data).hexdigest()
        cluster.storage.put(keys.job_record(record.job, digest), data)
        return Submitted(record.job, uploaded, attached=not _open_job(cluster, record, digest, intent))


def _open_job(cluster: Cluster, record: JobRecord, record_digest: str, intent: Intent) -> bool:
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
        priority=record.priority,
        backups=record.backups,
        max_skipped=record.max_skipped,
    )
    tasks = len(record.splits)
    stage = StageRecord(tasks, chunk_size(tasks), OPEN)
    answer = cluster.transact(
        [Version(keys.head(record.job), exists=False), *(Version(key, exists=True) for key in intent.keys)],
        [
            Put(keys.head(record.job), head.to_json()),
            Put(keys.stage(record.job, MAP_STAGE), stage.to_json()),
            Put(keys.queue(record.job, head.priority), queue_entry(head)),
        ],
        [Range(keys.head(record.job))],
        durable=True,
    )
    if answer.ok:
        return True
    if not answer.found[0].items:
        raise UnavailableError(CUT_OFF)
    other = JobHead.from_json(answer.found[0].items[0].value)
    if other.state == REMOVING:
        raise UnavailableError(f"job {record.job} is being removed; submit again when it is gone")
    if other.executable != record.executable:
        raise UsageError(f"job {record.job} exists with another executable; choose another --idempotency-key")
    return other.record_digest == record_digest  # ours, from a run of this transaction whose answer was lost
