"""`shelf:///file.db`: the objects of a storage, and the events of a log sink, in one SQLite file."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gomr.backends import FAILURE, OK, Finding, LogSink, ObjectInfo, Storage, Writer, checked_key
from gomr.errors import ConfigurationError, Denied, NotFound, Unavailable
from gomr.hookspecs import Backend, hookimpl
from gomr.urls import URL

BUSY_SECONDS = 10.0  # for other processes that write; then it is Unavailable
OBJECT_BYTES_MAX = 512 * 1024**2  # an object is one value of a row; SQLite's own limit is 1 GB
TABLES = """
CREATE TABLE IF NOT EXISTS object (key TEXT PRIMARY KEY, data BLOB, modified REAL, version INTEGER);
CREATE TABLE IF NOT EXISTS event (at REAL, data TEXT);
"""


@hookimpl
def gomr_storages() -> Iterable[Backend[Storage]]:
    """Offer shelf:// as a storage."""
    yield Backend("shelf", lambda url: ShelfStorage(_path(url)), "objects in one SQLite file; an example")


@hookimpl
def gomr_log_sinks() -> Iterable[Backend[LogSink]]:
    """Offer shelf:// as a log sink."""
    yield Backend("shelf", lambda url: ShelfSink(_path(url)), "log events in one SQLite file; an example")


def _path(url: URL) -> Path:
    url.check_options()  # it knows none: a misspelt one shall not be silence
    if url.host or not url.path.startswith("/"):
        raise ConfigurationError(f"{url}: write shelf:///absolute/path/file.db")
    return Path(url.path)


class _Database:
    """One connection for all threads of this process; other processes have their own."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(TABLES)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"{path}: cannot be opened: {error}") from error
        self._lock = threading.Lock()

    def run(self, statement: str, *values: object) -> list[Any]:
        with self._lock, _translated():
            return self._db.execute(statement, values).fetchall()

    def close(self) -> None:
        self._db.close()


class ShelfStorage(Storage):
    """Each object is a row, so that it is there whole or not at all."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._database = _Database(path)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return a range of the object."""
        size = -1 if length is None else length
        rows = self._database.run(
            "SELECT CASE WHEN ?3 < 0 THEN substr(data, ?2 + 1) ELSE substr(data, ?2 + 1, ?3) END FROM object "
            "WHERE key = ?1",
            checked_key(key),
            offset,
            size,
        )
        if not rows:
            raise NotFound(f"{key}: no such object")
        data = bytes(rows[0][0] or b"")  # a substring of no bytes is NULL
        self.count("get", len(data))
        return data

    def write(self, key: str) -> Writer:
        """Start an object, held in memory until its commit."""
        return _ShelfWriter(self, checked_key(key))

    def create(self, key: str, data: bytes) -> bool:
        """Insert the row, which one of several racing processes can."""
        rows = self._database.run(
            "INSERT INTO object VALUES (?, ?, ?, 1) ON CONFLICT DO NOTHING RETURNING 1",
            checked_key(key),
            data,
            time.time(),
        )
        self.count("put", len(data) if rows else 0)
        return bool(rows)

    def replace(self, key: str, data: bytes) -> None:
        """Insert or replace the row."""
        self._database.run(
            "INSERT INTO object VALUES (?, ?, ?, 1) ON CONFLICT (key) DO UPDATE SET data = excluded.data, "
            "modified = excluded.modified, version = version + 1",
            key,
            data,
            time.time(),
        )
        self.count("put", len(data))

    def stat(self, key: str) -> ObjectInfo:
        """Describe the object."""
        self.count("head")
        statement = "SELECT key, length(data), modified, version FROM object WHERE key = ?"
        rows = self._database.run(statement, checked_key(key))
        if not rows:
            raise NotFound(f"{key}: no such object")
        return _info(rows[0])

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose keys start with `prefix`; SQLite compares texts as UTF-8 bytes."""
        self.count("list")
        statement = "SELECT key, length(data), modified, version FROM object WHERE substr(key, 1, ?) = ? ORDER BY key"
        yield from map(_info, self._database.run(statement, len(prefix), prefix))

    def delete(self, keys: Iterable[str]) -> None:
        """Delete the rows."""
        for key in keys:
            self.count("delete")
            self._database.run("DELETE FROM object WHERE key = ?", checked_key(key))

    def diagnose(self) -> Iterator[Finding]:
        """Have SQLite look through the file."""
        found = self._database.run("PRAGMA quick_check")[0][0]
        yield Finding("shelf", OK if found == "ok" else FAILURE, f"SQLite {sqlite3.sqlite_version}: {found}")

    def close(self) -> None:
        """Close the file."""
        self._database.close()


class _ShelfWriter(Writer):
    def __init__(self, storage: ShelfStorage, key: str) -> None:
        self._storage = storage
        self._key = key
        self._data = bytearray()

    def write(self, data: bytes) -> None:
        if len(self._data) + len(data) > OBJECT_BYTES_MAX:
            raise Denied(f"{self._key}: larger than {OBJECT_BYTES_MAX} bytes, the most that shelf:// holds")
        self._data += data

    def commit(self) -> None:
        self._storage.replace(self._key, bytes(self._data))

    def abort(self) -> None:
        self._data.clear()


class ShelfSink(LogSink):
    """Each event is a row; they can be read again at once."""

    takes_output = True
    can_read = True

    def __init__(self, path: Path) -> None:
        self._database = _Database(path)

    def emit(self, event: Mapping[str, Any]) -> None:
        """Keep one event; where that fails it is lost, for a log must not end a task."""
        text = json.dumps(event, default=str).encode("utf-8", "replace").decode()
        try:
            self._database.run("INSERT INTO event VALUES (?, ?)", time.time(), text)
        except (Unavailable, sqlite3.ProgrammingError):  # busy for too long, or closed
            return

    def read(self, match: Mapping[str, str], since_seconds: float) -> Iterator[Mapping[str, Any]]:
        """Yield the events that match, oldest first."""
        rows = self._database.run("SELECT data FROM event WHERE at >= ? ORDER BY rowid", time.time() - since_seconds)
        for (text,) in rows:
            event = json.loads(text)
            if all(str(event.get(name)) == value for name, value in match.items()):
                yield event

    def close(self, timeout_seconds: float) -> None:  # noqa: ARG002 - nothing waits to be sent
        """Close the file."""
        self._database.close()


@contextmanager
def _translated() -> Iterator[None]:
    """Raise gomr's storage errors for SQLite's."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Unavailable(f"the SQLite file: {error}") from error


def _info(row: tuple[str, int, float, int]) -> ObjectInfo:
    key, size, modified, version = row
    return ObjectInfo(key, size, modified, f"{version}-{modified}")
