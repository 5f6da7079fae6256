"""Options and ways of printing that several commands share."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from gomr.errors import UsageError
from gomr.units import parse_size

F = TypeVar("F", bound=Callable[..., Any])


def _joined(_context: click.Context, _parameter: click.Parameter, items: tuple[str, ...]) -> str | None:
    return ",".join(items) if items else None


plugins_option = click.option(
    "--plugins",
    metavar="A,B,./C.PY",
    multiple=True,
    callback=_joined,
    help="Exactly these plugins, and no:NAME; repeatable. GOMR_PLUGINS",
)


def cluster_options(function: F) -> F:
    """Add the options that say which cluster a command talks to."""
    for option in (
        plugins_option,
        click.option("--coordinator", metavar="URL", help="Where state lives. GOMR_COORDINATOR"),
        click.option("--storage", metavar="URL", help="Where bytes live. GOMR_STORAGE"),
    ):
        function = option(function)
    return function


def job_options(function: F) -> F:
    """Add the options of a job."""
    for option in (
        click.option("--priority", type=int, metavar="0-9", help="Jobs of a higher one go first [5]."),
        click.option(
            "--max-skipped", type=int, metavar="N", help="Records that may be given up, each after two failures."
        ),
        click.option("--no-backups", is_flag=True, help="Run no task twice at a time, however slow it is."),
        click.option("--idempotency-key", metavar="K", default="", help="A second submit with it finds the first job."),
        click.option("--format", "output_format", type=click.Choice(["text", "json"]), help="Lines of the result."),
        click.option("--max-attempts", type=int, metavar="N", help="Tries of a task before the job fails [4]."),
        click.option(
            "--max-losses", type=int, metavar="N", help="Machines that a task may lose before the job fails [5]."
        ),
        click.option("--task-timeout", type=float, metavar="SECONDS", help="Time of one task [3600]."),
        click.option("--memory", type=parse_size, metavar="SIZE", help="What a task collects and sorts in [512MiB]."),
        click.option("--name", metavar="X", default="", help="Start of the job id [the job file's name]."),
        click.option(
            "--split-size",
            type=parse_size,
            metavar="SIZE",
            help="Input of one map task [16MiB, of small inputs an eighth; of records to sort up to 30MB].",
        ),
        click.option("--spool-limit", type=parse_size, metavar="SIZE", help="Most input from pipes [10GB]."),
        click.option("--partitions", type=int, metavar="N", help="Reduce tasks, and parts of the result."),
        click.option("--param", "params", multiple=True, metavar="K=V", help="A parameter of the job; repeatable."),
    ):
        function = option(function)
    return function


def dry_run_options(function: F) -> F:
    """Add the options that have a submit say what it would read, and do nothing."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print what --dry-run finds as JSON."),
        click.option("--dry-run", is_flag=True, help="List the inputs, and the tasks they make; submit nothing."),
    ):
        function = option(function)
    return function


def check_dry_run(*, dry_run: bool, as_json: bool) -> None:
    """Raise UsageError for --json without --dry-run: the result of a job has a --format."""
    if as_json and not dry_run:
        raise UsageError("--json: it goes with --dry-run; lines of the result as JSON: --format json")


def make_job_options(options: dict[str, Any]) -> Any:
    """Return the JobOptions of the command line's options; those not given keep their defaults."""
    from gomr.options import JobOptions

    params = {}
    for text in options["params"]:
        name, found, value = text.partition("=")
        if not found:
            raise UsageError(f"--param {text}: write NAME=VALUE")
        params[name] = value
    given = {
        "partitions": options["partitions"],
        "split_bytes": options["split_size"],
        "name": options["name"],
        "memory_bytes": options["memory"],
        "task_seconds": options["task_timeout"],
        "attempts_max": options["max_attempts"],
        "losses_max": options["max_losses"],
        "output_format": options["output_format"],
        "idempotency_key": options["idempotency_key"],
        "priority": options["priority"],
        "max_skipped": options["max_skipped"],
        "backups": not options["no_backups"],
        "spool_bytes_max": options["spool_limit"],
    }
    return JobOptions(params=params, **{name: value for name, value in given.items() if value is not None})


def job_command(epilog: str) -> Callable[[Callable[[Any, str], str]], click.Command]:
    """Make a command of a function that does something to one job, found by the start of its id.

    The function gets a client and the job's id, and returns what is said on standard error.
    """

    def decorate(act: Callable[[Any, str], str]) -> click.Command:
        @cluster_options
        def command(job: str, storage: str | None, coordinator: str | None, plugins: str | None) -> None:
            with open_client(storage, coordinator, plugins) as client:
                said = act(client, client.find(job))
            click.echo(said, err=True)

        return click.command(epilog=epilog, help=act.__doc__)(click.argument("job")(command))

    return decorate


@contextmanager
def open_client(
    storage: str | None, coordinator: str | None, plugins: str | None, **settings: str | None
) -> Iterator[Any]:
    """Yield a client of the cluster that the options and the configuration name."""
    from gomr.client import Client
    from gomr.config import Config

    config = Config({"storage": storage, "coordinator": coordinator, "plugins": plugins, **settings})
    with Client(config=config) as client:
        yield client


@contextmanager
def log_to_sinks(client: Any, default_level: str) -> Iterator[None]:
    """Send gomr's log events to the configured sinks, from `default_level` on unless a level is configured."""
    from gomr import logs

    level = client.config.lookup("log_level")
    sinks = [client.plugins.open_log_sink(url) for url in client.config.items("logs") or []]
    chosen = default_level if level.origin == "default" else level.value
    if chosen not in logs.LEVELS:
        raise UsageError(f"log_level {chosen!r} ({level.origin}): it is one of {', '.join(logs.LEVELS)}")
    logs.log.configure(sinks, chosen)
    try:
        yield
    finally:
        logs.close(sinks)


def print_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: aligned columns, a header only for people."""
    lines = [[str(cell) for cell in row] for row in rows]
    if lines and sys.stdout.isatty():
        lines.insert(0, [column.upper() for column in columns])
    if not lines:
        click.echo("none", err=True)
        return
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
