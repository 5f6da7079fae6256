"""Reads what a task left behind: its result file and its output, neither of which the worker may trust."""

import contextlib
import json
import signal
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gomr.job.version import CONTRACT_VERSION

RESULT_BYTES_MAX = 16 * 1024 * 1024  # the offsets of 10,000 partitions are 300 KB


class TaskFailed(Exception):
    """The attempt failed; `error` is the error object of a result file."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message", "")))
        self.error = error


@dataclass(frozen=True, slots=True)
class Outcome:
    """A successful task: its numbers, and its output with the offsets of its blocks (none for a result part)."""

    output: Path
    blocks: list[list[int]]
    records_in: int
    records_out: int
    spills: int
    peak_memory_bytes: int
    counters: dict[str, int]
    skipped: int


def read_outcome(result: Path, output: Path, status: int | None, partitions: int) -> Outcome:
    """Return the outcome of a task; `partitions` is 0 where its output is a part of the result.

    Raises TaskFailed where the task failed, or left something that does not keep the contract.
    """
    facts = _read(result, status)
    if facts.get("contract") != CONTRACT_VERSION:
        raise _broken("the result file is not of the contract's version")
    if facts.get("ok") is not True:
        error = facts.get("error")
        raise TaskFailed(error if isinstance(error, dict) else {"kind": "job", "message": "it did not say why"})
    if not is_regular(output):
        raise _broken("the task reported success and wrote no output file")
    try:
        return Outcome(
            output=output,
            blocks=_blocks(facts["blocks"], partitions, output.stat().st_size) if partitions else [],
            records_in=int(facts.get("records_in", 0)),
            records_out=int(facts.get("records_out", 0)),
            spills=int(facts.get("spills", 0)),
            peak_memory_bytes=int(facts.get("peak_memory_bytes", 0)),
            counters={str(name): int(amount) for name, amount in dict(facts.get("counters", {})).items()},
            skipped=int(facts.get("skipped", 0)),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _broken(f"the result file does not keep the contract: {error}") from error


def _read(path: Path, status: int | None) -> dict[str, Any]:
    if not is_regular(path):
        # The worker tells of its own limits. Any other SIGKILL is the machine's doing: it has no memory left, say.
        kind = "host" if status == -signal.SIGKILL else "job"
        raise TaskFailed({"kind": kind, "message": f"{_ending(status)}, without a result", "died": True})
    if path.stat().st_size > RESULT_BYTES_MAX:
        raise _broken(f"the result file is larger than {RESULT_BYTES_MAX} bytes")
    try:
        facts = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _broken(f"the result file is not JSON: {error}") from error
    if not isinstance(facts, dict):
        raise _broken("the result file is not a JSON object")
    return facts


def _blocks(blocks: Any, partitions: int, size: int) -> list[list[int]]:
    """Return the offsets of the blocks, which must follow one another through the whole output."""
    checked = [[int(offset), int(length)] for offset, length in blocks]
    end = 0
    for offset, length in checked:
        if offset != end or length < 0:
            raise ValueError("its blocks do not lie one after the other")
        end += length
    if len(checked) != partitions or end != size:
        raise ValueError("its blocks do not fit the output file")
    return checked


def is_regular(path: Path) -> bool:
    """Say whether there is a plain file of its own: a link would have the worker read, and publish, another one."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def _broken(message: str) -> TaskFailed:
    return TaskFailed({"kind": "job", "message": message})


def _ending(status: int | None) -> str:
    if status is not None and status < 0:
        with contextlib.suppress(ValueError):
            hint = " (is there too little memory?)" if status == -signal.SIGKILL else ""
            return f"the task's process was killed by {signal.Signals(-status).name}{hint}"
    return f"the task's process ended with status {status}"
