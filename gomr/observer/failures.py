"""Groups the errors of a job: those of one kind at one line of the user's code are one, with a count."""

from collections.abc import Iterable, Mapping
from typing import Any

from gomr.observer.facts import TaskFacts
from gomr.scheduling.history import OVERTAKEN, last_frame

GROUPS_MAX = 50
TASKS_MAX = 5  # of a group that are named


def error_groups(stages: Mapping[str, Iterable[TaskFacts]], fatal: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the groups, the one that failed the job first, then the most frequent.

    `stages` holds tasks by stage, `fatal` is the error that failed the job, or empty. A group has kind, frame, message,
    outcome, count, tasks (names of some), first and last (seconds since the epoch), and fatal.
    """
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    last = {**fatal, "outcome": "failed", "frame": last_frame(fatal), "ended": fatal.get("ended", 0.0)} if fatal else {}
    for stage, tasks in stages.items():
        for task in tasks:
            for entry in task.history:
                if entry["outcome"] != OVERTAKEN:
                    _add(groups, entry, f"{stage}/{task.index}")
    if last:
        if _mark(last) not in groups:
            _add(groups, last, str(fatal.get("task", "")))
        groups[_mark(last)].update(fatal=True, message=fatal.get("message", ""), tasks=[fatal.get("task", "")])
    ordered = sorted(groups.values(), key=lambda group: (not group["fatal"], -group["count"]))
    return ordered[:GROUPS_MAX]


def _mark(error: Mapping[str, Any]) -> tuple[str, str]:
    return (error.get("kind") or error["outcome"], error.get("frame") or str(error.get("message", ""))[:80])


def _add(groups: dict[tuple[str, str], dict[str, Any]], entry: Mapping[str, Any], task: str) -> None:
    group = groups.setdefault(
        _mark(entry),
        {
            "kind": entry.get("kind", ""),
            "outcome": entry["outcome"],
            "frame": entry.get("frame", ""),
            "message": entry.get("message", ""),
            "count": 0,
            "tasks": [],
            "first": entry.get("ended", 0.0),
            "last": 0.0,
            "fatal": False,
        },
    )
    group["count"] += 1
    group["first"] = min(group["first"], entry.get("ended", 0.0))
    group["last"] = max(group["last"], entry.get("ended", 0.0))
    if task not in group["tasks"] and len(group["tasks"]) < TASKS_MAX:
        group["tasks"].append(task)
