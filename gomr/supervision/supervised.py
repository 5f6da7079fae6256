"""Starts a command under the supervisor, from the worker's side."""

import errno
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gomr.supervision.supervisor import STARTING

# Isolated and without site: nothing that a user's environment could change, and 15 ms less to start.
_BOOT = """\
import os, sys
sys.path.insert(0, sys.argv.pop(1))
from gomr.supervision.supervisor import main
os._exit(main())
"""
_PACKAGE_PARENT = str(Path(__file__).parents[2])
OPEN_FILES = 1024  # the usual soft limit; a merge needs 64
FILE_BYTES = 64 * 1024**3  # the largest file a job may write: its output, a run, its log
REPORT_BYTES_MAX = 4096
KILL_SECONDS_MAX = 10.0  # for a supervisor to kill what is below it; only a process stuck in the kernel takes longer


@dataclass(slots=True)
class Supervised:
    """A command that runs below a supervisor; closing `control` ends it."""

    process: subprocess.Popen[bytes]
    control: int
    report: int

    def check_started(self) -> None:
        """Raise OSError where the command was never started, once the supervisor has ended.

        The supervisor says why, and no job can speak in its place.
        """
        said = os.read(self.report, REPORT_BYTES_MAX) if self.report >= 0 else STARTING  # we have ended it
        if said == STARTING:
            return
        if not said:
            raise ChildProcessError(errno.ECHILD, f"a supervisor did not start: {_ending(self.process.returncode)}")
        number, _, text = said.removeprefix(STARTING).decode("utf-8", "replace").partition(" ")
        raise OSError(int(number), text)

    def wait(self, seconds: float) -> int:
        """Return the exit status as soon as there is one. Raises subprocess.TimeoutExpired after `seconds`.

        `Popen.wait` looks only every 50 ms, half of what a short job takes.
        """
        if self.process.poll() is None:
            try:
                descriptor = os.pidfd_open(self.process.pid)
            except (AttributeError, OSError):  # not on this system, or forbidden in this container
                return self.process.wait(seconds)
            try:
                ended = select.poll()
                ended.register(descriptor, select.POLLIN)
                ended.poll(seconds * 1000)
            finally:
                os.close(descriptor)
        return self.process.wait(0.0)

    def kill(self) -> None:
        """Kill the command and all below it, and wait until they are gone."""
        self.close()
        try:
            self.wait(KILL_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        """Let go of a command that has ended."""
        if self.control >= 0:
            os.close(self.control)
            os.close(self.report)
            self.control = self.report = -1


def start(
    command: Sequence[str],
    *,
    output: IO[bytes],
    environment: Mapping[str, str],
    folder: Path,
    open_files: int = OPEN_FILES,
    file_bytes: int = FILE_BYTES,
    user: str = "",
    pass_fds: Sequence[int] = (),
) -> Supervised:
    """Start `command` in `folder`, as `user` where one is given; standard output and error go to `output`."""
    read_end, write_end = os.pipe()
    try:
        report, reporting = os.pipe()
    except OSError:
        os.close(read_end)
        os.close(write_end)
        raise
    arguments = [str(read_end), str(reporting), str(open_files), str(file_bytes), *command]
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOT, _PACKAGE_PARENT, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            cwd=folder,
            pass_fds=[read_end, reporting, *pass_fds],
            start_new_session=True,  # Ctrl-C at a terminal is for the worker alone
            **_user_options(user),
        )
    except BaseException:
        os.close(write_end)
        os.close(report)
        raise
    finally:
        os.close(read_end)
        os.close(reporting)
    return Supervised(process, write_end, report)


def _ending(status: int) -> str:
    return f"it was killed by signal {-status}" if status < 0 else f"it ended with status {status}"


def _user_options(name: str) -> dict[str, Any]:
    """Return the options of Popen that run a process as user `name`; none where it is empty."""
    if not name:
        return {}
    import pwd

    found = pwd.getpwnam(name)
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
