"""`gomr logs`: what the tasks of a job wrote to standard output and error."""

import sys

import click

from gomr.cli.common import cluster_options, open_client

EPILOG = """\b
Examples:
  gomr logs wordcount-3f9a
  gomr logs wordcount-3f9a --task 1-map/3
  gomr logs wordcount-3f9a -f
"""


@click.command(epilog=EPILOG)
@click.argument("job")
@click.option("--task", default="", metavar="T", help="Of one task, such as 1-map/3.")
@click.option("-f", "--follow", is_flag=True, help="As it is written, until the job ends.")
@cluster_options
def command(
    job: str, task: str, follow: bool, storage: str | None, coordinator: str | None, plugins: str | None
) -> None:
    """Print the logs of the attempts of JOB; which task wrote what is said on standard error."""
    with open_client(storage, coordinator, plugins) as client:
        last = None
        for text in client.logs(client.find(job), task, follow=follow):
            mark = (text.task, text.attempt)
            if mark != last:
                click.echo(f"==> {text.task} attempt {text.attempt}", err=True)
                last = mark
            sys.stdout.buffer.write(text.data)
            sys.stdout.buffer.flush()
