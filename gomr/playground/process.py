"""One server process in a folder of its own: started, known by its pid file, waited for, stopped."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gomr.errors import ConfigurationError, UnavailableError

READY_SECONDS_MAX = 60.0  # a first start takes one second; a machine at full load many more
STOP_SECONDS_MAX = 10.0  # then it is killed; what a server has acknowledged survives that
POLL_SECONDS = 0.05
LOG_BYTES_SHOWN = 2000
PORTS = range(20000, 32000)  # below the ephemeral ports of Linux (32768 on)
GRPC_PORT_OFFSET = 10000  # SeaweedFS's own, for each of its ports


@dataclass(frozen=True, slots=True)
class Program:
    """A server's program: found on the PATH, or where an environment variable says."""

    name: str
    variable: str
    hint: str

    def path(self) -> str:
        """Return where it is. Raises ConfigurationError with the hint."""
        path = os.environ.get(self.variable) or shutil.which(self.name)
        if not path:
            raise ConfigurationError(f"{self.name} is not installed: {self.hint}, or set {self.variable} to its path")
        return path


class ServerProcess:
    """A server that outlives whoever started it; `folder` holds its data, its log and its pid."""

    def __init__(self, folder: Path, program: Program, arguments: Sequence[str], is_ready: Callable[[], bool]) -> None:
        self.folder = folder
        self._program = program
        self._arguments = list(arguments)
        self._is_ready = is_ready
        self._pid_file = folder / "pid"
        self._log = folder / "log"

    @property
    def pid(self) -> int:
        """The process id, 0 where it does not run."""
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return 0
        return pid if _runs(pid, self._program.name) else 0

    def launch(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the server, unless it runs; it may not answer yet."""
        if self.pid:
            return
        command = [self._program.path(), *self._arguments]
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=dict(os.environ if environment is None else environment),
                start_new_session=True,
            )
        self._pid_file.write_text(str(process.pid))
        while not self.pid and process.poll() is None:  # the system names it a moment after it runs
            time.sleep(POLL_SECONDS)
        process.returncode = 0  # it is to live on: no warning about that when this object goes

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the server, unless it runs, and wait until it answers. Raises UnavailableError."""
        self.launch(environment)
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self._is_ready():
            if not self.pid or time.monotonic() > deadline:
                raise UnavailableError(f"{self._program.name} does not start; its log ends:\n{self._tail()}")
            time.sleep(POLL_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, where it runs."""
        if self.pid:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.stop(signal.SIGKILL)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, with force after STOP_SECONDS_MAX."""
        pid = self.pid
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while pid and self.pid == pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # a stopped process ends only when it goes on
            time.sleep(POLL_SECONDS)
            if time.monotonic() > deadline:
                number = signal.SIGKILL
        with contextlib.suppress(ChildProcessError):  # not ours: whoever started it has ended
            while pid and not os.waitpid(pid, os.WNOHANG)[0] and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)  # only when its last thread is gone are its ports free
        self._pid_file.unlink(missing_ok=True)

    def _tail(self) -> str:
        data = self._log.read_bytes() if self._log.exists() else b""
        return data[-LOG_BYTES_SHOWN:].decode("utf-8", "replace")


def remembered_ports(folder: Path, count: int) -> list[int]:
    """Return the ports that `folder` remembers; the first time, free ones."""
    path = folder / "ports.json"
    if path.exists():
        ports: list[int] = json.loads(path.read_text())
        if len(ports) == count:
            return ports
    ports = _free_ports(count)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(ports))
    return ports


def _free_ports(count: int) -> list[int]:
    """Return free ports of this machine's loopback, with room for SeaweedFS's gRPC ports."""
    found: list[int] = []
    start = PORTS.start + (os.getpid() * 97 + time.monotonic_ns() // 1000) % (len(PORTS) - 2000)
    for port in range(start, PORTS.stop):
        if _is_free(port) and _is_free(port + GRPC_PORT_OFFSET):
            found.append(port)
            if len(found) == count:
                return found
    raise UnavailableError("no free ports on 127.0.0.1")


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _runs(pid: int, program: str) -> bool:
    """Say whether `pid` is a live process of `program`: neither a zombie, nor another's that got the number since."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X") and any(Path(os.fsdecode(part)).name == program for part in command[:2])
