"""The chunk records of a stage: each read once, and those that cannot be read tried again a while later."""

import hashlib
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gomr.errors import GomrError, StorageError
from gomr.observer.facts import TaskFacts, finished_in
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster

FACTS_MAX = 200_000  # tasks of one stage that are remembered: some 100 MB
READS_MAX = 8  # at a time
AGAIN_SECONDS = 30.0  # until a record that could not be read is tried again


class ChunkRecords:
    """What was read of one stage's chunk records, by the number of the chunk. For one thread at a time."""

    def __init__(self, cluster: Cluster, job: str, stage: str) -> None:
        self._cluster = cluster
        self._job = job
        self._stage = stage
        self._known: dict[int, list[TaskFacts]] = {}
        self._tried: dict[int, float] = {}  # those that could not be read, and when that was found

    def load(self, wanted: Collection[int], folded: Mapping[int, Mapping[str, Any]]) -> None:
        """Read the records of some chunks, of which `folded` tells the digests; the oldest are let go of too many."""
        now = time.monotonic()
        missing = [chunk for chunk in wanted if chunk not in self._known and self._may_try(chunk, now)]
        if missing:
            with ThreadPoolExecutor(min(READS_MAX, len(missing)), "chunks") as pool:
                found = pool.map(lambda chunk: self._read(folded[chunk]["record"]), missing)
                for chunk, facts in zip(missing, found, strict=True):
                    if facts is None:
                        self._tried[chunk] = now
                    else:
                        self._tried.pop(chunk, None)
                        self._known[chunk] = facts
        self._forget({*wanted})

    def get(self, chunk: int) -> list[TaskFacts]:
        """Return the tasks of a chunk: none where its record was not read."""
        return self._known.get(chunk, [])

    def missing(self, chunks: Collection[int]) -> set[int]:
        """Return those of some chunks whose records are not known, and may be read now."""
        now = time.monotonic()
        return {chunk for chunk in chunks if chunk not in self._known and self._may_try(chunk, now)}

    @property
    def tasks(self) -> Iterator[TaskFacts]:
        """The tasks of all records that were read, in order."""
        return (task for chunk in sorted(self._known) for task in self._known[chunk])

    def room_for(self, chunks: int, chunk_size: int) -> int:
        """Return how many of so many chunks, of so many tasks each, may be read without one being let go."""
        return max(0, min(chunks, FACTS_MAX // chunk_size - len(self._known)))

    @property
    def unreadable(self) -> int:
        """How many records could not be read."""
        return len(self._tried)

    def _may_try(self, chunk: int, now: float) -> bool:
        return now - self._tried.get(chunk, -AGAIN_SECONDS) >= AGAIN_SECONDS

    def _forget(self, needed: set[int]) -> None:
        size = sum(len(facts) for facts in self._known.values())
        for chunk in [*self._known]:
            if size <= FACTS_MAX:
                return
            if chunk not in needed:
                size -= len(self._known.pop(chunk))

    def _read(self, digest: str) -> list[TaskFacts] | None:
        """Return the tasks of a record; None where it is not there, or not what it was."""
        key = keys.chunk_record(self._job, self._stage, digest)
        try:
            data = self._cluster.storage.impatient.read(key)
            return finished_in(data) if hashlib.sha256(data).hexdigest() == digest else None
        except (StorageError, GomrError, ValueError, KeyError):
            return None
