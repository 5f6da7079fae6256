"""`gomr worker`: runs tasks of any job, until it is told to leave."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import click

from gomr.cli.common import cluster_options, log_to_sinks, open_client
from gomr.units import parse_size

EXIT_UNHEALTHY = 5
EPILOG = """\b
Examples:
  gomr worker                                     as many slots as processors
  gomr worker --slots 4 --plugins s3,etcd
  gomr worker --once                              leave when there is nothing left to do
SIGTERM or Ctrl-C: finish the tasks in hand, or give them back after --drain-seconds; twice: give them back now.
"""


@click.command(epilog=EPILOG)
@click.option("--slots", type=click.IntRange(1, 1024), help="Tasks at a time [one a processor].")
@click.option("--ahead", type=click.IntRange(0, 1024), help="Tasks fetched while all slots run others [one a slot].")
@click.option("--once", is_flag=True, help="Leave when there is nothing left to do.")
@click.option("--exec-per-task", is_flag=True, help="Execute each task anew, instead of forking it from a server.")
@click.option("--lease-seconds", type=float, help="Silence after which others take over [15].")
@click.option(
    "--drain-seconds", type=float, help="For tasks in hand after SIGTERM [20, for Kubernetes kills after 30]."
)
@click.option("--memory-limit", type=parse_size, help="A task that holds more is killed [80% of the machine / slots].")
@click.option("--open-files", type=int, help="Open files of a task [1024].")
@click.option("--output-limit", type=parse_size, help="The largest file a task may write [64GiB].")
@click.option("--scratch-limit", type=parse_size, help="All sorted runs of a task [64GiB].")
@click.option("--decompressed-limit", type=parse_size, help="What a compressed input may become [64GiB].")
@click.option("--log-limit", type=parse_size, help="The log of one attempt [10MiB].")
@click.option("--cache-limit", type=parse_size, help="All executables on this machine [10GiB].")
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Executables of this machine.")
@click.option("--scratch-dir", type=click.Path(path_type=Path), help="Files of running tasks.")
@click.option("--run-as", metavar="USER", help="Run jobs as this user (the worker must be root).")
@cluster_options
def command(
    storage: str | None,
    coordinator: str | None,
    plugins: str | None,
    cache_dir: Path | None,
    scratch_dir: Path | None,
    **options: Any,
) -> int:
    """Run tasks of any job of the cluster. Start as many workers as you like, wherever the cluster can be reached.

    Whoever may submit a job may run code on this machine: share a cluster only with people you trust.
    """
    folders = {
        name: str(path) if path else None for name, path in (("cache_dir", cache_dir), ("scratch_dir", scratch_dir))
    }
    with open_client(storage, coordinator, plugins, **folders) as client, log_to_sinks(client, "info"):
        worker = client.worker(client.worker_settings(**settings_of(options)))
        drain_on_signals(worker)
        worker.run()
    return 0 if worker.healthy else EXIT_UNHEALTHY


NAMES = {
    "memory_limit": "memory_limit_bytes",
    "output_limit": "file_bytes",
    "scratch_limit": "scratch_bytes",
    "decompressed_limit": "decompressed_bytes",
    "log_limit": "log_bytes",
    "cache_limit": "cache_bytes",
}


def settings_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given, by the names of WorkerSettings."""
    return {NAMES.get(name, name): value for name, value in options.items() if value is not None}


def drain_on_signals(worker: Any) -> None:
    """Have the first SIGTERM or SIGINT drain the worker, and the second end it."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if worker.draining:
            worker.stop()
        else:
            worker.drain()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
