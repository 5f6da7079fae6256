"""A job's time line as a trace that Perfetto and chrome://tracing open.

The format is "Trace Event Format" (Google, 2016): complete events (ph X), times in microseconds.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from gomr.observer.timeline import Bar, lay_out


def trace_events(bars: Sequence[Bar]) -> dict[str, Any]:
    """Return the trace: a process for each worker, a thread for each of its slots."""
    rows = lay_out(bars)
    workers = sorted({*rows})
    names = [
        {"ph": "M", "name": "process_name", "pid": number, "args": {"name": worker}}
        for number, worker in enumerate(workers)
    ]
    origin = min((bar.started for bar in bars), default=0.0)
    events = [event for bar in bars for event in _events(bar, workers.index(bar.worker), origin)]
    return {"displayTimeUnit": "ms", "traceEvents": [*names, *events]}


def _events(bar: Bar, process: int, origin: float) -> Iterator[dict[str, Any]]:
    arguments = {"task": f"{bar.stage}/{bar.index}", "attempt": bar.attempt, "outcome": bar.outcome}
    common = {"ph": "X", "pid": process, "tid": bar.row, "cat": bar.stage, "args": arguments}
    phases = [("fetch", bar.fetch), ("wait", bar.wait), ("run", bar.run), ("upload", bar.write)]
    if not bar.run:
        phases = [(bar.outcome, bar.ended - bar.started)]
    at = bar.started
    for name, seconds in phases:
        if seconds > 0:
            what = f"{bar.stage}/{bar.index} {name}"
            yield {**common, "name": what, "ts": round((at - origin) * 1e6), "dur": round(seconds * 1e6)}
        at += seconds
