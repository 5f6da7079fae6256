"""What is kept of a task's earlier attempts: a few bounded facts each, carried from record to record to its end."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gomr.model import TaskRecord

ATTEMPTS_KEPT_MAX = 8  # the last ones; a task fails at most 4 times and is lost at most 5 times
MESSAGE_CHARACTERS_MAX = 160  # eight attempts fit a record of the coordinator, whatever they say
FAILED, LOST, POSTPONED, OVERTAKEN = "failed", "lost", "postponed", "overtaken"

_FRAME = re.compile(r'^\s*File "([^"]*)", line (\d+), in (.+)$', re.MULTILINE)


def with_attempt(record: TaskRecord, outcome: str, error: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the record's history with the attempt that it tells of, which has ended now.

    An entry holds attempt, worker, started, ended (seconds since the epoch, by the clocks of the workers that wrote
    them; ended 0.0 where it was not seen), outcome; and kind, message and frame of the error.
    """
    facts = error or {}
    entry = {
        "attempt": record.attempt_name,
        "worker": record.worker,
        "started": round(record.started_seconds, 3),
        "ended": 0.0 if outcome == OVERTAKEN else round(time.time(), 3),
        "outcome": outcome,
        "kind": str(facts.get("kind", "")),
        "message": str(facts.get("message", ""))[:MESSAGE_CHARACTERS_MAX],
        "frame": last_frame(facts)[:MESSAGE_CHARACTERS_MAX],
    }
    return [*record.history, entry][-ATTEMPTS_KEPT_MAX:]


def with_backup(record: TaskRecord, backup: TaskRecord | None) -> list[dict[str, Any]]:
    """Return the record's history with a backup that was overtaken by the attempt that the record tells of."""
    if backup is None:
        return record.history
    return [*record.history, with_attempt(backup, OVERTAKEN)[-1]][-ATTEMPTS_KEPT_MAX:]


def failed_attempts(history: Sequence[Mapping[str, Any]]) -> int:
    """Return how many of a task's earlier attempts failed, or were lost with their worker."""
    return sum(entry["outcome"] in (FAILED, LOST) for entry in history)


def last_frame(error: Mapping[str, Any]) -> str:
    """Return the user's innermost frame of an error, such as "wordcount.py:12 in mapper"; "" where it has none."""
    frames = _FRAME.findall(str(error.get("traceback", "")))
    if not frames:
        return ""
    file, line, function = frames[-1]
    return f"{file}:{line} in {function}"
