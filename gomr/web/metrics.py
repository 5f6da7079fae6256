"""The numbers of the cluster for Prometheus: its text format 0.0.4."""

from collections.abc import Iterable, Mapping
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
JOBS_MAX = 100  # live jobs with numbers of their own: labels must stay few


def metrics(jobs: Mapping[str, Any], workers: Iterable[Mapping[str, Any]], listeners: int) -> str:
    """Return the metrics for a page of live jobs and the live workers."""
    present = [*workers]
    lines = [
        *_family("gomr_up", "Whether the coordinator answers.", [({}, 1)]),
        *_family("gomr_jobs", "Jobs by state.", [({"state": name}, value) for name, value in jobs["counts"].items()]),
        *_family("gomr_workers", "Live workers.", [({}, len(present))]),
        *_family("gomr_worker_slots", "Slots of live workers.", [({}, sum(item["slots"] for item in present))]),
        *_family("gomr_job_tasks", "Tasks of live jobs by stage and state.", _tasks(jobs["jobs"])),
        *_family("gomr_job_bytes", "Bytes that the done tasks of live jobs have read.", _sums(jobs["jobs"])),
        *_family("gomr_web_streams", "Event streams of this page.", [({}, listeners)]),
    ]
    return "\n".join(lines) + "\n"


def down() -> str:
    """Return the metrics of a cluster that does not answer."""
    return "\n".join(_family("gomr_up", "Whether the coordinator answers.", [({}, 0)])) + "\n"


def _tasks(jobs: Iterable[Mapping[str, Any]]) -> list[tuple[dict[str, str], float]]:
    found = []
    for job in jobs:
        for stage in job["stages"]:
            for state in ("done", "running"):
                found.append(({"job": job["job"], "stage": stage["stage"], "state": state}, stage[state]))
            pending = stage["tasks"] - stage["done"] - stage["running"]
            found.append(({"job": job["job"], "stage": stage["stage"], "state": "pending"}, pending))
    return found


def _sums(jobs: Iterable[Mapping[str, Any]]) -> list[tuple[dict[str, str], float]]:
    return [
        ({"job": job["job"], "stage": stage["stage"]}, stage["bytes_in"] or 0)
        for job in jobs
        for stage in job["stages"]
    ]


def _family(name: str, help_text: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> list[str]:
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} gauge"]
    for labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
