"""What a worker remembers of jobs between their tasks, so that it reads it once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from gomr.model import MAP_STAGE, JobRecord
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import StageView, TaskFacts, finished_tasks

JOBS_REMEMBERED_MAX = 8  # a job of 100,000 tasks is some 100 MB of facts
T = TypeVar("T")


class Jobs:
    """Job records and the facts of closed map stages. Safe for several threads."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._records: _Memory[JobRecord] = _Memory()
        self._maps: _Memory[list[TaskFacts]] = _Memory()

    def record(self, at: StageView) -> JobRecord:
        """Return the full record of a job."""
        digest = at.head.record_digest
        return self._records.get(digest, lambda: self._cluster.job_record(at.job, digest))

    def finished_maps(self, at: StageView) -> list[TaskFacts]:
        """Return the facts of the map stage that a reduce stage reads: of one manifest, the same for every reducer."""
        stage, _ = self._cluster.stage(at.job, MAP_STAGE)
        digest = stage.manifest_digest
        return self._maps.get((at.job, digest), lambda: finished_tasks(self._cluster, at.job, MAP_STAGE, digest))


class _Memory(Generic[T]):
    def __init__(self) -> None:
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, read: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._values:
                self._values[key] = read()
                if len(self._values) > JOBS_REMEMBERED_MAX:
                    self._values.popitem(last=False)
            self._values.move_to_end(key)
            return self._values[key]
