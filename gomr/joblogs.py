"""Reads the logs of a job's attempts, and follows them while they are written."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gomr.backends import Put
from gomr.errors import NotFound, UnavailableError, UsageError
from gomr.model import LIVE
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster

POLL_SECONDS = 0.5
FOLLOWER_SECONDS = 10.0  # the lease of a follower: its workers stop storing pieces so long after it is gone
PIECES = ".live/"


@dataclass(frozen=True, slots=True)
class LogText:
    """A piece of one attempt's log."""

    task: str
    attempt: str
    data: bytes


def read_logs(cluster: Cluster, job: str, task: str = "") -> Iterator[LogText]:
    """Yield the log of every attempt that has one, or of one task's (such as "1-map/3"). Raises NotFoundError."""
    cluster.head(job)
    yield from _new(cluster, job, task, {})


def follow_logs(cluster: Cluster, job: str, task: str = "") -> Iterator[LogText]:
    """Yield what the job's attempts write, as it comes, until the job ends."""
    read: dict[tuple[str, str], int] = {}
    with _following(cluster, job) as keep:
        while True:
            head, _ = cluster.head(job)
            yield from _new(cluster, job, task, read)
            if head.state not in LIVE:
                return
            keep()
            time.sleep(POLL_SECONDS)


def _new(cluster: Cluster, job: str, task: str, read: dict[tuple[str, str], int]) -> Iterator[LogText]:
    """Yield what is new since `read`, which tells the bytes already seen of each attempt."""
    stage, index = parse_task(task)
    prefix = keys.logs(job, stage, index)
    for info in list(cluster.storage.list(prefix)):
        stage_name, number, name = info.key.removeprefix(keys.logs(job)).split("/", 2)
        attempt, is_piece, offset = name.partition(PIECES)
        mark = (f"{stage_name}/{number}", attempt)
        seen, start = read.get(mark, 0), int(offset) if is_piece else 0
        if start + info.size <= seen:
            continue
        try:
            data = cluster.storage.read(info.key, max(0, seen - start))
        except NotFound:  # a piece whose attempt has ended: the whole log comes next time
            continue
        read[mark] = start + info.size
        yield LogText(*mark, data)


def parse_task(task: str) -> tuple[str, int | None]:
    """Return stage and number of a task such as "1-map/3"; "" and None for no task. Raises UsageError."""
    if not task:
        return "", None
    stage, _, index = task.partition("/")
    if not index.isdigit():
        raise UsageError(f"{task!r} is not a task; `gomr tasks JOB` shows them, such as 1-map/3")
    return stage, int(index)


@contextmanager
def _following(cluster: Cluster, job: str) -> Iterator[Callable[[], None]]:
    """Say that somebody follows the job; yields a function that keeps saying so."""
    key = f"{keys.followers(job)}{secrets.token_hex(8)}"
    with cluster.lease(FOLLOWER_SECONDS) as lease:
        cluster.transact((), [Put(key, b"", lease)])

        def keep() -> None:
            if cluster.retried(lambda: cluster.coordinator.keep_lease(lease)) <= 0:
                raise UnavailableError("cut off from the coordinator for too long; follow again")

        yield keep
