"""Reads a job's result: its parts in order, each checked against the checksum that its commit named."""

import contextlib
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gomr.checksums import Checksum
from gomr.errors import GomrError, JobCancelled, JobFailed, NotFoundError, UnavailableError
from gomr.model import CANCELLED, DONE, FAILED, JobHead
from gomr.scheduling import history, keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import finished_tasks, folded_tasks

STANDARD_OUTPUT = "-"
DOWNLOADS_MAX = 8  # parts on their way at a time
COPIES_MAX = 2  # of parts that are files of this machine: who writes one file waits for the other, who reads does not


def read_result(cluster: Cluster, job: str) -> Iterator[bytes]:
    """Yield the bytes of a job's result. Raises JobFailed, JobCancelled, NotFoundError where there is none (yet)."""
    for part in parts(cluster, job):
        yield from read_part(cluster, part)


def save_result(cluster: Cluster, job: str, target: str) -> None:
    """Write a job's result to a file, whole or not at all, or to standard output for "-"."""
    if target == STANDARD_OUTPUT:
        try:
            for data in read_result(cluster, job):
                sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # `| head` has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    path = Path(target)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as file:
            _download(cluster, parts(cluster, job), file.fileno())  # a copy: what must endure is in the storage
        aside.replace(path)
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Part:
    """One object of a result, and where its bytes belong in the whole."""

    name: str
    key: str
    offset: int
    size: int
    checksum: str


def parts(cluster: Cluster, job: str) -> list[Part]:
    """Return the parts of a job's result, in order. Raises JobFailed, JobCancelled, NotFoundError for none."""
    head, _ = cluster.head(job)
    refuse_unless_done(job, head)
    stage = head.stages[-1]
    record, _ = cluster.stage(job, stage)
    found: list[Part] = []
    offset = 0
    for task in finished_tasks(cluster, job, stage, record.manifest_digest):
        key = keys.attempt_object(job, stage, task.index, task.done.nonce)
        found.append(Part(f"part {task.index} of the result of {job}", key, offset, task.done.size, task.done.checksum))
        offset += task.done.size
    return found


def read_part(cluster: Cluster, part: Part) -> Iterator[bytes]:
    """Yield the bytes of a part. Raises GomrError at its end where they are not those that were committed."""
    checksum = Checksum()
    yield from checksum.watch(cluster.storage.chunks(part.key, 0, part.size))
    if str(checksum) != part.checksum:
        raise GomrError(f"{part.name} is damaged in the storage: run the job again")


def _download(cluster: Cluster, parts: list[Part], target: int) -> None:
    """Write every part to its place in the open file `target`, several at a time."""

    def fetch(part: Part) -> None:
        position = part.offset
        for data in read_part(cluster, part):
            view = memoryview(data)
            while view:
                written = os.pwrite(target, view, position)
                position += written
                view = view[written:]

    is_local = bool(parts) and cluster.storage.local_path(parts[0].key) is not None
    with ThreadPoolExecutor(COPIES_MAX if is_local else DOWNLOADS_MAX, "result") as pool:
        futures = [pool.submit(fetch, part) for part in parts]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def skipped_records(cluster: Cluster, job: str) -> Iterator[bytes]:
    """Yield the records that the counted attempts of a job set aside, as lines of JSON. Raises NotFoundError."""
    head, _ = cluster.head(job)
    for stage in head.stages:
        for task in folded_tasks(cluster, job, stage):
            if task.done.skipped:
                yield cluster.storage.read(keys.skipped_records(job, stage, task.index, task.done.nonce))


def refuse_unless_done(job: str, head: JobHead) -> None:
    """Raise the error that says why a job has no result."""
    if head.state == DONE:
        return
    if head.state == FAILED:
        raise JobFailed(failure_message(job, head))
    if head.state == CANCELLED:
        raise JobCancelled(f"job {job} was cancelled; `gomr rerun {job}` goes on from its finished tasks")
    raise NotFoundError(
        f"job {job} is {head.state}: it has no result yet; `gomr status {job} --watch` shows how far it is"
    )


def failure_message(job: str, head: JobHead) -> str:
    """Return why a job failed: the user's traceback first, then the record that caused it."""
    error = head.error
    lines = [str(error.get("traceback") or error.get("message") or "no reason is known")]
    if error.get("record") is not None:
        lines.append(f"  {history.record_sentence(error)}")
    lines.append(
        f"job {job} failed: task {error.get('task')}, attempt {error.get('attempt')} on {error.get('worker')}; "
        f"`gomr logs {job} --task {error.get('task')}` has its log, `gomr rerun {job}` goes on from its finished tasks"
    )
    return "\n".join(lines)
