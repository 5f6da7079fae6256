"""How an attempt that did not succeed is told to the protocol: whose fault it was, and what its slot does next."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gomr.backends import Answer, Range
from gomr.errors import Denied, DiskFull, OutOfSpace, StorageError, Unavailable, Unknown
from gomr.executables import ExecutableRefused
from gomr.model import DoneRecord, TaskRecord
from gomr.scheduling import attempts
from gomr.scheduling.cluster import Cluster
from gomr.worker.attempt import AttemptRunner, Next
from gomr.worker.executor import Executor, Running
from gomr.worker.fetch import InputError
from gomr.worker.outcome import TaskFailed
from tests.protocol import done, new_worker, open_job


class Failing(Executor):
    """It fails as it is told."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.refused: dict[str, str] = {}

    def execute(self, running: Running) -> DoneRecord:
        raise self._error

    def refuses(self, digest: str) -> bool:
        return digest in self.refused

    def refuse(self, digest: str, reason: str) -> None:
        self.refused[digest] = reason

    def close(self) -> None:
        pass


def no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("error", "after", "counts", "job"),
    [
        (TaskFailed({"kind": "job", "message": "no"}), Next.GO_ON, (1, 0), "running"),
        (TaskFailed({"kind": "host", "message": "no"}), Next.GO_ON, (0, 1), "running"),
        (StorageError("an object is damaged"), Next.GO_ON, (0, 1), "running"),
        (Unavailable("503"), Next.GO_ON, (0, 0), "running"),
        (Denied("credentials have expired"), Next.REST, None, "running"),
        (ExecutableRefused("no such interpreter"), Next.GO_ON, None, "running"),
        (DiskFull("full"), Next.LEAVE, (0, 1), "running"),
        (no_space(), Next.LEAVE, (0, 1), "running"),
        (Unknown("etcd is away"), Next.GO_ON, (0, 0), "running"),
        (RuntimeError("a bug of a plugin"), Next.GO_ON, (0, 1), "running"),
        (InputError("the input changed"), Next.GO_ON, (1, 0), "failed"),
    ],
    ids=lambda value: f"{type(value).__name__}-{value}" if isinstance(value, Exception) else None,
)
def test_who_is_to_blame(
    cluster: Cluster,
    executable: Path,
    error: Exception,
    after: Next,
    counts: tuple[int, int] | None,
    job: str,
) -> None:
    """`counts` are failures and losses, None where the task is given back as if nobody had tried it."""
    name = open_job(cluster, executable, 1)
    claim = new_worker(cluster, "w1").claim()
    assert claim
    assert AttemptRunner(cluster, Failing(error), lambda _claim: None).run(Running(claim)) is after
    items = cluster.read(Range(claim.key))[0].items
    found: Callable[[], TaskRecord] = lambda: TaskRecord.from_json(items[0].value)  # noqa: E731
    assert (None if not items else (found().failures, found().losses)) == counts
    assert cluster.head(name)[0].state == job


def test_a_full_coordinator_gets_the_finished_result_when_there_is_room(
    cluster: Cluster, executable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_job(cluster, executable, 1)
    claims = new_worker(cluster, "w1")
    claim = claims.claim()
    assert claim
    real, refusals = cluster.coordinator.transact, iter([OutOfSpace("full")] * 3)

    def full_at_first(*arguments: Any, **options: Any) -> Answer:
        if error := next(refusals, None):
            raise error
        return real(*arguments, **options)

    monkeypatch.setattr(cluster.coordinator, "transact", full_at_first)
    assert attempts.commit(cluster, claim, done(claim)).counted
    assert next(refusals, None) is None
