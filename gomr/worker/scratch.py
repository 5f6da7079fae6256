"""A worker's scratch folder: locked while the worker lives; what dead workers left is deleted."""

import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path


class ScratchFolder:
    """`parent/<worker>` for this worker's tasks, held by a lock that ends with the process."""

    def __init__(self, parent: Path, worker: str) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        _delete_abandoned(parent)
        self.path = parent / worker
        self._lock_path = parent / f"{worker}.lock"
        # Locked before it has its name: another worker that starts now would take an unlocked one for abandoned.
        unnamed = parent / f".{worker}.new"
        self._lock = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unnamed.rename(self._lock_path)
        self.path.mkdir()

    def close(self) -> None:
        """Delete the folder."""
        delete_tree(self.path)
        self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)


def delete_tree(folder: Path) -> None:
    """Delete a folder of a task's files, also where the task took away its own right to write (as caches do)."""

    def retry(function: Callable[[str], object], path: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            Path(path).parent.chmod(0o700)
            Path(path).chmod(0o700)
            function(path)

    if sys.version_info >= (3, 12):
        shutil.rmtree(folder, onexc=retry)
    else:
        shutil.rmtree(folder, onerror=retry)
    shutil.rmtree(folder, ignore_errors=True)


def _delete_abandoned(parent: Path) -> None:
    """Delete the folders of workers that were killed: nobody holds their locks."""
    for path in parent.glob("*.lock"):
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            delete_tree(path.with_suffix(""))
            path.unlink(missing_ok=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
