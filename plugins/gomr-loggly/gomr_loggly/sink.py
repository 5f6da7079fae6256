"""Sends events in batches from a thread of its own, and never lets a task wait for that."""

import json
import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import structlog

from gomr.backends import FAILURE, OK, Finding, LogSink
from gomr_loggly.http import request
from gomr_loggly.reader import Account

EVENT_BYTES_MAX = 1024 * 1024  # Loggly's limit of one event
BATCH_BYTES_MAX = 5 * 1024 * 1024  # Loggly's limit of one request
BATCH_EVENTS_MAX = 1000
BATCH_SECONDS = 2.0  # an event waits at most so long for others
RETRY_SECONDS_FIRST, RETRY_SECONDS_MAX = 0.5, 30.0  # doubled, full jitter
CUT = " [... cut: longer than Loggly's 1 MB an event]"

_log = structlog.get_logger("gomr")


class LogglySink(LogSink):
    """A bounded queue before Loggly's bulk endpoint; where it is full the oldest events go, and that is said."""

    takes_output = True

    def __init__(
        self,
        endpoint: str,
        token: str,
        tag: str,
        *,
        held_events_max: int,
        held_bytes_max: int,
        tries_max: int,
        account: Account,
    ) -> None:
        self._url = f"{endpoint}/bulk/{token}/tag/{tag}/"
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._sending = 0  # events of the batch that is on its way
        self._held_events_max = held_events_max
        self._held_bytes_max = held_bytes_max
        self._tries_max = tries_max
        self._account = account
        self._changed = threading.Condition()
        self._dropped = 0
        self._useless = "" if token else "LOGGLY_TOKEN is not set"
        self._said = False
        self._closing = threading.Event()
        self._idle = True
        self._thread = threading.Thread(target=self._run, name="loggly", daemon=True)
        self._thread.start()

    @property
    def can_read(self) -> bool:  # type: ignore[override]
        """Whether the account and a login are known."""
        return self._account.is_known

    def emit(self, event: Mapping[str, Any]) -> None:
        """Queue one event."""
        if self._useless:
            self._say(self._useless)
            return
        line = _line(event)
        with self._changed:
            self._held.append(line)
            self._held_bytes += len(line)
            while len(self._held) > self._held_events_max or self._held_bytes > self._held_bytes_max:
                self._held_bytes -= len(self._held.popleft())
                self._dropped += 1
            self._changed.notify()

    def read(self, match: Mapping[str, str], since_seconds: float) -> Iterator[Mapping[str, Any]]:
        """Yield what Loggly holds; an event is there a few minutes after it was sent."""
        return self._account.events(match, since_seconds)

    def diagnose(self) -> Iterator[Finding]:
        """Say which settings are there; whether Loggly takes them shows when something is sent."""
        if self._useless:
            yield Finding("loggly", FAILURE, f"{self._useless}: nothing is sent")
        else:
            reading = "can be read" if self.can_read else "cannot be read: LOGGLY_ACCOUNT or a login is not set"
            yield Finding("loggly", OK, f"events are sent, and {reading}")

    def close(self, timeout_seconds: float) -> None:
        """Send what is held, for at most `timeout_seconds`; say how many events are lost at the end of it."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(timeout_seconds)
        with self._changed:
            lost = len(self._held) + self._sending
            self._held.clear()
            self._sending = self._held_bytes = 0
        if lost:
            _log.warning("loggly.lost", count=lost, error=f"not sent within the {timeout_seconds:g} s of the end")

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            if not batch:
                return
            try:
                self._send(batch)
            except Exception as error:  # the thread must live on; the text of the error may hold the token
                _log.error("loggly.failed", error=type(error).__name__)
            self._sending = 0

    def _next_batch(self) -> bytes:
        """Wait for events, a little longer for more of them, and return a request's worth; nothing at the end."""
        with self._changed:
            while not self._held and not self._closing.is_set():
                self._changed.wait()
            deadline = time.monotonic() + BATCH_SECONDS
            while len(self._held) < BATCH_EVENTS_MAX and not self._closing.is_set():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            if self._dropped:
                message = _line({"event": "loggly.dropped", "level": "warning", "count": self._dropped})
                self._held.appendleft(message)
                self._held_bytes += len(message)
                self._dropped = 0
            lines: list[bytes] = []
            size = 0
            while self._held and len(lines) < BATCH_EVENTS_MAX and size + len(self._held[0]) + 1 <= BATCH_BYTES_MAX:
                lines.append(self._held.popleft())
                size += len(lines[-1]) + 1
                self._held_bytes -= len(lines[-1])
            self._sending = len(lines)
        return b"\n".join(lines)

    def _send(self, batch: bytes) -> None:
        """Send a batch, again after what may pass; a refusal for good ends the sending."""
        problem = ""
        for tries in range(self._tries_max):
            if tries:
                seconds = random.random() * min(RETRY_SECONDS_MAX, RETRY_SECONDS_FIRST * 2**tries)  # noqa: S311 - jitter
                self._closing.wait(seconds) if not self._closing.is_set() else time.sleep(min(seconds, 1.0))
            status, answer = request(self._url, {"Content-Type": "text/plain; charset=utf-8"}, batch)
            if status == 200:
                return
            problem = f"status {status}" if status else answer.decode("utf-8", "replace")
            if status in (401, 403, 404):
                self._useless = f"Loggly refuses LOGGLY_TOKEN ({status}): nothing more is sent to it"
                self._say(self._useless)
                return
            if 400 <= status < 500 and status not in (408, 429):
                break
        lost = batch.count(b"\n") + 1
        _log.warning("loggly.lost", count=lost, error=f"Loggly took no events: {problem}")

    def _say(self, problem: str) -> None:
        """Say once that nothing is sent: to the other sinks."""
        with self._changed:
            said, self._said = self._said, True
            self._held.clear()
            self._held_bytes = 0
        if not said:
            _log.error("loggly.refused", error=problem)


def _line(event: Mapping[str, Any]) -> bytes:
    """Return an event as one line; JSON escapes the newlines within it. The longest text of a too long one is cut."""
    data = json.dumps(event, default=str, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    if len(data) <= EVENT_BYTES_MAX:
        return data
    texts = {name: value for name, value in event.items() if isinstance(value, str)}
    longest = max(texts, key=lambda name: len(texts[name]), default="")
    kept = {name: value for name, value in event.items() if len(str(value)) < 10_000}
    kept[longest or "cut"] = texts.get(longest, "")[: EVENT_BYTES_MAX // 8] + CUT
    return json.dumps(kept, default=str, separators=(",", ":")).encode()
