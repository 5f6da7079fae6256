"""`gomr doctor`: tries everything that jobs need, and says what is wrong."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from gomr.cli.common import cluster_options, open_client, print_json
from gomr.errors import CoordinatorError, GomrError, StorageError, UnavailableError
from gomr.urls import parse

EPILOG = """\b
Examples:
  gomr doctor
  gomr doctor --storage s3://bucket/prefix --json
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    check: str
    ok: bool
    detail: str


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@cluster_options
def command(as_json: bool, storage: str | None, coordinator: str | None, plugins: str | None) -> int:
    """Try the storage, the coordinator, the log sinks and this machine, and say what is wrong."""
    with open_client(storage, coordinator, plugins) as client:
        findings = list(examine(client))
    if as_json:
        print_json([{"check": item.check, "ok": item.ok, "detail": item.detail} for item in findings])
    else:
        for item in findings:
            click.echo(f"{'ok  ' if item.ok else 'FAIL'}  {item.check}: {item.detail}")
    return 0 if all(item.ok for item in findings) else UnavailableError.exit_status


def examine(client: Any) -> Iterator[Finding]:
    """Yield the finding of each check."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("storage", lambda: _storage(client)),
        ("coordinator", lambda: _coordinator(client)),
        ("log sinks", lambda: _log_sinks(client)),
        ("this machine", _machine),
    ]
    for name, check in checks:
        try:
            yield Finding(name, True, check())
        except (GomrError, StorageError, CoordinatorError, OSError) as error:
            yield Finding(name, False, str(error))


def _storage(client: Any) -> str:
    """Write, read a range, list and delete an object; see that a second create is refused."""
    storage = client.plugins.open_storage(client.config.text("storage"))
    key, data = f"doctor/{secrets.token_hex(8)}", b"0123456789"
    try:
        first, second = storage.create(key, data), storage.create(key, b"other")
        if storage.read(key, 2, 3) != b"234":
            raise StorageError("a ranged read gave other bytes than were written")
        if [info.key for info in storage.list(key)] != [key]:
            raise StorageError("a new object is not in the list")
        storage.delete([key])
    finally:
        storage.close()
    exclusive = "put-if-absent is exclusive" if first and not second else "put-if-absent OVERWRITES (gomr copes)"
    return f"{client.config.lookup('storage').origin}: write, range, list, delete work; {exclusive}"


def _coordinator(client: Any) -> str:
    """Identify the cluster, then grant, keep and end a lease."""
    identity = client.cluster.identify()
    coordinator = client.cluster.coordinator
    lease = coordinator.grant_lease(10.0)
    if coordinator.keep_lease(lease) <= 0:
        raise CoordinatorError("a fresh lease is gone at once")
    coordinator.revoke_lease(lease)
    return f"{client.config.lookup('coordinator').origin}: cluster {identity[:8]}, transactions and leases work"


def _log_sinks(client: Any) -> str:
    urls = client.config.items("logs") or []
    for url in urls:
        client.plugins.open_log_sink(url).close(1.0)
    return ", ".join(parse(url).scheme for url in urls) or "none"


def _machine() -> str:
    """Say what executables this machine can run."""
    from gomr.executables import offers

    found = offers()
    return f"{' '.join(found['pythons'])} on {found['platform']}"
