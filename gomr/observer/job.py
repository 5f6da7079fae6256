"""One job under observation: what its pages show, read piece by piece."""

import math
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from gomr.backends import Range
from gomr.costs import Prices, costs_of
from gomr.errors import NotFoundError
from gomr.model import CLOSED, ENDED, FAILED, OPEN, RUNNING, JobHead, JobRecord, WorkerRecord
from gomr.observer.facts import DONE, TaskFacts
from gomr.observer.failures import error_groups
from gomr.observer.reading import read_now
from gomr.observer.stage import StageWatch
from gomr.observer.statistics import plot, quantiles, stragglers
from gomr.observer.timeline import Bar, bars_of
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster, check_layout
from gomr.scheduling.status import hindrances

INPUTS_SHOWN_MAX = 100


class JobWatch:
    """What is known of one job. For one thread at a time; `look` reads what is new."""

    def __init__(self, cluster: Cluster, job: str) -> None:
        self._cluster = cluster
        self.job = job
        self.head: JobHead | None = None
        self.revision = 0
        self.stages: dict[str, StageWatch] = {}
        self._record: JobRecord | None = None

    def ranges(self) -> list[Range]:
        """Return what to read now: for `take`."""
        stages = [item for stage in self.stages.values() for item in stage.ranges()]
        return [Range(keys.head(self.job)), *stages]

    def take(self, found: list[Any]) -> bool:
        """Take in what the ranges found; say whether there is more to read at once: stages just heard of.

        Raises NotFoundError where the job is gone, UsageError where a newer gomr made it.
        """
        if not found[0].items:
            raise NotFoundError(f"no job {self.job!r}")
        item = found[0].items[0]
        self.head, self.revision = JobHead.from_json(item.value), item.revision
        check_layout(self.job, self.head)
        at = 1  # after the head
        heard = len(self.stages)
        opened = 0
        for stage in self.stages.values():
            before = stage.record
            count = stage.expected
            stage.take(found[at : at + count])
            at += count
            opened += before is None and stage.record is not None
        for name in self.head.stages:
            stage = self.stages.setdefault(name, StageWatch(self._cluster, self.job, name))
            stage.has_failed = self.head.state == FAILED
            stage.ended_seconds = self.head.finished_seconds if self.ended else 0.0
        return opened > 0 or len(self.stages) > heard

    def look(self) -> None:
        """Read what is new. Raises CoordinatorError, NotFoundError."""
        while self.take(read_now(self._cluster, self.ranges())):
            pass

    @property
    def record(self) -> JobRecord:
        """The job as it was submitted, read once. Raises StorageError, NotFoundError."""
        if self._record is None:
            assert self.head is not None
            self._record = self._cluster.job_record(self.job, self.head.record_digest)
        return self._record

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.head is not None and self.head.state in ENDED

    def brief(self) -> dict[str, Any]:
        """Return what a list of jobs shows of it."""
        head = self.head
        assert head is not None
        until = head.finished_seconds or time.time()
        stages = [self._stage(stage) for stage in self.stages.values()]
        requests: Counter[str] = Counter()
        for stage in self.stages.values():
            requests.update({f"storage.{name}": amount for name, amount in stage.totals()["requests"].items()})
        return {
            "job": self.job,
            "name": head.name,
            "state": head.state,
            "created": head.created_seconds,
            "finished": head.finished_seconds,
            "elapsed": round(max(0.0, until - head.created_seconds), 1),
            "eta": self._eta(),
            "executable": head.executable,
            "priority": head.priority,
            "input_bytes": head.input_bytes,
            "cost": round(sum(item.dollars for item in costs_of(requests, Prices())), 8),
            "stages": stages,
            "error": str(head.error.get("message", ""))[:200],
        }

    def overview(self, workers: Mapping[str, WorkerRecord]) -> dict[str, Any]:
        """Return what the job's first page shows."""
        head = self.head
        assert head is not None
        samples = self.samples()
        until = head.finished_seconds or time.time()
        counters: Counter[str] = Counter()
        for tasks in samples.values():
            for task in tasks:
                counters.update(task.counters)
        known = sum(task.state == DONE for tasks in samples.values() for task in tasks)
        return {
            **self.brief(),
            "error": head.error,
            "notes": [*(hindrances(head, workers) if head.state == RUNNING else []), *self._unreadable()],
            "errors": error_groups(samples, head.error),
            "counters": dict(sorted(counters.items())),
            "known_tasks": known,
            "done_tasks": sum(stage.done for stage in self.stages.values()),
            "flow": self._flow(),
            "plot": plot([task for tasks in samples.values() for task in tasks], head.created_seconds, until),
            "statistics": {name: statistics_of(tasks) for name, tasks in samples.items()},
            "configuration": self.configuration(),
        }

    def configuration(self) -> dict[str, Any]:
        """Return how the job was submitted."""
        record = self.record
        shown = [{"url": record.input(number).shown, "size": record.input(number).size} for number in self._inputs()]
        return {
            "submitter": record.submitter,
            "version": record.version,
            "params": {name: _shown(value) for name, value in record.params.items()},
            "inputs": shown,
            "inputs_total": len(record.inputs),
            "input_format": record.describe.get("input", {}),
            "output_format": record.output_format,
            "partitions": record.partitions,
            "split_bytes": record.split_bytes,
            "memory_bytes": record.memory_bytes,
            "task_seconds": record.task_seconds,
            "attempts_max": record.attempts_max,
            "max_skipped": record.max_skipped,
            "backups": record.backups,
            "describe": record.describe,
        }

    def samples(self) -> dict[str, list[TaskFacts]]:
        """Return tasks of each open or closed stage: all of a small job, more with each look of a large one."""
        return {name: stage.sample() for name, stage in self.stages.items() if stage.record}

    def bars(self) -> list[Bar]:
        """Return the attempts that are known."""
        head = self.head
        assert head is not None
        return bars_of(self.samples(), head.finished_seconds or None)

    def _inputs(self) -> range:
        return range(min(INPUTS_SHOWN_MAX, len(self.record.inputs)))

    def _unreadable(self) -> list[str]:
        count = sum(stage.unreadable for stage in self.stages.values())
        return [f"{count} chunk records cannot be read: numbers of their tasks are missing here"] if count else []

    def _stage(self, stage: StageWatch) -> dict[str, Any]:
        totals = stage.totals()
        return {
            "stage": stage.stage,
            "state": stage.record.state if stage.record else "pending",
            "tasks": stage.tasks,
            "done": stage.done,
            "running": stage.running,
            "failed": len(stage.dead) if stage.has_failed else 0,
            **{name: value for name, value in totals.items() if name != "requests"},
        }

    def _flow(self) -> list[dict[str, Any]]:
        """Return the edges of the job's data flow: from, to, records, bytes; None where it is not known yet."""
        assert self.head is not None
        totals = {name: stage.totals() for name, stage in self.stages.items() if stage.record}
        first, last = self.head.stages[0], self.head.stages[-1]
        edges = [_edge("input", "map", totals.get(first), "in")]
        if len(self.head.stages) > 1:
            edges += [
                _edge("map", "shuffle", totals.get(first), "out"),
                _edge("shuffle", "reduce", totals.get(last), "in"),
            ]
        edges.append(_edge("reduce" if len(self.head.stages) > 1 else "map", "output", totals.get(last), "out"))
        return edges

    def _eta(self) -> float | None:
        """Return about how many seconds the open stage will still take; None where that cannot be said."""
        stage = next((stage for stage in self.stages.values() if stage.record and stage.record.state == OPEN), None)
        if stage is None or not stage.record or stage.record.state == CLOSED or not stage.done or not stage.running:
            return None
        return round((stage.tasks - stage.done) * stage.median_seconds() / stage.running, 1)


def statistics_of(tasks: list[TaskFacts]) -> dict[str, Any]:
    """Return what is said of a stage's tasks as a whole."""
    return {
        "known": sum(task.state == DONE for task in tasks),
        "quantiles": quantiles(tasks),
        "stragglers": stragglers(tasks),
    }


def _shown(value: Any) -> Any:
    """Return a parameter as JSON can say it: no JSON holds an infinite number."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _edge(start: str, end: str, totals: Mapping[str, Any] | None, way: str) -> dict[str, Any]:
    known = totals or {}
    return {"from": start, "to": end, "records": known.get(f"records_{way}"), "bytes": known.get(f"bytes_{way}")}
