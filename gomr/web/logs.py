"""Reads logs for the page: one task's from an offset on, and a job's all together, searched page by page."""

import re
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

from gomr.backends import ObjectInfo, Put
from gomr.client import Client
from gomr.errors import CoordinatorError, NotFound, NotFoundError, UsageError
from gomr.joblogs import FOLLOWER_SECONDS, PIECES
from gomr.scheduling import keys
from gomr.web.shared import SharedByKey

PIECE_BYTES_MAX = 256 * 1024  # of one answer: a browser shows some thousand lines
SEARCH_BYTES_MAX = 4 * 1024 * 1024  # that one search reads; it goes on where it was
SEARCH_OBJECTS_MAX = 64
LINES_MAX = 500  # of one answer
LINE_CHARACTERS_MAX = 2000
EVENTS_MAX = 500
LINE_DIGITS_MAX = 12
LIST_SECONDS = 2.0
FOLLOWED_MAX = 100  # jobs that are followed at a time

LEVELS = ("debug", "info", "warning", "error")
_LEVEL = re.compile(r"\b(DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL|FATAL|Traceback)\b|^\w+(?:Error|Exception)\b")
_TASK = re.compile(r"(\d+-(?:map|reduce))/(\d{1,9})", re.ASCII)
_LOG = re.compile(_TASK.pattern + r"/([0-9a-z-]{1,40})", re.ASCII)
_NAMES = {"WARN": "warning", "CRITICAL": "error", "FATAL": "error", "Traceback": "error"}


class Logs:
    """The logs of jobs. Safe for several threads."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lists = SharedByKey(self._list, LIST_SECONDS)
        self._followed: dict[str, tuple[int, float]] = {}  # by job: the lease that says so, and when it was kept
        self._lock = threading.Lock()

    def attempts(self, job: str, task: str) -> list[dict[str, Any]]:
        """Return the attempts of a task that have a log, with its size in bytes so far."""
        sizes: dict[str, int] = {}
        for info in self._objects(job, task):
            name = info.key.rpartition("/logs/")[2].split("/", 2)[2]
            attempt, is_piece, offset = name.partition(PIECES)
            sizes[attempt] = max(sizes.get(attempt, 0), info.size + (int(offset) if is_piece else 0))
        return [{"attempt": attempt, "size": size} for attempt, size in sizes.items()]

    def read(self, job: str, task: str, attempt: str, since: int, *, follow: bool) -> dict[str, Any]:
        """Return what one attempt's log holds from byte `since` on, up to a limit; `next` is where to go on.

        `is_whole` says that the attempt has ended, and no more will come.

        With `follow`, have its worker store what it writes while it runs. `since` -1 begins where the last
        PIECE_BYTES_MAX bytes begin.
        """
        if follow:
            self._follow(job)
        stage, index = _parsed(task)
        whole = keys.log(job, stage, index, attempt)
        found = [info for info in self._objects(job, task) if info.key == whole or info.key.startswith(whole + PIECES)]
        size = max((_start(info) + info.size for info in found), default=0)
        start = max(0, size - PIECE_BYTES_MAX) if since < 0 else since
        data = b""
        for info in sorted(found, key=_start):
            at = start + len(data)
            room = PIECE_BYTES_MAX - len(data)
            if room <= 0 or _start(info) + info.size <= at or _start(info) > at:
                continue
            try:
                data += self._client.cluster.storage.read(info.key, at - _start(info), room)
            except NotFound:  # a piece whose attempt has ended: the whole log comes next time
                break
        if start + len(data) < size:  # more follows: the last character may be cut
            data = _whole_characters(data)
        end = start + len(data)
        is_whole = any(info.key == whole for info in found)
        text = data.decode("utf-8", "replace")
        return {"text": text, "start": start, "next": end, "size": size, "is_whole": is_whole}

    def download(self, job: str, task: str, attempt: str) -> Iterator[bytes]:
        """Yield the whole log of one attempt. Raises NotFoundError."""
        stage, index = _parsed(task)
        try:
            first = next(pieces := self._client.cluster.storage.chunks(keys.log(job, stage, index, attempt)), b"")
        except NotFound:
            raise NotFoundError(f"{task} of {job} has no whole log of attempt {attempt}: it may still run") from None
        yield first
        yield from pieces

    def search(self, job: str, text: str, level: str, task: str, cursor: str) -> dict[str, Any]:
        """Return lines of a job's logs, in the order of tasks, that hold `text` and are of `level` or worse.

        `cursor` is what the answer before named: where to go on. It ends with "" where all was searched.
        """
        self._client.cluster.head(job)
        after, skip = _place_to_go_on(job, cursor)
        lines: list[dict[str, Any]] = []
        read = objects = 0
        found = [info for info in self._objects(job, task) if PIECES not in info.key]
        for info in sorted(found, key=_place):
            if after and _place(info) < after:
                continue
            if objects >= SEARCH_OBJECTS_MAX or read >= SEARCH_BYTES_MAX:
                return {"lines": lines, "next": _cursor(info, 0), "searched": objects, "objects": len(found)}
            objects += 1
            try:
                data = self._client.cluster.storage.read(info.key)
            except NotFound:
                continue
            read += len(data)
            for number, line in enumerate(_lines(data)):
                if _place(info) == after and number < skip:
                    continue
                if _matches(line, text, level):
                    lines.append({**_named(info.key), "line": number + 1, "text": line[:LINE_CHARACTERS_MAX]})
                    if len(lines) >= LINES_MAX:
                        cursor = _cursor(info, number + 1)
                        return {"lines": lines, "next": cursor, "searched": objects, "objects": len(found)}
        return {"lines": lines, "next": "", "searched": objects, "objects": len(found)}

    def events(self, job: str, task: str, sink: str, since_seconds: float) -> dict[str, Any]:
        """Return the last events of a job that a log sink holds. Raises ConfigurationError where it cannot read."""
        events = [*self._client.sink_events(job, task, sink, since_seconds)]
        return {"events": [dict(event) for event in events[-EVENTS_MAX:]], "total": len(events)}

    def _objects(self, job: str, task: str) -> list[ObjectInfo]:
        return self._lists.get(job, task)

    def _list(self, job: str, task: str) -> list[ObjectInfo]:
        stage, index = _parsed(task) if task else ("", None)
        return [*self._client.cluster.storage.list(keys.logs(job, stage, index))]

    def _follow(self, job: str) -> None:
        """Say that somebody follows the job: by one lease, however many do."""
        coordinator = self._client.cluster.coordinator
        now = time.monotonic()
        with self._lock:
            lease, kept = self._followed.get(job, (0, 0.0))
            if now - kept < FOLLOWER_SECONDS / 3:
                return
            self._followed = {
                name: value for name, value in self._followed.items() if now - value[1] < FOLLOWER_SECONDS
            }
            if len(self._followed) >= FOLLOWED_MAX:
                return
            self._followed[job] = (lease, now)  # by whoever comes first: the others need not wait for it
        try:
            if not lease or coordinator.keep_lease(lease) <= 0:
                lease = coordinator.grant_lease(FOLLOWER_SECONDS)
                coordinator.transact((), [Put(f"{keys.followers(job)}{secrets.token_hex(8)}", b"", lease)])
        except CoordinatorError:
            return  # what is stored is shown all the same
        with self._lock:
            self._followed[job] = (lease, now)


def level_of(line: str) -> str:
    """Return the level that a line of a log names; "" for none."""
    found = _LEVEL.search(line)
    if not found:
        return ""
    return _NAMES.get(found[0], found[0].lower() if found[1] else "error")


def _matches(line: str, text: str, level: str) -> bool:
    if text and text.lower() not in line.lower():
        return False
    if not level:
        return True
    found = level_of(line)
    return found in LEVELS and LEVELS.index(found) >= LEVELS.index(level)


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").removesuffix("\n").split("\n") if data else []


def _whole_characters(data: bytes) -> bytes:
    """Return UTF-8 without a character that is cut at its end; other bytes stay as they are."""
    for length in range(1, min(4, len(data)) + 1):
        first = data[-length]
        if first >= 0xC0:  # begins a character of two to four bytes
            needed = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            return data[:-length] if needed > length else data
        if first < 0x80:
            return data
    return data


def _parsed(task: str) -> tuple[str, int]:
    found = _TASK.fullmatch(task)
    if not found:  # it becomes part of a key
        raise NotFoundError(f"{task[:80]!r} is not a task, such as 1-map/3")
    return found[1], int(found[2])


def _start(info: ObjectInfo) -> int:
    _, is_piece, offset = info.key.partition(PIECES)
    return int(offset) if is_piece else 0


def _place(info: ObjectInfo) -> tuple[str, int, str]:
    return _place_of(info.key)


def _place_of(key: str) -> tuple[str, int, str]:
    stage, index, attempt = key.rpartition("/logs/")[2].split("/", 2)
    return stage, int(index), attempt


def _cursor(info: ObjectInfo, line: int) -> str:
    return f"{info.key.rpartition('/logs/')[2]}@{line}"


def _place_to_go_on(job: str, cursor: str) -> tuple[tuple[str, int, str] | None, int]:
    """Return the log and the line at which a search goes on. Raises UsageError."""
    if not cursor:
        return None, 0
    name, _, line = cursor.rpartition("@")
    found = _LOG.fullmatch(name)
    if not found or not line.isascii() or not line.isdigit() or len(line) > LINE_DIGITS_MAX:
        raise UsageError(f"cursor={cursor[:80]}: it is what an answer of {job} named as next")
    return (found[1], int(found[2]), found[3]), int(line)


def _named(key: str) -> dict[str, Any]:
    stage, index, attempt = _place_of(key)
    return {"task": f"{stage}/{index}", "attempt": attempt}
