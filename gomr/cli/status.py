"""`gomr status`: how far a job is."""

import time
from dataclasses import asdict

import click

from gomr.cli.common import cluster_options, open_client, print_json, print_table
from gomr.cli.progress import Progress
from gomr.costs import GET_DOLLARS, PUT_DOLLARS, Cost, Prices, costs_of
from gomr.model import LIVE
from gomr.results import failure_message
from gomr.scheduling.status import JobStatus
from gomr.units import shown_seconds

EPILOG = """\b
Examples:
  gomr status                     the jobs that have not ended
  gomr status wordcount-3f9a --watch
  gomr status wordcount-3f9a --json | jq .state
  gomr status wordcount-3f9a --cost --put-price 0.0055
"""


@click.command(epilog=EPILOG)
@click.argument("job", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Show progress until the job ends.")
@click.option("--cost", is_flag=True, help="Show what the job's requests to the storage cost.")
@click.option("--put-price", default=PUT_DOLLARS, show_default=True, help="Dollars for 1,000 writes.")
@click.option("--get-price", default=GET_DOLLARS, show_default=True, help="Dollars for 1,000 reads.")
@click.option("--transfer-price", default=0.0, show_default=True, help="Dollars for a GB that is read.")
@cluster_options
def command(
    job: str | None,
    as_json: bool,
    watch: bool,
    cost: bool,
    put_price: float,
    get_price: float,
    transfer_price: float,
    storage: str | None,
    coordinator: str | None,
    plugins: str | None,
) -> None:
    """Show how far JOB is (the start of its id is enough); without JOB, every job that has not ended."""
    with open_client(storage, coordinator, plugins) as client:
        if job is None:
            statuses = [client.status(name) for name, head in client.jobs() if head.state in LIVE]
            if as_json:
                print_json([status.to_dict() for status in statuses])
                return
            if not statuses:
                click.echo("no job is running; `gomr jobs` lists all", err=True)
            for status in statuses:
                _print(status)
            return
        job = client.find(job)
        if watch:
            with Progress() as progress:
                client.wait(job, None, progress.show)
        status = client.status(job)
        bill = costs_of(status.counters, Prices(put_price, get_price, transfer_price)) if cost else []
        if as_json:
            print_json({**status.to_dict(), **({"cost": [asdict(item) for item in bill]} if cost else {})})
            return
        _print(status)
        if cost:
            _print_bill(bill)
        if status.error:
            click.echo(failure_message(job, client.cluster.head(job)[0]))


def _print_bill(bill: list[Cost]) -> None:
    rows = [(f"  {item.name}", f"{item.amount:,}", f"${item.dollars:.6f}") for item in bill]
    print_table(("storage", "amount", "cost"), [*rows, ("  all", "", f"${sum(item.dollars for item in bill):.6f}")])


def _print(status: JobStatus) -> None:
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.created_seconds))
    click.echo(f"{status.job}  {status.state}  {shown_seconds(status.elapsed_seconds)} since {started}")
    print_table(
        ("stage", "state", "done", "running", "waiting"),
        [
            (
                f"  {stage.stage}",
                stage.state,
                f"{stage.done} of {stage.tasks} done",
                f"{stage.running} running",
                f"{stage.waiting} waiting",
            )
            for stage in status.stages
        ],
    )
    for name, value in sorted(status.counters.items()):
        click.echo(f"  {name} = {value}")
    for note in status.notes:
        click.echo(f"  note: {note}")
