"""`gomr rm`: deletes an ended job."""

import click

from gomr.cli.common import cluster_options, open_client

EPILOG = """\b
Example:
  gomr rm wordcount-3f9a
"""


@click.command(epilog=EPILOG)
@click.argument("jobs", nargs=-1, required=True)
@cluster_options
def command(jobs: tuple[str, ...], storage: str | None, coordinator: str | None, plugins: str | None) -> None:
    """Delete ended JOBS: results, intermediate data, logs and records. Executables are left to `gomr gc`."""
    with open_client(storage, coordinator, plugins) as client:
        for name in jobs:
            job = client.find(name)
            client.remove(job)
            click.echo(f"{job} is removed", err=True)
