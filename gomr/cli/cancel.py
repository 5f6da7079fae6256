"""`gomr cancel`: ends a running job."""

from typing import Any

from gomr.cli.common import job_command
from gomr.model import CANCELLED

EPILOG = """\b
Example:
  gomr cancel wordcount-3f9a
"""


@job_command(EPILOG)
def command(client: Any, job: str) -> str:
    """End JOB as `cancelled`. Its finished tasks stay: `gomr rerun` goes on from them."""
    state = client.cancel(job)
    return f"{job} is cancelled" if state == CANCELLED else f"{job} has ended already: it is {state}"
