"""What Linux offers for keeping a process tree together: death signals, adoption of orphans, who is below whom.

Without pathlib, whose import takes longer than what these functions do.
"""

import contextlib
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_DUMPABLE = 4
# Found once: each task is two forks of a server, and to find it in each took a quarter of their time.
_libc_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


def die_with_parent(parent: int) -> None:
    """Have this process killed when its parent dies; `parent` is the process id the caller forked from."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent died before the line above
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def hide_memory() -> None:
    """Forbid other processes of the same user to read this one's memory and environment."""
    _prctl(_PR_SET_DUMPABLE, 0)


def thread_count() -> int:
    """Return how many threads this process has, native ones included."""
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208
    except OSError:
        import threading

        return threading.active_count()


def kill_descendants() -> None:
    """Kill and reap every process below this one, also those that are forked meanwhile."""
    while True:
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def descendants(root: int) -> list[int]:
    """Return the process ids below `root`."""
    below = children(root)
    for pid in below:  # which grows
        below += children(pid)
    return below


def children(parent: int) -> list[int]:
    """Return the process ids of the children of `parent`; none where it is gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        tasks = f"/proc/{parent}/task"
        for thread in os.listdir(tasks):  # noqa: PTH208
            with open(f"{tasks}/{thread}/children") as file:  # noqa: PTH123
                found += map(int, file.read().split())
    return found


def _prctl(option: int, value: int) -> None:
    if _libc_prctl is not None and _libc_prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")
