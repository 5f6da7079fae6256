"""What can go wrong inside an executable, and how it is told to the worker.

JobError
├── DefinitionError    the job file is not a job: a name missing, misspelt, or of the wrong arity
├── UserError          the user's own function raised, with the record that made it
├── PairError          a mapper, combiner or reducer gave something that is not a usable pair
├── ValuesError        a combiner or reducer read its values twice, or after their turn
├── ContractError      the worker's task file is not one that this executable understands
└── HostError          the machine failed the task: disk full, damaged block
"""

import contextlib
import errno
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType

RUNTIME_FOLDER = str(Path(__file__).parent)
RECORD_CHARACTERS_MAX = 1000  # enough to recognise a record, small enough for a commit record
TRACEBACK_CHARACTERS_MAX = 3000  # the coordinator keeps errors of at most 4 KB


CAUSES_MAX = 10  # of one error: more of a chain tell no more
_CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"
_DURING = "\nDuring handling of the above exception, another exception occurred:\n\n"

NO_RECORD = object()
"""Stands for the record where no record is in hand."""


class JobError(Exception):
    """Something inside the executable failed; `kind` says whose fault it is.

    `is_final`: the same task would fail in the same way again.
    """

    kind = "job"
    is_final = False


class DefinitionError(JobError):
    """The job file is not a job."""

    is_final = True

    def __init__(self, message: str, *, file: str = "", line: int = 0) -> None:
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(where + message)


class UserError(JobError):
    """The user's own function raised."""

    def __init__(self, cause: BaseException, *, record: object = NO_RECORD, number: int = 0, source: str = "") -> None:
        super().__init__(f"{type(cause).__name__}: {_said(cause)}")
        self.cause = cause
        self.record = None if record is NO_RECORD else shown(record)
        self.number = number
        self.source = source


class PairError(JobError):
    """A function of the job gave something that is not a usable (key, value) pair; `key` is its key, where known."""

    is_final = True

    def __init__(self, message: str, *, key: object = NO_RECORD) -> None:
        super().__init__(message)
        self.key = key


class ValuesError(JobError):
    """A function of the job read its values a second time, or after their turn."""

    is_final = True


class ContractError(JobError):
    """The task file is not one that this executable understands."""

    kind = "host"


class HostError(JobError):
    """The machine failed the task, not the job's code."""

    kind = "host"


HOST_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}


def shown(record: object, characters_max: int = RECORD_CHARACTERS_MAX) -> str:
    """Return `record` as text of bounded length."""
    if isinstance(record, (str, bytes)) and len(record) > characters_max:
        return f"{record[:characters_max]!r}... ({len(record)} long)"
    try:
        text = repr(record)
    except Exception as error:  # the user's __repr__ must not hide the user's error
        text = f"<{type(record).__name__}, whose repr fails: {type(error).__name__}>"
    return text if len(text) <= characters_max else text[:characters_max] + "..."


def user_traceback(error: BaseException) -> str:
    """Format `error` and what caused it, with the user's frames only, by file name as the user wrote it."""
    text = "".join(_chain_lines(error, set())).rstrip()
    if len(text) > TRACEBACK_CHARACTERS_MAX:
        half = TRACEBACK_CHARACTERS_MAX // 2
        text = f"{text[:half]}\n  [...]\n{text[-half:]}"
    return text


def _chain_lines(error: BaseException, seen: set[int]) -> list[str]:
    """Return the lines of an error, those of its cause first, as Python prints them."""
    seen.add(id(error))
    lines: list[str] = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen and len(seen) < CAUSES_MAX:
        lines = [*_chain_lines(cause, seen), _CAUSED if error.__cause__ is not None else _DURING]
    frames = _user_frames(error)
    if frames:
        lines += ["Traceback (most recent call last):\n", *traceback.format_list(frames)]
    if isinstance(error, JobError):
        return [*lines, f"{type(error).__name__}: {_said(error)}\n"]
    return [*lines, *traceback.format_exception_only(error)]


def _user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_runtime(frame.filename)]
    for frame in frames:
        frame.filename = _short(frame.filename)
    return frames


def error_facts(error: BaseException) -> dict[str, object]:
    """Describe `error` as the `error` object of a result file (DESIGN.md, "The job contract")."""
    if isinstance(error, UserError):
        facts = error_facts(error.cause)
        facts.update(record=error.record, record_number=error.number, source=error.source)
        return facts
    kind = error.kind if isinstance(error, JobError) else "job"
    if isinstance(error, OSError) and error.errno in HOST_ERRNOS:
        kind = "host"
    ours = isinstance(error, JobError) and not _user_frames(error) and not _user_frames(error.__cause__ or error)
    return {
        "kind": kind,
        "type": type(error).__name__,
        "message": _said(error)[:RECORD_CHARACTERS_MAX],
        "traceback": "" if ours else user_traceback(error),
        "final": isinstance(error, JobError) and error.is_final,
    }


def print_error(error: BaseException) -> None:
    """Write the whole traceback to the task's log, where nothing is cut."""
    cause = error.cause if isinstance(error, UserError) else error
    kind: type[BaseException] = type(cause)
    trace: TracebackType | None = cause.__traceback__
    if sys.stderr is not None and not sys.stderr.closed:
        traceback.print_exception(kind, cause, trace, file=sys.stderr)
    flush_output()


def flush_output() -> None:
    """Write what is held of standard output and error, which the job's code may have closed or replaced."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:
        return f"<its text fails: {type(problem).__name__}>"


def _is_runtime(filename: str) -> bool:
    return filename.startswith((RUNTIME_FOLDER + os.sep, "<frozen "))


def _short(filename: str) -> str:
    return filename.rpartition("site-packages/")[2] or filename
