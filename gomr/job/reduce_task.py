"""A reduce task: one partition's blocks in, keys in order with their values as a stream, result lines out."""

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, starmap
from pathlib import Path
from typing import Any, BinaryIO

from gomr.job import native
from gomr.job.contract import TaskFile
from gomr.job.definition import JobDefinition
from gomr.job.errors import HOST_ERRNOS, NO_RECORD, ContractError, JobError, PairError, UserError
from gomr.job.frames import read_frames
from gomr.job.grouping import Grouper
from gomr.job.keys import Key
from gomr.job.map_task import run_store, spill_bytes
from gomr.job.outputs import OUTPUT_FORMATS, LineWriter, text_line
from gomr.job.pairs import as_pair, pairs_of
from gomr.job.reducers import KnownReducer
from gomr.job.runs import Partitioning

COLUMN_KEYS = 4096  # of a merge in the native core: so many keys and values are Python objects at once
TEXT_BYTES = 1024 * 1024  # of result lines that the native core makes at a time


@dataclass(slots=True)
class Progress:
    """The key in hand, and how many keys there were."""

    key: Key = NO_RECORD
    keys: int = 0


def run_reduce(definition: JobDefinition, task: TaskFile) -> dict[str, Any]:
    """Run a reduce task; return the facts for its result file. Raises UserError with the key in hand."""
    if definition.reducer is None:
        raise ContractError("a reduce task for a job that has no reducer")
    progress = Progress()
    try:
        with Path(task.output).open("wb") as file, LineWriter(file, definition.output_format) as lines:
            spills = _reduce(definition, task, file, lines, progress)
    except (Exception, SystemExit) as error:
        host = isinstance(error, JobError) and error.kind == "host"
        if host or (isinstance(error, OSError) and error.errno in HOST_ERRNOS):
            raise
        if isinstance(error, UserError):
            raise
        key = error.key if isinstance(error, PairError) else NO_RECORD
        raise UserError(error, record=progress.key if key is NO_RECORD else key, source="reducer") from error
    return {"records_in": progress.keys, "records_out": lines.count, "spills": spills}


def _reduce(definition: JobDefinition, task: TaskFile, file: BinaryIO, lines: LineWriter, progress: Progress) -> int:
    """Reduce by the native core where it can read all blocks; return how many times memory was emptied to disk."""
    blocks = [(block.path, block.offset, block.length) for block in task.inputs]
    reducer = definition.reducer
    is_folded = isinstance(reducer, KnownReducer) and definition.output_format in OUTPUT_FORMATS.values()
    if native.core is not None and all(map(native.fits, blocks)):
        store = run_store(task)
        if not is_folded:
            with native.merged(store, blocks, native.core.KEEP) as merge:
                _reduce_merge(definition, merge, file, lines, progress)
            return 0
        try:
            with native.merged(store, blocks, native.fold_of(reducer)) as merge:
                _write_folded(merge, file, lines)
                progress.keys = merge.keys
        except native.core.Unfit:  # no code of the user's has run: start anew without the core
            file.truncate(0)
            file.seek(0)
            lines.count = 0
        else:
            return 0
    grouper = _grouped(definition, task)
    folded = grouper.flat(0) if isinstance(reducer, KnownReducer) else None
    if folded is not None and isinstance(reducer, KnownReducer):  # nothing is left to reduce
        keys, values = folded
        progress.keys = len(keys)
        lines.add_columns(keys, list(map(reducer.finished, values)))
    else:
        lines.add_pairs(_reduced(definition, _watched(grouper.groups(0), progress)), "reducer")
    return grouper.spills


def _write_folded(merge: Any, file: BinaryIO, lines: LineWriter) -> None:
    """Write what a well-known reducer makes of a merge. Raises Unfit for values that are no int of 64 bits."""
    if lines.is_text:
        while data := merge.lines(TEXT_BYTES, _line_of):
            file.write(data)
        lines.count = merge.keys
        return
    while (columns := merge.columns(COLUMN_KEYS))[0]:
        lines.add_columns(*columns)


def _reduce_merge(definition: JobDefinition, merge: Any, file: BinaryIO, lines: LineWriter, progress: Progress) -> None:
    """Write what the job's reducer makes of each key of a merge."""
    pairs = _reduced(definition, merge)
    try:
        if lines.is_text:
            lines.count = native.core.write_text(pairs, file.write, _line_of)
        else:
            lines.add_pairs(pairs, "reducer")
    finally:
        progress.key, progress.keys = merge.key, merge.keys


def _line_of(pair: Any) -> bytes:
    return text_line(*as_pair(pair, "reducer"))


def _reduced(definition: JobDefinition, groups: Iterable[tuple[Key, Iterator[Any]]]) -> Iterator[Any]:
    """Return what the reducer yields for each key, in one sequence: without a call for each pair."""
    reducer = definition.reducer
    assert reducer is not None
    if inspect.isgeneratorfunction(reducer):
        return chain.from_iterable(starmap(reducer, groups))
    # No starmap(): a StopIteration of the job's code would end it in silence.
    return chain.from_iterable(pairs_of(reducer(key, values), "reducer") for key, values in groups)


def _watched(groups: Iterable[tuple[Key, Iterator[Any]]], progress: Progress) -> Iterator[tuple[Key, Iterator[Any]]]:
    for group in groups:
        progress.key = group[0]
        progress.keys += 1
        yield group


def _grouped(definition: JobDefinition, task: TaskFile) -> Grouper:
    """Read every block, in split order."""
    grouper = Grouper(run_store(task), spill_bytes(task), combiner=definition.combiner, partitioning=Partitioning(1))
    for block in task.inputs:
        with Path(block.path).open("rb") as file:
            file.seek(block.offset)
            for frame in read_frames(file, block.length):
                grouper.add_frame(frame)
    return grouper
