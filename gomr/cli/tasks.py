"""`gomr tasks`: the tasks of a job."""

import click

from gomr.cli.common import cluster_options, open_client, print_json, print_table
from gomr.units import shown_seconds, shown_size

EPILOG = """\b
Examples:
  gomr tasks wordcount-3f9a
  gomr tasks wordcount-3f9a --json | jq '.[] | select(.run_seconds > 60)'
"""


@click.command(epilog=EPILOG)
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@cluster_options
def command(job: str, as_json: bool, storage: str | None, coordinator: str | None, plugins: str | None) -> None:
    """List the tasks of JOB: state, attempts, records, bytes, time."""
    with open_client(storage, coordinator, plugins) as client:
        tasks = client.tasks(client.find(job))
    if as_json:
        print_json([task.to_dict() for task in tasks])
        return
    print_table(
        ("task", "state", "attempt", "records in", "out", "bytes in", "out", "time", "error"),
        [
            (
                task.task,
                task.state,
                task.attempt,
                task.records_in,
                task.records_out,
                shown_size(task.bytes_in),
                shown_size(task.bytes_out),
                shown_seconds(task.run_seconds),
                task.error.splitlines()[0] if task.error else "",
            )
            for task in tasks
        ],
    )
