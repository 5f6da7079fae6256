"""`gomr jobs`: all jobs, the newest last."""

import time
from dataclasses import asdict

import click

from gomr.cli.common import cluster_options, open_client, print_json, print_table
from gomr.units import shown_seconds

EPILOG = """\b
Examples:
  gomr jobs
  gomr jobs --json | jq -r '.[] | select(.state == "failed") | .job'
"""


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@cluster_options
def command(as_json: bool, storage: str | None, coordinator: str | None, plugins: str | None) -> None:
    """List all jobs, the newest last."""
    with open_client(storage, coordinator, plugins) as client:
        jobs = client.jobs()
    if as_json:
        print_json([{"job": job, **asdict(head)} for job, head in jobs])
        return
    rows = []
    for job, head in jobs:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(head.created_seconds))
        seconds = (head.finished_seconds or time.time()) - head.created_seconds
        rows.append((job, head.state, started, shown_seconds(max(0.0, seconds))))
    print_table(("job", "state", "started", "elapsed"), rows)
