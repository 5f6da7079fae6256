"""Losses in a row: a worker that loses task after task of a job leaves it to others for a while.

Without this, one odd machine that loses tasks within a second would take the same again and again, until the job fails.
"""

import threading
import time

ALLOWED_IN_ROW = 1  # a single loss is an accident
REST_SECONDS_FIRST, REST_SECONDS_MAX = 30.0, 60.0  # doubled with each further loss


class Losses:
    """The losses of one worker, job by job. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_row: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def add(self, job: str) -> None:
        """Note that a task of the job was lost here."""
        with self._lock:
            count = self._in_row[job] = self._in_row.get(job, 0) + 1
            if count > ALLOWED_IN_ROW:
                seconds = min(REST_SECONDS_MAX, REST_SECONDS_FIRST * 2.0 ** (count - ALLOWED_IN_ROW - 1))
                self._until[job] = time.monotonic() + seconds

    def forget(self, job: str) -> None:
        """Note that a task of the job was done here."""
        with self._lock:
            self._in_row.pop(job, None)
            self._until.pop(job, None)

    def is_left(self, job: str) -> bool:
        """Say whether the job is left to others now."""
        return time.monotonic() < self._until.get(job, 0.0)

    def left(self) -> list[str]:
        """Return the jobs that are left to others now."""
        now = time.monotonic()
        with self._lock:
            return sorted(job for job, until in self._until.items() if now < until)
