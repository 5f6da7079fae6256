"""Measures whether this machine can run tasks: what it cannot do is its own fault, never a task's."""

import contextlib
import errno
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from gomr.errors import CoordinatorError, Denied, Unavailable, UnavailableError
from gomr.executables import job_path
from gomr.supervision.supervised import start
from gomr.worker.fetch import InputError
from gomr.worker.outcome import TaskFailed
from gomr.worker.settings import WorkerSettings

PROBE_BYTES = 64 * 1024  # with less room than this a task cannot even say what went wrong
PROBE_SECONDS_MAX = 30.0  # to start a process that does nothing
NO_THREAD = "can't start new thread"  # RuntimeError has no errno
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
BROKEN = frozenset({*FULL, errno.EROFS, errno.EIO})  # what does not mend itself: the worker leaves
# What only a lack on this machine can cause, and what may be there again later: the worker rests.
LACKING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ECHILD})


class MachineUnfit(Exception):
    """This machine cannot run a task now, whatever the task; `leaves` says that this does not mend itself."""

    def __init__(self, reason: str, *, leaves: bool = False) -> None:
        super().__init__(f"this machine cannot run tasks now: {reason}")
        self.reason = reason
        self.leaves = leaves


@contextlib.contextmanager
def starting_threads() -> Iterator[None]:
    """Raise UnavailableError where this machine lets the worker start no more threads."""
    try:
        yield
    except RuntimeError as error:
        if str(error) != NO_THREAD:
            raise
        raise UnavailableError(
            f"this machine cannot run a worker: no thread can be started: {processes_limit()}"
        ) from error


@contextlib.contextmanager
def blaming_machine(settings: WorkerSettings) -> Iterator[None]:
    """Raise MachineUnfit for an error of the system that the worker itself meets, or can measure after the block.

    The block is one attempt with its files, which are gone afterwards. So a disk that is still full then was not filled
    by this task. An error that came from the task, and that is not to be measured, is raised as it is.
    """
    try:
        yield
    except MachineUnfit:
        raise
    except OSError as error:
        if error.errno in LACKING:
            raise unfit(error) from error
        check(settings)
        raise
    except RuntimeError as error:
        if str(error) != NO_THREAD:
            raise
        raise MachineUnfit(f"no thread can be started: {processes_limit()}") from error
    except TaskFailed as error:
        if error.error.get("kind") == "host" or error.error.get("died"):
            check(settings)
        raise
    except (Denied, Unavailable, InputError, CoordinatorError):
        raise
    except Exception:  # of a storage, a plugin, an import: what this machine lacks may be behind it
        check(settings)
        raise


def check(settings: WorkerSettings) -> None:
    """Raise MachineUnfit where this machine cannot do what every task needs."""
    for name, folder in (("scratch_dir", settings.scratch_dir), ("cache_dir", settings.cache_dir)):
        try:
            _write(folder)
        except OSError as error:
            reason = f"{name} {folder}: {error.strerror}"
            raise MachineUnfit(reason, leaves=error.errno in BROKEN) from error
    try:
        _start_process(settings)
        _start_thread()
    except OSError as error:
        raise unfit(error) from error


def unfit(error: OSError) -> MachineUnfit:
    """Return the fault of the machine that an error of the system tells."""
    text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
    if error.errno == errno.EAGAIN:
        text += f" ({processes_limit()})"
    return MachineUnfit(text, leaves=error.errno in BROKEN)


def processes_limit() -> str:
    """Return a sentence on how many processes may run here."""
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    own = "no limit" if limit == resource.RLIM_INFINITY else str(limit)
    return f"raise the limit of processes: ulimit -u is {own}; a container has pids.max"


def _write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())


def _start_process(settings: WorkerSettings) -> None:
    """Start what a task needs: a supervisor, and below it a process of the job's user."""
    with tempfile.TemporaryFile(dir=settings.scratch_dir) as output:
        command = [sys.executable, "-I", "-S", "-c", ""] if not settings.run_as else ["/bin/true"]
        supervised = start(
            command, output=output, environment={"PATH": job_path()}, folder=Path("/"), user=settings.run_as
        )
        try:
            supervised.wait(PROBE_SECONDS_MAX)
            supervised.check_started()
        except subprocess.TimeoutExpired as error:
            raise OSError(errno.EAGAIN, f"a process did not start within {PROBE_SECONDS_MAX:g} s") from error
        finally:
            supervised.kill()


def _start_thread() -> None:
    thread = threading.Thread(target=int)
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, "no thread can be started") from error
    thread.join()
