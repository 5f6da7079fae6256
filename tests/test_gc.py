"""gc and rm: what is deleted, and what nobody may delete."""

from pathlib import Path

import pytest

from gomr.backends import Put, Range
from gomr.errors import NotFoundError, UnavailableError, UsageError
from gomr.model import RUNNING
from gomr.scheduling import attempts, control, gc, keys, status
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.submit import submit
from tests.protocol import done, new_record, new_worker, open_job, work


def test_gc_takes_what_nobody_needs_and_leaves_the_rest(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable, 1)
    claims = new_worker(cluster, "w1")
    cluster.storage.put("bin/unused", b"x")
    cluster.storage.put("jobs/never-000000000000/job-x.json", b"x")
    claim = claims.claim()
    assert claim
    cluster.storage.put(keys.attempt_object(job, "1-map", 0, "superseded"), b"x")
    assert {item.key for item in gc.collect(cluster, grace_seconds=0)} == {"bin/unused", "jobs/never-000000000000/"}
    assert {info.key for info in cluster.storage.list("bin/")} == {keys.executable(claim.at.head.executable)}
    attempts.commit(cluster, claim, done(claim))
    while cluster.head(job)[0].state == RUNNING:
        work(cluster, claims)
    (item,) = gc.collect(cluster, grace_seconds=0, dry_run=True)
    assert item.key.endswith("superseded")
    assert [found.key for found in gc.collect(cluster, grace_seconds=0)] == [item.key]
    assert list(gc.collect(cluster, grace_seconds=3600)) == []
    reasons = [found.reason for found in gc.collect(cluster, grace_seconds=0, results=True)]
    assert reasons == ["done job", "executable of no job"]
    assert [info.key for info in cluster.storage.list("")] == [keys.CLUSTER_OBJECT, gc.MARKER]


def test_gc_and_submit_exclude_each_other(cluster: Cluster, executable: Path) -> None:
    record = new_record(executable, 1)
    cluster.storage.put(keys.executable(record.executable), executable.read_bytes())
    with cluster.lease(60) as lease:
        cluster.transact((), [Put(keys.intents(record.executable) + "x", b"", lease)])
        assert list(gc.collect(cluster, grace_seconds=0)) == []
    with cluster.lease(60) as lease:
        cluster.transact((), [Put(keys.deletion(record.executable), b"", lease)])
        assert list(gc.collect(cluster, grace_seconds=0)) == []
        with pytest.raises(UnavailableError, match="gc is deleting"):
            submit(cluster, executable, record)
    assert not submit(cluster, executable, record).executable_uploaded


def test_gc_that_was_cut_off_deletes_nothing_more(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark that is gone protects nobody: a submit may count on the object by now."""
    cluster.storage.put("bin/unused", b"x")
    cluster.storage.put("inputs/unused", b"x")
    monkeypatch.setattr(cluster.coordinator, "keep_lease", lambda _lease, **_options: 0.0)
    with pytest.raises(UnavailableError, match="was cut off"):
        list(gc.collect(cluster, grace_seconds=0))
    monkeypatch.setattr(gc, "_unused", lambda *_: iter(()))
    with pytest.raises(UnavailableError, match="was cut off"):
        list(gc.collect(cluster, grace_seconds=0))
    assert {info.key for info in cluster.storage.list("")} >= {"bin/unused", "inputs/unused"}


def test_whoever_hears_of_garbage_may_take_its_time(cluster: Cluster, executable: Path) -> None:
    """The mark on all inputs does not stand while the caller looks at what was deleted."""
    for name in ("one", "two"):
        cluster.storage.put(f"inputs/{name}", b"x")
    for garbage in gc.collect(cluster, grace_seconds=0):
        assert garbage.key.startswith("inputs/")
        assert not cluster.read(Range("g/", "g0", count_only=True))[0].count


def test_rm_deletes_an_ended_job_and_only_that(cluster: Cluster, executable: Path) -> None:
    job, other = open_job(cluster, executable, 1), open_job(cluster, executable, 1)
    with pytest.raises(UsageError, match="gomr cancel"):
        control.remove(cluster, job)
    control.cancel(cluster, job)
    control.remove(cluster, job)
    with pytest.raises(NotFoundError, match="gomr jobs"):
        cluster.head(job)
    assert [name for name, _ in status.jobs(cluster)] == [other]
    assert all(other in info.key for info in cluster.storage.list("jobs/"))
