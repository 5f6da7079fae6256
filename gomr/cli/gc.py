"""`gomr gc`: deletes what nobody needs."""

import click

from gomr.cli.common import cluster_options, open_client, print_json, print_table

EPILOG = """\b
Examples:
  gomr gc --dry-run
  gomr gc --results --grace-hours 720     also jobs that ended a month ago
  gomr gc --versions                      also what a versioned bucket keeps of deleted objects
"""


@click.command(epilog=EPILOG)
@click.option("--grace-hours", type=click.FloatRange(0.0), default=24.0, help="Spare what is younger [24].")
@click.option("--results", is_flag=True, help="Remove ended jobs, too.")
@click.option("--versions", is_flag=True, help="Delete old versions in a versioned bucket, too.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@cluster_options
def command(
    grace_hours: float,
    results: bool,
    versions: bool,
    dry_run: bool,
    as_json: bool,
    storage: str | None,
    coordinator: str | None,
    plugins: str | None,
) -> None:
    """Delete executables of no job, the remains of failed submits, and intermediate data of jobs that are done."""
    with open_client(storage, coordinator, plugins) as client:
        garbage = client.gc(grace_seconds=grace_hours * 3600, results=results, versions=versions, dry_run=dry_run)
        found = list(garbage)
    if as_json:
        print_json([{"key": item.key, "reason": item.reason, "size": item.size} for item in found])
        return
    print_table(("key", "reason", "bytes"), [(item.key, item.reason, item.size) for item in found])
    click.echo(f"{len(found)} {'would go' if dry_run else 'deleted'}", err=True)
