"""Brings a task's input to this machine as plain bytes in local files: ranges cut at lines, inputs decompressed."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from gomr.backends import COPY_BYTES, Storage
from gomr.content import (
    BOM,
    DAMAGE,
    HEAD_BYTES,
    LibraryMissing,
    judged,
    no_text_message,
    open_plain,
    wants_text,
    why_no_text,
)
from gomr.errors import Denied, NotFound
from gomr.inputs import Inputs
from gomr.job.contract import Piece
from gomr.model import STORED, Input, JobRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import TaskFacts
from gomr.worker.outcome import TaskFailed

S = TypeVar("S")
T = TypeVar("T")
FETCHES_MAX = 8  # objects on their way to one task at a time: more than a slow round trip needs, few for a server
SCAN_BYTES = 64 * 1024  # to look for the end of a line


class InputError(Exception):
    """An input is not what it was at submit, or cannot be read: trying again is of no use."""


def map_pieces(inputs: Inputs, record: JobRecord, index: int, scratch: Path, decompressed_bytes: int) -> list[Piece]:
    """Return the pieces of a map task. Raises InputError."""
    split, is_text = record.describe["input"]["split"], wants_text(record.describe)

    def fetch(number: int, source: int, offset: int, length: int) -> Piece | None:
        item = record.input(source)
        with _reading(item):
            return fetch_from(number, item, *inputs.locate(item.url), offset, length)

    def fetch_from(number: int, item: Input, storage: Storage, key: str, offset: int, length: int) -> Piece | None:
        copy = scratch / f"input-{number}"
        is_copied_at_submit = item.url.startswith(STORED)
        if storage.local_path(key) is not None and not is_copied_at_submit:
            check_unchanged(storage, key, item)
        start, stop = offset, offset + length
        if split == "lines" and not item.compression:
            start, stop = whole_lines(storage, key, item.size, start, stop)
        if start >= stop and split == "lines":
            return None
        piece = _local_piece(storage, key, start, stop - start, copy, item.shown)
        if start == 0:
            with _reading_locally(item):
                piece = _opened(
                    *(item, piece, copy, split),
                    is_text=is_text,
                    is_whole=stop >= item.size,
                    limit_bytes=decompressed_bytes,
                )
        if storage.local_path(key) is None and not is_copied_at_submit:
            check_unchanged(storage, key, item)
        return piece

    sources = [(number, *piece) for number, piece in enumerate(record.splits[index])]
    return [piece for piece in in_parallel(lambda source: fetch(*source), sources) if piece is not None]


def reduce_pieces(
    cluster: Cluster, job: str, stage: str, maps: list[TaskFacts], partition: int, scratch: Path
) -> list[Piece]:
    """Return the blocks of one partition, in split order."""

    def fetch(task: TaskFacts) -> Piece:
        offset, length = task.blocks[partition]
        key = keys.attempt_object(job, stage, task.index, task.done.nonce)
        return _local_piece(cluster.storage, key, offset, length, scratch / f"block-{task.index}", "")

    return in_parallel(fetch, [task for task in maps if task.blocks[partition][1]])


def in_parallel(work: Callable[[S], T], items: Sequence[S]) -> list[T]:
    """Return what `work` makes of each item, in order; the storage requests count for the task of this thread."""
    if len(items) <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(FETCHES_MAX, len(items)), "fetch") as pool:
        futures = [pool.submit(copy_context().run, work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def check_unchanged(storage: Storage, key: str, item: Input) -> None:
    """Raise InputError unless the input is what it was at submit; NotFound or Denied where it is not to be had."""
    info = storage.stat(key)
    if (info.size, info.version) != (item.size, item.version):
        raise InputError(f"{item.shown}: the input changed after the job was submitted; submit the job again")


def check_all_unchanged(inputs: Inputs, record: JobRecord, index: int) -> None:
    """Raise InputError where an input that a map task read in its place changed meanwhile."""
    for source, _, _ in record.splits[index]:
        item = record.input(source)
        storage, key = inputs.locate(item.url)
        if storage.local_path(key) is not None and not item.url.startswith(STORED):
            with _reading(item):
                check_unchanged(storage, key, item)


def whole_lines(storage: Storage, key: str, size: int, start: int, stop: int) -> tuple[int, int]:
    """Return the range of the lines that start within `start` to `stop`: each line belongs to one split."""
    first = 0 if start == 0 else _line_start(storage, key, size, start)
    last = size if stop >= size else _line_start(storage, key, size, stop)
    return first, last


def piece_facts(pieces: list[Piece]) -> list[dict[str, object]]:
    """Return pieces as the task file holds them."""
    return [asdict(piece) for piece in pieces]


@contextlib.contextmanager
def _reading(item: Input) -> Iterator[None]:
    """Blame what is wrong with an input on it, and what this machine may not read on the machine."""
    try:
        yield
    except NotFound:
        raise InputError(f"{item.shown}: the input was deleted after the job was submitted") from None
    except Denied as error:
        raise TaskFailed({"kind": "host", "message": f"{item.shown}: the input cannot be read: {error}"}) from error


@contextlib.contextmanager
def _reading_locally(item: Input) -> Iterator[None]:
    """Blame a local file that is gone on the input, and one that this machine may not read on the machine."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{item.shown}: the input cannot be read: {error.strerror}") from error
    except PermissionError as error:
        message = f"{item.shown}: the input cannot be read: {error.strerror}"
        raise TaskFailed({"kind": "host", "message": message}) from error


def _line_start(storage: Storage, key: str, size: int, position: int) -> int:
    """Return the first start of a line at or after `position`; `size` where none follows."""
    position -= 1  # a newline just before makes `position` itself a start
    while position < size:
        data = storage.read(key, position, SCAN_BYTES)
        if not data:
            raise InputError(f"{key}: the input ended at byte {position}, before its size of {size}")
        found = data.find(b"\n")
        if found >= 0:
            return position + found + 1
        position += len(data)
    return size


def _local_piece(storage: Storage, key: str, offset: int, length: int, copy: Path, name: str) -> Piece:
    local = storage.local_path(key)
    if local is not None:
        return Piece(str(local), offset, length, name)
    with copy.open("wb") as file:
        for data in storage.chunks(key, offset, length):
            file.write(data)
    return Piece(str(copy), 0, length, name)


def _opened(
    item: Input, piece: Piece, copy: Path, split: str, *, is_text: bool, is_whole: bool, limit_bytes: int
) -> Piece:
    """Return the beginning of an input as its task reads it: decompressed, without a byte order mark.

    Raises InputError for what is plainly no text, where the job reads text.
    """
    compression, head = item.compression, _head(piece)
    if compression is None:
        # The submit left it to us. What it cut into ranges is plain.
        compression = judged(item.shown, head, split) if is_whole else ""
    if compression:
        plain = copy.with_suffix(".plain")
        _decompress(item.shown, compression, Path(piece.path), plain, limit_bytes)
        if Path(piece.path) == copy:
            copy.unlink()
        piece = Piece(str(plain), 0, plain.stat().st_size, piece.name)
        head = _head(piece)
    if not is_text:
        return piece
    if problem := why_no_text(head):
        raise InputError(no_text_message(item.shown, problem))
    mark = len(BOM) if head.startswith(BOM) else 0
    return Piece(piece.path, piece.offset + mark, piece.length - mark, piece.name)


def _head(piece: Piece) -> bytes:
    with Path(piece.path).open("rb") as file:
        file.seek(piece.offset)
        return file.read(min(HEAD_BYTES, piece.length))


def _decompress(name: str, compression: str, packed: Path, target: Path, limit_bytes: int) -> None:
    written = 0
    with target.open("wb") as file:
        try:
            with packed.open("rb") as source, open_plain(compression, source) as plain:
                while data := plain.read(COPY_BYTES):
                    written += len(data)
                    if written > limit_bytes:
                        raise InputError(
                            f"{name}: decompresses to more than {limit_bytes} bytes "
                            "(--decompressed-limit of the worker)"
                        )
                    file.write(data)
        except LibraryMissing as error:
            # Another worker may have it.
            raise TaskFailed({"kind": "host", "message": f"{name}: {error}"}) from error
        except DAMAGE as error:
            raise InputError(f"{name}: not a whole .{compression} file: {error}") from error
        except RuntimeError as error:
            # lz4 says so what is wrong with a frame.
            raise InputError(f"{name}: not a whole .{compression} file: {error}") from error
        except OSError as error:
            if error.errno is None:  # bz2 says "Invalid data stream" so
                raise InputError(f"{name}: not a whole .{compression} file: {error}") from error
            raise
