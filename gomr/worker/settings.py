"""The limits and folders of one worker: each with its default and its reason."""

import os
from dataclasses import dataclass
from pathlib import Path

from gomr.scheduling.membership import LEASE_SECONDS

GIB = 1024**3
MEMORY_SHARE = 0.8  # of the machine for tasks; the rest is for the worker, the page cache and everything else


def cpu_count() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_memory_bytes() -> int:
    """Return the memory of the machine, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What `gomr worker` can be told; sizes in bytes, times in seconds."""

    cache_dir: Path
    scratch_dir: Path
    slots: int = 0  # 0: one a processor
    lease_seconds: float = LEASE_SECONDS
    exec_per_task: bool = False
    once: bool = False
    only_job: str = ""
    memory_limit_bytes: int = 0  # 0: an equal share of MEMORY_SHARE of the machine for each slot
    open_files: int = 1024  # the usual soft limit; a merge needs 64
    file_bytes: int = 64 * GIB  # the largest file a task may write: its output, a run, its log
    scratch_bytes: int = 64 * GIB  # what a task's sorted runs may take together
    decompressed_bytes: int = 64 * GIB  # what one compressed input may become: a 10 MB bomb can hold terabytes
    cache_bytes: int = 10 * GIB
    drain_seconds: float = 30.0  # for tasks in hand after SIGTERM, then they are given back
    log_bytes: int = 10 * 1024**2  # of one attempt's log; more is cut in the middle, and said
    run_as: str = ""

    @property
    def slot_count(self) -> int:
        """The number of slots."""
        return self.slots or cpu_count()

    @property
    def task_memory_bytes(self) -> int:
        """What one task may hold in memory."""
        return self.memory_limit_bytes or int(machine_memory_bytes() * MEMORY_SHARE) // self.slot_count
