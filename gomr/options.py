"""The options of a job, checked at submit against what the executable says of itself."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gomr.errors import UsageError
from gomr.job.definition import PARTITIONS_MAX
from gomr.job.outputs import OUTPUT_FORMATS
from gomr.model import LOSSES_MAX
from gomr.scheduling.attempts import ATTEMPTS_MAX
from gomr.scheduling.keys import PRIORITY_MAX

MEMORY_BYTES = 512 * 1024 * 1024  # what a task may collect and sort in; the spill budget is a share of it
MEMORY_BYTES_MIN = 8 * 1024 * 1024
TASK_SECONDS = 3600.0  # a task of an hour has either far too much to do, or hangs
ATTEMPTS_LIMIT = 100
# What is read from pipes at submit: a pipe that never ends must not fill the disk.
SPOOL_BYTES_MAX = 10 * 10**9
PRIORITY = 5  # jobs of one priority share the slots; lower ones wait for higher ones


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What `gomr submit` can be told of a job; None and "" leave it to the job file, or to the defaults."""

    params: Mapping[str, Any] = field(default_factory=dict)
    partitions: int | None = None
    split_bytes: int | None = None
    name: str = ""
    memory_bytes: int = MEMORY_BYTES
    task_seconds: float = TASK_SECONDS
    attempts_max: int = ATTEMPTS_MAX
    output_format: str = ""
    idempotency_key: str = ""
    priority: int = PRIORITY
    backups: bool = True
    max_skipped: int = 0
    spool_bytes_max: int = SPOOL_BYTES_MAX
    losses_max: int = LOSSES_MAX

    def __post_init__(self) -> None:
        """Raise UsageError for what no job can have."""
        if self.partitions is not None and not 1 <= self.partitions <= PARTITIONS_MAX:
            raise UsageError(f"--partitions {self.partitions}: a job has 1 to {PARTITIONS_MAX}")
        if self.split_bytes is not None and self.split_bytes < 1:
            raise UsageError(f"--split-size {self.split_bytes}: a split has at least one byte")
        if self.memory_bytes < MEMORY_BYTES_MIN:
            raise UsageError(f"--memory {self.memory_bytes}: a task needs at least {MEMORY_BYTES_MIN} bytes")
        if self.task_seconds <= 0:
            raise UsageError(f"--task-timeout {self.task_seconds:g}: a task needs some time")
        if not 1 <= self.attempts_max <= ATTEMPTS_LIMIT:
            raise UsageError(f"--max-attempts {self.attempts_max}: a task has 1 to {ATTEMPTS_LIMIT}")
        if not 1 <= self.losses_max <= ATTEMPTS_LIMIT:
            raise UsageError(f"--max-losses {self.losses_max}: a task has 1 to {ATTEMPTS_LIMIT}")
        if self.max_skipped < 0:
            raise UsageError(f"--max-skipped {self.max_skipped}: it is 0 (none) or more")
        if not 0 <= self.priority <= PRIORITY_MAX:
            raise UsageError(f"--priority {self.priority}: it is 0 to {PRIORITY_MAX}, the highest first")
        if self.output_format and self.output_format not in OUTPUT_FORMATS:
            raise UsageError(f"--format {self.output_format!r}: it is one of {', '.join(OUTPUT_FORMATS)}")

    def checked_inputs(self, patterns: Sequence[str], facts: Mapping[str, Any]) -> Sequence[str]:
        """Return the inputs given, or those of the job file. Raises UsageError where there are none."""
        found = list(patterns) or list(facts.get("inputs", ()))
        if not found:
            raise UsageError("no input: name files, folders, wildcards or URLs after the job")
        return found


def checked_params(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a job, texts turned into the types of the defaults. Raises UsageError."""
    params = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            close = difflib.get_close_matches(name, defaults, 1)
            hint = f"; did you mean {close[0]!r}?" if close else f" (it has: {', '.join(defaults) or 'none'})"
            raise UsageError(f"--param {name}: the job file's params has no such name{hint}")
        params[name] = _typed(name, value, defaults[name])
    return params


def _typed(name: str, value: Any, default: Any) -> Any:
    if not isinstance(value, str) or default is None or isinstance(default, str):
        return value
    kind = type(default)
    try:
        if kind is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[value.lower()]
        return kind(value)
    except (KeyError, ValueError):
        raise UsageError(f"--param {name}={value}: it is a {kind.__name__} (default {default!r})") from None
