"""What `gomr run` does once its command line is read."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

import click

from gomr.cli.common import log_to_sinks
from gomr.cli.progress import UploadProgress
from gomr.cli.wait import wait_for
from gomr.errors import CoordinatorError, GomrError, StorageError, UnavailableError
from gomr.executables import Asked
from gomr.logs import log
from gomr.model import RUNNING
from gomr.options import JobOptions
from gomr.scheduling.status import JobStatus
from gomr.worker.settings import WorkerSettings

JOIN_SECONDS = 0.05


def run_job(
    client: Any,
    job: str,
    inputs: Sequence[str],
    options: JobOptions,
    settings: WorkerSettings,
    output: str,
    inquiry: Asked | None,
) -> None:
    """Submit a job, work on it with `settings`, and write its result to `output`."""
    with log_to_sinks(client, "warning"):
        with UploadProgress() as uploads:
            submitted = client.submit_in_full(job, inputs, options, uploads.show, inquiry=inquiry, settings=settings)
        job_id = submitted.job
        with _working(client, job_id, replace(settings, only_job=job_id)):
            deleting = threading.Thread(target=_delete_intermediate, args=(client, job_id), name="deleting")
            deleting.start()  # ahead of the copy, which takes the memory that it leaves while that is at hand
            try:
                client.result(job_id, output)
            finally:
                deleting.join()


def _delete_intermediate(client: Any, job: str) -> None:
    try:
        client.delete_intermediate(job)
    except (StorageError, CoordinatorError, GomrError) as error:
        log.warning("intermediate.kept", job=job, error=str(error), next="gomr gc deletes it")


def _run(worker: Any) -> None:
    try:
        worker.run()
    except (GomrError, StorageError, CoordinatorError, OSError) as error:
        click.echo(f"gomr: {error}", err=True)


@contextmanager
def _working(client: Any, job: str, settings: Any) -> Iterator[None]:
    """Work on the job until it ends, showing how far it is; the block runs while the worker leaves."""
    worker = client.worker(settings)
    thread = threading.Thread(target=_run, args=(worker,), name="worker")
    was_alive = True

    def check(status: JobStatus) -> None:
        nonlocal was_alive
        if status.state == RUNNING and not was_alive:
            raise UnavailableError(
                f"the worker stopped (it said why above); to go on with job {job}: gomr worker --once"
            )
        was_alive = thread.is_alive()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    thread.start()
    try:
        while thread.is_alive() and not worker.joined.wait(JOIN_SECONDS):
            pass  # else the first status would say that no worker is alive
        wait_for(client, job, None, check, pause_for=thread.join)  # it ends with the job
        worker.stop()
        yield
    except KeyboardInterrupt:
        click.echo(f"stopped; to go on: gomr worker --once; to end the job: gomr cancel {job}", err=True)
        raise
    finally:
        worker.stop()
        thread.join()
        signal.signal(signal.SIGTERM, before)
