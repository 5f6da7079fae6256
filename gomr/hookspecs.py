"""The hooks a plugin may implement. Read it top to bottom: records, then the five hooks."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import pluggy

from gomr.backends import Coordinator, LogSink, Storage
from gomr.urls import URL

hookspec = pluggy.HookspecMarker("gomr")
hookimpl = pluggy.HookimplMarker("gomr")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backend(Generic[T]):
    """One URL scheme (without "://") and how to open it; `open` may import heavy clients, `summary` is one line."""

    scheme: str
    open: Callable[[URL], T]
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """An executable, and what all its processes on this machine have; every path is local and absolute."""

    executable: Path
    digest: str
    environment: Mapping[str, str]
    serve: bool
    open_files: int
    file_bytes: int
    user: str = ""


@dataclass(frozen=True, slots=True)
class Launch:
    """One task of a program, to run as a process of its own; every path is local and absolute.

    `stop` is set when the task is to be killed; `why_killed` is called with a sentence by whoever kills it for a limit.
    """

    program: Program
    task_file: Path
    scratch: Path
    log: Path
    task_seconds: float
    memory_bytes: int
    stop: threading.Event
    why_killed: Callable[[str], None]
    identity: Mapping[str, str] = field(default_factory=dict)


@hookspec
def gomr_storages() -> Iterable[Backend[Storage]]:
    """Yield the storages this plugin offers.

    >>> @hookimpl
    ... def gomr_storages():
    ...     def open_memory(url):
    ...         from my_storage import MemoryStorage
    ...
    ...         return MemoryStorage(url)
    ...
    ...     yield Backend("memory", open_memory, "objects in this process; for tests")
    """
    raise NotImplementedError


@hookspec
def gomr_coordinators() -> Iterable[Backend[Coordinator]]:
    """Yield the coordinators this plugin offers.

    >>> @hookimpl
    ... def gomr_coordinators():
    ...     def open_consul(url):
    ...         from my_coordinator import ConsulCoordinator
    ...
    ...         return ConsulCoordinator(url)
    ...
    ...     yield Backend("consul", open_consul, "a Consul cluster")
    """
    raise NotImplementedError


@hookspec
def gomr_log_sinks() -> Iterable[Backend[LogSink]]:
    """Yield the log sinks this plugin offers.

    >>> @hookimpl
    ... def gomr_log_sinks():
    ...     def open_syslog(url):
    ...         from my_sink import SyslogSink
    ...
    ...         return SyslogSink(url)
    ...
    ...     yield Backend("syslog", open_syslog, "RFC 5424 over UDP")
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def gomr_run_task(launch: Launch) -> int | None:
    """Run one task to its end; return its exit status (negative for a signal), or None for "not mine".

    Raise OSError where this machine could not start it: then the task is given back, and counts nowhere.

    >>> @hookimpl
    ... def gomr_run_task(launch):
    ...     if launch.identity["job"].startswith("gpu-"):
    ...         return run_in_a_container(launch)
    ...     return None
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def gomr_prepare(program: Program) -> bool | None:
    """Hear that tasks of an executable are about to come, and return at once: True, or None for "not mine".

    Whoever answers `gomr_run_task` answers this, too: else the built-in plugin starts a process of the executable.

    >>> @hookimpl
    ... def gomr_prepare(program):
    ...     pull_image_in_background(program.digest)
    ...     return True
    """
    raise NotImplementedError
