"""Starts a command under the supervisor, from the worker's side."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import gomr
from gomr.builtin.process import supervisor
from gomr.executables import user_options
from gomr.hookspecs import Launch

# Isolated and without site: nothing that a user's environment could change, and 15 ms less to start.
_BOOT = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_path(sys.argv.pop(1), run_name='__main__')"
_PACKAGE_PARENT = str(Path(gomr.__file__).parent.parent)
KILL_SECONDS_MAX = 10.0  # for a supervisor to kill what is below it; only a process stuck in the kernel takes longer


@dataclass(slots=True)
class Supervised:
    """A command that runs below a supervisor; closing `control` ends it."""

    process: subprocess.Popen[bytes]
    control: int

    def kill(self) -> None:
        """Kill the command and all below it, and wait until they are gone."""
        if self.control >= 0:
            os.close(self.control)
            self.control = -1
        try:
            self.process.wait(KILL_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        """Let go of a command that has ended."""
        if self.control >= 0:
            os.close(self.control)
            self.control = -1


def start(
    command: Sequence[str],
    launch: Launch,
    *,
    output: IO[bytes],
    environment: Mapping[str, str],
    folder: Path,
    pass_fds: Sequence[int] = (),
) -> Supervised:
    """Start `command` with the limits and the user of `launch`; standard output and error go to `output`."""
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    arguments = [str(read_end), str(launch.open_files), str(launch.file_bytes), *command]
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOT, _PACKAGE_PARENT, supervisor.__file__, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            cwd=folder,
            pass_fds=[read_end, *pass_fds],
            start_new_session=True,  # Ctrl-C at a terminal is for the worker alone
            **user_options(launch.user),
        )
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(write_end)
        raise
    finally:
        os.close(read_end)
    return Supervised(process, write_end)
