"""Numbers over the tasks of a stage: quantiles, stragglers, what ran when and how fast."""

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

from gomr.observer.facts import DONE, RUNNING, STOPPED, TaskFacts

STRAGGLER_FACTOR = 3.0  # times the median: Spark's UI and Dask's mark skew about there
STRAGGLERS_MAX = 20  # that are named
STRAGGLER_SECONDS_MIN = 1.0  # what is shorter than this is nobody's trouble
BUCKETS = 120  # of a plot
PLOTTED_MAX = 5_000  # tasks of which a plot is made: evenly taken from more, and weighted

QUANTITIES: dict[str, Callable[[TaskFacts], float]] = {
    "seconds": lambda task: task.seconds,
    "bytes_in": lambda task: task.bytes_in,
    "bytes_out": lambda task: task.bytes_out,
    "records_in": lambda task: task.records_in,
    "records_out": lambda task: task.records_out,
    "memory": lambda task: task.memory,
}


def quantiles(tasks: Sequence[TaskFacts]) -> dict[str, list[float]]:
    """Return min, 25 %, median, 75 % and max of each quantity over the finished tasks; empty where there are none."""
    finished = [task for task in tasks if task.state == DONE]
    return {name: _five(sorted(map(of, finished))) for name, of in QUANTITIES.items()} if finished else {}


def stragglers(tasks: Sequence[TaskFacts], now: float | None = None) -> list[dict[str, Any]]:
    """Return the tasks that took, or have run, far longer than the median: the longest first."""
    finished = [task.seconds for task in tasks if task.state == DONE]
    if not finished:
        return []
    middle = median(finished)
    limit = max(STRAGGLER_SECONDS_MIN, STRAGGLER_FACTOR * middle)
    moment = time.time() if now is None else now
    found: list[dict[str, Any]] = []
    for task in tasks:
        runs = task.state == RUNNING and task.started
        if task.state == STOPPED:
            continue
        seconds = moment - task.started if runs else task.seconds
        if seconds > limit:
            found.append(
                {"index": task.index, "state": task.state, "seconds": round(seconds, 3), "worker": task.worker}
            )
    found.sort(key=lambda item: -item["seconds"])
    return [{**item, "times": round(item["seconds"] / middle, 1) if middle else 0.0} for item in found[:STRAGGLERS_MAX]]


def plot(tasks: Sequence[TaskFacts], began: float, ended: float) -> dict[str, list[float]]:
    """Return what happened over time: `times` (seconds since `began`), tasks `running`, `records` and `bytes` a second.

    A task's records and bytes are spread evenly over the time in which it ran.
    """
    span = max(1e-3, ended - began)
    width = span / BUCKETS
    running, records, sizes = [0.0] * BUCKETS, [0.0] * BUCKETS, [0.0] * BUCKETS
    step = -(-len(tasks) // PLOTTED_MAX) or 1
    for first, last, records_in, bytes_in in (interval for task in tasks[::step] for interval in _runs(task, ended)):
        low, high = max(0, int((first - began) / width)), min(BUCKETS - 1, int((last - began) / width))
        lasted = max(last - first, 1e-6)
        for bucket in range(low, high + 1):
            start = began + bucket * width
            share = max(0.0, min(last, start + width) - max(first, start))
            running[bucket] += step * share / width
            records[bucket] += step * records_in * share / lasted / width
            sizes[bucket] += step * bytes_in * share / lasted / width
    return {
        "times": [round(bucket * width, 3) for bucket in range(BUCKETS)],
        "running": [round(value, 2) for value in running],
        "records": [round(value, 1) for value in records],
        "bytes": [round(value, 1) for value in sizes],
    }


def _runs(task: TaskFacts, now: float) -> Iterator[tuple[float, float, int, int]]:
    """Yield from when to when each attempt ran, and what it read: nothing that counts, but for the one that is done."""
    for entry in task.history:
        if entry["started"] and entry["ended"]:
            yield entry["started"], entry["ended"], 0, 0
    if task.started and task.state == DONE:
        first = task.started + task.fetch + task.wait
        yield first, first + task.run, task.records_in, task.bytes_in
    elif task.started and task.state in (RUNNING, STOPPED):
        yield task.started, task.ended or now, 0, 0


def _five(ordered: list[float]) -> list[float]:
    last = len(ordered) - 1
    return [ordered[round(last * share)] for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
