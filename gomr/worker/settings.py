"""The limits and folders of one worker: each with its default and its reason."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gomr.errors import ConfigurationError
from gomr.supervision.supervised import FILE_BYTES, OPEN_FILES

GIB = 1024**3
CGROUPS, CGROUP_ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
MEMORY_1, MEMORY_2 = "memory.limit_in_bytes", "memory.max"  # of the two versions of control groups
LEASE_SECONDS = 15.0  # three missed heartbeats; client-go's leases have the same default
MEMORY_SHARE = 0.8  # of the machine for tasks; the rest is for the worker, the page cache and everything else


def cpu_count() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_memory_bytes() -> int:
    """Return the memory that this process and its children may use: the machine's, or its container's, in bytes."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _memory_limits():
        with contextlib.suppress(OSError, ValueError):  # absent, or "max"
            sizes.append(int(path.read_text()))
    return min(sizes)


def _memory_limits() -> Iterator[Path]:
    """Yield the files that may limit this process's memory: of its own control group, and of all above it."""
    groups = ""
    with contextlib.suppress(OSError):
        groups = CGROUPS.read_text()
    for line in groups.splitlines():
        _, controllers, name = line.split(":", 2)
        is_first = "memory" in controllers.split(",")  # of version 1, which has a tree for each controller
        if is_first or not controllers:
            root, file = (CGROUP_ROOT / "memory", MEMORY_1) if is_first else (CGROUP_ROOT, MEMORY_2)
            group = root / name.lstrip("/")
            yield from (folder / file for folder in (group, *group.parents) if folder.is_relative_to(root))


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What `gomr worker` can be told; sizes in bytes, times in seconds."""

    cache_dir: Path
    scratch_dir: Path
    slots: int = 0  # 0: one a processor
    ahead: int | None = None  # tasks fetched, or uploaded, while all slots run others; None: one a slot
    lease_seconds: float = LEASE_SECONDS
    exec_per_task: bool = False
    once: bool = False
    only_job: str = ""
    memory_limit_bytes: int = 0  # 0: an equal share of MEMORY_SHARE of the machine for each slot
    open_files: int = OPEN_FILES
    file_bytes: int = FILE_BYTES
    scratch_bytes: int = 64 * GIB  # what a task's sorted runs may take together
    decompressed_bytes: int = 64 * GIB  # what one compressed input may become: a 10 MB bomb can hold terabytes
    cache_bytes: int = 10 * GIB
    drain_seconds: float = 20.0  # for tasks in hand after SIGTERM, then given back: Kubernetes kills after 30 s
    log_bytes: int = 10 * 1024**2  # of one attempt's log; more is cut in the middle, and said
    run_as: str = ""

    def check(self, lease_seconds_min: float) -> None:
        """Raise ConfigurationError for what cannot work on this machine, or with leases of at least so long."""
        if self.lease_seconds < lease_seconds_min:
            least = f"{lease_seconds_min:g} s"
            raise ConfigurationError(f"--lease-seconds {self.lease_seconds:g}: the coordinator keeps at least {least}")
        if not self.run_as:
            return
        import pwd

        try:
            pwd.getpwnam(self.run_as)
        except KeyError:
            raise ConfigurationError(f"--run-as {self.run_as}: no such user on this machine") from None
        if os.geteuid() != 0:
            raise ConfigurationError("--run-as: only a worker that runs as root can run jobs as another user")

    def make_folders(self) -> None:
        """Make the folders that are not there. Raises ConfigurationError."""
        for name, folder in (("cache_dir", self.cache_dir), ("scratch_dir", self.scratch_dir)):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                option = f"--{name.replace('_', '-')}, or GOMR_{name.upper()}"
                raise ConfigurationError(f"{folder}: {error.strerror}; name another folder with {option}") from error

    @property
    def slot_count(self) -> int:
        """The number of slots."""
        return self.slots or cpu_count()

    @property
    def ahead_count(self) -> int:
        """The number of tasks in hand beside those that run."""
        return self.slot_count if self.ahead is None else self.ahead

    @property
    def task_memory_bytes(self) -> int:
        """What one task may hold in memory."""
        return self.memory_limit_bytes or int(machine_memory_bytes() * MEMORY_SHARE) // self.slot_count
