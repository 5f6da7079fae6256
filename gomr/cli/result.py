"""`gomr result`: the result of a job."""

import click

from gomr.cli.common import cluster_options, open_client
from gomr.results import STANDARD_OUTPUT

EPILOG = """\b
Examples:
  gomr result wordcount-3f9a -o counts.tsv
  gomr result wordcount-3f9a | head
  gomr result wordcount-3f9a --skipped        the records that failed, one JSON object a line
"""


@click.command(epilog=EPILOG)
@click.argument("job")
@click.option(
    "-o", "--output", default=STANDARD_OUTPUT, help="File to write, whole or not at all [-: standard output]."
)
@click.option("--skipped", is_flag=True, help="Print the records that were given up (--max-skipped) instead.")
@cluster_options
def command(
    job: str, output: str, skipped: bool, storage: str | None, coordinator: str | None, plugins: str | None
) -> None:
    """Write the result of JOB: its parts one after the other, keys in order within each."""
    with open_client(storage, coordinator, plugins) as client:
        if skipped:
            for lines in client.skipped(client.find(job)):
                click.echo(lines, nl=False)
            return
        client.result(client.find(job), output)
