"""A reduce task: one partition's blocks in, keys in order with their values as a stream, result lines out."""

from pathlib import Path
from typing import Any

from gomr.job.contract import TaskFile
from gomr.job.definition import JobDefinition
from gomr.job.errors import HOST_ERRNOS, NO_RECORD, ContractError, JobError, UserError
from gomr.job.frames import read_frames
from gomr.job.grouping import Grouper, pairs_of, unpacked
from gomr.job.map_task import run_store, spill_bytes
from gomr.job.outputs import LineWriter
from gomr.job.reducers import KnownReducer
from gomr.job.runs import Partitioning


def run_reduce(definition: JobDefinition, task: TaskFile) -> dict[str, Any]:
    """Run a reduce task; return the facts for its result file. Raises UserError with the key in hand."""
    if definition.reducer is None:
        raise ContractError("a reduce task for a job that has no reducer")
    key: Any = NO_RECORD
    keys_in = 0
    try:
        grouper = _grouped(definition, task)
        reducer = definition.reducer
        folded = grouper.flat(0) if isinstance(reducer, KnownReducer) else None
        with Path(task.output).open("wb") as file, LineWriter(file, definition.output_format) as lines:
            if folded is not None and isinstance(reducer, KnownReducer):  # nothing is left to reduce
                keys, values = folded
                keys_in = len(keys)
                lines.add_columns(keys, list(map(reducer.finished, values)))
            else:
                for key, group in grouper.groups(0):
                    keys_in += 1
                    for pair in pairs_of(reducer(key, group)):
                        lines.add(*unpacked(pair, "reducer"))
    except (Exception, SystemExit) as error:
        host = isinstance(error, JobError) and error.kind == "host"
        if host or (isinstance(error, OSError) and error.errno in HOST_ERRNOS):
            raise
        if isinstance(error, UserError):
            raise
        raise UserError(error, record=key, number=keys_in, source="reduce key") from error
    return {"records_in": keys_in, "records_out": lines.count, "spills": grouper.spills}


def _grouped(definition: JobDefinition, task: TaskFile) -> Grouper:
    """Read every block, in split order."""
    grouper = Grouper(run_store(task), spill_bytes(task), combiner=definition.combiner, partitioning=Partitioning(1))
    for block in task.inputs:
        with Path(block.path).open("rb") as file:
            file.seek(block.offset)
            for keys, values, flat in read_frames(file, block.length):
                grouper.add_frame(keys, values, flat=flat)
    return grouper
