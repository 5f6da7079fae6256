"""Waits for a job at the command line."""

from collections.abc import Callable
from typing import Any

from gomr.cli.progress import Progress
from gomr.results import refuse_unless_done
from gomr.scheduling.status import JobStatus


def wait_for(
    client: Any, job: str, timeout_seconds: float | None, on_look: Callable[[JobStatus], None] | None = None
) -> None:
    """Show progress until the job ends. Raises JobFailed, JobCancelled, WaitTimeout; Ctrl-C leaves the job running."""

    def look(status: JobStatus) -> None:
        progress.show(status)
        if on_look is not None:
            on_look(status)

    with Progress() as progress:
        client.wait(job, timeout_seconds, look)
    refuse_unless_done(job, client.cluster.head(job)[0])
