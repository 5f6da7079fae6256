"""Turns what a user calls inputs into a list of objects, and cuts those into splits.

A split is a list of pieces `[input, offset, length]`: a byte range of one large object, or several small objects
whole, so that ten thousand small files are not ten thousand tasks.
"""

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gomr.backends import Storage
from gomr.errors import Denied, NotFound, Unavailable, UnavailableError, UsageError
from gomr.model import STORED, Input
from gomr.patience import PatientStorage
from gomr.urls import URL

SPLIT_BYTES = 16 * 1024 * 1024  # some seconds of work in Python: short enough to lose, long enough to pay for itself
SPLIT_BYTES_MIN = 4 * 1024 * 1024  # takes several times as long as starting its task
SPLITS_MIN = 8  # of inputs that are large enough: a slot waits for the last task of a stage, and few are coarse
RECORDS_SPLIT_BYTES = 30_000_000  # to sort a byte of a record costs little: fewer blocks are merged the faster
RECORDS_SPLIT_MEMORY = 17  # times its size: what sorting 100-byte records at once takes of --memory
PARTITION_BYTES = 64 * 1024 * 1024  # of input: a reduce of it is well worth its process, and fits into little memory
PARTITIONS_DEFAULT_MAX = 64
PIECES_PER_SPLIT_MAX = 1000
TASKS_MAX = 100_000  # a job record of some 10 MB, which every worker reads once
ALIGN_BELOW_BYTES = 1024 * 1024  # smaller splits are worth a look at the data: a range in which no line starts is none
COMPRESSED = (".gz", ".bz2", ".zst")
WILDCARD = re.compile(r"[*?\[]")

Piece = list[int]
OpenStorage = Callable[[str | URL], Storage]
COPIES = "inputs/"  # the folder of the cluster's storage for inputs that were copied at submit


class Inputs:
    """Finds and reads inputs: local paths, URLs of any storage that a plugin serves, copies in the cluster's own.

    An input in another bucket of the cluster's own server is reached with the options of the cluster's `own_url`.
    """

    def __init__(self, open_storage: OpenStorage, own: Storage, own_url: URL | None = None) -> None:
        self._open_storage = open_storage
        self._own = own
        self._own_url = own_url
        self._storages: dict[str, Storage] = {}

    def find(self, patterns: Sequence[str]) -> list[Input]:
        """Return the objects that `patterns` name, in order, each once. Raises UsageError where one names none."""
        found: dict[str, Input] = {}
        for pattern in patterns:
            matches = list(self._find(pattern))
            if not matches:
                raise UsageError(f"{pattern}: no such input; a folder or wildcard must match at least one file")
            found.update((match.url, match) for match in matches if match.url not in found)
        return list(found.values())

    def locate(self, url: str) -> tuple[Storage, str]:
        """Return the storage that holds the object at `url`, and its key there."""
        scheme, _, rest = url.partition("://")
        if url.startswith(STORED):
            return self._own, f"{COPIES}{rest}"
        host, _, key = rest.partition("/")
        root = f"{scheme}://{host}/"
        if "@" in host:
            raise UsageError(
                f"{scheme}://***@{host.rpartition('@')[2]}: an input's URL has no user and no password; "
                "the storage of the cluster is reached with its own, another one as its plugin finds them"
            )
        if root not in self._storages:
            own = self._own_url
            target = replace(own, host=host, path="/") if own is not None and own.scheme == scheme and host else root
            self._storages[root] = PatientStorage(self._open_storage(target))
        return self._storages[root], key

    def close(self) -> None:
        """Close the storages that were opened."""
        for storage in self._storages.values():
            storage.close()
        self._storages.clear()

    def _find(self, pattern: str) -> Iterator[Input]:
        if "://" not in pattern:
            for path in _local_files(pattern):
                yield self._input(f"file://{os.path.abspath(path)}")  # noqa: PTH100 - takes ".." away, follows no link
            return
        if not WILDCARD.search(pattern):
            try:
                yield self._input(pattern)
                return
            except NotFound:
                pass  # a folder, perhaps
        storage, key = self.locate(pattern)
        root = pattern[: len(pattern) - len(key)]
        prefix = WILDCARD.split(key)[0]
        wanted = _glob_pattern(key) if prefix != key else re.compile(re.escape(key.rstrip("/") + "/"))
        for info in storage.list(prefix):
            if wanted.match(info.key):
                yield Input(root + info.key, info.size, info.version)

    def _input(self, url: str) -> Input:
        storage, key = self.locate(url)
        try:
            info = storage.stat(key)
        except (Denied, Unavailable) as error:
            raise UnavailableError(f"{url}: cannot be read: {error}") from error
        return Input(url, info.size, info.version)


def split_bytes_for(total_bytes: int, record_bytes: int, memory_bytes: int) -> int:
    """Return the input of one map task where none is given; `record_bytes` is 0 but for a job that sorts records."""
    if record_bytes:
        return min(RECORDS_SPLIT_BYTES, memory_bytes // RECORDS_SPLIT_MEMORY)
    return max(SPLIT_BYTES_MIN, min(SPLIT_BYTES, -(-total_bytes // SPLITS_MIN)))


def cut(
    inputs: Sequence[Input],
    split_bytes: int,
    *,
    splittable: bool,
    locate: Callable[[str], tuple[Storage, str]],
    record_bytes: int = 0,
) -> list[list[Piece]]:
    """Cut `inputs` into splits of about `split_bytes`: at ends of lines, or of records of `record_bytes`.

    Raises UsageError where they would be too many, or where an input does not consist of such records.
    """
    if record_bytes:
        split_bytes = max(1, split_bytes // record_bytes) * record_bytes
        _check_records(inputs, record_bytes)
    splits: list[list[Piece]] = []
    small: list[Piece] = []
    small_bytes = 0
    for number, item in enumerate(inputs):
        if item.size == 0 and splittable:  # it has no line; as an object of its own it is one record
            continue
        if item.size <= split_bytes or not splittable or item.url.endswith(COMPRESSED):
            if small and (small_bytes + item.size > split_bytes or len(small) >= PIECES_PER_SPLIT_MAX):
                splits.append(small)
                small, small_bytes = [], 0
            small.append([number, 0, item.size])
            small_bytes += item.size
        else:
            if small:
                splits.append(small)
                small, small_bytes = [], 0
            offsets = range(0, item.size, split_bytes) if record_bytes else _offsets(item, split_bytes, locate)
            for offset in offsets:
                splits.append([[number, offset, min(split_bytes, item.size - offset)]])
                _check_count(len(splits), split_bytes)
    if small:
        splits.append(small)
    _check_count(len(splits), split_bytes)
    return splits


def partitions_for(total_bytes: int) -> int:
    """Return the number of partitions where neither the user nor the job file says one."""
    return max(1, min(PARTITIONS_DEFAULT_MAX, -(-total_bytes // PARTITION_BYTES)))


def _offsets(item: Input, split_bytes: int, locate: Callable[[str], tuple[Storage, str]]) -> Iterable[int]:
    """Return where the ranges of a large object start; of small ranges only those in which a line starts."""
    if split_bytes >= ALIGN_BELOW_BYTES:
        return range(0, item.size, split_bytes)
    storage, key = locate(item.url)
    return _line_ranges(storage.chunks(key, 0, item.size), item.size, split_bytes)


def _line_ranges(chunks: Iterable[bytes], size: int, split_bytes: int) -> Iterator[int]:
    yield 0
    last, base = 0, 0
    for chunk in chunks:
        position = chunk.find(b"\n")
        while position >= 0:
            start = (base + position + 1) // split_bytes * split_bytes
            if start > last and base + position + 1 < size:
                yield start
                last = start
            position = chunk.find(b"\n", max(position + 1, last + split_bytes - 1 - base))
        base += len(chunk)


def _check_records(inputs: Sequence[Input], record_bytes: int) -> None:
    for item in inputs:
        if item.size % record_bytes and not item.url.endswith(COMPRESSED):
            raise UsageError(
                f"{item.shown}: {item.size} bytes are no whole number of records of {record_bytes} bytes "
                "(record_bytes of the job file's sort)"
            )


def _check_count(count: int, split_bytes: int) -> None:
    if count > TASKS_MAX:
        raise UsageError(
            f"--split-size {split_bytes} cuts these inputs into more than {TASKS_MAX} splits, the most of one job; "
            "give a larger one"
        )


def _local_files(pattern: str) -> Iterator[Path]:
    """Yield the files that a path, a folder or a wildcard names, sorted; hidden ones only when named."""
    path = Path(pattern).expanduser()
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file, path))
    else:
        for name in sorted(glob.glob(str(path), recursive=True)):  # noqa: PTH207 - absolute patterns too
            if Path(name).is_file():
                yield Path(name)


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _glob_pattern(pattern: str) -> re.Pattern[str]:
    """Return a wildcard as a regular expression: `**` crosses folders, `*` and `?` do not."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(meaning.get(part) or (part if part.startswith("[") else re.escape(part)) for part in parts) + r"\Z"
    )
