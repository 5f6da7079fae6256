"""Stands between a worker and a job's process, so that nothing of the job outlives the worker.

Its arguments: CONTROL_FD REPORT_FD OPEN_FILES FILE_BYTES COMMAND...

It adopts every orphan below it. When the command ends, or the worker closes the other end of CONTROL_FD (by will, or
because it was killed), it kills all that is left below it. Exit status: that of the command, 128 + N for signal N.
REPORT_FD tells the worker whether the command was started: STARTING, and after it the error that prevented the start.
No job can write there, for the descriptor is closed when the command begins.
Standard library alone, and little of it: this is started once for each executable, or once for each task.
"""

import contextlib
import os
import resource
import select
import signal
import sys

from gomr.job.linux import adopt_orphans, die_with_parent, kill_descendants

STARTING = b"+"
EXIT_NO_PROCESS = 125  # no process for the command, or none with its limits
EXIT_NO_START = 126  # the shell's status for a command that is there and cannot be executed


def main() -> int:
    """Run the command under supervision; return the exit status."""
    control, report, open_files, file_bytes = map(int, sys.argv[1:5])
    command = sys.argv[5:]
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the worker decides when the job's time is over
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    os.set_inheritable(control, False)
    os.set_inheritable(report, False)
    os.write(report, STARTING)
    parent = os.getpid()
    try:
        child = os.fork()
    except OSError as error:
        _report(report, "no process can be started", error)
        return EXIT_NO_PROCESS
    if child == 0:
        _become(command, parent, open_files, file_bytes, report)
    for descriptor in (0, 1, 2, report):
        os.close(descriptor)  # a job's pipe must end with the job, not with us
    events = select.poll()  # not select: a worker with many slots hands down large descriptors
    for descriptor in (control, wake_read):
        events.register(descriptor, select.POLLIN)
    status = None
    while status is None:
        readable = {descriptor for descriptor, _ in events.poll()}
        if wake_read in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_read, 4096)
            status = _reap(child)
        if control in readable:
            break
    kill_descendants()
    return _exit_status(status)


def _report(report: int, what: str, error: OSError) -> None:
    """Tell the worker what prevented the command's start."""
    os.write(report, f"{error.errno or 0} {what}: {error.strerror}".encode())


def _become(command: list[str], parent: int, open_files: int, file_bytes: int, report: int) -> None:
    """Turn this forked process into the command; never returns."""
    what, status = "its process cannot be prepared", EXIT_NO_PROCESS
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        die_with_parent(parent)
        limits = (
            (resource.RLIMIT_NOFILE, open_files),
            (resource.RLIMIT_FSIZE, file_bytes),
            (resource.RLIMIT_CORE, 0),
        )
        for name, value in limits:
            hard = resource.getrlimit(name)[1]
            limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(name, (limit, limit))
        what, status = f"{command[0]} cannot be executed", EXIT_NO_START
        os.execv(command[0], command)  # noqa: S606 - a list, never a shell
    except BaseException as error:
        if isinstance(error, OSError):
            _report(report, what, error)
        sys.stderr.write(f"{command[0]}: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(status)


def _reap(child: int) -> int | None:
    """Reap what ended; return the wait status of `child` if it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = status


def _exit_status(status: int | None) -> int:
    if status is None:
        return 128 + signal.SIGKILL
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
