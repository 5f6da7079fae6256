"""The fork server: imports the job once, then forks a fresh process for each task.

It speaks JSON lines over the socket it is given (DESIGN.md, "The job contract"): in `{"run": ID, "task": FILE}` and
`{"kill": ID}`, out `{"ready": true, "describe": FACTS}`, `{"started": ID, "pid": PID}` or `{"failed": ID, "reason":
TEXT}`, and `{"ended": ID, "status": STATUS}`. At the end of the socket it kills what runs and leaves.
"""

import contextlib
import gc
import io
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gomr.job.contract import read_task
from gomr.job.definition import JobDefinition, load
from gomr.job.errors import error_facts, print_error
from gomr.job.linux import adopt_orphans, children, die_with_parent, kill_descendants, thread_count
from gomr.job.task import run_task
from gomr.job.version import CONTRACT_VERSION

EXIT_SOFTWARE = 70  # EX_SOFTWARE of sysexits.h
LINE_BYTES_MAX = 64 * 1024  # a request is an id and a path


class ForkServer:
    """One loaded job, and the task processes forked from it.

    A task adopts its own orphans, and this process what a task leaves behind when it ends. So a child of this process
    that it did not have before, and that is no task, is a remnant of one that has ended.
    """

    def __init__(self, definition: JobDefinition, facts: dict[str, Any], control: socket.socket) -> None:
        self._definition = definition
        self._facts = facts  # what `describe` says, too
        self._control = control
        self._running: dict[int, int] = {}  # process id -> the id of its task
        self._ended: dict[int, int] = {}  # the id of a task whose remnants may be there yet -> its exit status
        self._helpers = children(os.getpid())  # which importing the job has started: they stay
        self._received = b""
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Serve until the worker closes the socket."""
        adopt_orphans()
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._send({"ready": True, "describe": self._facts})
        while True:
            readable = select.select([self._control.fileno(), self._wake_read], [], [])[0]
            if self._wake_read in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
                self._reap()
            if self._control.fileno() in readable and not self._receive():
                break
        kill_descendants()

    def _receive(self) -> bool:
        try:
            data = self._control.recv(LINE_BYTES_MAX)
        except ConnectionError:
            return False
        if not data or len(self._received) > LINE_BYTES_MAX:
            return False
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "kill" in request:
                self._kill(request["kill"])
            else:
                self._start(request["run"], Path(request["task"]))
        return True

    def _start(self, task_id: int, path: Path) -> None:
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # no more processes, or no memory: the tasks that run go on
            self._send({"failed": task_id, "reason": str(error)})
            return
        if pid == 0:
            self._be_task(path, server)
        self._running[pid] = task_id
        self._send({"started": task_id, "pid": pid})

    def _be_task(self, path: Path, server: int) -> None:
        """Run the task in this forked process, which never returns."""
        status = EXIT_SOFTWARE  # the lines below failed before the task had a result file
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            die_with_parent(server)
            adopt_orphans()
            self._control.close()
            task = read_task(path)
            _redirect(task.log)
            os.chdir(task.scratch)
            os.environ["HOME"] = os.environ["TMPDIR"] = task.scratch
            status = 0 if run_task(self._definition, task) else 1
        except BaseException as error:
            print_error(error)
        finally:
            os._exit(status)

    def _kill(self, task_id: int) -> None:
        for pid, running in self._running.items():  # what is not reaped yet: its process id is no other's
            if running == task_id:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Note which tasks have ended; kill what they left behind, and tell of them once it is gone."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                if pid in self._running:
                    self._ended[self._running.pop(pid)] = os.waitstatus_to_exitcode(status)
        if not self._ended:
            return
        remnants = {*children(os.getpid())} - self._running.keys() - {*self._helpers}
        for pid in remnants:  # their ends wake us again
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not remnants:
            for task_id, status in self._ended.items():
                self._send({"ended": task_id, "status": status})
            self._ended.clear()

    def _send(self, message: dict[str, object]) -> None:
        with contextlib.suppress(ConnectionError):  # the worker is gone: the next receive says so
            self._control.sendall(json.dumps(message).encode() + b"\n")


def serve(module: str, control_fd: int, describe: Callable[[str, JobDefinition], dict[str, Any]]) -> int:
    """Load the job and serve tasks on the socket `control_fd`; return the exit status."""
    control = socket.socket(fileno=control_fd)
    os.set_inheritable(control_fd, False)
    try:
        definition = load(module)
    except BaseException as error:
        print_error(error)
        _refuse(control, {"error": error_facts(error)})
        return 1
    if thread_count() > 1:
        _refuse(control, {"reason": "importing the job started threads, and forking a threaded process is unsafe"})
        return 0
    facts = {"contract": CONTRACT_VERSION, **describe(module, definition)}
    gc.freeze()  # the collector of a forked child shall not touch, and so copy, the parent's pages
    ForkServer(definition, facts, control).run()
    return 0


def _refuse(control: socket.socket, facts: dict[str, object]) -> None:
    control.sendall(json.dumps({"ready": False, **facts}).encode() + b"\n")


def _redirect(log: str) -> None:
    """Send standard output and error to the task's log, and read nothing."""
    sys.stdout.flush()
    sys.stderr.flush()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # what was printed before a crash is in the log
