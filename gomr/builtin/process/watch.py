"""Waits for a task's process, and ends it for a limit, or when the worker says so."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gomr.hookspecs import Launch
from gomr.job.linux import descendants
from gomr.supervision.supervised import Supervised, start

CHECK_SECONDS = 0.1  # between looks at the task's memory and time
NICE_BYTES = 1024 * 1024


class Running(Protocol):
    """A task's process, however it was started."""

    def root(self) -> int:
        """Return the process whose tree is the task; 0 before it has started."""

    def wait(self, seconds: float) -> int | None:
        """Return the exit status once it is known, or None after `seconds`."""

    def kill(self) -> None:
        """Kill the task and its children."""


@dataclass(slots=True)
class ExecutedTask:
    """A task that runs as an executable of its own, below a supervisor."""

    supervised: Supervised

    def root(self) -> int:
        """Return the supervisor's process id."""
        return self.supervised.process.pid

    def wait(self, seconds: float) -> int | None:
        """Return the exit status once it is known, or None after `seconds`."""
        try:
            code = self.supervised.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return 128 - code if code > 128 else code

    def kill(self) -> None:
        """Kill the task and its children."""
        self.supervised.kill()


def run_once(launch: Launch) -> int:
    """Execute the executable for this one task; return its exit status. Raises OSError where it was not started."""
    program = launch.program
    environment = {**program.environment, "HOME": str(launch.scratch), "TMPDIR": str(launch.scratch)}
    with launch.log.open("ab") as output:
        command = [str(program.executable), "task", str(launch.task_file)]
        supervised = start(
            command,
            output=output,
            environment=environment,
            folder=launch.scratch,
            open_files=program.open_files,
            file_bytes=program.file_bytes,
            user=program.user,
        )
    try:
        status = watch(ExecutedTask(supervised), launch)
        supervised.check_started()
        return status
    finally:
        supervised.close()


def watch(task: Running, launch: Launch) -> int:
    """Return the exit status of `task`; kill it when it passes a limit, or when `launch.stop` is set."""
    deadline = time.monotonic() + launch.task_seconds
    killed = False
    while True:
        status = task.wait(CHECK_SECONDS)
        if status is not None:
            return status
        if killed:
            continue
        reason = _reason(task, launch, deadline)
        if reason is not None:
            killed = True
            if reason:
                launch.why_killed(reason)
            task.kill()


def _reason(task: Running, launch: Launch, deadline: float) -> str | None:
    """Say why the task must end: "" where the worker wants it to, None where it need not."""
    if launch.stop.is_set():
        return ""
    if time.monotonic() > deadline:
        return f"it ran longer than the task timeout of {launch.task_seconds:g} s (--task-timeout)"
    used = memory_bytes(task.root())
    if used > launch.memory_bytes:
        return (
            f"it took {used // NICE_BYTES} MiB of memory, more than the limit of "
            f"{launch.memory_bytes // NICE_BYTES} MiB (--memory-limit of the worker)"
        )
    return None


def memory_bytes(root: int) -> int:
    """Return the memory that `root` and the processes below it hold for themselves, in bytes.

    Anonymous and shared memory, not mapped files: what a fork server's children share by mapping is not theirs.
    """
    if not root:
        return 0
    return sum(_private_bytes(pid) for pid in (root, *descendants(root)))


def _private_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return sum(int(fields.get(name, "0").split()[0]) * 1024 for name in ("RssAnon", "RssShmem"))
