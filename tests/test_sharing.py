"""Which job and which task comes next: pauses, priorities, equal shares, backups of stragglers."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from gomr.backends import Range
from gomr.errors import UsageError
from gomr.model import DONE, RUNNING
from gomr.scheduling import attempts, control
from gomr.scheduling.claims import Claim, Claims
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.submit import submit
from tests.protocol import done, new_record, new_worker, open_job, work


def test_a_paused_job_starts_nothing_and_keeps_what_is_done(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable, 20)
    claims = new_worker(cluster, "w1")
    running = claims.claim()
    assert running
    control.pause(cluster, job)
    control.pause(cluster, job)
    assert claims.claim() is None, "what it saw before the pause is of no use"
    assert attempts.commit(cluster, running, done(running)).counted, "what runs goes on to its end"
    assert cluster.head(job)[0].state == "paused"
    with pytest.raises(UsageError, match="is paused; cancel it first"):
        control.remove(cluster, job)
    control.resume(cluster, job)
    while cluster.head(job)[0].state == RUNNING:
        work(cluster, claims)
    assert cluster.head(job)[0].state == DONE
    with pytest.raises(UsageError, match="only a live one"):
        control.pause(cluster, job)


def test_a_paused_job_can_be_cancelled(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable)
    control.pause(cluster, job)
    assert control.cancel(cluster, job) == "cancelled"


def test_the_last_commit_of_a_paused_stage_closes_it_later(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable, 1)
    claims = new_worker(cluster, "w1")
    claim = claims.claim()
    assert claim
    control.pause(cluster, job)
    assert attempts.commit(cluster, claim, done(claim)).counted
    assert cluster.stage(job, "1-map")[0].state == "open"
    control.resume(cluster, job)
    while cluster.head(job)[0].state == RUNNING:
        work(cluster, claims)
    assert cluster.head(job)[0].state == DONE


def test_a_job_of_a_higher_priority_goes_first(cluster: Cluster, executable: Path) -> None:
    low = open_job(cluster, executable, 40)
    claims = new_worker(cluster, "w1")
    first = claims.claim()
    assert first
    assert first.at.job == low
    record = replace(new_record(executable, 3), priority=9)
    urgent = submit(cluster, executable, record).job
    claims.look_again()  # as the worker does when the queue changes
    assert [claim.at.job for _ in range(3) if (claim := claims.claim())] == [urgent] * 3


def test_jobs_of_one_priority_share_the_slots(cluster: Cluster, executable: Path) -> None:
    """The second one does not wait for the end of the first, however large that is."""
    jobs = [open_job(cluster, executable, tasks) for tasks in (1000, 100)]
    workers = [new_worker(cluster, f"w{number}") for number in range(4)]
    held = [claim.at.job for _ in range(20) for claims in workers if (claim := claims.claim())]
    assert len(held) == 80
    assert abs(held.count(jobs[0]) - held.count(jobs[1])) <= 32, "each is looked at anew after eight tasks"


@pytest.fixture
def straggler(cluster: Cluster, executable: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Claim, Claims]:
    """The last task of a stage, which takes too long, and a worker that has nothing else to do."""
    open_job(cluster, executable, 8)
    slow, idle = new_worker(cluster, "slow"), new_worker(cluster, "idle")
    held = slow.claim()
    assert held
    assert len(work(cluster, idle)) == 7
    monkeypatch.setattr("gomr.scheduling.stragglers.SECONDS_MIN", 0.0)
    return held, idle


def backup_of(cluster: Cluster, idle: Claims, held: Claim) -> Claim:
    backup = idle.claim()
    assert backup
    assert (backup.index, backup.record.backup, backup.record.attempt) == (held.index, True, held.record.attempt)
    assert idle.claim() is None, "one backup at a time"
    return backup


@pytest.mark.parametrize("first", ["backup", "task"])
def test_of_a_task_and_its_backup_the_first_counts(
    cluster: Cluster, straggler: tuple[Claim, Claims], first: str
) -> None:
    held, idle = straggler
    backup = backup_of(cluster, idle, held)
    winner, loser = (backup, held) if first == "backup" else (held, backup)
    assert attempts.commit(cluster, winner, done(winner)).counted
    late = attempts.commit(cluster, loser, done(loser))
    assert (late.counted, late.own_object_useless) == (False, True)
    left = [Range(f"j/{held.at.job}/{kind}/", f"j/{held.at.job}/{kind}0", count_only=True) for kind in "tb"]
    assert [found.count for found in cluster.read(*left)] == [0, 0]
    assert cluster.head(held.at.job)[0].stage == "1-reduce"


def test_a_backup_that_fails_costs_its_task_nothing(cluster: Cluster, straggler: tuple[Claim, Claims]) -> None:
    held, idle = straggler
    backup = backup_of(cluster, idle, held)
    assert not attempts.fail(cluster, backup, {"kind": "job", "message": "no"}, final=True)
    idle.release(backup)
    backup = backup_of(cluster, idle, held)
    attempts.postpone(cluster, backup, "no storage")
    assert attempts.commit(cluster, held, done(held)).counted


def test_a_task_that_fails_while_its_backup_runs_is_done_by_that(
    cluster: Cluster, straggler: tuple[Claim, Claims]
) -> None:
    held, idle = straggler
    backup = backup_of(cluster, idle, held)
    attempts.fail(cluster, held, {"kind": "job", "message": "no"})
    assert attempts.commit(cluster, backup, done(backup)).counted


def test_a_record_of_a_cancelled_job_is_nobodys_concern(cluster: Cluster, executable: Path) -> None:
    """The second failure on it comes after the cancel: there is nothing to skip it for."""
    submit(cluster, executable, replace(new_record(executable, 1), max_skipped=5))
    claims = new_worker(cluster, "w1")
    error = {"kind": "job", "message": "no", "record_number": 7, "source": "in.txt"}
    claim = claims.claim()
    assert claim
    attempts.fail(cluster, claim, error)
    claims.release(claim)
    deadline = time.monotonic() + 60
    while (again := claims.claim()) is None:
        assert time.monotonic() < deadline
    control.cancel(cluster, again.at.job)
    assert not attempts.fail(cluster, again, error)
    assert cluster.head(again.at.job)[0].state == "cancelled"


def test_a_job_may_refuse_backups(cluster: Cluster, executable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gomr.scheduling.stragglers.SECONDS_MIN", 0.0)
    submit(cluster, executable, replace(new_record(executable, 8), backups=False))
    slow, idle = new_worker(cluster, "slow"), new_worker(cluster, "idle")
    assert slow.claim()
    assert len(work(cluster, idle)) == 7
    assert idle.claim() is None
