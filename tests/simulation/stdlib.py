"""What gomr's core sees as `time`, `threading`, `random` and `secrets` while it is simulated."""

import functools
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import gomr.scheduling
from gomr.model import Record
from tests.simulation.kernel import Fiber, Kernel, Party

EPOCH_SECONDS = 1.8e9  # of the simulated wall clock
CORE = [
    *(f"gomr.scheduling.{module.name}" for module in pkgutil.iter_modules(gomr.scheduling.__path__)),
    "gomr.patience",
    "gomr.worker.attempt",
    "gomr.worker.executor",
    "gomr.worker.jobs",
    "gomr.worker.worker",
]
REPLACED = ("time", "threading", "random", "secrets")


@contextmanager
def replaced(kernel: Kernel) -> Iterator[None]:
    """Have gomr's core run on the kernel's time, threads and dice within the block."""
    modules = simulated(kernel)
    saved: list[tuple[ModuleType, str, Any]] = []
    for core in CORE:
        module = sys.modules.get(core) or import_module(core)
        for name in REPLACED:
            if name in module.__dict__:
                saved.append((module, name, module.__dict__[name]))
                setattr(module, name, modules[name])
    parse = Record.__dict__["from_json"]
    Record.from_json = classmethod(_parsed)  # type: ignore[arg-type,assignment,method-assign]
    try:
        yield
    finally:
        Record.from_json = parse  # type: ignore[method-assign]
        for module, name, real in saved:
            setattr(module, name, real)


_parse = Record.from_json.__func__  # type: ignore[attr-defined]


@functools.lru_cache(10_000)
def _parsed(record: type[Record], data: bytes) -> Record:
    """Read a record as the core does, but the same bytes only once: it is half of all the work."""
    parsed: Record = _parse(record, data)
    return parsed


def simulated(kernel: Kernel) -> dict[str, Any]:
    """Return the stand-ins by name."""
    observer = Party("observer")

    def party() -> Party:
        return kernel.party or observer

    def token_bytes(size: int) -> bytes:
        return kernel.chance.randbytes(size)

    return {
        "time": SimpleNamespace(
            monotonic=lambda: kernel.now * party().rate,
            time=lambda: EPOCH_SECONDS + kernel.now * party().rate + party().skew_seconds,
            sleep=kernel.wait,
        ),
        "threading": SimpleNamespace(
            Thread=lambda **options: Thread(kernel, **options),
            Event=lambda: Event(kernel),
            Lock=lambda: Lock(kernel),
        ),
        "random": kernel.chance,
        "secrets": SimpleNamespace(token_bytes=token_bytes, token_hex=lambda size: token_bytes(size).hex()),
    }


class Event:
    """threading.Event."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._is_set = False
        self._waiting: list[Callable[[], None]] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        self._kernel.check_alive()
        if not self._is_set:
            self._waiting.append(self._kernel.waker())
            self._kernel.wait(timeout)
        return self._is_set


class Lock:
    """threading.Lock, as a context manager."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._is_held = False
        self._waiting: list[Callable[[], None]] = []

    def __enter__(self) -> None:
        self._kernel.check_alive()
        while self._is_held:
            self._waiting.append(self._kernel.waker())
            self._kernel.wait(None)
        self._is_held = True

    def __exit__(self, *_error: object) -> None:
        self._is_held = False
        if self._waiting:
            self._waiting.pop(0)()


class Thread:
    """threading.Thread."""

    def __init__(
        self, kernel: Kernel, target: Callable[..., None], args: tuple[Any, ...] = (), **_options: object
    ) -> None:
        self._kernel = kernel
        self._target = target
        self._args = args
        self._fiber: Fiber | None = None

    def start(self) -> None:
        party = self._kernel.party
        assert party is not None
        self._fiber = self._kernel.spawn(party, lambda: self._target(*self._args))

    def is_alive(self) -> bool:
        return self._fiber is not None and not self._fiber.ended

    def join(self, timeout: float | None = None) -> None:
        self._kernel.check_alive()
        if self.is_alive():
            assert self._fiber is not None
            self._fiber.on_end.append(self._kernel.waker())
            self._kernel.wait(timeout)
