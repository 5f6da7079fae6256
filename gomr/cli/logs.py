"""`gomr logs`: what the tasks of a job wrote to standard output and error."""

import json
import sys

import click

from gomr.cli.common import cluster_options, open_client
from gomr.errors import UsageError

EPILOG = """\b
Examples:
  gomr logs wordcount-3f9a
  gomr logs wordcount-3f9a --task 1-map/3
  gomr logs wordcount-3f9a -f
  gomr logs wordcount-3f9a1c0d22e7 --from loggly --since 3600 | jq -r .line
"""


@click.command(epilog=EPILOG)
@click.argument("job")
@click.option("--task", default="", metavar="T", help="Of one task, such as 1-map/3.")
@click.option("-f", "--follow", is_flag=True, help="As it is written, until the job ends.")
@click.option("--from", "sink", metavar="SINK", help="What a log sink such as loggly holds, one JSON event a line.")
@click.option("--since", "since_seconds", type=float, default=86400.0, help="Of --from: so many seconds back [86400].")
@cluster_options
def command(
    job: str,
    task: str,
    follow: bool,
    sink: str | None,
    since_seconds: float,
    storage: str | None,
    coordinator: str | None,
    plugins: str | None,
) -> None:
    """Print the logs of the attempts of JOB; which task wrote what is said on standard error."""
    with open_client(storage, coordinator, plugins) as client:
        if sink is not None:
            if follow:
                raise UsageError("-f follows what the storage holds: log sinks are minutes late; leave out --from")
            for event in client.sink_events(job, task, sink, since_seconds):
                click.echo(json.dumps(event, default=str))
            return
        last = None
        for text in client.logs(client.find(job), task, follow=follow):
            mark = (text.task, text.attempt)
            if mark != last:
                click.echo(f"==> {text.task} attempt {text.attempt}", err=True)
                last = mark
            sys.stdout.buffer.write(text.data)
            sys.stdout.buffer.flush()
