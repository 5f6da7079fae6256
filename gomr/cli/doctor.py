"""`gomr doctor`: tries everything that jobs need, and says what is wrong."""

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from gomr.backends import FAILURE, OK, WARNING, Finding
from gomr.cli.common import cluster_options, open_client, print_json
from gomr.errors import CoordinatorError, GomrError, StorageError, UnavailableError
from gomr.job.version import VERSION
from gomr.urls import parse

MIB = 1024 * 1024
CLOCK_SECONDS = 5.0  # what NTP keeps easily; S3 refuses requests from 15 minutes on

EPILOG = """\b
Examples:
  gomr doctor
  gomr doctor --storage s3://bucket/prefix --json
"""


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@cluster_options
def command(as_json: bool, storage: str | None, coordinator: str | None, plugins: str | None) -> int:
    """Try the storage, the coordinator, the log sinks and this machine, and say what is wrong."""
    findings = []
    with open_client(storage, coordinator, plugins) as client:
        for item in examine(client):
            findings.append(item)
            if not as_json:
                click.echo(f"{item.level:<4}  {item.check}: {item.detail}")
    if as_json:
        print_json([{"check": item.check, "level": item.level, "detail": item.detail} for item in findings])
    return UnavailableError.exit_status if any(item.level == FAILURE for item in findings) else 0


def examine(client: Any) -> Iterator[Finding]:
    """Yield the findings of each check; what rests on a broken back end is not tried on top of it."""
    checks: list[tuple[str, Callable[[Any], Iterator[Finding]]]] = [
        ("storage", _storage),
        ("coordinator", _coordinator),
        ("cluster", _cluster),
        ("log sinks", _log_sinks),
        ("plugins", _plugins),
        ("this machine", _machine),
    ]
    broken: set[str] = set()
    for name, check in checks:
        if name == "cluster" and broken:
            yield Finding(name, WARNING, f"not tried without {' and '.join(sorted(broken))}")
            continue
        try:
            yield from check(client)
        except (GomrError, StorageError, CoordinatorError, OSError) as error:
            broken.add(f"a {name}")
            yield Finding(name, FAILURE, str(error))


def _storage(client: Any) -> Iterator[Finding]:
    """Use each right on the storage: write, read a range, list, delete; then what its plugin knows to try."""
    storage = client.plugins.open_storage(client.config.text("storage"))
    key, data = f"doctor/{secrets.token_hex(8)}", b"0123456789"
    try:
        started = time.monotonic()
        storage.put(key, data)
        seconds = time.monotonic() - started
        try:
            yield _clock(storage.stat(key).modified_seconds)
            if storage.read(key, 2, 3) != b"234":
                raise StorageError("a ranged read gave other bytes than were written")
            if [info.key for info in storage.list(key)] != [key]:
                raise StorageError("a new object is not in the list")
        finally:
            storage.delete([key])
        origin = client.config.lookup("storage").origin
        yield Finding("storage", OK, f"{origin}: write ({seconds * 1000:.0f} ms), range, list and delete work")
        yield from storage.diagnose()
    finally:
        storage.close()


def _clock(stored_seconds: float) -> Finding:
    """Compare this machine's clock with the storage's."""
    off = time.time() - stored_seconds
    if abs(off) < CLOCK_SECONDS:
        return Finding("clock", OK, f"within {CLOCK_SECONDS:g} s of the storage's")
    text = (
        f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the storage's; set it (with NTP): ages and times lie"
    )
    return Finding("clock", WARNING, text)


def _coordinator(client: Any) -> Iterator[Finding]:
    """Identify the cluster, grant, keep and end a lease; then what the plugin knows to try."""
    coordinator = client.plugins.open_coordinator(client.config.text("coordinator"))
    try:
        yield from coordinator.diagnose()
        lease = coordinator.grant_lease(10.0)
        kept = coordinator.keep_lease(lease)
        coordinator.revoke_lease(lease)
        if kept <= 0:
            raise CoordinatorError("a new lease was gone at once")
    finally:
        coordinator.close()
    origin = client.config.lookup("coordinator").origin
    yield Finding("coordinator", OK, f"{origin}: transactions and leases work")


def _cluster(client: Any) -> Iterator[Finding]:
    """Look whether storage and coordinator belong together; workers of another version are worth knowing of."""
    yield Finding("cluster", OK, f"storage and coordinator belong together: {client.cluster.identify()[:8]}")
    others = sorted({worker.version for worker in client.workers().values()} - {VERSION})
    if others:
        yield Finding("workers", WARNING, f"some are of gomr {', '.join(others)}: bring all to one version")


def _log_sinks(client: Any) -> Iterator[Finding]:
    urls = client.config.items("logs") or []
    for url in urls:
        sink = client.plugins.open_log_sink(url)
        yield from sink.diagnose()
        sink.close(1.0)
    yield Finding("log sinks", OK, ", ".join(parse(url).scheme for url in urls) or "none")


def _plugins(client: Any) -> Iterator[Finding]:
    """Name the versions in use."""
    loaded = [f"{info.name} {info.version}" for info in client.plugins.loaded() if info.version]
    yield Finding("plugins", OK, f"gomr {VERSION}; {', '.join(loaded) or 'built-in plugins alone'}")


def _machine(client: Any) -> Iterator[Finding]:
    """Say what executables this machine can run, and try what every task needs: its folders, a process, a thread."""
    from gomr.executables import offers
    from gomr.worker.machine import MachineUnfit, check

    found = offers()
    yield Finding("this machine", OK, f"{' '.join(found['pythons'])} on {found['platform']}")
    settings = client.worker_settings()
    settings.make_folders()
    try:
        check(settings)
    except MachineUnfit as error:
        yield Finding("this machine", FAILURE, str(error))
        return
    memory = f"{settings.slot_count} slots, each with {settings.task_memory_bytes // MIB} MiB of memory"
    yield Finding("this machine", OK, f"a worker would have {memory}; its folders, processes and threads work")
