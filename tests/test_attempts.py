"""How an attempt that did not succeed is told to the protocol: whose fault it was, and what its slot does next."""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gomr.backends import Answer, Range
from gomr.errors import Denied, DiskFull, OutOfSpace, StorageError, Unavailable, Unknown
from gomr.executables import ExecutableRefused
from gomr.model import DoneRecord, JobHead, TaskRecord, WorkerRecord
from gomr.scheduling import attempts
from gomr.scheduling.cluster import Cluster
from gomr.worker.attempt import AttemptRunner, Next
from gomr.worker.executor import Executor, Running
from gomr.worker.fetch import InputError
from gomr.worker.losses import Losses
from gomr.worker.machine import MachineUnfit, blaming_machine
from gomr.worker.outcome import TaskFailed
from gomr.worker.settings import WorkerSettings
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
        (MachineUnfit("no process can be started"), Next.REST, None, "running"),
        (MachineUnfit("scratch_dir: No space left on device", leaves=True), Next.LEAVE, None, "running"),
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


def test_a_worker_that_loses_a_jobs_tasks_in_a_row_leaves_the_job_to_others() -> None:
    losses = Losses()
    losses.add("a")
    assert losses.left() == []  # an accident
    losses.add("a")
    losses.add("b")
    assert losses.left() == ["a"]
    losses.forget("a")
    assert not losses.is_left("a")


@pytest.mark.parametrize(
    ("error", "is_unfit"),
    [
        (OSError(errno.EAGAIN, "fork"), True),
        (OSError(errno.ENOMEM, "fork"), True),
        (OSError(errno.EMFILE, "open"), True),
        (OSError(errno.ENFILE, "open"), True),
        (OSError(errno.ECHILD, "a supervisor did not start"), True),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("a bug of a plugin"), False),
        (OSError(errno.ENOSPC, "the task filled the disk, which has room again"), False),
        (OSError(errno.EACCES, "the task made its output unreadable"), False),
        (TaskFailed({"kind": "host", "message": "a job that says so"}), False),
        (TaskFailed({"kind": "job", "message": "[Errno 11] Resource temporarily unavailable"}), False),
        (StorageError("an object is damaged"), False),
    ],
    ids=str,
)
def test_a_fit_machine_is_blamed_for_what_its_worker_met_alone(
    tmp_path: Path, error: Exception, is_unfit: bool
) -> None:
    with pytest.raises(MachineUnfit if is_unfit else type(error)), blaming_machine(WorkerSettings(tmp_path, tmp_path)):
        raise error


def test_a_machine_that_is_measured_to_lack_something_is_blamed_for_what_a_task_says(tmp_path: Path) -> None:
    settings = WorkerSettings(tmp_path, tmp_path / "is not there")
    with pytest.raises(MachineUnfit, match="scratch_dir"), blaming_machine(settings):
        raise TaskFailed({"kind": "host", "message": "disk"})
    with pytest.raises(TaskFailed), blaming_machine(settings):
        raise TaskFailed({"kind": "job", "message": "disk"})


def test_max_losses_is_the_jobs(cluster: Cluster, executable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "RETRY_SECONDS_FIRST", 0.0)
    name = open_job(cluster, executable, 1, losses_max=2)
    claims = new_worker(cluster, "w1")
    for is_last in (False, True):
        claim = claims.claim()
        assert claim
        assert attempts.fail(cluster, claim, {"kind": "host", "message": "killed"}) == is_last
        claims.release(claim)
    assert cluster.head(name)[0].state == "failed"


def test_records_of_an_older_gomr_are_read_and_read_by_it() -> None:
    """A worker's record without `unfit`, a job's without `losses_max`; and fields that are not known are dropped."""
    worker = WorkerRecord("host", 1, 1, "1", 0.0, {}, unfit="rests")
    older = {name: value for name, value in json.loads(worker.to_json()).items() if name != "unfit"}
    assert WorkerRecord.from_json(json.dumps(older).encode()) == replace(worker, unfit="")
    assert WorkerRecord.from_json(json.dumps({**older, "of a newer": 1}).encode()).unfit == ""
    head = JobHead("n", "running", "1-map", ["1-map"], "d", "r", 0.0, {}, 4, losses_max=7)
    older = {name: value for name, value in json.loads(head.to_json()).items() if name != "losses_max"}
    assert JobHead.from_json(json.dumps(older).encode()).losses_max == 5
