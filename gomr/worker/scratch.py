"""A worker's scratch folder: locked while the worker lives; what dead workers left is deleted."""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path


class ScratchFolder:
    """`parent/<worker>` for this worker's tasks, held by a lock that ends with the process."""

    def __init__(self, parent: Path, worker: str) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        _delete_abandoned(parent)
        self.path = parent / worker
        self.path.mkdir()
        self._lock = os.open(parent / f"{worker}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            self.path.with_name(self.path.name + ".lock").unlink()
        os.close(self._lock)


def _delete_abandoned(parent: Path) -> None:
    """Delete the folders of workers that were killed: nobody holds their locks."""
    for path in parent.glob("*.lock"):
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
