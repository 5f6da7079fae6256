"""`gomr workers`: the live workers."""

from dataclasses import asdict

import click

from gomr.cli.common import cluster_options, open_client, print_json, print_table

EPILOG = """\b
Examples:
  gomr workers
  gomr workers --json
"""


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@cluster_options
def command(as_json: bool, storage: str | None, coordinator: str | None, plugins: str | None) -> None:
    """List the live workers: where they run, their slots, the tasks in hand, what they refused."""
    with open_client(storage, coordinator, plugins) as client:
        workers = client.workers()
    if as_json:
        print_json([{"worker": name, **asdict(record)} for name, record in workers.items()])
        return
    rows = [
        (name, record.host, f"{record.slots} slots", record.version, " ".join(record.running) or "idle")
        for name, record in workers.items()
    ]
    print_table(("worker", "host", "slots", "version", "running"), rows)
    for name, record in workers.items():
        for digest, reason in record.refused.items():
            click.echo(f"{name} refused {digest[:12]}: {reason}", err=True)
