"""What the records say of jobs, tasks and workers; reads only."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gomr.backends import Range
from gomr.errors import NotFoundError
from gomr.model import (
    ATTEMPT_RUNS,
    CLOSED,
    ENDED,
    FAILED,
    RUNNING,
    DoneRecord,
    JobHead,
    TaskRecord,
    WorkerRecord,
)
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import chunk_facts, folded_tasks


@dataclass(frozen=True, slots=True)
class StageStatus:
    """How far a stage is, in tasks."""

    stage: str
    state: str
    tasks: int
    done: int
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How far a job is. `notes` are sentences on what holds it up."""

    job: str
    name: str
    state: str
    executable: str
    created_seconds: float
    elapsed_seconds: float
    stages: list[StageStatus]
    error: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the status as JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """One task: `state` is pending, run, wait, done, or dead where it failed the job."""

    task: str
    state: str
    attempt: int = 0
    worker: str = ""
    records_in: int = 0
    records_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    run_seconds: float = 0.0
    peak_memory_bytes: int = 0
    error: str = ""
    requests: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the status as JSON types."""
        return asdict(self)


def jobs(cluster: Cluster) -> list[tuple[str, JobHead]]:
    """Return all jobs and their heads, the newest last."""
    items = cluster.read(Range(keys.HEADS, keys.end_of(keys.HEADS)))[0].items
    heads = [(item.key.removeprefix(keys.HEADS), JobHead.from_json(item.value)) for item in items]
    return sorted(heads, key=lambda found: (found[1].created_seconds, found[0]))


def workers(cluster: Cluster) -> dict[str, WorkerRecord]:
    """Return the live workers by id."""
    items = cluster.read(Range(keys.WORKERS, keys.end_of(keys.WORKERS)))[0].items
    return {item.key.removeprefix(keys.WORKERS): WorkerRecord.from_json(item.value) for item in items}


def job_status(cluster: Cluster, job: str) -> JobStatus:
    """Return how far a job is. Raises NotFoundError."""
    head, _ = cluster.head(job)
    ended = head.finished_seconds or time.time()
    return JobStatus(
        job=job,
        name=head.name,
        state=head.state,
        executable=head.executable,
        created_seconds=head.created_seconds,
        elapsed_seconds=max(0.0, ended - head.created_seconds),
        stages=[_stage_status(cluster, job, stage) for stage in head.stages],
        error=head.error,
        notes=hindrances(head, workers(cluster)) if head.state == RUNNING else [],
        counters=counters(cluster, job, head) if head.state in ENDED else {},
    )


def tasks(cluster: Cluster, job: str) -> list[TaskStatus]:
    """Return every task of the job's stages so far. Raises NotFoundError."""
    head, _ = cluster.head(job)
    statuses: list[TaskStatus] = []
    for stage in head.stages:
        try:
            record, _ = cluster.stage(job, stage)
        except NotFoundError:
            break
        known: dict[int, TaskStatus] = {}
        in_flight, done, folded = (keys.tasks(job, stage), keys.done(job, stage), keys.chunks(job, stage))
        dead = keys.dead_letters(job, stage)
        found = cluster.read(*(Range(prefix, keys.end_of(prefix)) for prefix in (in_flight, done, folded, dead)))
        for item in found[0].items:
            known[keys.number_of(item.key)] = _in_flight(
                stage, keys.number_of(item.key), TaskRecord.from_json(item.value)
            )
        for item in found[1].items:
            known[keys.number_of(item.key)] = _finished(
                stage, keys.number_of(item.key), DoneRecord.from_json(item.value)
            )
        for item in found[2].items:
            for facts in chunk_facts(cluster, job, stage, json.loads(item.value)["record"]):
                known[facts.index] = _finished(stage, facts.index, facts.done)
        for item in found[3].items if head.state == FAILED else ():
            index = keys.number_of(item.key)
            known[index] = replace(known.get(index, TaskStatus(f"{stage}/{index}", "dead")), state="dead")
        pending = (TaskStatus(f"{stage}/{index}", "pending") for index in range(record.tasks))
        statuses += [known.get(index, status) for index, status in enumerate(pending)]
    return statuses


def counters(cluster: Cluster, job: str, head: JobHead) -> dict[str, int]:
    """Return the job's counters, summed over its folded chunks: gomr's own, and the user's."""
    totals: Counter[str] = Counter()
    for stage in head.stages:
        kind = stage.partition("-")[2]
        for facts in folded_tasks(cluster, job, stage):
            done = facts.done
            totals.update(done.counters)
            totals[f"{kind}.records_in"] += done.records_in
            totals[f"{kind}.records_out"] += done.records_out
            totals[f"{kind}.bytes_in"] += done.bytes_in
            totals[f"{kind}.bytes_out"] += done.size
            totals[f"{kind}.spills"] += done.spills
            if done.skipped:
                totals[f"{kind}.skipped"] += done.skipped
            totals.update({f"storage.{name}": amount for name, amount in done.requests.items()})
    return dict(totals)


def matches(requires: dict[str, Any], offers: dict[str, Any]) -> bool:
    """Say whether what a worker offers is what an executable requires."""
    return (
        requires.get("contract") in offers.get("contracts", ())
        and requires.get("python") in (None, *offers.get("pythons", ()))
        and requires.get("platform") in (None, offers.get("platform"))
    )


def required(requires: dict[str, Any]) -> str:
    """Return what an executable requires as one word, such as `cp311-linux-x86_64`."""
    parts = [part for part in (requires.get("python"), requires.get("platform")) if part]
    return "-".join(parts) or "anything"


def _stage_status(cluster: Cluster, job: str, stage: str) -> StageStatus:
    try:
        record, _ = cluster.stage(job, stage)
    except NotFoundError:
        return StageStatus(stage, "pending", 0, 0, 0, 0)
    if record.state == CLOSED:
        return StageStatus(stage, record.state, record.tasks, record.tasks, 0, 0)
    flight, done, folded = keys.tasks(job, stage), keys.done(job, stage), keys.chunks(job, stage)
    tasks_found, done_found, folded_found = cluster.read(
        Range(flight, keys.end_of(flight)),
        Range(done, keys.end_of(done), count_only=True),
        Range(folded, keys.end_of(folded)),
    )
    states = Counter(TaskRecord.from_json(item.value).state for item in tasks_found.items)
    finished = done_found.count + sum(json.loads(item.value)["tasks"] for item in folded_found.items)
    running = states[ATTEMPT_RUNS]
    return StageStatus(stage, record.state, record.tasks, finished, running, record.tasks - finished - running)


def hindrances(head: JobHead, alive: Mapping[str, WorkerRecord]) -> list[str]:
    """Return sentences on what holds a running job up, where these workers are alive."""
    if not alive:
        return ["no worker is alive; start one: gomr worker"]
    if not any(matches(head.requires, worker.offers) for worker in alive.values()):
        return [f"no worker offers {required(head.requires)}"]
    unfit = [f"worker {name} {worker.unfit}" for name, worker in alive.items() if worker.unfit]
    refusals = {worker.refused[head.executable] for worker in alive.values() if head.executable in worker.refused}
    return [*(f"refused by a worker: {reason}" for reason in sorted(refusals)), *sorted(unfit)]


def _in_flight(stage: str, index: int, record: TaskRecord) -> TaskStatus:
    message = record.error.get("message", "")
    return TaskStatus(f"{stage}/{index}", record.state, record.attempt, record.worker, error=str(message))


def _finished(stage: str, index: int, done: DoneRecord) -> TaskStatus:
    return TaskStatus(
        f"{stage}/{index}",
        "done",
        done.attempt,
        done.worker,
        done.records_in,
        done.records_out,
        done.bytes_in,
        done.size,
        done.run_seconds,
        done.peak_memory_bytes,
        requests=done.requests,
    )
