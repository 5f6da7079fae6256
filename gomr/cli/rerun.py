"""`gomr rerun`: goes on with a failed or cancelled job."""

import click

from gomr.cli.common import cluster_options, open_client

EPILOG = """\b
Example:
  gomr rerun wordcount-3f9a
"""


@click.command(epilog=EPILOG)
@click.argument("job")
@cluster_options
def command(job: str, storage: str | None, coordinator: str | None, plugins: str | None) -> None:
    """Open a failed or cancelled JOB again; its finished tasks count, the others get fresh attempts."""
    with open_client(storage, coordinator, plugins) as client:
        job = client.find(job)
        client.rerun(job)
    click.echo(f"{job} goes on: gomr status {job} --watch", err=True)
