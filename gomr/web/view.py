"""What all browsers together see of the cluster: each question is asked once, however many ask it."""

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from gomr.client import Client
from gomr.errors import NotFoundError, UsageError
from gomr.model import LIVE
from gomr.observer.facts import DONE, PENDING, RUNNING, STOPPED, TaskFacts
from gomr.observer.job import JobWatch, statistics_of
from gomr.observer.jobs import JobsWatch
from gomr.observer.timeline import window
from gomr.observer.trace import trace_events
from gomr.web.shared import Shared, SharedByKey

LOOK_SECONDS = 1.0  # between readings of what somebody looks at
IDLE_SECONDS = 300.0  # after which what is known of a job that nobody looks at is let go
JOBS_MAX, TASKS_MAX, CELLS_MAX = 100, 200, 10_000  # of one page
SORTS: dict[str, Callable[[TaskFacts], Any]] = {
    "seconds": lambda task: task.seconds,
    "bytes_in": lambda task: task.bytes_in,
    "bytes_out": lambda task: task.bytes_out,
    "records_in": lambda task: task.records_in,
    "attempts": lambda task: len(task.history),
}


class _Watched:
    """One job with its lock: a watch is for one thread at a time."""

    def __init__(self, watch: JobWatch) -> None:
        self.watch = watch
        self.lock = threading.Lock()
        self.looked = 0.0

    def look(self) -> JobWatch:
        """Bring it up to date, unless that was done a moment ago. The lock is held."""
        if time.monotonic() - self.looked > LOOK_SECONDS:
            self.watch.look()
            self.looked = time.monotonic()
        return self.watch


class View:
    """Answers the page's questions with JSON types. Safe for several threads."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._jobs = JobsWatch(client.cluster)
        self._jobs_lock = threading.Lock()
        self._heads = Shared(self._look_at_jobs, LOOK_SECONDS)
        self._watched = SharedByKey(self._watch, float("inf"), idle_seconds=IDLE_SECONDS, most=50)
        self._overviews = SharedByKey(self._overview, LOOK_SECONDS)
        self._timelines = SharedByKey(self._timeline, LOOK_SECONDS)
        self._cells = SharedByKey(self._cells_of, LOOK_SECONDS)
        self._tasks = SharedByKey(self._tasks_of, LOOK_SECONDS)

    def jobs(self, state: str = "", text: str = "", first: int = 0, count: int = 50) -> dict[str, Any]:
        """Return one page of the list of jobs, the newest first."""
        self._heads.get()
        with self._jobs_lock:
            found = self._jobs.find(state, text)
            page = found[first : first + min(count, JOBS_MAX)]
            return {
                "jobs": self._jobs.briefs(page),
                "first": first,
                "total": len(found),
                "counts": self._jobs.counts(),
                "workers": len(self._jobs.workers),
            }

    def live_jobs(self, count: int) -> dict[str, Any]:
        """Return what the list shows of the jobs that have not ended, and how many jobs there are in each state."""
        self._heads.get()
        with self._jobs_lock:
            live = [job for state in LIVE for job in self._jobs.find(state)]
            return {"jobs": self._jobs.briefs(live[:count]), "counts": self._jobs.counts()}

    def workers(self) -> dict[str, Any]:
        """Return the live workers."""
        self._heads.get()
        with self._jobs_lock:
            return {"workers": [{"worker": name, **asdict(record)} for name, record in self._jobs.workers.items()]}

    def job(self, job: str) -> dict[str, Any]:
        """Return the first page of a job. Raises NotFoundError."""
        return self._overviews.get(job)

    def cells(self, job: str, stage: str, first: int = 0, count: int = CELLS_MAX) -> dict[str, Any]:
        """Return what the map of a stage's tasks is drawn from: a state, and numbers, for each."""
        return self._cells.get(job, stage, max(0, first), max(1, min(count, CELLS_MAX)))

    def _cells_of(self, job: str, stage: str, first: int, count: int) -> dict[str, Any]:
        watched = self._watched.get(job)
        with watched.lock:
            watch = watched.look()
            tasks = self._stage(watch, stage).page(first, count)
            total = watch.stages[stage].tasks
            sample = statistics_of(watch.stages[stage].sample() if total else [])
        now = time.time()
        return {
            "stage": stage,
            "first": first,
            "total": total,
            "states": [task.state for task in tasks],
            "seconds": [round(_seconds(task, now), 3) for task in tasks],
            "bytes": [task.bytes_in for task in tasks],
            "retried": [len(task.history) for task in tasks],
            "backups": [task.index for task in tasks if task.backup or task.attempt.endswith("-backup")],
            "statistics": sample,
        }

    def tasks(
        self, job: str, stage: str, state: str = "", sort: str = "", first: int = 0, count: int = 50
    ) -> dict[str, Any]:
        """Return one page of the table of tasks. Sorted or filtered, it is of the tasks that are known so far."""
        if sort and sort not in SORTS:
            raise UsageError(f"sort={sort}: it is one of {', '.join(SORTS)}")
        return self._tasks.get(job, stage, state, sort, first, min(count, TASKS_MAX))

    def _tasks_of(self, job: str, stage: str, state: str, sort: str, first: int, count: int) -> dict[str, Any]:
        watched = self._watched.get(job)
        with watched.lock:
            watch = watched.look()
            found = self._stage(watch, stage)
            total = known = found.tasks
            if not sort and not state:
                page = found.page(first, count)
            elif state == PENDING:  # what has not begun has no facts: it is all that is not known
                every = found.pending()
                known, page = len(every), [TaskFacts(number, PENDING) for number in every[first : first + count]]
            else:
                chosen = [task for task in found.sample() if not state or task.state == state]
                known = len(chosen)
                if sort:
                    page = heapq.nlargest(first + count, chosen, SORTS[sort])[first:]
                else:
                    page = sorted(chosen, key=lambda task: task.index)[first : first + count]
        now = time.time()
        rows = [_row(task, now) for task in page]
        return {"stage": stage, "first": first, "total": known, "tasks_of_stage": total, "tasks": rows}

    def task(self, job: str, stage: str, index: int) -> dict[str, Any]:
        """Return all about one task. Raises NotFoundError."""
        watched = self._watched.get(job)
        with watched.lock:
            watch = watched.look()
            found = self._stage(watch, stage)
            if not 0 <= index < found.tasks:
                raise NotFoundError(f"job {job} has no task {stage}/{index}")
            (facts,) = found.page(index, 1)
            head = watch.head
            record = watch.record
        assert head is not None
        pieces = []
        if stage == head.stages[0]:
            pieces = [
                {"input": record.input(number).shown, "offset": offset, "length": length}
                for number, offset, length in record.splits[index]
            ]
        facts.error = facts.error or (head.error if head.error.get("task") == f"{stage}/{index}" else {})
        backup = facts.backup.to_json().decode() if facts.backup else ""
        return {
            **_row(facts, time.time()),
            "job": job,
            "stage": stage,
            "job_state": head.state,
            "history": facts.history,
            "error": facts.error,
            "counters": facts.counters,
            "pieces": pieces,
            "partition": index if stage != head.stages[0] else None,
            "has_backup": bool(backup),
        }

    def timeline(self, job: str, start: float | None = None, end: float | None = None) -> dict[str, Any]:
        """Return the bars of a job between two moments, in seconds since it was submitted."""
        return self._timelines.get(job, start, end)

    def trace(self, job: str) -> dict[str, Any]:
        """Return the job as a trace for Perfetto."""
        return trace_events(self._complete(job).bars())

    def everything(self, job: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return overview and time line of all tasks that a report may hold."""
        self._complete(job)
        self._overviews.forget(job)
        return self.job(job), self._timeline(job)

    def forget(self, job: str) -> None:
        """Have what is shown of a job read anew: it was acted upon."""
        self._heads.forget()
        for shared in (self._overviews, self._timelines, self._cells, self._tasks):
            shared.forget(job)
        self._watched.get(job).looked = 0.0

    def _look_at_jobs(self) -> bool:
        with self._jobs_lock:
            self._jobs.look()
        return True

    def _watch(self, job: str) -> _Watched:
        return _Watched(JobWatch(self.client.cluster, job))

    def _overview(self, job: str) -> dict[str, Any]:
        self._heads.get()
        watched = self._watched.get(job)
        with watched.lock:
            return watched.look().overview(self._jobs.workers)

    def _timeline(self, job: str, start: float | None = None, end: float | None = None) -> dict[str, Any]:
        watched = self._watched.get(job)
        with watched.lock:
            watch = watched.look()
            head = watch.head
            bars = watch.bars()
            tasks = sum(stage.tasks for stage in watch.stages.values())
        assert head is not None
        began, ended = head.created_seconds, head.finished_seconds or time.time()
        shown = window(bars, began + (start or 0.0), ended if end is None else began + end)
        known = len({(bar.stage, bar.index) for bar in bars})
        return {"began": began, "ended": ended, "state": head.state, "known_tasks": known, "tasks": tasks, **shown}

    def _complete(self, job: str) -> JobWatch:
        """Read all that is remembered of a job at most."""
        watched = self._watched.get(job)
        with watched.lock:
            watch = watched.look()
            for stage in watch.stages.values():
                if stage.record:
                    stage.page(0, stage.tasks if stage.tasks <= CELLS_MAX else CELLS_MAX)
            return watch

    @staticmethod
    def _stage(watch: JobWatch, stage: str) -> Any:
        if stage not in watch.stages:
            raise NotFoundError(f"job {watch.job} has no stage {stage!r}; it has {', '.join(watch.stages)}")
        return watch.stages[stage]


def _seconds(task: TaskFacts, now: float) -> float:
    return now - task.started if task.state == RUNNING and task.started else task.seconds


def _row(task: TaskFacts, now: float) -> dict[str, Any]:
    return {
        "index": task.index,
        "state": task.state,
        "attempt": task.attempt,
        "attempts": len(task.history) + (task.state in (RUNNING, STOPPED, DONE)),  # a failed one is in it already
        "worker": task.worker,
        "started": task.started,
        "seconds": round(_seconds(task, now), 3),
        "fetch": task.fetch,
        "wait": task.wait,
        "run": task.run,
        "write": task.write,
        "records_in": task.records_in,
        "records_out": task.records_out,
        "bytes_in": task.bytes_in,
        "bytes_out": task.bytes_out,
        "memory": task.memory,
        "spills": task.spills,
        "skipped": task.skipped,
        "message": str(task.error.get("message", ""))[:200],
    }
