"""A worker that is told to leave hands its tasks on in time: nobody waits for its lease, and nothing counts."""

import signal
import threading
from pathlib import Path

import pytest

from gomr.backends import Range
from gomr.client import Client
from gomr.model import DoneRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.worker import worker as worker_module
from gomr.worker.executor import Executor, Running
from gomr.worker.outcome import TaskFailed
from gomr.worker.settings import WorkerSettings
from gomr.worker.worker import STOP_SECONDS_MAX, Worker
from tests.conftest import JOBS, LEASE_SECONDS, Gomr
from tests.protocol import open_job
from tests.test_faults import pids_in, until

KUBERNETES_SECONDS = 30.0  # terminationGracePeriodSeconds, where a pod does not say another


def test_a_worker_leaves_before_kubernetes_kills_it() -> None:
    assert WorkerSettings(Path("c"), Path("s")).drain_seconds + STOP_SECONDS_MAX < KUBERNETES_SECONDS


def test_the_next_worker_has_a_task_that_was_given_back_at_once(gomr: Gomr, client: Client, tmp_path: Path) -> None:
    """Its lease would last an hour."""
    pids = tmp_path / "pids"
    pids.mkdir()
    (tmp_path / "in.txt").write_text("a\n")
    gomr("submit", JOBS / "sleeps.py", "in.txt", "--param", f"folder={pids}", "--param", "seconds=3600")
    leaving = gomr.start("worker", "--slots", "1", "--lease-seconds", "3600", "--drain-seconds", "0.5")
    until(lambda: pids_in(pids))
    gomr.worker("--slots", "1")
    until(lambda: len(client.workers()) == 2)
    leaving.send_signal(signal.SIGTERM)
    until(lambda: len(pids_in(pids)) == 2)
    ((job, _),) = client.jobs()
    (task,) = client.tasks(job)
    assert (task.state, task.attempt) == ("run", 1)
    assert leaving.wait(60) == 0


class Stuck(Executor):
    """It is in a transfer that does not heed that it is to stop."""

    def __init__(self) -> None:
        self.begun, self.over = threading.Event(), threading.Event()

    def execute(self, running: Running) -> DoneRecord:
        self.begun.set()
        self.over.wait()
        raise TaskFailed({"kind": "job", "message": "too late"})

    def refuses(self, digest: str) -> bool:
        return False

    def refuse(self, digest: str, reason: str) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_transfer_that_does_not_stop_is_not_waited_for(
    cluster: Cluster, executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "STOP_SECONDS_MAX", 0.2)
    monkeypatch.setattr(worker_module, "matches", lambda _requires, _offers: True)
    job = open_job(cluster, executable, 1)
    executor = Stuck()
    settings = WorkerSettings(tmp_path, tmp_path, slots=1, ahead=0, lease_seconds=LEASE_SECONDS)
    worker = Worker(cluster, settings, lambda _worker, _hear: executor)
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert executor.begun.wait(60)
    worker.stop()
    thread.join(60)
    assert not thread.is_alive()
    prefix = keys.tasks(job, "1-map")
    assert not cluster.read(Range(prefix, keys.end_of(prefix)))[0].items
    executor.over.set()  # its fence is gone: it says nothing
    until(lambda: not any(found.name == "slot-0" for found in threading.enumerate()))
    assert cluster.head(job)[0].state == "running"
