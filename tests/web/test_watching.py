"""A job under observation while the protocol works on it: looks agree with the records, and read each fact once."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gomr.backends import Answer, Compare, Operation
from gomr.builtin.sqlite import SqliteCoordinator
from gomr.model import MAP_STAGE, REDUCE_STAGE
from gomr.observer.failures import error_groups
from gomr.observer.job import JobWatch
from gomr.observer.jobs import JobsWatch
from gomr.observer.stage import CHUNKS_PER_LOOK
from gomr.scheduling import attempts, control, keys, status
from gomr.scheduling.cluster import Cluster
from tests.protocol import done, new_worker, open_job, work

TASKS = 150


class Counting(SqliteCoordinator):
    """Counts transactions, and the items that they read."""

    transactions = 0
    items = 0

    def transact(
        self, compares: Sequence[Compare], then: Sequence[Operation], orelse: Sequence[Operation] = (), **how: Any
    ) -> Answer:
        answer = super().transact(compares, then, orelse, **how)
        self.transactions += 1
        self.items += sum(len(found.items) for found in answer.found)
        return answer


def agree(cluster: Cluster, job: str, watch: JobWatch) -> None:
    """State and worker of every task are those that the records tell of."""
    told = {task.task: (task.state, task.worker) for task in status.tasks(cluster, job)}
    seen = {
        f"{name}/{task.index}": (task.state, task.worker)
        for name, stage in watch.stages.items()
        for task in stage.page(0, stage.tasks)
    }
    assert seen == told
    states = [state for state, _ in told.values()]
    assert sum(stage.done for stage in watch.stages.values()) == states.count("done")
    assert sum(stage.running for stage in watch.stages.values()) == states.count("run")


def test_looks_agree_with_the_records_all_the_way(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable, TASKS)
    workers = [new_worker(cluster, f"w{number}") for number in range(3)]
    watch = JobWatch(cluster, job)
    chosen = random.Random(7)
    ended = False
    while not ended:
        ended = True
        for _ in range(chosen.randrange(1, 25)):
            claims = chosen.choice(workers)
            claim = claims.claim()
            if claim is None:
                continue
            ended = False
            if claim.record.failures == 0 and chosen.random() < 0.1:
                attempts.fail(cluster, claim, {"kind": "job", "message": "now and then"})
            else:
                attempts.commit(cluster, claim, done(claim))
            claims.release(claim)
        watch.look()
        agree(cluster, job, watch)
        ended = ended and watch.ended
    overview = watch.overview({})
    assert overview["counters"] == {"seen": TASKS + 3}
    assert overview["known_tasks"] == overview["done_tasks"] == TASKS + 3
    assert [edge["records"] for edge in overview["flow"]] == [TASKS, 2 * TASKS, 3, 6]
    failed = sum(stage["failed_attempts"] for stage in overview["stages"])
    assert failed > 0
    assert sum(group["count"] for group in overview["errors"]) == failed


def test_a_look_at_what_has_not_changed_reads_a_handful_of_keys(
    cluster: Cluster, executable: Path, tmp_path: Path
) -> None:
    job = open_job(cluster, executable, 3000)
    claims = new_worker(cluster, "w0")
    for _ in range(2000):
        claim = claims.claim()
        assert claim is not None
        attempts.commit(cluster, claim, done(claim))
        claims.release(claim)
    counting = Counting(tmp_path / "c.db")
    watch = JobWatch(Cluster(cluster.storage, counting), job)
    watch.look()
    assert watch.stages[MAP_STAGE].done == 2000
    gets = cluster.storage.requests.counts().get("get", 0)
    watch.samples()
    assert cluster.storage.requests.counts()["get"] - gets <= CHUNKS_PER_LOOK
    counting.transactions = counting.items = 0
    watch.look()
    watch.samples()
    assert counting.transactions == 1
    assert counting.items <= 5  # the head, the stages, what is in flight
    counting.close()


def test_a_list_of_jobs_reads_an_ended_one_once(cluster: Cluster, executable: Path, tmp_path: Path) -> None:
    jobs = [open_job(cluster, executable, 5) for _ in range(30)]
    work(cluster, new_worker(cluster, "w0"))
    counting = Counting(tmp_path / "c.db")
    watch = JobsWatch(Cluster(cluster.storage, counting))
    watch.look()
    assert {brief["state"] for brief in watch.briefs(watch.find())} == {"done"}
    assert {*watch.find()} == {*jobs}
    counting.transactions = 0
    watch.look()
    assert len(watch.briefs(watch.find())) == 30
    assert counting.transactions == 1
    control.remove(cluster, jobs[0])
    watch.look()
    assert jobs[0] not in watch.find()
    assert len(watch.briefs(watch.find())) == 29
    counting.close()


def test_what_was_stopped_and_run_again_is_seen_so(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable, 4, attempts_max=1)
    claims = new_worker(cluster, "w0")
    watch = JobWatch(cluster, job)
    watch.look()
    claim = claims.claim()
    assert claim is not None
    attempts.fail(cluster, claim, {"kind": "job", "message": "for good"})
    claims.release(claim)
    watch.look()
    (task,) = [task for task in watch.stages[MAP_STAGE].page(0, 4) if task.state != "pending"]
    assert (task.state, task.error["message"]) == ("dead", "for good")
    assert watch.brief()["stages"][0]["failed"] == 1
    assert error_groups({}, {"message": "of an executable that names no kind"})[0]["fatal"] is True
    control.rerun(cluster, job)
    again = new_worker(cluster, "w2").claim()
    assert again is not None
    watch.look()
    assert watch.stages[MAP_STAGE].page(again.index, 1)[0].state == "run"  # not dead, as before the rerun
    attempts.give_back(cluster, again)
    work(cluster, new_worker(cluster, "w1"))
    watch.look()
    assert watch.brief()["state"] == "done"
    assert [task.state for task in watch.stages[MAP_STAGE].page(0, 4)] == ["done"] * 4
    assert watch.stages[REDUCE_STAGE].done == 3
    agree(cluster, job, watch)


def test_what_was_in_hand_when_a_job_was_cancelled_is_stopped(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable, 4)
    claim = new_worker(cluster, "w0").claim()
    assert claim is not None
    control.cancel(cluster, job)
    watch = JobWatch(cluster, job)
    watch.look()
    assert [task.state for task in watch.stages[MAP_STAGE].sample()] == ["stopped"]
    overview = watch.overview({})
    assert overview["stages"][0]["running"] == 0
    assert overview["statistics"][MAP_STAGE]["stragglers"] == []
    assert [bar.outcome for bar in watch.bars()] == ["stopped"]
    assert watch.stages[MAP_STAGE].pending() == [number for number in range(4) if number != claim.index]


def test_a_chunk_record_that_is_gone_hides_only_its_numbers(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable, 40)
    work(cluster, new_worker(cluster, "w0"))
    watch = JobWatch(cluster, job)
    watch.look()
    stage = watch.stages[MAP_STAGE]
    cluster.storage.delete([keys.chunk_record(job, MAP_STAGE, stage.folded[0]["record"])])
    assert stage.pending() == []
    overview = watch.overview({})
    assert overview["flow"][0]["records"] == 40
    assert overview["known_tasks"] == 43 - 8
    assert "1 chunk records cannot be read" in overview["notes"][0]
    page = stage.page(0, 40)
    assert {task.state for task in page} == {"done"}
    assert [task.records_in for task in page[6:10]] == [0, 0, 1, 1]


def test_a_worker_whose_record_is_damaged_hides_no_job(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable, 4)
    new_worker(cluster, "w0")  # whose record is {}
    jobs = JobsWatch(cluster)
    jobs.look()
    watch = JobWatch(cluster, job)
    watch.look()
    assert watch.overview(jobs.workers)["notes"] == ["no worker offers anything"]
