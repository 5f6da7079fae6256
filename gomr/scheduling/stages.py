"""Folds chunks of done tasks, closes stages, opens the next: by whoever commits last, in single transactions."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from gomr.backends import Compare, Delete, Operation, Put, Range, Revision, Version
from gomr.errors import GomrError
from gomr.model import CLOSED, DONE, OPEN, REDUCE_STAGE, DoneRecord, JobHead, StageRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.history import failed_attempts

CHUNK_SIZE_MIN, CHUNK_SIZE_MAX = 8, 256
TAIL_BYTES = 8  # an object whose block offsets did not fit the done record ends with them, and their length


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage as it was read: its transactions hold only while neither record has changed."""

    job: str
    stage: str
    head: JobHead
    head_revision: int
    record: StageRecord
    revision: int


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A finished task, as a chunk record tells of it."""

    index: int
    done: DoneRecord
    blocks: list[list[int]]


def chunk_size(tasks: int) -> int:
    """Return how many tasks share a chunk: small stages have small ones, so that folding starts early."""
    return max(CHUNK_SIZE_MIN, min(CHUNK_SIZE_MAX, -(-tasks // 16)))


def fold(cluster: Cluster, at: StageView, chunk: int) -> None:
    """Fold a chunk whose tasks are all done into one chunk record; close the stage if it was the last."""
    prefix = keys.done(at.job, at.stage, chunk)
    items = cluster.read(Range(prefix, keys.end_of(prefix)))[0].items
    if len(items) != len(at.record.chunk_tasks(chunk)):
        return  # another worker has folded it
    facts = []
    for item in items:
        index, done = keys.number_of(item.key), DoneRecord.from_json(item.value)
        blocks = _tail_blocks(cluster, at, index, done) if done.blocks is None else done.blocks
        facts.append({**json.loads(item.value), "index": index, "blocks": blocks})
    data = json.dumps(facts, separators=(",", ":")).encode()
    digest = hashlib.sha256(data).hexdigest()
    key = keys.chunk_record(at.job, at.stage, digest)
    cluster.storage.create(key, data)  # two may fold at once: same bytes, same name
    value = json.dumps({"record": digest, **_summary([DoneRecord.from_json(item.value) for item in items])}).encode()
    folded = keys.chunks(at.job, at.stage)
    answer = cluster.transact(
        [
            Version(keys.chunk(at.job, at.stage, chunk), exists=False),
            Revision(keys.stage(at.job, at.stage), at.revision),
        ],
        [
            Put(keys.chunk(at.job, at.stage, chunk), value),
            Delete(prefix, keys.end_of(prefix)),
            Range(folded, keys.end_of(folded), count_only=True),
        ],
    )
    if answer.ok and answer.found[0].count == at.record.chunks:
        close(cluster, at)


def _summary(done: list[DoneRecord]) -> dict[str, Any]:
    """Return what the coordinator tells of a folded chunk: what those who look at a whole job need not add up again."""
    requests: Counter[str] = Counter()
    for task in done:
        requests.update(task.requests)
    return {
        "tasks": len(done),
        "median_seconds": round(median(task.seconds for task in done), 3),
        "records_in": sum(task.records_in for task in done),
        "records_out": sum(task.records_out for task in done),
        "bytes_in": sum(task.bytes_in for task in done),
        "bytes_out": sum(task.size for task in done),
        "failed_attempts": sum(failed_attempts(task.history) for task in done),
        "requests": requests,
    }


def close(cluster: Cluster, at: StageView) -> None:
    """Close a stage whose chunks are all folded: write its manifest, then open the next stage or end the job."""
    prefix = keys.chunks(at.job, at.stage)
    items = cluster.read(Range(prefix, keys.end_of(prefix)))[0].items
    if len(items) != at.record.chunks:
        return
    manifest = {
        "stage": at.stage,
        "tasks": at.record.tasks,
        "chunks": [json.loads(item.value)["record"] for item in items],
    }
    data = json.dumps(manifest).encode()
    digest = hashlib.sha256(data).hexdigest()
    manifest_key = keys.manifest(at.job, at.stage, digest)
    cluster.storage.create(manifest_key, data)
    closed = replace(at.record, state=CLOSED, manifest_digest=digest)
    then: list[Operation] = [Put(keys.stage(at.job, at.stage), closed.to_json())]
    position = at.head.stages.index(at.stage)
    if position + 1 < len(at.head.stages):
        next_stage = at.head.stages[position + 1]
        tasks = _tasks_of(cluster, at, next_stage)
        opened = StageRecord(tasks, chunk_size(tasks), OPEN)
        head = replace(at.head, stage=next_stage)
        then += [
            Put(keys.stage(at.job, next_stage), opened.to_json()),
            Put(keys.queue(at.job, head.priority), queue_entry(head)),  # workers wait for changes of the queue
        ]
    else:
        head = replace(at.head, state=DONE, finished_seconds=time.time())
        then.append(Delete(keys.queue(at.job, head.priority)))
    then.append(Put(keys.head(at.job), head.to_json()))
    compares: list[Compare] = [
        Revision(keys.stage(at.job, at.stage), at.revision),
        Revision(keys.head(at.job), at.head_revision),
    ]
    cluster.transact(compares, then, durable=True)


def queue_entry(head: JobHead) -> bytes:
    """Return the value of a live job's queue key."""
    return json.dumps({"created": head.created_seconds, "stage": head.stage}).encode()


def finished_tasks(cluster: Cluster, job: str, stage: str, manifest_digest: str) -> list[TaskFacts]:
    """Return the facts of all tasks of a closed stage, in task order."""
    storage = cluster.storage
    data = storage.read(keys.manifest(job, stage, manifest_digest))
    if hashlib.sha256(data).hexdigest() != manifest_digest:
        raise GomrError(f"the manifest of {job} {stage} is damaged in the storage: its digest does not match")
    manifest = json.loads(data)
    facts: list[TaskFacts] = []
    for digest in manifest["chunks"]:
        facts += chunk_facts(cluster, job, stage, digest)
    return sorted(facts, key=lambda task: task.index)


def folded_tasks(cluster: Cluster, job: str, stage: str) -> Iterator[TaskFacts]:
    """Yield the facts of the tasks whose chunks are folded by now."""
    prefix = keys.chunks(job, stage)
    for item in cluster.read(Range(prefix, keys.end_of(prefix)))[0].items:
        yield from chunk_facts(cluster, job, stage, json.loads(item.value)["record"])


def chunk_facts(cluster: Cluster, job: str, stage: str, digest: str) -> list[TaskFacts]:
    """Return the facts of the tasks of one folded chunk."""
    key = keys.chunk_record(job, stage, digest)
    data = cluster.storage.read(key)
    if hashlib.sha256(data).hexdigest() != digest:
        raise GomrError(f"{key} is damaged in the storage: its digest does not match")
    tasks: list[dict[str, Any]] = json.loads(data)
    return [
        TaskFacts(task["index"], DoneRecord.from_json(json.dumps(task).encode()), task["blocks"] or [])
        for task in tasks
    ]


def with_tail(blocks: list[list[int]]) -> bytes:
    """Return the bytes that end an object whose block offsets do not fit a done record."""
    data = json.dumps(blocks, separators=(",", ":")).encode()
    return data + len(data).to_bytes(TAIL_BYTES, "big")


def _tail_blocks(cluster: Cluster, at: StageView, index: int, done: DoneRecord) -> list[list[int]]:
    key = keys.attempt_object(at.job, at.stage, index, done.nonce)
    storage = cluster.storage
    length = int.from_bytes(storage.read(key, done.size - TAIL_BYTES, TAIL_BYTES), "big")
    data = storage.read(key, done.size - TAIL_BYTES - length, length)
    blocks: list[list[int]] = json.loads(data)
    return blocks


def _tasks_of(cluster: Cluster, at: StageView, stage: str) -> int:
    """Return how many tasks a stage has: one a split, or one a partition."""
    record = cluster.job_record(at.job, at.head.record_digest)
    return record.partitions if stage == REDUCE_STAGE else len(record.splits)
