"""The protocol on its own: claims, fences, folds and take-over, on real back ends and without executables."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gomr.backends import Answer, Compare, Coordinator, Operation, Put, Range
from gomr.builtin.file import FileStorage
from gomr.builtin.sqlite import SqliteCoordinator
from gomr.errors import ConfigurationError, NotFoundError, Unknown, UsageError
from gomr.model import DONE, FAILED, LOSSES_MAX, REDUCE_STAGE, RUNNING, JobHead
from gomr.scheduling import attempts, control, gc, keys, status
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import finished_tasks
from gomr.scheduling.submit import submit
from tests.protocol import done, new_record, new_worker, open_job, work


class LosesAnswers(Coordinator):
    """A coordinator whose every n-th changing transaction is applied, and its answer lost."""

    def __init__(self, real: Coordinator, every: int) -> None:
        self._real = real
        self._every = every
        self._count = 0
        self.lost = 0

    def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        orelse: Sequence[Operation] = (),
        *,
        timeout_seconds: float = 10.0,
        durable: bool = False,
    ) -> Answer:
        answer = self._real.transact(compares, then, orelse, timeout_seconds=timeout_seconds, durable=durable)
        if compares:
            self._count += 1
            if self._count % self._every == 0:
                self.lost += 1
                raise Unknown("the answer was lost")
        return answer

    def grant_lease(self, seconds: float, *, timeout_seconds: float = 10.0) -> int:
        return self._real.grant_lease(seconds, timeout_seconds=timeout_seconds)

    def keep_lease(self, lease: int, *, timeout_seconds: float = 10.0) -> float:
        return self._real.keep_lease(lease, timeout_seconds=timeout_seconds)

    def revoke_lease(self, lease: int, *, timeout_seconds: float = 10.0) -> None:
        self._real.revoke_lease(lease, timeout_seconds=timeout_seconds)

    def wait(self, key: str, end: str, after_revision: int, timeout_seconds: float) -> None:
        self._real.wait(key, end, after_revision, timeout_seconds)


def expected_names(tasks: int) -> list[str]:
    return sorted([f"1-map/{index}" for index in range(tasks)] + [f"1-reduce/{index}" for index in range(3)])


@pytest.mark.parametrize("tasks", [0, 1, 8, 9, 300, 1000])
def test_one_worker_does_every_task_once_and_the_job_is_done(cluster: Cluster, executable: Path, tasks: int) -> None:
    job = open_job(cluster, executable, tasks)
    claims = new_worker(cluster, "w1")
    counted: list[str] = []
    while cluster.head(job)[0].state == RUNNING:
        counted += work(cluster, claims)
    assert sorted(counted) == expected_names(tasks)
    head, _ = cluster.head(job)
    assert head.state == DONE
    record, _ = cluster.stage(job, "1-map")
    facts = finished_tasks(cluster, job, "1-map", record.manifest_digest)
    assert [task.index for task in facts] == list(range(tasks))
    left = cluster.read(Range(keys.job(job) + "d/", keys.end_of(keys.job(job) + "d/"), count_only=True))[0].count
    assert left == 0
    assert status.counters(cluster, job, head)["seen"] == tasks + 3


@pytest.mark.parametrize("every", [2, 3, 5])
def test_lost_answers_lose_and_double_nothing(cluster: Cluster, executable: Path, every: int) -> None:
    lossy = LosesAnswers(cluster.coordinator, every)
    flaky = Cluster(cluster.storage, lossy)
    job = open_job(flaky, executable, 60)
    claims = new_worker(flaky, "w1")
    counted: list[str] = []
    while cluster.head(job)[0].state == RUNNING:
        counted += work(flaky, claims)
    assert lossy.lost > 20
    assert sorted(counted) == expected_names(60)


def test_many_workers_do_every_task_exactly_once(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable, 200)
    counted: list[str] = []

    def be_worker(name: str) -> None:
        claims = new_worker(cluster, name)
        while cluster.head(job)[0].state == RUNNING:
            counted.extend(work(cluster, claims))

    threads = [threading.Thread(target=be_worker, args=(f"w{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counted) == expected_names(200)


def test_a_superseded_attempt_cannot_commit(cluster: Cluster, executable: Path) -> None:
    open_job(cluster, executable, 1)
    slow = new_worker(cluster, "slow", 0.2)
    claim = slow.claim()
    assert claim
    heir = new_worker(cluster, "heir")
    heir.lookout._scan._lease_seconds = 0.2
    taken = None
    deadline = time.monotonic() + 60
    while taken is None:
        assert time.monotonic() < deadline
        taken = heir.claim()
    assert (taken.index, taken.record.attempt, taken.record.losses) == (claim.index, 2, 1)
    late = attempts.commit(cluster, claim, done(claim))
    assert not late.counted
    assert not late.own_object_useless  # the other may yet fail: gc decides
    assert attempts.commit(cluster, taken, done(taken)).counted
    again = attempts.commit(cluster, claim, done(claim))
    assert (again.counted, again.own_object_useless) == (False, True) or not again.counted
    assert attempts.commit(cluster, taken, done(taken)).counted  # it recognises itself


def test_a_commit_claims_the_next_task_along(cluster: Cluster, executable: Path) -> None:
    open_job(cluster, executable, 3)
    claims = new_worker(cluster, "w1")
    claim = claims.claim()
    assert claim
    bid = claims.next_bid(claim)
    assert bid
    assert attempts.commit(cluster, claim, done(claim), bid).counted
    answer_lost = replace(bid, revision=0)
    assert attempts.commit(cluster, claim, done(claim), answer_lost).counted, "it recognises itself"
    assert answer_lost.revision == bid.revision > 0
    claims.settle(bid)
    following = claims.claim()
    assert following
    assert (following.key, following.revision) == (bid.claim.key, bid.revision)
    assert attempts.commit(cluster, following, done(following)).counted


@pytest.mark.parametrize("others", [0, 1])
def test_a_lone_worker_alone_has_the_last_tasks_in_hand(cluster: Cluster, executable: Path, others: int) -> None:
    open_job(cluster, executable, 3)
    for number in range(others):
        new_worker(cluster, f"other{number}")
    claims = new_worker(cluster, "w1")
    assert claims.claim()
    ahead = [claims.claim_ahead(spare=2, seconds=0.0) for _ in range(3)]
    assert [claim is not None for claim in ahead] == [not others, not others, False]


def test_nobody_waits_for_tasks_to_have_in_hand_at_the_end(cluster: Cluster) -> None:
    claims = new_worker(cluster, "w1")
    claims.end()
    for _ in range(2):
        assert claims.claim_ahead(spare=0, seconds=600.0) is None, "at once"


def test_a_commit_whose_next_task_is_taken_stands_alone(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable, 4)
    claims = new_worker(cluster, "w1")
    claim = claims.claim()
    assert claim
    bid = claims.next_bid(claim)
    assert bid
    rival = new_worker(cluster, "w2")
    taken = [other for _ in range(3) if (other := rival.claim())]
    assert bid.claim.key in {other.key for other in taken}
    assert attempts.commit(cluster, claim, done(claim), bid).counted
    claims.settle(bid)
    assert claims.claim() is None
    for other in taken:
        assert attempts.commit(cluster, other, done(other)).counted
    assert cluster.head(job)[0].stage == REDUCE_STAGE


def test_losing_the_lease_alone_throws_no_work_away(cluster: Cluster, executable: Path) -> None:
    open_job(cluster, executable, 1)
    claims = new_worker(cluster, "w1", 0.1)
    claim = claims.claim()
    assert claim
    deadline = time.monotonic() + 60
    while cluster.read(Range(keys.worker("w1")))[0].count:
        assert time.monotonic() < deadline
    assert attempts.commit(cluster, claim, done(claim)).counted


def test_a_task_of_a_live_worker_is_not_taken(cluster: Cluster, executable: Path) -> None:
    open_job(cluster, executable, 1)
    assert new_worker(cluster, "w1").claim()
    assert new_worker(cluster, "w2").claim() is None


def test_failures_wait_then_the_job_fails_with_the_error(cluster: Cluster, executable: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(attempts, "RETRY_SECONDS_FIRST", 0.01)
    job = open_job(cluster, executable, 1, attempts_max=3)
    claims = new_worker(cluster, "w1")
    error = {"kind": "job", "message": "broken"}
    for attempt in (1, 2, 3):
        claim = None
        while claim is None:
            claim = claims.claim()
        assert claim.record.attempt == attempt
        assert attempts.fail(cluster, claim, error) == (attempt == 3)
        claims.release(claim)
    head, _ = cluster.head(job)
    assert head.state == FAILED
    assert head.error["message"] == "broken"
    assert claims.claim() is None
    control.rerun(cluster, job)
    assert sorted(work(cluster, claims)) == expected_names(1)
    assert cluster.head(job)[0].state == DONE


def test_losses_of_machines_do_not_count_as_failures_but_have_a_limit(
    cluster: Cluster, executable: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(attempts, "RETRY_SECONDS_FIRST", 0.0)
    job = open_job(cluster, executable, 1, attempts_max=1)
    claims = new_worker(cluster, "w1")
    for loss in range(LOSSES_MAX):
        claim = claims.claim()
        assert claim
        assert attempts.fail(cluster, claim, {"kind": "host", "message": "disk"}) == (loss == LOSSES_MAX - 1)
        claims.release(claim)
    assert cluster.head(job)[0].state == FAILED


def test_a_task_given_back_is_free_at_once_and_fresh(cluster: Cluster, executable: Path) -> None:
    open_job(cluster, executable, 1)
    claims = new_worker(cluster, "w1")
    claim = claims.claim()
    assert claim
    attempts.give_back(cluster, claim)
    other = new_worker(cluster, "w2").claim()
    assert other
    assert (other.record.attempt, other.record.losses) == (1, 0)


def test_a_cancelled_job_takes_no_commit_and_goes_on_after_rerun(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable, 9)
    claims = new_worker(cluster, "w1")
    first, second = claims.claim(), claims.claim()
    assert first
    assert second
    assert attempts.commit(cluster, first, done(first)).counted
    assert control.cancel(cluster, job) == "cancelled"
    assert control.cancel(cluster, job) == "cancelled"
    assert not attempts.commit(cluster, second, done(second)).counted
    control.rerun(cluster, job)
    with pytest.raises(UsageError, match="running"):
        control.rerun(cluster, job)
    counted: list[str] = []
    while cluster.head(job)[0].state == RUNNING:
        counted += work(cluster, claims)
    assert sorted([first.name, *counted]) == expected_names(9)


def test_a_worker_that_died_between_commit_and_fold_is_helped(
    cluster: Cluster, executable: Path, monkeypatch: Any
) -> None:
    job = open_job(cluster, executable, 8)
    claims = new_worker(cluster, "w1")
    with monkeypatch.context() as patch:
        patch.setattr(attempts, "fold", lambda *_arguments: None)
        work(cluster, claims)
    counted: list[str] = []
    helper = new_worker(cluster, "w2")
    while cluster.head(job)[0].state == RUNNING:
        counted += work(cluster, helper)
    assert len(counted) == 3


def test_a_mismatched_pair_of_storage_and_coordinator_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    other = Cluster(FileStorage(tmp_path / "other"), SqliteCoordinator(tmp_path / "other.db"))
    other.identify()
    with pytest.raises(ConfigurationError, match="different clusters"):
        Cluster(cluster.storage, other.coordinator).identify()
    empty = SqliteCoordinator(tmp_path / "empty.db")
    with pytest.raises(ConfigurationError, match="this coordinator is empty"):
        Cluster(cluster.storage, empty).identify()
    other.close()
    empty.close()


def test_a_bucket_keeps_its_id_though_the_coordinator_is_emptied_while_a_process_begins(tmp_path: Path) -> None:
    """The process looks before anybody has written an id, and goes on when another's is in the bucket alone."""
    storage, empty = FileStorage(tmp_path / "bucket"), SqliteCoordinator(tmp_path / "empty.db")
    first = Cluster(storage, SqliteCoordinator(tmp_path / "lost.db"))

    class Early(FileStorage):
        def read(self, *arguments: Any, **options: Any) -> bytes:
            try:
                return super().read(*arguments, **options)
            finally:
                first.identify()

    with pytest.raises(ConfigurationError):
        Cluster(Early(tmp_path / "bucket"), empty).identify()
    assert Cluster(storage, first.coordinator).identify() == first.identify()
    first.close()
    empty.close()


def test_any_number_of_processes_may_use_a_cluster_first(tmp_path: Path) -> None:
    """Each sees the same id, though the storage's put-if-absent is not relied on."""
    for turn in range(5):
        clusters = [
            Cluster(FileStorage(tmp_path / f"{turn}"), SqliteCoordinator(tmp_path / f"{turn}.db")) for _ in range(8)
        ]
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(Cluster.identify, clusters))) == 1
        for one in clusters:
            one.close()


def test_submits_of_one_idempotency_key_make_one_job(cluster: Cluster, executable: Path) -> None:
    outcomes = []

    def be_submitter() -> None:
        outcomes.append(submit(cluster, executable, new_record(executable, 3), "key"))

    threads = [threading.Thread(target=be_submitter) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.attached for outcome in outcomes].count(False) == 1
    assert len({outcome.job for outcome in outcomes}) == 1
    other = executable.with_name("other")
    other.write_bytes(b"another program")
    with pytest.raises(UsageError, match="another executable"):
        submit(cluster, other, new_record(other, 3), "key")


def test_an_executable_that_changes_during_the_upload_is_not_stored(cluster: Cluster, executable: Path) -> None:
    record = new_record(executable, 1)
    executable.write_bytes(b"another progra")
    with pytest.raises(UsageError, match="changed while"):
        submit(cluster, executable, record)
    assert list(cluster.storage.list("bin/")) == []
    assert status.jobs(cluster) == []


def test_workers_that_look_at_once_begin_far_apart(cluster: Cluster, executable: Path) -> None:
    """As many workers as tasks claim one each, and none meets another."""
    open_job(cluster, executable, 64)
    workers = [new_worker(cluster, f"w{number:02d}") for number in range(64)]
    for claims in workers:
        claims._candidates = claims.lookout.look()
    firsts = [claims._candidates[-1] for claims in workers]
    assert len({candidate.index for candidate in firsts}) == 64


def test_a_job_is_found_by_the_start_of_its_id(cluster: Cluster, executable: Path) -> None:
    job, other = open_job(cluster, executable), open_job(cluster, executable)
    assert control.find(cluster, job) == job
    assert control.find(cluster, job[:-1]) == job
    with pytest.raises(NotFoundError):
        control.find(cluster, "nothing")
    with pytest.raises(UsageError, match="start of 2 jobs"):
        control.find(cluster, "test-")
    assert other


def test_a_job_of_a_newer_layout_is_left_alone(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable)
    head, _ = cluster.head(job)
    newer = replace(head, format=head.format + 1).to_json()[:-1] + b',"since":"then"}'
    cluster.transact((), [Put(keys.head(job), newer)])
    assert new_worker(cluster, "w1").claim() is None
    for change in (control.cancel, control.pause, control.resume, control.rerun, control.remove):
        with pytest.raises(UsageError, match="newer gomr"):
            change(cluster, job)
    with pytest.raises(UsageError, match="newer gomr"):
        list(gc.collect(cluster, grace_seconds=0))
    assert cluster.read(Range(keys.head(job)))[0].items[0].value == newer
    assert [name for name, _ in status.jobs(cluster)] == [job]


def test_a_damaged_record_keeps_nobody_from_other_jobs(cluster: Cluster, executable: Path) -> None:
    damaged = open_job(cluster, executable)
    cluster.transact((), [Put(keys.head(damaged), b"not a record")])
    job = open_job(cluster, executable)
    claim = new_worker(cluster, "w1").claim()
    assert claim
    assert claim.at.job == job
    assert isinstance(claim.at.head, JobHead)
