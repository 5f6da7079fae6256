"""gc and rm: what is deleted, and what nobody may delete."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gomr.backends import Answer, Delete, Put, Range, file_version
from gomr.errors import NotFoundError, UnavailableError, UsageError
from gomr.executables import file_digest
from gomr.model import CANCELLED, RUNNING, Input
from gomr.scheduling import attempts, control, gc, keys, status
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.intents import intended
from gomr.scheduling.stages import finished_tasks
from gomr.scheduling.submit import new_job_id, submit
from gomr.scheduling.uploads import store_file
from tests.protocol import done, new_record, new_worker, open_job, work


def collect_all(cluster: Cluster) -> list[str]:
    return [garbage.key for garbage in gc.collect(cluster, grace_seconds=0)]


def collect_meanwhile(cluster: Cluster, _position: int) -> None:
    collect_all(cluster)


def test_gc_takes_what_nobody_needs_and_leaves_the_rest(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable, 1)
    claims = new_worker(cluster, "w1")
    cluster.storage.put("bin/unused/x", b"x")
    cluster.storage.put("jobs/never-000000000000/job-x.json", b"x")
    claim = claims.claim()
    assert claim
    cluster.storage.put(keys.attempt_object(job, "1-map", 0, "superseded"), b"x")
    assert {item.key for item in gc.collect(cluster, grace_seconds=0)} == {"bin/unused/x", "jobs/never-000000000000/"}
    assert {info.key for info in cluster.storage.list("bin/")} == {claim.at.head.executable_object}
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


def test_intermediate_data_goes_at_once_where_it_is_asked_for_and_the_job_is_done(
    cluster: Cluster, executable: Path
) -> None:
    job = open_job(cluster, executable, 2)
    claims = new_worker(cluster, "w1")
    claim = claims.claim()
    assert claim
    written = [keys.attempt_object(job, "1-map", index, nonce) for index, nonce in ((0, "counts"), (1, "superseded"))]
    for key in written:
        cluster.storage.put(key, b"x")
    result = keys.attempt_object(job, "1-reduce", 0, "counts")
    cluster.storage.put(result, b"x")
    gc.delete_intermediate(cluster, job)
    assert {info.key for info in cluster.storage.list(keys.job_folder(job))} >= {*written, result}
    attempts.commit(cluster, claim, done(claim))
    while cluster.head(job)[0].state == RUNNING:
        work(cluster, claims)
    gc.delete_intermediate(cluster, job)
    left = {info.key for info in cluster.storage.list(keys.job_folder(job))}
    assert result in left
    assert not left & set(written)
    assert list(finished_tasks(cluster, job, "1-map", cluster.stage(job, "1-map")[0].manifest_digest))


def test_gc_leaves_what_a_submit_is_about_to_use(cluster: Cluster, executable: Path) -> None:
    """From before the upload on until a job names it; and what a submit uses that another has stored."""
    digest = file_digest(executable)
    for job in ("test-000000000000", "test-000000000001"):
        with intended(cluster, job) as intent:
            on_bytes = partial(collect_meanwhile, cluster)
            copy = store_file(cluster, intent, executable, keys.executable(digest), digest, on_bytes)
            cluster.storage.put(keys.job_record(job, "x"), b"x")
            assert collect_all(cluster) == []
            assert cluster.storage.read(copy.key) == executable.read_bytes()
    assert collect_all(cluster) == [copy.key, "jobs/test-000000000001/"]
    assert submit(cluster, executable, new_record(executable, 1)).executable_uploaded


def test_a_submit_that_uses_a_file_while_gc_looks_keeps_it(
    cluster: Cluster, executable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gc has seen no intent and no job by then; the key's revision tells it."""
    digest = file_digest(executable)
    with intended(cluster, "test-000000000000") as intent:
        store_file(cluster, intent, executable, keys.executable(digest), digest, lambda _position: None)
    opened = []

    def look(_cluster: Cluster, *, with_inputs: bool) -> set[str]:
        opened.append(submit(cluster, executable, new_record(executable, 1)))
        return set()

    monkeypatch.setattr(gc, "_used", look)
    assert collect_all(cluster) == []
    assert not opened[0].executable_uploaded
    assert cluster.storage.read(cluster.head(opened[0].job)[0].executable_object) == executable.read_bytes()


def test_a_deletion_that_comes_late_takes_nothing_from_a_later_submit(cluster: Cluster, executable: Path) -> None:
    """Not even one that has waited on a sleeping machine for days: no name is used again."""
    job = open_job(cluster, executable, 1)
    control.cancel(cluster, job)
    names = [info.key for info in cluster.storage.list("") if info.key.startswith(("bin/", "jobs/"))]
    control.remove(cluster, job)
    collect_all(cluster)
    later = open_job(cluster, executable, 1)
    cluster.storage.delete(names)
    assert cluster.storage.read(cluster.head(later)[0].executable_object) == executable.read_bytes()
    cluster.job_record(later, cluster.head(later)[0].record_digest)


@pytest.mark.parametrize("since", [(), (Put(keys.CLUSTER, b"pending:another"),)])
def test_gc_beside_a_coordinator_that_lost_all_deletes_nothing(
    cluster: Cluster, executable: Path, monkeypatch: pytest.MonkeyPatch, since: tuple[Put, ...]
) -> None:
    open_job(cluster, executable, 1)
    real = gc._used

    def emptied(_cluster: Cluster, *, with_inputs: bool) -> set[str]:
        cluster.transact((), [Delete(" ", "~"), *since])
        return real(cluster, with_inputs=with_inputs)

    monkeypatch.setattr(gc, "_used", emptied)
    before = [info.key for info in cluster.storage.list("bin/")]
    with pytest.raises(UnavailableError, match="lost all it held"):
        collect_all(cluster)
    assert [info.key for info in cluster.storage.list("bin/")] == before


def test_inputs_that_were_copied_go_with_the_last_job_that_reads_them(
    cluster: Cluster, executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gomr.scheduling.submit.needs_copy", lambda *_: True)
    path = tmp_path / "in.txt"
    path.write_text("some lines")
    found = Input(f"file://{path}", 10, file_version(path.stat()))
    record = replace(new_record(executable, 1), inputs=[asdict(found)])
    jobs = [submit(cluster, executable, replace(record, job=new_job_id("test"))).job for _ in range(2)]
    (stored,) = cluster.storage.list("inputs/")
    for job in jobs:
        assert collect_all(cluster) == []
        control.cancel(cluster, job)
        control.remove(cluster, job)
    assert stored.key in collect_all(cluster)
    assert not cluster.read(Range("o/", "o0", count_only=True))[0].count


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


def test_rm_has_done_it_where_its_answer_was_lost_and_another_did_the_rest(
    cluster: Cluster, executable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = open_job(cluster, executable, 1)
    control.cancel(cluster, job)
    real = cluster.transact

    def transact(*arguments: Any, **options: Any) -> Answer:
        real(*arguments, **options)
        monkeypatch.undo()
        control.remove(cluster, job)
        return real(*arguments, **options)

    monkeypatch.setattr(cluster, "transact", transact)
    monkeypatch.setattr(cluster, "read", lambda *ranges: real((), ranges).found)
    control.remove(cluster, job)
    assert status.jobs(cluster) == []


def test_requests_of_a_submit_that_come_late_open_a_removed_job_no_second_time(
    cluster: Cluster, executable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    real = cluster.coordinator.transact

    def transact(*arguments: Any, **options: Any) -> Answer:
        sent.append((arguments, options))
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(cluster.coordinator, "transact", transact)
        patch.setattr(cluster, "end_lease", lambda _lease: None)  # the submitter sleeps
        job = submit(cluster, executable, new_record(executable, 1), "key").job
    control.cancel(cluster, job)
    control.remove(cluster, job)
    for arguments, options in sent:
        real(*arguments, **options)
    assert status.jobs(cluster) == []
    assert submit(cluster, executable, new_record(executable, 1), "key").job != job


def test_gc_of_results_spares_a_job_that_was_run_again_meanwhile(
    cluster: Cluster, executable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = open_job(cluster, executable, 1)
    control.cancel(cluster, job)
    real = control.remove

    def remove(*arguments: Any) -> None:
        control.rerun(cluster, job)
        control.cancel(cluster, job)
        real(*arguments)

    monkeypatch.setattr(control, "remove", remove)
    assert [found.key for found in gc.collect(cluster, grace_seconds=0, results=True)] == []
    assert cluster.head(job)[0].state == CANCELLED


def test_gc_goes_on_where_a_job_is_removed_under_its_hands(
    cluster: Cluster, executable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = open_job(cluster, executable, 1)
    claims = new_worker(cluster, "w1")
    cluster.storage.put("bin/unused/x", b"x")
    while cluster.head(job)[0].state == RUNNING:
        work(cluster, claims)
    real = gc._superseded

    def superseded(*arguments: Any) -> Iterator[gc.Garbage]:
        control.remove(cluster, job)
        return real(*arguments)

    monkeypatch.setattr(gc, "_superseded", superseded)
    assert "bin/unused/x" in collect_all(cluster)


def test_gc_names_a_job_whose_records_are_lost(cluster: Cluster, executable: Path) -> None:
    job = open_job(cluster, executable, 1)
    claims = new_worker(cluster, "w1")
    while cluster.head(job)[0].state == RUNNING:
        work(cluster, claims)
    cluster.storage.delete([info.key for info in cluster.storage.list(keys.job_folder(job)) if "manifest" in info.key])
    with pytest.raises(NotFoundError, match=f"gomr rm {job}"):
        collect_all(cluster)
