"""A worker's scratch folder: locked while the worker lives; what dead workers left is deleted."""

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

WORK, LOG, TASK = "work", "log", "task.json"  # of a task: where its process is at home, what it printed, what it reads


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
        self._free: list[Path] = []  # folders of tasks that have ended, emptied

    @contextlib.contextmanager
    def task_folder(self, user: str) -> Iterator[Path]:
        """Yield a folder for one task: in it an empty folder and an empty log, which are `user`'s where one is given.

        Folders go from task to task: to make and to delete one takes longer than a small task.
        """
        try:
            folder = self._free.pop()
        except IndexError:
            folder = self._make(user)
        try:
            yield folder
        finally:
            if _is_emptied(folder):
                self._free.append(folder)
            else:
                delete_tree(folder)

    def _make(self, user: str) -> Path:
        self.path.mkdir(parents=True, exist_ok=True)  # a cleaner of temporary files may have taken it away
        folder = Path(tempfile.mkdtemp(prefix="task-", dir=self.path))
        (folder / WORK).mkdir()
        for name in (LOG, TASK):
            (folder / name).touch()
        if user:
            folder.chmod(0o755)
            for name in (WORK, LOG):
                shutil.chown(folder / name, user=user)
        return folder

    def close(self) -> None:
        """Delete the folder."""
        delete_tree(self.path)
        self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)


def _is_emptied(folder: Path) -> bool:
    """Empty a task's folder; say whether it is as it was made.

    A task may have put anything in the place of anything. The files outside of its home stay, emptied: to make a file
    takes the longer, the more have been deleted of late.
    """
    try:
        for name in os.listdir(folder):  # noqa: PTH208 - names
            if name not in (WORK, LOG, TASK):
                os.unlink(folder / name)  # noqa: PTH108 - as those below
        work = os.open(folder / WORK, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            for name in os.listdir(work):  # noqa: PTH208
                os.unlink(name, dir_fd=work)
        finally:
            os.close(work)
        return all(_is_own_and_emptied(folder / name) for name in (LOG, TASK))
    except OSError:  # a folder among the files, or no right to delete them
        return False


def _is_own_and_emptied(path: Path) -> bool:
    """Empty a file; say whether it has no other name. Raises OSError for what is no plain file."""
    file = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait for its reader
    try:
        os.ftruncate(file, 0)
        return os.fstat(file).st_nlink == 1
    finally:
        os.close(file)


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
