"""Attempts as bars: one row a slot of a worker, as many rows as ran at a time."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gomr.observer.facts import DONE, RUNNING, STOPPED, TaskFacts

BARS_MAX = 5_000  # of one answer; of more, those that failed and the longest are shown, and how many there are is said


@dataclass(slots=True)
class Bar:
    """One attempt: `outcome` is done, run, stopped, failed, lost, postponed or overtaken; `row` is set by `lay_out`.

    `wait` is the time for a slot between fetch and run.
    """

    stage: str
    index: int
    attempt: str
    worker: str
    outcome: str
    started: float
    ended: float
    fetch: float = 0.0
    wait: float = 0.0
    run: float = 0.0
    write: float = 0.0
    row: int = 0

    @property
    def run_from(self) -> float:
        """When it took a slot."""
        return self.started + self.fetch + self.wait

    @property
    def run_to(self) -> float:
        """When it left its slot."""
        return self.ended - self.write


def bars_of(stages: Mapping[str, Sequence[TaskFacts]], now: float | None = None) -> list[Bar]:
    """Return the attempts of tasks, by start; one that has not ended ends `now`."""
    moment = time.time() if now is None else now
    bars = []
    for stage, tasks in stages.items():
        for task in tasks:
            last = task.ended or moment
            for entry in task.history:
                ended = entry["ended"] or last
                if entry["started"]:
                    name, worker = entry["attempt"], entry["worker"]
                    bars.append(Bar(stage, task.index, name, worker, entry["outcome"], entry["started"], ended))
            if task.started and task.state in (DONE, RUNNING, STOPPED):
                phases = (task.fetch, task.wait, task.run, task.write)
                bars.append(Bar(stage, task.index, task.attempt, task.worker, task.state, task.started, last, *phases))
            if task.backup:
                backup = task.backup
                name = backup.attempt_name
                bars.append(Bar(stage, task.index, name, backup.worker, RUNNING, backup.started_seconds, moment))
    return sorted(bars, key=lambda bar: bar.run_from)


def lay_out(bars: Sequence[Bar]) -> list[str]:
    """Give each bar its row; return each row's worker. Bars by start; those of a row do not run at the same time."""
    free: dict[str, list[list[float]]] = {}  # by worker: [free from, place] of each of its rows
    places: list[tuple[str, int]] = []
    chosen: list[tuple[str, int]] = []
    for bar in bars:
        rows = free.setdefault(bar.worker, [])
        row = next((row for row in rows if row[0] <= bar.run_from + 0.005), None)
        if row is None:
            row = [0.0, len(rows)]
            rows.append(row)
            places.append((bar.worker, len(rows) - 1))
        row[0] = max(bar.run_to, bar.run_from)
        chosen.append((bar.worker, int(row[1])))
    ordered = {place: number for number, place in enumerate(sorted(places))}
    for bar, place in zip(bars, chosen, strict=True):
        bar.row = ordered[place]
    return [worker for worker, _ in ordered]


def window(bars: Sequence[Bar], start: float, end: float) -> dict[str, Any]:
    """Return what a time line shows between two moments (seconds since the epoch): rows, bars, shown, total.

    A bar is [row, stage, index, attempt, outcome, started, ended, fetch, wait, run, write].
    """
    rows = lay_out(bars)
    inside = [bar for bar in bars if bar.ended >= start and bar.started <= end]
    shown = inside
    if len(inside) > BARS_MAX:
        shown = sorted(inside, key=lambda bar: (bar.outcome == DONE, bar.started - bar.ended))[:BARS_MAX]
    return {
        "rows": rows,
        "shown": len(shown),
        "total": len(inside),
        "bars": [
            [
                *(bar.row, bar.stage, bar.index, bar.attempt, bar.outcome),
                *(round(value, 3) for value in (bar.started, bar.ended, bar.fetch, bar.wait, bar.run, bar.write)),
            ]
            for bar in shown
        ],
    }
