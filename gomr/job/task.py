"""Runs one task from its task file to its result file."""

import contextlib
import gc
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

from gomr.job import context, randomness
from gomr.job.contract import TaskFile, read_task, write_result
from gomr.job.definition import JobDefinition
from gomr.job.errors import ContractError, UserError, error_facts, flush_output, print_error
from gomr.job.map_task import run_map
from gomr.job.outputs import output_format
from gomr.job.reduce_task import run_reduce
from gomr.job.sort_task import run_sort_map, run_sort_reduce

GC_THRESHOLDS = (50_000, 20, 50)  # a task makes millions of short-lived tuples, and few cycles: measured 10 % faster


def run_task(definition: JobDefinition, task: TaskFile) -> bool:
    """Run `task` and write its result file, also when the job's code fails; return whether it succeeded."""
    gc.set_threshold(*GC_THRESHOLDS)
    context.begin({**definition.params, **task.params})
    try:
        if task.output_format:
            definition = replace(definition, output_format=output_format(task.output_format))
        if definition.sort is None:  # no code of the job's own runs in a sort
            randomness.begin_task(definition.module, task.identity, context.params())
        if definition.setup is not None:
            _set_up(definition)
        facts = _run(definition, task)
    except BaseException as error:  # SystemExit of the user's code too: it must not look like success
        print_error(error)
        with contextlib.suppress(OSError):
            Path(task.output).unlink(missing_ok=True)  # on a full disk, this makes room for the result file
        return _finish(task, {"ok": False, "error": error_facts(error)})
    return _finish(task, {"ok": True, **facts})


def _run(definition: JobDefinition, task: TaskFile) -> dict[str, Any]:
    if task.kind not in ("map", "reduce"):
        raise ContractError(f"task kind {task.kind!r} is not of this contract; it is 'map' or 'reduce'")
    is_map = task.kind == "map"
    if definition.sort is not None:
        return run_sort_map(definition.sort, task) if is_map else run_sort_reduce(definition.sort, task)
    return run_map(definition, task) if is_map else run_reduce(definition, task)


def run_task_file(module: str, path: Path) -> bool:
    """Load the job and run the task at `path`; the whole of an executable's `task` command."""
    from gomr.job.definition import load

    task = read_task(path)
    try:
        definition = load(module)
    except BaseException as error:
        print_error(error)
        return _finish(task, {"ok": False, "error": error_facts(error)})
    return run_task(definition, task)


def _set_up(definition: JobDefinition) -> None:
    assert definition.setup is not None
    try:
        definition.setup()
    except (Exception, SystemExit) as error:
        raise UserError(error, source="setup()") from error


def _finish(task: TaskFile, facts: dict[str, Any]) -> bool:
    flush_output()
    facts["counters"] = context.counters()
    facts["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    write_result(Path(task.result), facts)
    return bool(facts["ok"])
