"""`gomr rerun`: goes on with a failed or cancelled job."""

from typing import Any

from gomr.cli.common import job_command

EPILOG = """\b
Example:
  gomr rerun wordcount-3f9a
"""


@job_command(EPILOG)
def command(client: Any, job: str) -> str:
    """Open a failed or cancelled JOB again; its finished tasks count, the others get fresh attempts."""
    client.rerun(job)
    return f"{job} goes on: gomr status {job} --watch"
