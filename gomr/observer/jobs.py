"""All jobs under observation, and the workers: one reading for however many look."""

from collections.abc import Sequence
from typing import Any

from gomr.backends import Range
from gomr.errors import GomrError, NotFoundError
from gomr.model import REMOVING, JobHead, WorkerRecord
from gomr.observer.job import JobWatch
from gomr.observer.reading import read_now
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster

WATCHED_MAX = 200  # jobs whose stages are remembered; the least recently shown are forgotten
DAMAGED = "damaged"


class JobsWatch:
    """The heads of all jobs, and what a list shows of some. For one thread at a time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.heads: dict[str, JobHead] = {}
        self.workers: dict[str, WorkerRecord] = {}
        self._revisions: dict[str, int] = {}
        self._watched: dict[str, JobWatch] = {}

    def look(self) -> None:
        """Read which jobs there are, the heads that have changed, and the workers. Raises CoordinatorError."""
        heads = Range(keys.HEADS, keys.end_of(keys.HEADS), keys_only=True)
        found, workers = read_now(self._cluster, [heads, Range(keys.WORKERS, keys.end_of(keys.WORKERS))])
        now = {item.key.removeprefix(keys.HEADS): item.revision for item in found.items}
        changed = [job for job, revision in now.items() if self._revisions.get(job) != revision]
        for job in self._revisions.keys() - now.keys():
            for known in (self.heads, self._revisions, self._watched):
                known.pop(job, None)
        for job, answer in zip(
            changed, read_now(self._cluster, [Range(keys.head(job)) for job in changed]), strict=True
        ):
            for item in answer.items:
                self._revisions[job] = item.revision
                self.heads[job] = _head(item.value)
        self.workers = {item.key.removeprefix(keys.WORKERS): _worker(item.value) for item in workers.items}

    def find(self, state: str = "", text: str = "") -> list[str]:
        """Return the ids of the jobs in a state whose id, name or digest holds a text, the newest first."""
        wanted = text.lower()
        found = [
            (head.created_seconds, job)
            for job, head in self.heads.items()
            if (not state or head.state == state)
            and (not wanted or wanted in job.lower() or wanted in head.executable or wanted in head.name.lower())
        ]
        return [job for _, job in sorted(found, reverse=True)]

    def briefs(self, jobs: Sequence[str]) -> list[dict[str, Any]]:
        """Return what a list shows of some jobs; one that has ended is read once."""
        stale = []
        for job in jobs:
            watch = self._watched.pop(job, None) or JobWatch(self._cluster, job)
            self._watched[job] = watch
            if self.heads[job].state in (REMOVING, DAMAGED):
                continue
            if not watch.ended or watch.revision != self._revisions[job]:
                stale.append(watch)
        self._read(stale)
        while len(self._watched) > WATCHED_MAX:
            del self._watched[next(iter(self._watched))]
        return [self._watched[job].brief() for job in jobs if job in self._watched and self._watched[job].head]

    def counts(self) -> dict[str, int]:
        """Return how many jobs there are in each state."""
        counts: dict[str, int] = {}
        for head in self.heads.values():
            counts[head.state] = counts.get(head.state, 0) + 1
        return counts

    def _read(self, watches: list[JobWatch]) -> None:
        """Bring some jobs up to date: all in as few transactions as they fit."""
        while watches:
            asked = [(watch, watch.ranges()) for watch in watches]
            found = read_now(self._cluster, [item for _, ranges in asked for item in ranges])
            at, again = 0, []
            for watch, ranges in asked:
                try:
                    if watch.take(found[at : at + len(ranges)]):
                        again.append(watch)
                except (NotFoundError, GomrError):
                    self._watched.pop(watch.job, None)  # removed since, or of a newer gomr: the list leaves it out
                at += len(ranges)
            watches = again


def _worker(value: bytes) -> WorkerRecord:
    try:
        return WorkerRecord.from_json(value)
    except GomrError:
        return WorkerRecord(DAMAGED, 0, 0, "", 0.0, {})


def _head(value: bytes) -> JobHead:
    try:
        return JobHead.from_json(value)
    except GomrError:  # one damaged record must not hide all other jobs
        return JobHead("?", DAMAGED, "", [], "", "", 0.0, {}, 0)
