"""`gomr run`: build, submit and work in one process, by the same code as the three commands."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from gomr.cli.common import cluster_options, job_options, log_to_sinks, make_job_options, open_client
from gomr.cli.progress import UploadProgress
from gomr.cli.wait import wait_for
from gomr.errors import CoordinatorError, GomrError, StorageError, UnavailableError
from gomr.logs import log
from gomr.model import RUNNING
from gomr.results import STANDARD_OUTPUT
from gomr.scheduling.status import JobStatus

JOIN_SECONDS = 0.05
EPILOG = """\b
Examples:
  gomr run wordcount.py 'books/**/*.txt' -o counts.tsv
  gomr run wordcount.py books/ | sort -k2nr -t$'\\t' | head
  gomr run ./a-job-in-c data.csv --slots 2
"""


@click.command(epilog=EPILOG)
@click.argument("job")
@click.argument("inputs", nargs=-1)
@click.option("-o", "--output", default=STANDARD_OUTPUT, help="File for the result [-: standard output].")
@click.option("--slots", type=click.IntRange(1, 1024), help="Tasks at a time [one a processor].")
@click.option("--exec-per-task", is_flag=True, help="Execute each task anew, instead of forking it from a server.")
@job_options
@cluster_options
def command(
    job: str,
    inputs: tuple[str, ...],
    output: str,
    slots: int | None,
    exec_per_task: bool,
    storage: str | None,
    coordinator: str | None,
    plugins: str | None,
    **options: Any,
) -> None:
    """Run JOB (a .py, a .pex, or any executable that keeps the job contract) over INPUTS on this machine."""
    with open_client(storage, coordinator, plugins) as client, log_to_sinks(client, "warning"):
        with UploadProgress() as uploads:
            job_id = client.submit_in_full(job, inputs, make_job_options(options), uploads.show).job
        given = {"slots": slots} if slots else {}
        settings = client.worker_settings(once=True, only_job=job_id, exec_per_task=exec_per_task, **given)
        with _working(client, job_id, settings):
            try:
                client.delete_intermediate(job_id)  # the result is copied into the room that it leaves
            except (StorageError, CoordinatorError, GomrError) as error:
                log.warning("intermediate.kept", job=job_id, error=str(error), next="gomr gc deletes it")
            client.result(job_id, output)


@contextmanager
def _working(client: Any, job: str, settings: Any) -> Iterator[None]:
    """Work on the job until it ends, showing how far it is; the block runs while the worker leaves."""
    worker = client.worker(settings)
    thread = threading.Thread(target=worker.run, name="worker")
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
