"""The fork servers of this worker: one for each executable, kept while there is room."""

import contextlib
import itertools
import json
import os
import signal
import socket
import threading
import time
from dataclasses import dataclass, field

import structlog

from gomr.builtin.process.supervised import Supervised, start
from gomr.hookspecs import Launch

SERVERS_MAX = 4  # each holds one loaded job in memory; the longest idle one goes first
READY_SECONDS_MAX = 120.0  # to import the job; a first start also unpacks a PEX with all its dependencies


_log = structlog.get_logger("gomr")


@dataclass(slots=True)
class ServedTask:
    """A task process that a fork server forked."""

    server: "ForkServerClient"
    pid: int = 0
    status: int | None = None
    changed: threading.Event = field(default_factory=threading.Event)

    def root(self) -> int:
        """Return the process whose tree is the task; 0 before it has started."""
        return self.pid

    def wait(self, seconds: float) -> int | None:
        """Return the exit status once it is known, or None after `seconds`."""
        if self.changed.wait(seconds):
            return self.status
        return None

    def kill(self) -> None:
        """Kill the task and its children; the server, too, where it does not say so."""
        if self.pid:
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(self.pid, signal.SIGKILL)
        if not self.changed.wait(5.0):
            self.server.close()
            self.changed.wait(5.0)


class ForkServerClient:
    """The worker's end of one fork server."""

    def __init__(self, supervised: Supervised, control: socket.socket, digest: str) -> None:
        self.digest = digest
        self.users = 0
        self.idle_since = time.monotonic()
        self.closed = False
        self._supervised = supervised
        self._control = control
        self._lines = control.makefile("rb")
        self._ids = itertools.count(1)
        self._tasks: dict[int, ServedTask] = {}
        self._lock = threading.Lock()

    def handshake(self) -> dict[str, object]:
        """Return the server's first message; empty where it ended without one."""
        self._control.settimeout(READY_SECONDS_MAX)
        try:
            line = self._lines.readline()
        except OSError:
            line = b""
        self._control.settimeout(None)
        try:
            return dict(json.loads(line)) if line else {}
        except ValueError:
            return {}

    def listen(self) -> None:
        """Read the server's messages from now on."""
        threading.Thread(target=self._listen, name=f"serve-{self.digest[:8]}", daemon=True).start()

    def start(self, launch: Launch) -> ServedTask:
        """Have one task forked."""
        task = ServedTask(self)
        with self._lock:
            task_id = next(self._ids)
            self._tasks[task_id] = task
            request = json.dumps({"run": task_id, "task": str(launch.task_file)})
            try:
                self._control.sendall(request.encode() + b"\n")
            except OSError:
                self._lost()
        return task

    def close(self) -> None:
        """End the server and all its tasks."""
        if not self.closed:
            self.closed = True
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
                    elif "ended" in message:
                        task = self._tasks.pop(message["ended"])
                        task.status = message["status"]
                        task.changed.set()
        except (OSError, ValueError, KeyError) as error:
            _log.debug("serve.ended", digest=self.digest, error=str(error))
        self.closed_by_itself()

    def closed_by_itself(self) -> None:
        """Note that the server is gone, and with it its tasks."""
        with self._lock:
            self._lost()
        self.close()

    def _lost(self) -> None:
        for task in self._tasks.values():
            task.status = -signal.SIGKILL
            task.changed.set()
        self._tasks.clear()


class ServerPool:
    """Fork servers by digest."""

    def __init__(self) -> None:
        self._servers: dict[str, ForkServerClient] = {}
        self._no_serve: set[str] = set()  # digests whose fork server refused: they are executed for each task
        self._lock = threading.Lock()

    def acquire(self, launch: Launch) -> ForkServerClient | None:
        """Return the fork server of the launch's executable; None where it has none and must be executed."""
        with self._lock:
            if launch.digest in self._no_serve:
                return None
            server = self._servers.get(launch.digest)
            if server is None or server.closed:
                server = self._start(launch)
                if server is None:
                    self._no_serve.add(launch.digest)
                    return None
                self._servers[launch.digest] = server
            server.users += 1
            self._evict()
            return server

    def release(self, server: ForkServerClient) -> None:
        """Give a server back."""
        with self._lock:
            server.users -= 1
            server.idle_since = time.monotonic()

    def close(self) -> None:
        """End all servers."""
        with self._lock:
            for server in self._servers.values():
                server.close()
            self._servers.clear()

    def _start(self, launch: Launch) -> ForkServerClient | None:
        ours, theirs = socket.socketpair()
        with theirs, launch.log.open("ab") as output:
            command = [str(launch.executable), "serve", str(theirs.fileno())]
            supervised = start(
                command,
                launch,
                output=output,
                environment=launch.environment,
                folder=launch.executable.parent,
                pass_fds=[theirs.fileno()],
            )
        server = ForkServerClient(supervised, ours, launch.digest)
        message = server.handshake()
        if message.get("ready"):
            server.listen()
            return server
        server.close()
        reason = message.get("reason") or "the fork server did not start"
        _log.info("serve.refused", digest=launch.digest, reason=reason, next="a process is executed for each task")
        return None

    def _evict(self) -> None:
        idle = [server for server in self._servers.values() if server.users == 0]
        for server in sorted(idle, key=lambda server: server.idle_since)[: max(0, len(self._servers) - SERVERS_MAX)]:
            del self._servers[server.digest]
            server.close()
