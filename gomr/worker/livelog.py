"""Stores the log of an attempt: whole at its end, and piece by piece while somebody follows the job.

Log sinks that want it get what is written too, line by line.
"""

import datetime
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from gomr.backends import Range
from gomr.errors import CoordinatorError, StorageError
from gomr.logs import log
from gomr.scheduling import keys
from gomr.scheduling.claims import Claim
from gomr.scheduling.cluster import Cluster

FOLLOW_SECONDS = 1.0  # between looks for a follower, and between the pieces that are stored for one
PIECE_BYTES_MAX = 1024 * 1024


class LiveLog:
    """Watches over one attempt's log file while the attempt runs (a context manager)."""

    def __init__(self, cluster: Cluster, claim: Claim, path: Path, limit_bytes: int) -> None:
        self._cluster = cluster
        self._claim = claim
        self._path = path
        self._limit_bytes = limit_bytes
        self._key = keys.log(claim.at.job, claim.at.stage, claim.index, claim.record.attempt_name)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="livelog", daemon=True)
        self._pieces: list[str] = []
        self._lines = OutputLines(claim, path, limit_bytes)

    def __enter__(self) -> Self:
        """Start to watch."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Store the whole log, where there is any, and delete its pieces."""
        self._ended.set()
        self._thread.join()
        if self._path.stat().st_size == 0:
            return
        self._lines.send(last=True)
        text = capped(self._path, self._limit_bytes)
        try:
            self._cluster.storage.put(self._key, text)
            if self._pieces:
                self._cluster.storage.delete(self._pieces)
        except StorageError as problem:
            log.warning("log.lost", error=str(problem))

    def _follow(self) -> None:
        stored = 0
        while not self._ended.wait(FOLLOW_SECONDS):
            try:
                self._lines.send()
                size = self._path.stat().st_size
                is_followed = size > stored and stored < self._limit_bytes and self._is_followed()
                while is_followed and stored < min(size, self._limit_bytes):
                    data = _read(self._path, stored)
                    piece = f"{self._key}.live/{stored:012d}"
                    self._cluster.storage.put(piece, data)
                    self._pieces.append(piece)
                    stored += len(data)
            except (StorageError, CoordinatorError, OSError) as problem:
                log.debug("log.follow", error=str(problem))

    def _is_followed(self) -> bool:
        prefix = keys.followers(self._claim.at.job)
        return self._cluster.read(Range(prefix, keys.end_of(prefix), count_only=True))[0].count > 0


class OutputLines:
    """Sends what an attempt writes, line by line, to the log sinks that want it: up to `limit_bytes` of it."""

    def __init__(self, claim: Claim, path: Path, limit_bytes: int) -> None:
        self._sinks = log.output_sinks()
        self._path = path
        self._limit_bytes = limit_bytes
        self._sent = 0
        self._facts = {
            "event": "task.output",
            "level": "info",
            "job": claim.at.job,
            "stage": claim.at.stage,
            "task": claim.index,
            "attempt": claim.record.attempt_name,
            "worker": claim.record.worker,
        }

    def send(self, *, last: bool = False) -> None:
        """Send the whole lines that are new; at the `last` time an unfinished one too."""
        while self._sinks and self._sent < self._limit_bytes:
            data = _read(self._path, self._sent)
            is_long = len(data) == PIECE_BYTES_MAX  # more may follow
            end = data.rfind(b"\n") + 1
            whole = data if (last and not is_long) or (is_long and not end) else data[:end]
            if not whole:
                return
            self._sent += len(whole)
            now = datetime.datetime.now(datetime.UTC).isoformat()
            for line in whole.decode("utf-8", "replace").removesuffix("\n").split("\n"):
                event = {**self._facts, "timestamp": now, "line": line.removesuffix("\r")}
                for sink in self._sinks:
                    sink.emit(event)


def capped(path: Path, limit_bytes: int) -> bytes:
    """Return the file's bytes, of a larger one the first and the last, with a line that says so."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= limit_bytes:
            return file.read()
        head = file.read(limit_bytes // 2)
        file.seek(size - limit_bytes // 2)
        tail = file.read()
    left_out = size - len(head) - len(tail)
    return head + f"\n[... {left_out} bytes of log left out (--log-limit of the worker) ...]\n".encode() + tail


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(PIECE_BYTES_MAX)
