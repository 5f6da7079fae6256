"""One stage under observation: each look reads what is new, and remembers the rest."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from gomr.backends import Found, Range
from gomr.errors import GomrError
from gomr.model import ATTEMPT_RUNS, CLOSED, DoneRecord, StageRecord, TaskRecord
from gomr.observer.facts import DEAD, PENDING, TaskFacts, finished, finished_in, in_flight
from gomr.observer.gaps import gaps
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.history import failed_attempts

CHUNKS_PER_LOOK = 16  # chunk records that a look reads for statistics: a job of any size is seen at once, in part
FACTS_MAX = 200_000  # tasks of one stage that are remembered: some 100 MB
READS_MAX = 8  # of chunk records at a time
GOLDEN = 0.618033988749895  # fractions of its multiples fall evenly (Knuth, TAOCP 3, 6.4): which chunks to read first


class StageWatch:
    """What is known of one stage. For one thread at a time: `ranges` before a read, `take` after it, then look."""

    def __init__(self, cluster: Cluster, job: str, stage: str) -> None:
        self._cluster = cluster
        self.job = job
        self.stage = stage
        self.record: StageRecord | None = None
        self.folded: dict[int, dict[str, Any]] = {}  # by chunk: what the coordinator says of it
        self._done: dict[int, TaskFacts] = {}  # not folded yet
        self._flight: dict[int, TaskFacts] = {}
        self._dead: dict[int, list[dict[str, Any]]] = {}  # the errors of tasks that were given up
        self._chunks: dict[int, list[TaskFacts]] = {}  # chunk records that were read
        self._hears: list[Callable[[Found], None]] = []

    def ranges(self) -> list[Range]:
        """Return what to read now."""
        wanted: list[tuple[Range, Callable[[Found], None]]] = []
        if not self._is_complete():
            wanted.append((Range(keys.stage(self.job, self.stage)), self._hear_stage))
        if self.record and not self._is_complete():
            flight, backups = keys.tasks(self.job, self.stage), keys.backups(self.job, self.stage)
            dead = keys.dead_letters(self.job, self.stage)
            wanted.append((Range(flight, keys.end_of(flight)), self._hear_flight))
            wanted.append((Range(backups, keys.end_of(backups)), self._hear_backups))
            wanted.append((Range(dead, keys.end_of(dead)), self._hear_dead))
            wanted += [(item, self._hear_folded) for item in self._chunk_gaps()]
            wanted += [(item, self._hear_done) for item in self._done_gaps()]
        self._hears = [hear for _, hear in wanted]
        return [item for item, _ in wanted]

    @property
    def expected(self) -> int:
        """How many answers the last `ranges` are to bring."""
        return len(self._hears)

    def take(self, found: Sequence[Found]) -> None:
        """Take in what the ranges found."""
        for hear, answer in zip(self._hears, found, strict=True):
            hear(answer)

    @property
    def tasks(self) -> int:
        """How many tasks the stage has; 0 before it is open."""
        return self.record.tasks if self.record else 0

    @property
    def done(self) -> int:
        """How many are done."""
        return len(self._done) + sum(int(chunk["tasks"]) for chunk in self.folded.values())

    @property
    def running(self) -> int:
        """How many run now; backups are not counted."""
        return sum(task.state == ATTEMPT_RUNS for task in self._flight.values())

    @property
    def dead(self) -> dict[int, list[dict[str, Any]]]:
        """The last errors of each task that was given up, by its number."""
        return self._dead

    def median_seconds(self) -> float:
        """Return about how long a task takes: the median over chunks of their medians, and over what is not folded."""
        middles = [chunk["median_seconds"] for chunk in self.folded.values()] or [
            t.seconds for t in self._done.values()
        ]
        return median(middles) if middles else 0.0

    def totals(self) -> dict[str, Any]:
        """Return sums over all done tasks: records_in, records_out, bytes_in, bytes_out, failed_attempts, requests."""
        names = ("records_in", "records_out", "bytes_in", "bytes_out")
        sums: dict[str, Any] = {name: sum(getattr(task, name) for task in self._done.values()) for name in names}
        begun = (*self._done.values(), *self._flight.values())
        sums["failed_attempts"] = sum(failed_attempts(task.history) for task in begun)
        requests: Counter[str] = Counter()
        for task in self._done.values():
            requests.update(task.requests)
        for chunk in self.folded.values():
            for name in (*names, "failed_attempts"):
                sums[name] += chunk.get(name, 0)
            requests.update(chunk.get("requests", {}))
        return {**sums, "requests": requests}

    def active(self) -> list[TaskFacts]:
        """Return the tasks that run, or wait for another attempt."""
        return [*self._flight.values()]

    def sample(self) -> list[TaskFacts]:
        """Return the facts of tasks that have begun, from all over the stage: more of them with each look."""
        assert self.record is not None
        missing = [
            chunk for chunk in _scattered(self.record.chunks) if chunk in self.folded.keys() - self._chunks.keys()
        ]
        room = FACTS_MAX // self.record.chunk_size - len(self._chunks)
        self._load(missing[: min(CHUNKS_PER_LOOK, max(0, room))])
        read = [task for chunk in sorted(self._chunks) for task in self._chunks[chunk]]
        return [*read, *self._done.values(), *self._flight.values()]

    def page(self, first: int, count: int) -> list[TaskFacts]:
        """Return the facts of tasks `first` to below `first + count`, all of them, in order."""
        if self.record is None:
            return []
        numbers = range(max(0, first), min(self.record.tasks, first + count))
        size = self.record.chunk_size
        wanted = sorted({number // size for number in numbers} & self.folded.keys())
        self._load(wanted)
        known = {task.index: task for chunk in wanted for task in self._chunks[chunk]}
        known |= self._done | self._flight
        facts = [known.get(number) or TaskFacts(number, PENDING) for number in numbers]
        for task in facts:
            if task.index in self._dead and task.state != "done":
                task.state, task.error = DEAD, self._dead[task.index][-1]
        return facts

    def _load(self, chunks: Iterable[int]) -> None:
        """Read the records of some chunks; the oldest ones are forgotten where there are too many."""
        missing = [chunk for chunk in chunks if chunk not in self._chunks]
        if not missing:
            return
        with ThreadPoolExecutor(min(READS_MAX, len(missing)), "chunks") as pool:
            for chunk, facts in zip(missing, pool.map(self._read_chunk, missing), strict=True):
                self._chunks[chunk] = facts
        assert self.record is not None
        needed = {*missing}
        for chunk in [*self._chunks]:
            if len(self._chunks) * self.record.chunk_size <= FACTS_MAX:
                return
            if chunk not in needed:
                del self._chunks[chunk]

    def _read_chunk(self, chunk: int) -> list[TaskFacts]:
        digest = self.folded[chunk]["record"]
        key = keys.chunk_record(self.job, self.stage, digest)
        data = self._cluster.storage.read(key)
        if hashlib.sha256(data).hexdigest() != digest:
            raise GomrError(f"{key} is damaged in the storage: its digest does not match")
        return finished_in(data)

    def _is_complete(self) -> bool:
        record = self.record
        return record is not None and record.state == CLOSED and len(self.folded) == record.chunks

    def _chunk_gaps(self) -> list[Range]:
        assert self.record is not None
        prefix = keys.chunks(self.job, self.stage)
        end = keys.end_of(prefix)
        known = ((chunk, chunk + 1) for chunk in self.folded)
        return gaps(known, self.record.chunks, lambda number: keys.chunk(self.job, self.stage, number), end)

    def _done_gaps(self) -> list[Range]:
        record = self.record
        assert record is not None
        if len(self.folded) == record.chunks:
            return []
        size, prefix = record.chunk_size, keys.done(self.job, self.stage)

        def key_of(number: int) -> str:
            return keys.done_task(self.job, self.stage, number // size, number)

        folded = [(chunk * size, min(record.tasks, (chunk + 1) * size)) for chunk in self.folded]
        done = [(number, number + 1) for number in self._done]
        return gaps([*folded, *done], record.tasks, key_of, keys.end_of(prefix))

    def _hear_stage(self, found: Found) -> None:
        self.record = StageRecord.from_json(found.items[0].value) if found.items else None

    def _hear_flight(self, found: Found) -> None:
        self._flight = {
            keys.number_of(item.key): in_flight(keys.number_of(item.key), TaskRecord.from_json(item.value), None)
            for item in found.items
        }

    def _hear_backups(self, found: Found) -> None:
        for item in found.items:
            task = self._flight.get(keys.number_of(item.key))
            if task:
                task.backup = TaskRecord.from_json(item.value)

    def _hear_dead(self, found: Found) -> None:
        self._dead = {keys.number_of(item.key): json.loads(item.value) for item in found.items}

    def _hear_folded(self, found: Found) -> None:
        for item in found.items:
            number = keys.number_of(item.key)
            self.folded[number] = json.loads(item.value)
            if self.record:
                for task in self.record.chunk_tasks(number):
                    self._done.pop(task, None)

    def _hear_done(self, found: Found) -> None:
        for item in found.items:
            number = keys.number_of(item.key)
            self._done[number] = finished(number, DoneRecord.from_json(item.value))


def _scattered(count: int) -> list[int]:
    """Return the numbers below `count` so that those of every beginning of the list lie evenly."""
    return sorted(range(count), key=lambda number: number * GOLDEN % 1.0)
