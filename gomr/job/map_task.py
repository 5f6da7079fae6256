"""A map task: records in, pairs out, grouped and written as one file of R blocks (or as result lines)."""

import inspect
from collections.abc import Iterator, Mapping
from itertools import chain
from operator import length_hint
from pathlib import Path
from typing import Any

from gomr.job import context, native
from gomr.job.careful import Careful
from gomr.job.contract import TaskFile
from gomr.job.definition import JobDefinition
from gomr.job.errors import HOST_ERRNOS, NO_RECORD, JobError, PairError, UserError
from gomr.job.formats import chunk_size
from gomr.job.grouping import Grouper
from gomr.job.native_grouping import NativeGrouper
from gomr.job.outputs import LineWriter
from gomr.job.pairs import pairs_of
from gomr.job.runs import Partitioning, RunStore

SPILL_SHARE = 0.5  # of --memory for collected pairs; the interpreter, a frame being written and sorting take the rest
SPILL_BYTES_MIN = 2 * 1024 * 1024


class Records:
    """The records of a task's inputs, and which of them is in hand."""

    def __init__(self, definition: JobDefinition, task: TaskFile) -> None:
        self._format = definition.input_format
        self._pieces = task.inputs
        self._chunk_bytes = chunk_size(definition.chunk_bytes, task.memory_bytes)
        self._careful = Careful(task) if Careful.is_needed(task) else None
        self._before = 0  # records of this piece that came before the run in hand
        self._run: list[Any] = []
        self._rest: Iterator[Any] = iter(())
        self.source = ""
        self.count = 0

    @property
    def skipped(self) -> int:
        """How many records were set aside."""
        return self._careful.skipped if self._careful else 0

    @property
    def current(self) -> Any:
        """The record in hand."""
        taken = self._taken()
        return self._run[taken - 1] if taken else NO_RECORD

    @property
    def number(self) -> int:
        """Which record of its piece it is, from 1 on."""
        return self._before + self._taken()

    def __iter__(self) -> Iterator[Iterator[Any]]:
        """Yield every record, in runs: what goes through one makes no step of ours a record."""
        for index, piece in enumerate(self._pieces):
            self.source = piece.name
            context.set_source(piece.name)
            self._before = 0
            with Path(piece.path).open("rb") as stream:
                stream.seek(piece.offset)
                if self._careful:
                    records = self._format.records(stream, piece.length, self._chunk_bytes)
                    for number, record in self._careful.records(index, records):
                        self._before = number - 1
                        yield from self._in_hand([record])
                else:
                    for run in self._format.batches(stream, piece.length, self._chunk_bytes):
                        yield from self._in_hand(run)
        self._before, self.source = 0, ""  # what fails from here on is no record's doing

    def _in_hand(self, run: list[Any]) -> Iterator[Iterator[Any]]:
        self._run, self._rest = run, iter(run)
        self.count += len(run)
        yield self._rest
        self._run, self._rest = [], iter(())  # what fails while the next one is read is not the last one's doing
        self._before += len(run)

    def _taken(self) -> int:
        return len(self._run) - length_hint(self._rest)


def run_map(definition: JobDefinition, task: TaskFile) -> dict[str, Any]:
    """Run a map task; return the facts for its result file. Raises UserError with the record in hand."""
    records = Records(definition, task)
    try:
        if definition.reducer is None:
            return _write_lines(definition, task, records)
        return _write_blocks(definition, task, records)
    except OSError as error:
        if error.errno in HOST_ERRNOS:
            raise
        raise _blamed(error, records) from error
    except JobError as error:
        if error.kind == "host":
            raise
        raise _blamed(error, records) from error
    except (Exception, SystemExit) as error:
        raise _blamed(error, records) from error


def spill_bytes(task: TaskFile) -> int:
    """Return how much of a task's memory the collected pairs may take, in bytes."""
    return max(SPILL_BYTES_MIN, int(task.memory_bytes * SPILL_SHARE))


def run_store(task: TaskFile) -> RunStore:
    """Return the place for a task's sorted runs."""
    return RunStore(Path(task.scratch), task.scratch_bytes, spill_bytes(task))


def _write_blocks(definition: JobDefinition, task: TaskFile, records: Records) -> dict[str, Any]:
    make = Grouper if native.core is None else NativeGrouper
    grouper = make(
        run_store(task),
        spill_bytes(task),
        combiner=definition.combiner,
        partitioning=Partitioning(task.partitions, definition.partitioner),
    )
    mapper, pairs = definition.mapper, 0
    is_generator = inspect.isgeneratorfunction(mapper)
    for run in records:
        if is_generator:  # one call for all its records, which saves a tenth of the task
            pairs += grouper.add_pairs(chain.from_iterable(map(mapper, run)))
            continue
        for record in run:  # no map(): a StopIteration of the job's code would end it in silence
            found = mapper(record)
            if isinstance(found, Mapping):
                pairs += grouper.add_mapping(found)
            else:
                pairs += grouper.add_pairs(pairs_of(found, "mapper"))
    grouper.combine_all()
    blocks = []
    with Path(task.output).open("wb") as file:
        for partition in range(task.partitions):
            start = file.tell()
            grouper.write(file, partition)
            blocks.append([start, file.tell() - start])
    return {
        "records_in": records.count,
        "records_out": pairs,
        "blocks": blocks,
        "spills": grouper.spills,
        "skipped": records.skipped,
    }


def _write_lines(definition: JobDefinition, task: TaskFile, records: Records) -> dict[str, Any]:
    mapper = definition.mapper
    with Path(task.output).open("wb") as file, LineWriter(file, definition.output_format) as lines:
        for run in records:
            for record in run:
                lines.add_pairs(pairs_of(mapper(record), "mapper"), "mapper")
    return {"records_in": records.count, "records_out": lines.count, "skipped": records.skipped}


def _blamed(error: BaseException, records: Records) -> UserError:
    if isinstance(error, UserError):
        return error  # it knows better: a combiner's key
    if records.current is NO_RECORD and isinstance(error, PairError):
        return UserError(error, record=error.key, source="reducer")  # of what it has folded
    return UserError(error, record=records.current, number=records.number, source=records.source)
