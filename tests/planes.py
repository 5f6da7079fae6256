"""Runs the map and reduce tasks of a job in this process, each with or without the native core."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import pytest
from gomr_native import _core

from gomr.job import native
from gomr.job.contract import Piece, TaskFile
from gomr.job.definition import JobDefinition
from gomr.job.errors import UserError
from gomr.job.formats import INPUT_FORMATS
from gomr.job.map_task import run_map
from gomr.job.outputs import OUTPUT_FORMATS
from gomr.job.reduce_task import run_reduce

PURE, NATIVE = None, _core


def task_file(folder: Path, kind: str, inputs: list[Piece], partitions: int) -> TaskFile:
    folder.mkdir()
    return TaskFile(
        kind=kind,
        inputs=tuple(inputs),
        partitions=partitions,
        params={},
        output=str(folder / "output"),
        scratch=str(folder),
        result=str(folder / "result"),
        memory_bytes=64,
        scratch_bytes=2**30,
    )


def definition(splits: list[list[Any]], reducer: Any, combiner: Any, output_format: str) -> JobDefinition:
    def mapper(line: str) -> Iterator[Any]:
        yield from splits[int(line)]

    assert inspect.isgeneratorfunction(mapper)
    return JobDefinition(
        module="job",
        mapper=mapper,
        reducer=reducer,
        combiner=combiner,
        partitioner=None,
        setup=None,
        input_format=INPUT_FORMATS["lines"],
        output_format=OUTPUT_FORMATS[output_format],
    )


def run(
    job: JobDefinition, splits: int, partitions: int, maps_by: list[ModuleType | None], reduces_by: ModuleType | None
) -> list[bytes]:
    """Run a job of a line a split; return its result parts."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        blocks = []
        for number in range(splits):
            line = folder / f"input-{number}"
            line.write_text(f"{number}\n")
            patch.setattr(native, "core", maps_by[number % len(maps_by)])
            pieces = [Piece(str(line), 0, line.stat().st_size)]
            task = task_file(folder / f"map-{number}", "map", pieces, partitions)
            blocks.append([Piece(task.output, *block) for block in run_map(job, task)["blocks"]])
        patch.setattr(native, "core", reduces_by)
        parts = []
        for partition in range(partitions):
            pieces = [block[partition] for block in blocks if block[partition].length]
            task = task_file(folder / f"reduce-{partition}", "reduce", pieces, 1)
            facts = run_reduce(job, task)
            parts.append(Path(task.output).read_bytes())
            assert facts["records_out"] == parts[-1].count(b"\n")
        return parts


@pytest.fixture(params=[PURE, NATIVE], ids=["pure", "native"])
def core(request: pytest.FixtureRequest) -> ModuleType | None:
    """The native core, and none."""
    found: ModuleType | None = request.param
    return found


def job_of(*splits: list[Any], reducer: Any, combiner: Any = None, output_format: str = "text") -> JobDefinition:
    """Return a job whose mapper yields the pairs of a split for its one line."""
    return definition([*splits], reducer, combiner, output_format)


def failure(job: JobDefinition, core: ModuleType | None, partitions: int = 1) -> UserError:
    """Return the error that a job of one split ends with."""
    with pytest.raises(UserError) as failed:
        run(job, 1, partitions, [core], core)
    return failed.value


def as_list(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    """Reduce to a list of the values."""
    yield key, list(values)
