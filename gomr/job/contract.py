"""The files of the job contract, version 1: the task file that is read, the result file that is written."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gomr.job.errors import ContractError
from gomr.job.version import CONTRACT_VERSION


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `offset` to `offset + length` of the local file `path`; `name` is the input's URL."""

    path: str
    offset: int
    length: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class TaskFile:
    """One task, as the worker describes it (DESIGN.md, "The job contract", says each field)."""

    kind: str
    inputs: tuple[Piece, ...]
    partitions: int
    params: dict[str, Any]
    output: str
    scratch: str
    result: str
    memory_bytes: int
    scratch_bytes: int
    log: str = ""
    output_format: str = ""
    identity: dict[str, Any] = field(default_factory=dict)
    skip: frozenset[tuple[str, int]] = frozenset()
    skipped: str = ""
    trace: str = ""
    ranges: tuple[str, ...] = ()


TYPES = {
    **dict.fromkeys(("kind", "output", "scratch", "result", "log", "output_format", "skipped", "trace"), str),
    **dict.fromkeys(("partitions", "memory_bytes", "scratch_bytes"), int),
    **dict.fromkeys(("params", "identity"), dict),
    **dict.fromkeys(("inputs", "skip", "ranges"), list),
}


def read_task(path: Path) -> TaskFile:
    """Read a task file. Raises ContractError for one of another version or shape."""
    try:
        task = json.loads(path.read_bytes())
        version = task["contract"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ContractError(f"{path}: not a task file: {error}") from error
    if version != CONTRACT_VERSION:
        raise ContractError(
            f"the worker speaks version {version} of the job contract, this executable version {CONTRACT_VERSION}; "
            "build the job again with the worker's version of gomr"
        )
    try:
        _check_types(task)
        return TaskFile(
            kind=task["kind"],
            inputs=tuple(Piece(**piece) for piece in task["inputs"]),
            partitions=task["partitions"],
            params=task["params"],
            output=task["output"],
            scratch=task["scratch"],
            result=task["result"],
            memory_bytes=task["memory_bytes"],
            scratch_bytes=task["scratch_bytes"],
            log=task.get("log", ""),
            output_format=task.get("output_format", ""),
            identity=task.get("identity", {}),
            skip=frozenset((str(source), int(number)) for source, number in task.get("skip", ())),
            skipped=task.get("skipped", ""),
            trace=task.get("trace", ""),
            ranges=tuple(map(str, task.get("ranges", ()))),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ContractError(f"{path}: not a task file of version {CONTRACT_VERSION}: {error}") from error


def _check_types(task: dict[str, Any]) -> None:
    """Raise TypeError for a field of another type than it should have."""
    for name, kind in TYPES.items():
        if name in task and not isinstance(task[name], kind):
            raise TypeError(f"{name} is {task[name]!r}")
    for piece in task["inputs"]:
        if not isinstance(piece["offset"], int) or not isinstance(piece["length"], int):
            raise TypeError(f"an input is {piece!r}")


def write_result(path: Path, facts: dict[str, Any]) -> None:
    """Write a result file, complete or not at all."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(json.dumps({"contract": CONTRACT_VERSION, **facts}).encode())  # imports no other codec
    os.replace(temporary, path)  # noqa: PTH105 - the one rename that replaces
