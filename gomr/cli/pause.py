"""`gomr pause`: has no more tasks of a job started."""

from typing import Any

from gomr.cli.common import job_command

EPILOG = """\b
Example:
  gomr pause wordcount-3f9a
"""


@job_command(EPILOG)
def command(client: Any, job: str) -> str:
    """Start no more tasks of JOB. Those that run go on to their end; `gomr resume` goes on with the others."""
    client.pause(job)
    return f"{job} is paused; go on: gomr resume {job}"
