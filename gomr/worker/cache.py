"""Executables on this machine by digest: checked, size-limited, shared by all workers of the machine."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from gomr.errors import NotFound, StorageError
from gomr.executables import digest_of
from gomr.logs import log
from gomr.scheduling.cluster import Cluster
from gomr.worker.programs import executable_path, unpacking_folder


class ExecutableLost(StorageError):
    """The storage has no such executable, or a damaged one: no machine's fault."""


class ExecutableCache:
    """A folder with an entry for each digest: the executable, and the PEX_ROOT it unpacks itself into.

    A shared lock on `<digest>.lock` holds an entry in use; an exclusive one changes it.
    """

    def __init__(self, cluster: Cluster, folder: Path, limit_bytes: int) -> None:
        self._cluster = cluster
        self._folder = folder
        self._limit_bytes = limit_bytes
        folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def use(self, digest: str, key: str) -> Iterator[Path]:
        """Yield the path of the executable, fetched from `key` where it is missing or does not match its digest.

        Raises ExecutableLost where the storage's copy does not match it either.
        """
        path = executable_path(self._folder, digest)
        with self._locked(digest) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            while not self._is_good(digest, path):
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not self._is_good(digest, path):
                    self._fetch(digest, key, path)
                fcntl.flock(lock, fcntl.LOCK_SH)
            os.utime(lock)
            yield path

    def pex_root(self, digest: str) -> Path:
        """Return the folder that the executable may unpack itself into, which is there."""
        folder = unpacking_folder(self._folder, digest)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def drop(self, digest: str) -> None:
        """Delete an entry that does not start, unless another worker uses it: what is unpacked may be damaged."""
        with self._locked(digest) as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(self._folder / digest, ignore_errors=True)

    def evict(self) -> None:
        """Delete the entries not used for longest, until the rest fits the limit; those in use stay."""
        entries = []
        for lock in self._folder.glob("*.lock"):
            with contextlib.suppress(FileNotFoundError):
                entries.append((lock.stat().st_mtime, lock.stem))
        sizes = {digest: folder_bytes(self._folder / digest) for _, digest in entries}
        total = sum(sizes.values())
        for _, digest in sorted(entries):
            if total <= self._limit_bytes:
                return
            self.drop(digest)
            if not (self._folder / digest).exists():
                total -= sizes[digest]
                log.info("cache.evicted", digest=digest, size=sizes[digest])

    @contextlib.contextmanager
    def _locked(self, digest: str) -> Iterator[int]:
        lock = os.open(self._folder / f"{digest}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            yield lock
        finally:
            os.close(lock)

    def _is_good(self, digest: str, path: Path) -> bool:
        """Check the file's digest, again whenever the file was touched since."""
        if not path.exists():
            return False
        if digest_of(path) != digest:
            log.warning("cache.damaged", digest=digest, next="fetching it again")
            return False
        return True

    def _fetch(self, digest: str, key: str, path: Path) -> None:
        shutil.rmtree(path.parent, ignore_errors=True)  # what was unpacked from a damaged file goes too
        path.parent.mkdir(parents=True)
        temporary = path.with_name("fetching")
        if not self._download(digest, key, temporary) and not self._download(digest, key, temporary):
            raise ExecutableLost(f"the storage's copy of executable {digest} is damaged: its digest does not match")
        temporary.chmod(0o755)
        temporary.rename(path)
        log.info("cache.fetched", digest=digest, size=path.stat().st_size)
        self.evict()

    def _download(self, digest: str, key: str, path: Path) -> bool:
        """Fetch the executable; return whether it has its digest. Raises ExecutableLost where there is none."""
        read = hashlib.sha256()
        try:
            with path.open("wb") as file:
                for data in self._cluster.storage.chunks(key):
                    read.update(data)
                    file.write(data)
        except NotFound as error:
            raise ExecutableLost(f"executable {digest} is not in the storage") from error
        return read.hexdigest() == digest


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(parent) / name).lstat().st_size
    return total
