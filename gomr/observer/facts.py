"""One task as those who look at a job see it, whatever record it is read from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gomr.model import DoneRecord, TaskRecord, attempt_name

PENDING, RUNNING, WAITING, DONE, DEAD = "pending", "run", "wait", "done", "dead"
STOPPED = "stopped"  # it was in hand when its job ended


@dataclass(slots=True)
class TaskFacts:
    """A task's state and numbers; times in seconds, `started` since the epoch by its worker's clock, sizes in bytes.

    `history` tells of earlier attempts, see `gomr.scheduling.history`; `backup` is the record of one that runs now.
    """

    index: int
    state: str
    attempt: str = ""
    worker: str = ""
    started: float = 0.0
    fetch: float = 0.0
    wait: float = 0.0
    run: float = 0.0
    write: float = 0.0
    records_in: int = 0
    records_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    memory: int = 0
    spills: int = 0
    skipped: int = 0
    error: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    backup: TaskRecord | None = None

    @property
    def seconds(self) -> float:
        """How long its last attempt worked: without the wait for a slot."""
        return self.fetch + self.run + self.write

    @property
    def ended(self) -> float:
        """When its last attempt ended; 0.0 where it runs, or where that was not recorded."""
        has_ended = self.state in (DONE, STOPPED) and self.started
        return self.started + self.seconds + self.wait if has_ended else 0.0


def in_flight(index: int, record: TaskRecord, backup: TaskRecord | None) -> TaskFacts:
    """Return the facts of a task that runs, or waits for its next attempt."""
    return TaskFacts(
        index,
        record.state,
        record.attempt_name,
        record.worker,
        record.started_seconds,
        error=record.error,
        history=record.history,
        backup=backup,
    )


def finished(index: int, record: DoneRecord) -> TaskFacts:
    """Return the facts of a finished task."""
    return TaskFacts(
        index,
        DONE,
        record.attempt_name,
        record.worker,
        record.started_seconds,
        record.fetch_seconds,
        record.wait_seconds,
        record.run_seconds,
        record.write_seconds,
        record.records_in,
        record.records_out,
        record.bytes_in,
        record.size,
        record.peak_memory_bytes,
        record.spills,
        record.skipped,
        history=record.history,
        counters=record.counters,
        requests=record.requests,
    )


def finished_in(chunk_record: bytes) -> list[TaskFacts]:
    """Return the facts of a chunk record's tasks. Its digest is checked by whoever has read it."""
    return [_from_chunk(task) for task in json.loads(chunk_record)]


def _from_chunk(task: Mapping[str, Any]) -> TaskFacts:
    """Return the facts of one task of a chunk record; what an older gomr did not write yet is 0."""
    get = task.get
    return TaskFacts(
        task["index"],
        DONE,
        attempt_name(task["attempt"], backup=bool(get("backup"))),
        task["worker"],
        get("started_seconds", 0.0),
        task["fetch_seconds"],
        get("wait_seconds", 0.0),
        task["run_seconds"],
        task["write_seconds"],
        task["records_in"],
        task["records_out"],
        task["bytes_in"],
        task["size"],
        task["peak_memory_bytes"],
        task["spills"],
        get("skipped", 0),
        history=get("history", []),
        counters=task["counters"],
    )
