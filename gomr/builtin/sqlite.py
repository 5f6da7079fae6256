"""`sqlite:///file`: a coordinator for one machine, in a file that all its processes share."""

import functools
import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from gomr.backends import (
    Answer,
    Compare,
    Coordinator,
    Delete,
    Found,
    Item,
    Operation,
    Put,
    Range,
    Version,
)
from gomr.errors import ConfigurationError, OutOfSpace, Refused, Unknown
from gomr.hookspecs import Backend, hookimpl
from gomr.urls import URL

POLL_SECONDS = 0.005  # PRAGMA data_version costs some 5 microseconds: a tenth of a percent of a core
BUSY_SLEEP_SECONDS_MAX = 0.005  # our own jittered retry has half the tail of SQLite's busy handler
OPEN_SECONDS_MAX = 30.0  # for others that open the same new database just now
DELETIONS_KEPT = 1000  # revisions whose deletions `wait` can tell apart; older waiters just read again
NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "fuse.sshfs",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
}

SCHEMA = """
CREATE TABLE IF NOT EXISTS kv (k TEXT PRIMARY KEY, v BLOB NOT NULL, m INTEGER NOT NULL, lease INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS kv_lease ON kv (lease) WHERE lease != 0;
CREATE TABLE IF NOT EXISTS lease (id INTEGER PRIMARY KEY AUTOINCREMENT, seconds REAL, ends REAL, boot TEXT);
CREATE TABLE IF NOT EXISTS deletion (m INTEGER NOT NULL, k TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS deletion_m ON deletion (m);
CREATE TABLE IF NOT EXISTS revision (latest INTEGER NOT NULL);
INSERT INTO revision SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM revision);
"""


@hookimpl
def gomr_coordinators() -> Iterable[Backend[Coordinator]]:
    """Offer sqlite://."""
    yield Backend("sqlite", open_sqlite, "a file on this machine, for all its processes")


def open_sqlite(url: URL) -> Coordinator:
    """Open the database of `url`, made where it is missing. Raises ConfigurationError."""
    url.check_options()
    if url.host or not url.path.startswith("/"):
        raise ConfigurationError(f"{url}: write sqlite:///absolute/path/coordinator.db")
    path = Path(url.path)
    kind = _file_system(path.parent)
    if kind in NETWORK_FILE_SYSTEMS:
        raise ConfigurationError(
            f"{url}: on a network file system ({kind}), whose locks SQLite cannot trust; "
            "use a local folder, or a coordinator for several machines such as etcd://"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return SqliteCoordinator(path)
    except (OSError, sqlite3.Error) as error:
        raise ConfigurationError(f"{url}: cannot open the database: {error}") from error


class SqliteCoordinator(Coordinator):
    """Transactions as BEGIN IMMEDIATE; leases on the boot clock, bound to the boot they were granted in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db = self._connect()
        deadline = time.monotonic() + OPEN_SECONDS_MAX
        try:
            self._patiently("PRAGMA journal_mode = WAL", deadline)  # takes a lock where it changes anything
            self._patiently("PRAGMA synchronous = NORMAL", deadline)
            self._patiently("BEGIN IMMEDIATE", deadline)
            for statement in SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.close()
            raise

    def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        orelse: Sequence[Operation] = (),
        *,
        timeout_seconds: float = 10.0,
        durable: bool = False,
    ) -> Answer:
        """Run one transaction."""
        writes = bool(compares) or not all(isinstance(operation, Range) for operation in then)
        with self._lock:
            if durable:
                self._db.execute("PRAGMA synchronous = FULL")
            try:
                self._patiently("BEGIN IMMEDIATE" if writes else "BEGIN", time.monotonic() + timeout_seconds)
                if not writes and self._has_expired():
                    self._db.execute("ROLLBACK")
                    self._patiently("BEGIN IMMEDIATE", time.monotonic() + timeout_seconds)
                answer = self._run(compares, then, orelse)
                self._db.execute("COMMIT")
                return answer
            except sqlite3.Error as error:
                raise _translated(error) from error
            finally:
                self._rollback()  # nothing to do after the commit; also for an interrupt from the keyboard
                if durable:
                    self._db.execute("PRAGMA synchronous = NORMAL")

    def grant_lease(self, seconds: float, *, timeout_seconds: float = 10.0) -> int:
        """Return a new lease."""
        rows = self._write(
            "INSERT INTO lease (seconds, ends, boot) VALUES (?, ?, ?) RETURNING id",
            (seconds, _now() + seconds, boot_id()),
            timeout_seconds,
        )
        return int(rows[0][0])

    def keep_lease(self, lease: int, *, timeout_seconds: float = 10.0) -> float:
        """Give the lease its whole time again."""
        now = _now()
        rows = self._write(
            "UPDATE lease SET ends = ? + seconds WHERE id = ? AND ends >= ? AND boot = ? RETURNING seconds",
            (now, lease, now, boot_id()),
            timeout_seconds,
        )
        return float(rows[0][0]) if rows else 0.0

    def revoke_lease(self, lease: int, *, timeout_seconds: float = 10.0) -> None:
        """End the lease now; its keys go with the next transaction that looks."""
        self._write("UPDATE lease SET ends = -1 WHERE id = ? RETURNING id", (lease,), timeout_seconds)
        self.transact((), (Range("\0"),), timeout_seconds=timeout_seconds)

    def wait(self, key: str, end: str, after_revision: int, timeout_seconds: float) -> None:
        """Poll the database's change counter, then look at the range."""
        deadline = time.monotonic() + timeout_seconds
        try:
            with closing(self._connect()) as db:
                seen = None
                while True:
                    try:
                        version = db.execute("PRAGMA data_version").fetchone()
                        if version != seen and _changed(db, key, end, after_revision):
                            return
                        seen = version
                    except sqlite3.OperationalError as error:
                        if not _is_busy(error):
                            raise
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return
                    time.sleep(min(POLL_SECONDS, left))
        except sqlite3.Error as error:
            raise _translated(error) from error

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)

    def _patiently(self, statement: str, deadline: float) -> None:
        while True:
            try:
                self._db.execute(statement)
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
            time.sleep(random.random() * BUSY_SLEEP_SECONDS_MAX)  # noqa: S311 - jitter, not a secret

    def _rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _write(self, statement: str, values: tuple[object, ...], timeout_seconds: float) -> list[Any]:
        with self._lock:
            try:
                self._patiently("BEGIN IMMEDIATE", time.monotonic() + timeout_seconds)
                rows = self._db.execute(statement, values).fetchall()
                self._db.execute("COMMIT")
                return rows
            except sqlite3.Error as error:
                raise _translated(error) from error
            finally:
                self._rollback()

    def _run(self, compares: Sequence[Compare], then: Sequence[Operation], orelse: Sequence[Operation]) -> Answer:
        """Run a transaction that has begun."""
        latest = int(self._db.execute("SELECT latest FROM revision").fetchone()[0])
        next_revision = latest + 1
        changed = self._expire(next_revision)
        ok = all(self._holds(compare) for compare in compares)
        found = []
        for operation in then if ok else orelse:
            if isinstance(operation, Range):
                found.append(self._range(operation))
            else:
                changed = self._apply(operation, next_revision) or changed
        if changed:
            self._db.execute("UPDATE revision SET latest = ?", (next_revision,))
            self._db.execute("DELETE FROM deletion WHERE m < ?", (next_revision - DELETIONS_KEPT,))
        return Answer(ok, next_revision if changed else latest, tuple(found))

    def _holds(self, compare: Compare) -> bool:
        row = self._db.execute("SELECT m FROM kv WHERE k = ?", (compare.key,)).fetchone()
        if isinstance(compare, Version):
            return (row is not None) == compare.exists
        return row is not None and row[0] == compare.revision

    def _apply(self, operation: Put | Delete, revision: int) -> bool:
        if isinstance(operation, Put):
            if (
                operation.lease
                and not self._db.execute("SELECT 1 FROM lease WHERE id = ?", (operation.lease,)).fetchone()
            ):
                raise Refused(f"lease {operation.lease} is gone")
            self._db.execute(
                "INSERT OR REPLACE INTO kv (k, v, m, lease) VALUES (?, ?, ?, ?)",
                (operation.key, operation.value, revision, operation.lease),
            )
            return True
        where, values = _where(operation.key, operation.end)
        return self._delete(where, values, revision)

    def _delete(self, where: str, values: tuple[object, ...], revision: int) -> bool:
        self._db.execute(f"INSERT INTO deletion SELECT ?, k FROM kv WHERE {where}", (revision, *values))
        return self._db.execute(f"DELETE FROM kv WHERE {where}", values).rowcount > 0

    def _range(self, operation: Range) -> Found:
        where, values = _where(operation.key, operation.end)
        count = int(self._db.execute(f"SELECT count(*) FROM kv WHERE {where}", values).fetchone()[0])
        if operation.count_only:
            return Found((), count)
        rows = self._db.execute(
            f"SELECT k, {'zeroblob(0)' if operation.keys_only else 'v'}, m FROM kv WHERE {where} ORDER BY k LIMIT ?",
            (*values, operation.limit or -1),
        )
        return Found(tuple(Item(key, bytes(value), revision) for key, value, revision in rows), count)

    def _expire(self, revision: int) -> bool:
        """Delete what leases that are over have left, those of another boot included."""
        rows = self._db.execute("SELECT id FROM lease WHERE ends < ? OR boot != ?", (_now(), boot_id())).fetchall()
        changed = False
        for row in rows:
            changed = self._delete("lease = ?", row, revision) or changed
            self._db.execute("DELETE FROM lease WHERE id = ?", row)
        return changed

    def _has_expired(self) -> bool:
        query = "SELECT 1 FROM lease WHERE ends < ? OR boot != ? LIMIT 1"
        return self._db.execute(query, (_now(), boot_id())).fetchone() is not None


@functools.cache
def boot_id() -> str:
    """Return what tells one start of this machine from another; a lease does not outlive it, nor does this process."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def _now() -> float:
    """Return seconds of a clock that all processes of the machine share and that goes on in suspend."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _where(key: str, end: str) -> tuple[str, tuple[str, ...]]:
    return ("k >= ? AND k < ?", (key, end)) if end else ("k = ?", (key,))


def _changed(db: sqlite3.Connection, key: str, end: str, after_revision: int) -> bool:
    where, values = _where(key, end)
    if db.execute("SELECT latest FROM revision").fetchone()[0] > after_revision + DELETIONS_KEPT:
        return True
    return any(
        db.execute(f"SELECT 1 FROM {table} WHERE {where} AND m > ? LIMIT 1", (*values, after_revision)).fetchone()
        for table in ("kv", "deletion")
    )


def _is_busy(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _translated(error: sqlite3.Error) -> Unknown | Refused:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return OutOfSpace("the disk of the coordinator's database is full")
    if code in (
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CANTOPEN,
    ):
        return Refused(f"the coordinator's database cannot be written: {error}")
    return Unknown(f"the coordinator's database: {error}")


def _file_system(folder: Path) -> str:
    """Return the type of the file system that holds `folder`, or "" where it cannot be told."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    real = os.path.realpath(folder)
    best, kind = "", ""
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    for line in mounts:
        _, point, mount_kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, mount_kind
    return kind
