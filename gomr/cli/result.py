"""`gomr result`: the result of a job."""

import click

from gomr.cli.common import cluster_options, open_client
from gomr.results import STANDARD_OUTPUT

EPILOG = """\b
Examples:
  gomr result wordcount-3f9a -o counts.tsv
  gomr result wordcount-3f9a | head
"""


@click.command(epilog=EPILOG)
@click.argument("job")
@click.option(
    "-o", "--output", default=STANDARD_OUTPUT, help="File to write, whole or not at all [-: standard output]."
)
@cluster_options
def command(job: str, output: str, storage: str | None, coordinator: str | None, plugins: str | None) -> None:
    """Write the result of JOB: its parts one after the other, keys in order within each."""
    with open_client(storage, coordinator, plugins) as client:
        client.result(client.find(job), output)
