"""`gomr top`: the jobs that have not ended and the workers, live."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from gomr.cli.common import cluster_options, open_client, print_json, print_table
from gomr.errors import CoordinatorError
from gomr.model import LIVE, WorkerRecord
from gomr.observer.jobs import JobsWatch
from gomr.units import shown_seconds, shown_size

JOBS_MAX = 30  # a screen
LOOK_SECONDS = 1.0

EPILOG = """\b
Examples:
  gomr top              on a terminal: live, until Ctrl-C; else once
  gomr top --json | jq '.workers | length'
"""


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, once.")
@cluster_options
def command(as_json: bool, storage: str | None, coordinator: str | None, plugins: str | None) -> None:
    """Show the jobs that have not ended and the live workers: on a terminal live, else once."""
    with open_client(storage, coordinator, plugins) as client:
        watch = JobsWatch(client.cluster)
        if as_json:
            print_json(_look(watch))
        elif sys.stdout.isatty():
            _show_live(watch)
        else:
            _print_once(_look(watch))


def _look(watch: JobsWatch) -> dict[str, Any]:
    watch.look()
    live = [job for state in LIVE for job in watch.find(state)]
    workers = [_worker(name, record) for name, record in watch.workers.items()]
    return {"jobs": watch.briefs(live[:JOBS_MAX]), "live": len(live), "counts": watch.counts(), "workers": workers}


def _worker(name: str, record: WorkerRecord) -> dict[str, Any]:
    return {
        "worker": name,
        "slots": record.slots,
        "running": record.running,
        "done": record.done,
        "failed": record.failed,
        "draining": record.draining,
    }


def _rows(seen: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            job["job"],
            job["state"],
            ", ".join(
                f"{stage['stage']} {stage['done']} of {stage['tasks']}" for stage in job["stages"] if stage["tasks"]
            ),
            str(sum(stage["running"] for stage in job["stages"])),
            shown_size(sum(stage["bytes_in"] or 0 for stage in job["stages"])),
            shown_seconds(job["elapsed"]),
            "-" if job["eta"] is None else f"~{shown_seconds(job['eta'])}",
        )
        for job in seen["jobs"]
    ]


def _worker_rows(seen: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            item["worker"],
            str(item["slots"]),
            str(item["done"]),
            str(item["failed"]),
            "draining" if item["draining"] else " ".join(item["running"]) or "idle",
        )
        for item in seen["workers"]
    ]


JOB_COLUMNS = ("job", "state", "stages", "running", "read", "elapsed", "eta")
WORKER_COLUMNS = ("worker", "slots", "done", "failed", "in hand")


def _summary(seen: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in sorted(seen["counts"].items())) or "no job yet"
    hidden = f"; {len(seen['jobs'])} of {seen['live']} shown" if seen["live"] > len(seen["jobs"]) else ""
    return f"jobs: {counts}{hidden}; workers: {len(seen['workers'])}"


def _print_once(seen: Mapping[str, Any]) -> None:
    click.echo(_summary(seen), err=True)
    print_table(JOB_COLUMNS, _rows(seen))
    print_table(WORKER_COLUMNS, _worker_rows(seen))


def _show_live(watch: JobsWatch) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.table import Table

    def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
        made = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            made.add_row(*row)
        return made

    with Live(screen=True, auto_refresh=False) as live:
        while True:
            try:
                seen = _look(watch)
                parts: list[Any] = [_summary(seen), "", table(JOB_COLUMNS, _rows(seen)), ""]
                live.update(Group(*parts, table(WORKER_COLUMNS, _worker_rows(seen))), refresh=True)
            except CoordinatorError as error:  # it may come back: the screen says so, and goes on
                live.update(f"the coordinator does not answer: {error}", refresh=True)
            time.sleep(LOOK_SECONDS)
