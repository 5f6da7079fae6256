"""Makes a machine odd for one process: its mounts, its control group, its user. All of it needs root."""

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

CGROUP = Path("/sys/fs/cgroup")
NOBODY = 54321
"""The number of a user that no system has."""


def in_mounts(script: str) -> list[str]:
    """Return the start of a command line that sees the mounts of a shell script, and nobody else does."""
    _need_root()
    return ["unshare", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "odd"]


def read_only(*folders: Path, but: Sequence[Path] = ()) -> list[str]:
    """Return the start of a command line for which folders are read-only, but for some below them."""
    lines = [f"mount --bind {folder} {folder}" for folder in (*folders, *but)]
    lines += [f"mount -o remount,bind,ro {folder}" for folder in folders]
    return in_mounts("\n".join([*lines, "cd /"]))


def as_nobody() -> list[str]:
    """Return the start of a command line that runs as a user without a passwd entry.

    Where the interpreter or the checkout lies in a folder that root alone can read, that folder shows these alone.
    """
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    seen = [Path(sys.base_prefix), Path(sys.prefix), Path(__file__).parents[1]]
    hidden: dict[Path, list[Path]] = {}
    for path in seen:
        closed = [parent for parent in path.parents if not parent.stat().st_mode & 0o001]
        if closed:
            hidden.setdefault(closed[-1], []).append(path)
    lines = []
    for top, paths in hidden.items():
        lines += [f"hold{number}=$(mktemp -d); mount --bind {path} $hold{number}" for number, path in enumerate(paths)]
        lines += [f"mount -t tmpfs -o mode=755 tmpfs {top}"]
        for number, path in enumerate(paths):
            lines += [f"mkdir -p {path}; mount --bind $hold{number} {path}"]
            lines += [f"umount -l $hold{number}; rmdir $hold{number}"]
    return [*in_mounts("\n".join([*lines, 'cd "$PWD"'])), *user]


class ControlGroup:
    """A control group of version 1 or 2 with one limit; it is there while the block runs."""

    def __init__(self, controller: str, limit: str) -> None:
        _need_root()
        name = f"gomr-test-{secrets.token_hex(4)}"
        first = CGROUP / controller
        self.folder = (first if first.is_dir() else CGROUP) / name
        if not first.is_dir():
            (CGROUP / "cgroup.subtree_control").write_text(f"+{controller}")
        self.folder.mkdir()
        self._limit = self.folder / limit
        assert self._limit.exists(), f"no control group with {limit} can be made here"

    def limit(self, value: int | str) -> None:
        """Set the limit."""
        self._limit.write_text(str(value))

    def count(self) -> int:
        """Return how many processes and threads are in it."""
        return int((self.folder / "pids.current").read_text())

    @property
    def below(self) -> list[str]:
        """The start of a command line that runs in the group."""
        return ["sh", "-ec", f'echo $$ > {self.folder}/cgroup.procs\nexec "$@"', "odd"]

    def end(self) -> None:
        """Kill what is left in the group, and delete it."""
        while left := (self.folder / "cgroup.procs").read_text().split():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
        self.folder.rmdir()


@contextlib.contextmanager
def few_processes() -> Iterator[ControlGroup]:
    """Yield a control group that limits processes and threads."""
    group = ControlGroup("pids", "pids.max")
    try:
        yield group
    finally:
        group.end()


@contextlib.contextmanager
def little_memory() -> Iterator[ControlGroup]:
    """Yield a control group that limits memory."""
    first = (CGROUP / "memory").is_dir()
    group = ControlGroup("memory", "memory.limit_in_bytes" if first else "memory.max")
    try:
        yield group
    finally:
        group.end()


def _need_root() -> None:
    if os.geteuid() != 0:
        pytest.fail("an odd machine needs root: run these tests as root, as CI does")
