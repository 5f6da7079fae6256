"""Finds inputs on this machine: files, folders and wildcards, links followed; pipes are read into a spool."""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from gomr.backends import COPY_BYTES, checked_key, file_version
from gomr.errors import Denied, UnavailableError, UsageError
from gomr.model import SPOOLED, Input
from gomr.selection import ACROSS, fits, has_wildcard, is_hidden

FILE = "file://"
STANDARD_INPUT = "-"
# What the kernel makes up as it is read: its size says nothing, and another process finds something else there.
MADE_UP = ("/proc/", "/dev/fd/", "/dev/stdin")
KINDS = {stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a device", stat.S_IFCHR: "a device", stat.S_IFIFO: "a pipe"}


@dataclass(slots=True)
class Spool:
    """Where standard input and pipes are kept until they are in the cluster's storage.

    `bytes_max` bounds all of them together: a pipe that never ends must not fill the disk.
    """

    folder: Path
    bytes_max: int
    _used: int = 0
    _count: int = 0
    _kept: dict[str, Input] = field(default_factory=dict)

    def keep(self, name: str, source: str | int) -> Input:
        """Read a path or a file descriptor to its end; return the input. Raises UsageError, UnavailableError."""
        if name not in self._kept:
            path = self.folder / f"spooled-{self._count}"
            self._count += 1
            try:
                # A descriptor is not ours to close.
                with open(source, "rb", closefd=isinstance(source, str)) as pipe, path.open("wb") as file:
                    while data := pipe.read(COPY_BYTES):
                        self._used += len(data)
                        if self._used > self.bytes_max:
                            raise UsageError(
                                f"{name}: more than {self.bytes_max} bytes came (--spool-limit); give a larger limit, "
                                "or put the data into a file or a bucket first"
                            )
                        file.write(data)
            except OSError as error:
                raise UnavailableError(f"{name}: cannot be read into {self.folder}: {error.strerror}") from error
            found = path.stat()
            self._kept[name] = Input(f"{SPOOLED}{path}", found.st_size, file_version(found), name)
        return self._kept[name]


class LocalFiles:
    """Finds inputs among the files of this machine; `left_out` counts hidden names that were passed over."""

    def __init__(self, spool: Spool | None) -> None:
        self._spool = spool
        self.left_out = 0

    def find(self, pattern: str) -> list[Input]:
        """Return what a path or a `file://` URL names. Raises UsageError, UnavailableError."""
        if pattern == STANDARD_INPUT:
            return [self._standard_input()]
        path = _path_of(pattern)
        if "\0" in path:
            raise UsageError(f"{pattern!r}: a name has no NUL in it")
        if os.path.lexists(path):
            found = _stat(path, pattern)
            if stat.S_ISDIR(found.st_mode):
                return self._below(path, [ACROSS])
            return [self._named(path, found)]
        if not has_wildcard(path):
            return []
        parts = path.split("/")
        first = next(number for number, part in enumerate(parts) if has_wildcard(part))
        base = "/".join(parts[:first]) or ("/" if path.startswith("/") else ".")
        return self._below(base, [part for part in parts[first:] if part])

    def _below(self, folder: str, parts: list[str]) -> list[Input]:
        walk = _Walk(folder)
        found = sorted(walk.files(parts), key=lambda pair: pair[0])
        self.left_out += walk.left_out
        return [_input(path, info) for path, info in found]

    def _named(self, path: str, found: os.stat_result) -> Input:
        """Return the input for a file that was named: also what only looks like one."""
        made_up = _is_made_up(path)
        if stat.S_ISREG(found.st_mode) and not made_up:
            return _input(path, found)
        if stat.S_ISCHR(found.st_mode) and _is_terminal(path):
            raise UsageError(f"{path}: a terminal; pipe something in, or name a file")
        if made_up or stat.S_ISFIFO(found.st_mode):
            return self._spooled(path, path)
        raise UsageError(f"{path}: {_kind(found)} cannot be an input; files, folders and pipes can")

    def _standard_input(self) -> Input:
        try:
            descriptor = sys.stdin.fileno()
        except (AttributeError, OSError, ValueError):
            raise UsageError("-: standard input is closed; name an input, or pipe something in") from None
        if os.isatty(descriptor):
            raise UsageError("-: standard input is a terminal; pipe something in, or name a file")
        return self._spooled("-", descriptor)

    def _spooled(self, name: str, source: str | int) -> Input:
        if self._spool is None:
            raise UsageError(f"{name}: not a plain file; only a submit reads pipes")
        return self._spool.keep(name, source)


class _Walk:
    """The files below one folder: each real file once, each real folder once; what is no link comes first."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._seen: set[tuple[str, ...]] = set()
        self._files: set[str] = set()
        self._links: list[tuple[str, list[str]]] = []
        self.left_out = 0

    def files(self, parts: list[str]) -> Iterator[tuple[str, os.stat_result]]:
        """Yield the files that fit the parts of a wildcard, and what is known of each."""
        yield from self._below(self._folder, parts)
        while self._links:
            path, rest = self._links.pop(0)
            found = _stat(path, path)
            if not stat.S_ISDIR(found.st_mode):
                yield from self._file(path, found, rest, os.path.realpath(path))
            elif rest:
                yield from self._below(path, rest)

    def _below(self, folder: str, parts: list[str]) -> Iterator[tuple[str, os.stat_result]]:
        pending = [(folder, parts)]
        while pending:
            folder, parts = pending.pop()
            real = os.path.realpath(folder)
            if (real, *parts) in self._seen:
                continue
            self._seen.add((real, *parts))
            for entry in _entries(folder):
                path = entry.name if folder == "." else os.path.join(folder, entry.name)  # noqa: PTH118
                for rest in self._rests(entry.name, parts):
                    if entry.is_symlink():
                        self._links.append((path, rest))
                    elif not entry.is_dir(follow_symlinks=False):
                        yield from self._file(path, None, rest, os.path.join(real, entry.name))  # noqa: PTH118
                    elif rest:
                        pending.append((path, rest))

    def _file(
        self, path: str, found: os.stat_result | None, rest: list[str], real: str
    ) -> Iterator[tuple[str, os.stat_result]]:
        if rest or real in self._files:
            return
        self._files.add(real)
        found = found or _stat(path, path)
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(
                f"{path}: {_kind(found)}; folders and wildcards take files alone: take it away, or name the files"
            )
        if real.startswith(MADE_UP):
            raise UsageError(f"{path}: made up by the kernel; name such files one by one")
        yield path, found

    def _rests(self, name: str, parts: list[str]) -> list[list[str]]:
        """Return what is left of the wildcard below this name, for each way to read `**`: [] takes a file."""
        if not parts:
            return []
        if parts[0] != ACROSS:
            if fits(name, parts[0]):
                return [parts[1:]]
            self.left_out += fnmatchcase(name, parts[0])
            return []
        if len(parts) == 1:
            self.left_out += is_hidden(name)
            return [] if is_hidden(name) else [[], parts]
        below = [] if is_hidden(name) else [parts]
        return [*below, *self._rests(name, parts[1:])]


def _entries(folder: str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        # The fixed part of a wildcard that leads nowhere; or a folder deleted since.
        return []
    except OSError as error:
        raise UnavailableError(f"{folder}: cannot be listed: {error.strerror}") from error


def _path_of(pattern: str) -> str:
    """Return the path that an argument means: `~` leads home, as in a shell, unless a file is so named."""
    if pattern.startswith(FILE):
        path = pattern.removeprefix(FILE)
        if not path.startswith("/"):
            raise UsageError(f"{pattern}: write file:///absolute/path")
        return path
    if pattern.startswith("~") and not os.path.lexists(pattern):
        # Of pathlib's and os's ways to do this, only this one leaves a home alone that is not there.
        return os.path.expanduser(pattern)  # noqa: PTH111
    return pattern


def _stat(path: str, shown: str) -> os.stat_result:
    try:
        return os.stat(path)  # noqa: PTH116
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UsageError(f"{shown}: a link that leads to itself; delete it, or name the files") from error
        if os.path.islink(path):  # noqa: PTH114
            raise UsageError(
                f"{shown}: a broken link: it leads to {os.readlink(path)}, which is not there; "  # noqa: PTH115
                "mend or delete it, or name the other files"
            ) from error
        raise UnavailableError(f"{shown}: cannot be read: {error.strerror}") from error


def _input(path: str, found: os.stat_result) -> Input:
    whole = os.path.abspath(path)  # noqa: PTH100 - takes ".." away, follows no link
    try:
        checked_key(whole[1:])
    except Denied as error:
        raise UsageError(f"{path!a}: cannot be an input: {error}; rename it, or name the other files") from error
    return Input(f"{FILE}{whole}", found.st_size, file_version(found))


def _kind(found: os.stat_result) -> str:
    return KINDS.get(stat.S_IFMT(found.st_mode), "not a file")


def _is_made_up(path: str) -> bool:
    return any(name.startswith(MADE_UP) for name in (os.path.abspath(path), os.path.realpath(path)))  # noqa: PTH100


def _is_terminal(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)
