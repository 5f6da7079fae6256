"""What is kept of a task's earlier attempts: a few bounded facts each, carried from record to record to its end."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gomr.model import TaskRecord

ATTEMPTS_KEPT_MAX = 8  # the last ones; a task fails at most 4 times and is lost at most 5 times
TEXT_BYTES_MAX = 200  # of an entry's text, as JSON: eight attempts fit a record of the coordinator, whatever they say
KIND_BYTES_MAX = 40
ERROR_BYTES_MAX = {"message": 1500, "traceback": 4500, "record": 1500, "source": 6000}  # of an error's texts
CUT = " [...] "
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
        "kind": cut(str(facts.get("kind", "")), KIND_BYTES_MAX),
        "message": cut(str(facts.get("message", "")), TEXT_BYTES_MAX),
        "frame": cut(last_frame(facts), TEXT_BYTES_MAX),
    }
    return [*record.history, entry][-ATTEMPTS_KEPT_MAX:]


def with_backup(record: TaskRecord, backup: TaskRecord | None) -> list[dict[str, Any]]:
    """Return the record's history with a backup that was overtaken by the attempt that the record tells of."""
    if backup is None:
        return record.history
    return [*record.history, with_attempt(backup, OVERTAKEN)[-1]][-ATTEMPTS_KEPT_MAX:]


def bounded(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return an error object whose texts fit a record of the coordinator; it came from a job, and may hold anything."""
    kept = {name: value for name, value in error.items() if isinstance(value, (str, int, float, bool, type(None)))}
    return {
        name: cut(value, ERROR_BYTES_MAX.get(name, TEXT_BYTES_MAX)) if isinstance(value, str) else value
        for name, value in kept.items()
    }


def cut(text: str, bytes_max: int) -> str:
    """Return the beginning of a text, and of a long one its end, too, in at most so many bytes of JSON."""
    if len(json.dumps(text)) <= bytes_max:
        return text
    room = bytes_max - len(json.dumps(CUT))
    head = _beginning(text, room // 2)
    return head + CUT + _beginning(text[len(head) :][::-1], room - room // 2)[::-1]


def _beginning(text: str, bytes_max: int) -> str:
    taken = 0
    for number, letter in enumerate(text):
        taken += len(json.dumps(letter)) - 2
        if taken > bytes_max:
            return text[:number]
    return text


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


def record_sentence(error: Mapping[str, Any]) -> str:
    """Say which record an error is about, or which key the function had that failed."""
    number, source, record = error.get("record_number"), error.get("source") or "input", error.get("record")
    return f"record {number} of {source}: {record}" if number else f"the {source} was at the key {record}"
