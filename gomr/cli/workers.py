"""`gomr workers`: the live workers, and how one is asked to leave."""

from dataclasses import asdict

import click

from gomr.cli.common import cluster_options, open_client, print_json, print_table

EPILOG = """\b
Examples:
  gomr workers
  gomr workers --json
  gomr workers --drain alpha-4711-9c05e1f2ab34cd56
"""


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--drain", metavar="WORKER", help="Ask this worker to finish what it has in hand, and leave.")
@cluster_options
def command(
    as_json: bool, drain: str | None, storage: str | None, coordinator: str | None, plugins: str | None
) -> None:
    """List the live workers: where they run, their slots, the tasks in hand, what they refused."""
    with open_client(storage, coordinator, plugins) as client:
        if drain:
            client.drain(drain)
            click.echo(f"{drain} is asked to drain: it hears of it within a lease", err=True)
            return
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
        if record.unfit:
            click.echo(f"{name} {record.unfit}", err=True)
        for digest, reason in record.refused.items():
            click.echo(f"{name} refused {digest[:12]}: {reason}", err=True)
