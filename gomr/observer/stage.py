"""One stage under observation: each look reads what is new, and remembers the rest."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from gomr.backends import Found, Range
from gomr.errors import GomrError
from gomr.model import CLOSED, DoneRecord, StageRecord, TaskRecord
from gomr.observer.chunks import ChunkRecords
from gomr.observer.facts import DEAD, DONE, PENDING, RUNNING, STOPPED, TaskFacts, finished, in_flight
from gomr.observer.gaps import gaps
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.history import failed_attempts

CHUNKS_PER_LOOK = 16  # chunk records that a look reads for statistics: a job of any size is seen at once, in part
GOLDEN = 0.618033988749895  # fractions of its multiples fall evenly (Knuth, TAOCP 3, 6.4): which chunks to read first


class StageWatch:
    """What is known of one stage. For one thread at a time: `ranges` before a read, `take` after it, then look."""

    def __init__(self, cluster: Cluster, job: str, stage: str) -> None:
        self.job = job
        self.stage = stage
        self.record: StageRecord | None = None
        self.folded: dict[int, dict[str, Any]] = {}  # by chunk: what the coordinator says of it
        self._done: dict[int, TaskFacts] = {}  # not folded yet
        self._flight: dict[int, TaskFacts] = {}
        self._dead: dict[int, list[dict[str, Any]]] = {}  # the errors of tasks that were given up
        self._records = ChunkRecords(cluster, job, stage)
        self.ended_seconds = 0.0  # when the job ended; 0.0 while it lives
        self.has_failed = False  # whether the job did
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
        return 0 if self.ended_seconds else sum(task.state == RUNNING for task in self._flight.values())

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
        """Return sums over all done tasks: records_in, records_out, bytes_in, bytes_out, failed_attempts, requests.

        A sum is None where chunks were folded by a gomr that did not add up yet.
        """
        names = ("records_in", "records_out", "bytes_in", "bytes_out")
        sums: dict[str, Any] = {name: sum(getattr(task, name) for task in self._done.values()) for name in names}
        begun = (*self._done.values(), *self._flight.values())
        sums["failed_attempts"] = sum(failed_attempts(task.history) for task in begun)
        requests: Counter[str] = Counter()
        for task in self._done.values():
            requests.update(task.requests)
        for chunk in self.folded.values():
            for name in (*names, "failed_attempts"):
                known = sums[name] is not None and name in chunk
                sums[name] = sums[name] + chunk[name] if known else None
            requests.update(chunk.get("requests", {}))
        return {**sums, "requests": requests}

    def sample(self) -> list[TaskFacts]:
        """Return the facts of tasks that have begun, from all over the stage: more of them with each look."""
        assert self.record is not None
        missing = self._records.missing(self.folded)
        count = self._records.room_for(CHUNKS_PER_LOOK, self.record.chunk_size)
        if missing and count:
            spread = [chunk for chunk in _scattered(self.record.chunks) if chunk in missing]
            self._records.load(spread[:count], self.folded)
        return [*self._records.tasks, *self._done.values(), *map(self._now, self._flight.values())]

    def page(self, first: int, count: int) -> list[TaskFacts]:
        """Return the facts of tasks `first` to below `first + count`, all of them, in order.

        Of a finished task whose chunk record cannot be read nothing but that is known.
        """
        if self.record is None:
            return []
        numbers = range(max(0, first), min(self.record.tasks, first + count))
        size = self.record.chunk_size
        wanted = sorted({number // size for number in numbers} & self.folded.keys())
        self._records.load(wanted, self.folded)
        known = {task.index: task for chunk in wanted for task in self._records.get(chunk)}
        known |= self._done
        return [known.get(number) or self._not_done(number) for number in numbers]

    def pending(self) -> list[int]:
        """Return the tasks that have not begun."""
        begun = self._done.keys() | self._flight.keys()
        size = self.record.chunk_size if self.record else 1
        return [number for number in range(self.tasks) if number not in begun and number // size not in self.folded]

    @property
    def unreadable(self) -> int:
        """How many chunk records could not be read."""
        return self._records.unreadable

    def _not_done(self, number: int) -> TaskFacts:
        assert self.record is not None
        if number // self.record.chunk_size in self.folded:
            return TaskFacts(number, DONE)
        return self._now(self._flight.get(number) or TaskFacts(number, PENDING))

    def _now(self, task: TaskFacts) -> TaskFacts:
        """Return what a task that is not done is now: the record of one that was in hand when its job ended stays."""
        if self.has_failed and task.index in self._dead:
            return replace(task, state=DEAD, error=self._dead[task.index][-1])
        if self.ended_seconds and task.state == RUNNING:
            lasted = max(0.0, self.ended_seconds - task.started) if task.started else 0.0
            return replace(task, state=STOPPED, run=lasted, backup=None)
        return task

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
        self._dead = {keys.number_of(item.key): _parsed(item.value) for item in found.items}

    def _hear_folded(self, found: Found) -> None:
        for item in found.items:
            number = keys.number_of(item.key)
            self.folded[number] = _parsed(item.value)
            if self.record:
                for task in self.record.chunk_tasks(number):
                    self._done.pop(task, None)

    def _hear_done(self, found: Found) -> None:
        for item in found.items:
            number = keys.number_of(item.key)
            self._done[number] = finished(number, DoneRecord.from_json(item.value))


def _parsed(value: bytes) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise GomrError(f"a damaged record of a stage in the coordinator: {error}") from error


def _scattered(count: int) -> list[int]:
    """Return the numbers below `count` so that those of every beginning of the list lie evenly."""
    return sorted(range(count), key=lambda number: number * GOLDEN % 1.0)
