"""`file:///folder`: storage in a folder of this machine; objects are written aside, synced, then renamed."""

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gomr.backends import ObjectInfo, Storage, Writer, checked_key, file_version
from gomr.errors import ConfigurationError, Denied, DiskFull, NotFound, StorageError, Unavailable
from gomr.hookspecs import Backend, hookimpl
from gomr.urls import URL

TEMPORARY = ".gomr-writing"  # unfinished objects, on the same file system as the finished ones
ABANDONED_SECONDS = 24 * 3600.0  # no write takes so long
PLACE_TRIES = 10  # against another process that removes the folder as we make it


@hookimpl
def gomr_storages() -> Iterable[Backend[Storage]]:
    """Offer file://."""
    yield Backend("file", open_file, "a folder on this machine")


def open_file(url: URL) -> Storage:
    """Open the folder of `url`, made at the first write. Raises ConfigurationError."""
    url.check_options()
    if url.host or not url.path.startswith("/"):
        raise ConfigurationError(f"{url}: write file:///absolute/path")
    return FileStorage(Path(url.path))


class FileStorage(Storage):
    """Objects as files below `root`."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self._synced: set[Path] = set()

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes from `offset`."""
        with _translated(key), self._path(key).open("rb") as file:
            file.seek(offset)
            data = file.read(-1 if length is None else length)
        self.count("get", len(data))
        return data

    def write(self, key: str) -> Writer:
        """Start an object, in a file aside."""
        return _FileWriter(self, key)

    def create(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free: a hard link to a finished file is exclusive."""
        path = self._path(key)
        with _translated(key):
            temporary = self.temporary()
            try:
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                self._place(path, lambda: os.link(temporary, path))
            except FileExistsError:
                _sync_folder(path.parent)  # whoever wrote it may have died before this
                return False
            finally:
                temporary.unlink(missing_ok=True)
        self.count("put", len(data))
        return True

    def stat(self, key: str) -> ObjectInfo:
        """Describe the object."""
        self.count("head")
        with _translated(key):
            path = self._path(key)
            found = path.stat()
            if not path.is_file():
                raise NotFound(f"{key}: a folder, not a file")
        return _info(key, found)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every object whose key starts with `prefix`."""
        self.count("list")
        folder = self._root / prefix.rpartition("/")[0]
        keys = []
        for parent, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if name != TEMPORARY]
            relative = Path(parent).relative_to(self._root).as_posix()
            keys += [name if relative == "." else f"{relative}/{name}" for name in files]
        for key in sorted(key for key in keys if key.startswith(prefix)):
            with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
                yield _info(key, (self._root / key).stat())

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, and the folders that this leaves empty."""
        for key in keys:
            self.count("delete")
            path = self._path(key)
            with _translated(key):
                path.unlink(missing_ok=True)
            for parent in path.parents:
                if parent == self._root:
                    break
                try:
                    parent.rmdir()
                except OSError:  # not empty
                    break

    def put_file(self, key: str, path: Path) -> None:
        """Adopt the file by renaming it, or copy it from another file system."""
        target = self._path(key)
        with _translated(key):
            if not path.exists() and target.exists():
                _sync_folder(target.parent)  # an earlier call renamed it and failed after that
                return
            size = path.stat().st_size
            with path.open("rb+") as file:
                os.fsync(file.fileno())
            path.chmod(0o644)
            try:
                self._place(target, lambda: path.replace(target))
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                super().put_file(key, path)
                return
        self.count("put", size)

    def local_path(self, key: str) -> Path:
        """Return the object's file."""
        return self._path(key)

    def temporary(self) -> Path:
        """Return a fresh path on the file system of the objects; what killed writers left there is deleted."""
        folder = self._root / TEMPORARY
        if folder not in self._synced:
            self._make_folder(folder)
            for path in folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                        path.unlink()
        return folder / secrets.token_hex(16)

    def publish(self, temporary: Path, key: str, size: int) -> None:
        """Make a finished and synced file the object `key`."""
        path = self._path(key)
        with _translated(key):
            self._place(path, lambda: temporary.replace(path))
        self.count("put", size)

    def _place(self, target: Path, place: Callable[[], object]) -> None:
        """Make the folder of `target`, run `place`, and sync the folder."""
        for tries_left in reversed(range(PLACE_TRIES)):
            self._make_folder(target.parent)
            try:
                place()
                break
            except FileNotFoundError:  # a `delete` has just removed the empty folder
                self._synced.clear()
                if not tries_left:
                    raise
        _sync_folder(target.parent)

    def _path(self, key: str) -> Path:
        parts = checked_key(key).split("/")
        if TEMPORARY in parts:
            raise Denied(f"{key!r} is not a key: {TEMPORARY} is kept for unfinished objects")
        return self._root.joinpath(*parts)

    def _make_folder(self, folder: Path) -> None:
        """Make `folder` and its parents, each synced into its own parent once, also where another made it."""
        if folder in self._synced and folder.is_dir():
            return
        if folder != self._root:
            self._make_folder(folder.parent)
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
        else:
            folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)
        self._synced.add(folder)


class _FileWriter(Writer):
    def __init__(self, storage: FileStorage, key: str) -> None:
        self._storage = storage
        self._key = key
        self._size = 0
        with _translated(key):
            self._path = storage.temporary()
            self._file = self._path.open("wb")

    def write(self, data: bytes) -> None:
        with _translated(self._key):
            self._file.write(data)
        self._size += len(data)

    def commit(self) -> None:
        try:
            with _translated(self._key):
                self._file.flush()
                os.fsync(self._file.fileno())
        except StorageError:
            self.abort()
            raise
        self._file.close()
        try:
            self._storage.publish(self._path, self._key, self._size)
        finally:
            self._path.unlink(missing_ok=True)

    def abort(self) -> None:
        if not self._file.closed:
            with contextlib.suppress(OSError):  # a full disk refuses the last flush
                self._file.close()
            self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def _translated(key: str) -> Iterator[None]:
    """Raise the storage errors for the operating system's."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"{key}: no such object") from error
    except (PermissionError, NotADirectoryError, IsADirectoryError) as error:
        raise Denied(f"{key}: {error.strerror}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{key}: the disk is full") from error
        raise Unavailable(f"{key}: {error.strerror}") from error


def _info(key: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, found.st_size, found.st_mtime, file_version(found))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
