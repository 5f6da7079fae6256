"""Reads a job's result: its parts in order, each checked against the digest that its commit named."""

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from gomr.errors import GomrError, JobCancelled, JobFailed, NotFoundError, UnavailableError
from gomr.model import CANCELLED, DONE, FAILED, JobHead
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import finished_tasks

STANDARD_OUTPUT = "-"


def read_result(cluster: Cluster, job: str) -> Iterator[bytes]:
    """Yield the bytes of a job's result. Raises JobFailed, JobCancelled, NotFoundError where there is none (yet)."""
    head, _ = cluster.head(job)
    refuse_unless_done(job, head)
    stage = head.stages[-1]
    record, _ = cluster.stage(job, stage)
    for part in finished_tasks(cluster, job, stage, record.manifest_digest):
        key = keys.attempt_object(job, stage, part.index, part.done.nonce)
        digest = hashlib.sha256()
        for data in cluster.storage.chunks(key, 0, part.done.size):
            digest.update(data)
            yield data
        if digest.hexdigest() != part.done.digest:
            raise GomrError(f"part {part.index} of the result of {job} is damaged in the storage: run the job again")


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
            for data in read_result(cluster, job):
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


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
        source = error.get("source") or "input"
        lines.append(f"  record {error.get('record_number')} of {source}: {error['record']}")
    lines.append(
        f"job {job} failed: task {error.get('task')}, attempt {error.get('attempt')} on {error.get('worker')}; "
        f"`gomr logs {job} --task {error.get('task')}` has its log, `gomr rerun {job}` goes on from its finished tasks"
    )
    return "\n".join(lines)
