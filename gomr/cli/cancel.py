"""`gomr cancel`: ends a running job."""

import click

from gomr.cli.common import cluster_options, open_client
from gomr.model import CANCELLED

EPILOG = """\b
Example:
  gomr cancel wordcount-3f9a
"""


@click.command(epilog=EPILOG)
@click.argument("job")
@cluster_options
def command(job: str, storage: str | None, coordinator: str | None, plugins: str | None) -> None:
    """End JOB as `cancelled`. Its finished tasks stay: `gomr rerun` goes on from them."""
    with open_client(storage, coordinator, plugins) as client:
        job = client.find(job)
        state = client.cancel(job)
    click.echo(f"{job} is cancelled" if state == CANCELLED else f"{job} has ended already: it is {state}", err=True)
