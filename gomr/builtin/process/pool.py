"""The fork servers of this process: one for each executable and its limits, kept while there is room."""

import contextlib
import itertools
import json
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from gomr.hookspecs import Launch, Program
from gomr.logs import log
from gomr.supervision.supervised import Supervised, start

SERVERS_MAX = 4  # each holds one loaded job in memory; the longest idle one goes first
KILL_SECONDS_MAX = 5.0
POLL_SECONDS = 0.2  # between looks at whether the worker still wants the server that is starting
READY_SECONDS_MAX = 120.0  # to import the job; a first start also unpacks a PEX with all its dependencies


class NotForked(Exception):
    """A fork server says that it could not fork a task."""


@dataclass(slots=True)
class ServedTask:
    """A task process that a fork server forked."""

    server: "ForkServerClient"
    number: int
    pid: int = 0
    status: int | None = None
    not_forked: str = ""  # why the server could not fork it
    changed: threading.Event = field(default_factory=threading.Event)

    def root(self) -> int:
        """Return the process whose tree is the task; 0 before it has started."""
        return self.pid

    def wait(self, seconds: float) -> int | None:
        """Return the exit status once it is known, or None after `seconds`. Raises NotForked."""
        if self.changed.wait(seconds):
            if self.not_forked:
                raise NotForked(self.not_forked)
            return self.status
        return None

    def kill(self) -> None:
        """Have the server kill the task and all below it; end the server, too, where it does not."""
        self.server.send({"kill": self.number})
        if not self.changed.wait(KILL_SECONDS_MAX):
            self.server.close()
            self.changed.wait(KILL_SECONDS_MAX)


class ServerKey(NamedTuple):
    """What a fork server was started with, and all its tasks have of it."""

    digest: str
    file: tuple[int, int]  # which copy of the executable: its entry in the cache may be replaced
    environment: frozenset[tuple[str, str]]
    open_files: int
    file_bytes: int
    user: str

    @classmethod
    def of(cls, program: Program) -> "ServerKey":
        """Return the key of the server that can run tasks of a program."""
        found = program.executable.stat()
        variables = frozenset(program.environment.items())
        file = (found.st_ino, found.st_mtime_ns)
        return cls(program.digest, file, variables, program.open_files, program.file_bytes, program.user)


class ForkServerClient:
    """The worker's end of one fork server."""

    def __init__(self, supervised: Supervised, control: socket.socket, key: ServerKey, printed: IO[bytes]) -> None:
        self.key = key
        self.users = 0
        self.idle_since = time.monotonic()
        self.closed = False
        self.description: dict[str, Any] | None = None  # what `describe` would say; not every server tells
        self._printed: IO[bytes] | None = printed  # while it imported the job; the first task's log shows it
        self._supervised = supervised
        self._control = control
        self._lines = control.makefile("rb")
        self._ids = itertools.count(1)
        self._tasks: dict[int, ServedTask] = {}
        self._lock = threading.Lock()

    def handshake(self, stop: threading.Event) -> dict[str, object]:
        """Return the server's first message; empty where it ended without one, or `stop` was set first."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not select.select([self._control], [], [], POLL_SECONDS)[0]:
            if stop.is_set() or time.monotonic() > deadline:
                return {}
        try:
            message = json.loads(self._lines.readline() or b"{}")
        except (OSError, ValueError):
            return {}
        return message if isinstance(message, dict) else {}

    def check_started(self) -> None:
        """Raise OSError where the server ended because it was never started."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._supervised.wait(KILL_SECONDS_MAX)
            self._supervised.check_started()

    def listen(self) -> None:
        """Read the server's messages from now on."""
        threading.Thread(target=self._listen, name=f"serve-{self.key.digest[:8]}", daemon=True).start()

    def show_printed(self, log: Path) -> None:
        """Append to a task's log what the server printed, unless another task's has it."""
        with self._lock:
            printed, self._printed = self._printed, None
        if printed is not None:
            with printed, log.open("ab") as file:
                printed.seek(0)
                shutil.copyfileobj(printed, file)

    def start(self, launch: Launch) -> ServedTask:
        """Have one task forked."""
        with self._lock:
            task = ServedTask(self, next(self._ids))
            self._tasks[task.number] = task
        self.send({"run": task.number, "task": str(launch.task_file)})
        return task

    def send(self, request: dict[str, object]) -> None:
        """Send the server a request; where it is gone, all its tasks have ended."""
        with self._lock:
            try:
                self._control.sendall(json.dumps(request).encode() + b"\n")
            except OSError:
                self._lost()

    def close(self) -> None:
        """End the server and all its tasks."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            if self._printed is not None:
                self._printed.close()
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._supervised.kill()
        with self._lock:
            self._lost()
        self._lines.close()
        self._control.close()

    def _listen(self) -> None:
        try:
            for line in self._lines:
                message = json.loads(line)
                with self._lock:
                    if "started" in message:
                        self._tasks[message["started"]].pid = message["pid"]
                    elif "failed" in message:
                        task = self._tasks.pop(message["failed"])
                        task.not_forked = str(message["reason"]) or "it does not say why"
                        task.changed.set()
                    elif "ended" in message:
                        task = self._tasks.pop(message["ended"])
                        task.status = message["status"]
                        task.changed.set()
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.debug("serve.ended", digest=self.key.digest, error=str(error))
        self.close()

    def _lost(self) -> None:
        for task in self._tasks.values():
            task.status = -signal.SIGKILL
            task.changed.set()
        self._tasks.clear()


class ServerPool:
    """Fork servers by what they were started with."""

    def __init__(self) -> None:
        self._servers: dict[ServerKey, ForkServerClient] = {}
        self._closed = threading.Event()
        self._no_serve: set[str] = set()  # digests whose fork server refused: they are executed for each task
        self._starting: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def acquire(self, launch: Launch) -> ForkServerClient | None:
        """Return the fork server of a launch; None where its executable has none and must be executed."""
        if launch.program.digest in self._no_serve:
            return None
        server = self._acquire(launch.program, launch.stop)
        if server is not None:
            server.show_printed(launch.log)
        elif not launch.stop.is_set():
            self._no_serve.add(launch.program.digest)
        return server

    def prepare(self, program: Program) -> None:
        """Have the fork server of a program start in the background, unless there is one."""
        with self._lock:
            if ServerKey.of(program) in self._servers or program.digest in self._no_serve:
                return
        name = f"prepare-{program.digest[:8]}"
        threading.Thread(target=self.describe, args=(program,), name=name, daemon=True).start()

    def describe(self, program: Program) -> dict[str, Any] | None:
        """Start the fork server of a program, unless there is one; return what it says of itself, if anything."""
        try:
            server = self._acquire(program, self._closed)
        except OSError as error:  # the first task says it, if it is still so
            log.debug("serve.unprepared", digest=program.digest, error=str(error))
            return None
        if server is None:
            return None
        self.release(server)
        return server.description

    def _acquire(self, program: Program, stop: threading.Event) -> ForkServerClient | None:
        """Return the fork server of a program, a new one where there is none; None where it refuses."""
        key = ServerKey.of(program)
        with self._lock:
            starting = self._starting[program.digest]
        while not starting.acquire(timeout=POLL_SECONDS):  # of this digest alone: a slow import keeps no other waiting
            if stop.is_set():
                return None
        try:
            server = self._find(key)
            if server is None:
                server = self._start(program, key, stop)
                if server is None:
                    return None
                with self._lock:
                    self._servers[key] = server
                    server.users += 1
                self._evict()
            return server
        finally:
            starting.release()

    def release(self, server: ForkServerClient) -> None:
        """Give a server back."""
        with self._lock:
            server.users -= 1
            server.idle_since = time.monotonic()

    def close(self) -> None:
        """End all servers."""
        self._closed.set()
        for server in list(self._servers.values()):
            server.close()
        self._servers.clear()

    def _find(self, key: ServerKey) -> ForkServerClient | None:
        with self._lock:
            server = self._servers.get(key)
            if server is not None and not server.closed:
                server.users += 1
                return server
        return None

    def _start(self, program: Program, key: ServerKey, stop: threading.Event) -> ForkServerClient | None:
        ours, theirs = socket.socketpair()
        try:
            # In the cache, for /tmp may be read-only or full.
            printed = tempfile.TemporaryFile(dir=program.executable.parent)  # noqa: SIM115 - the client closes it
        except BaseException:
            ours.close()
            theirs.close()
            raise
        try:
            with theirs:
                supervised = start(
                    [str(program.executable), "serve", str(theirs.fileno())],
                    output=printed,
                    environment=program.environment,
                    folder=program.executable.parent,
                    open_files=program.open_files,
                    file_bytes=program.file_bytes,
                    user=program.user,
                    pass_fds=[theirs.fileno()],
                )
        except BaseException:
            ours.close()
            printed.close()
            raise
        server = ForkServerClient(supervised, ours, key, printed)
        message = server.handshake(stop)
        if message.get("ready"):
            described = message.get("describe")
            server.description = described if isinstance(described, dict) else None
            try:
                server.listen()
            except BaseException:  # no thread can be started
                server.close()
                raise
            return server
        try:
            if not message and not stop.is_set():
                server.check_started()
        finally:
            server.close()
        if not stop.is_set():
            reason = message.get("reason") or "the fork server did not start"
            log.info("serve.refused", digest=program.digest, reason=reason, next="a process is executed for each task")
        return None

    def _evict(self) -> None:
        """End the servers idle for longest, beyond what there is room for."""
        with self._lock:
            idle = [server for server in self._servers.values() if server.users == 0]
            idle.sort(key=lambda server: server.idle_since)
            evicted = idle[: max(0, len(self._servers) - SERVERS_MAX)]
            for server in evicted:
                del self._servers[server.key]
        for server in evicted:
            server.close()
