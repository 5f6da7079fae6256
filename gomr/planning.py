"""Cuts the inputs of a job into splits.

A split is a list of pieces `[input, offset, length]`: a byte range of one large object, or several small objects
whole, so that ten thousand small files are not ten thousand tasks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from gomr.backends import Storage
from gomr.content import compression_named
from gomr.errors import UsageError
from gomr.model import Input

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

Piece = list[int]


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
        if item.size <= split_bytes or not splittable or is_compressed(item):
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


def is_compressed(item: Input) -> bool:
    """Say whether an input is compressed: by its name where nobody has looked at its bytes yet."""
    return bool(compression_named(item.shown) if item.compression is None else item.compression)


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
        if item.size % record_bytes and not is_compressed(item):
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
