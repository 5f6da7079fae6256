"""`gomr resume`: goes on with a paused job."""

from typing import Any

from gomr.cli.common import job_command

EPILOG = """\b
Example:
  gomr resume wordcount-3f9a
"""


@job_command(EPILOG)
def command(client: Any, job: str) -> str:
    """Go on with a paused JOB."""
    client.resume(job)
    return f"{job} goes on: gomr status {job} --watch"
