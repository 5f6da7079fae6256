"""Waits for a job at the command line."""

import time
from collections.abc import Callable
from typing import Any

from gomr.cli.progress import Progress
from gomr.results import refuse_unless_done
from gomr.scheduling.status import JobStatus


def wait_for(
    client: Any,
    job: str,
    timeout_seconds: float | None,
    on_look: Callable[[JobStatus], None] | None = None,
    pause_for: Callable[[float], object] = time.sleep,
) -> None:
    """Show progress until the job ends. Raises JobFailed, JobCancelled, WaitTimeout; Ctrl-C leaves the job running."""

    def look(status: JobStatus) -> None:
        progress.show(status)
        if on_look is not None:
            on_look(status)

    with Progress() as progress:
        client.wait(job, timeout_seconds, look, pause_for)
    refuse_unless_done(job, client.cluster.head(job)[0])
