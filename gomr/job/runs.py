"""Sorted runs on scratch disk, and their merge in several passes of bounded fan-in."""

import heapq
import operator
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from gomr.job.errors import HostError, PairError, UserError, shown
from gomr.job.frames import Entry, FrameSizes, Writable, read_entries, write_entries
from gomr.job.keys import Key, order, partitions_of, representative, sort_keys

FAN_IN_MAX = 64  # open files, and a frame in memory for each
FRAME_BYTES = 512 * 1024  # a frame of ordinary records once decoded
ANSWER_CHARACTERS_MAX = 100  # of a key or a partition, in a sentence
DECODED_SIZE = 2  # times its bytes on disk: large values are strings and buffers, which hardly grow


Block = tuple[str, int, int]  # a path, and where in that file: offset and length


@dataclass(frozen=True, slots=True)
class Partitioning:
    """How keys are dealt to `count` partitions: by the job's `partitioner` in `of`, or by stable hash."""

    count: int
    of: Callable[[Key, int], int] | None = None

    def deal(self, keys: Collection[Key]) -> list[list[Key]]:
        """Return `keys` by partition, sorted. Raises UserError where the job's partitioner fails."""
        if self.count == 1 and self.of is None:
            return [sort_keys(keys)]
        numbers = partitions_of(keys, self.count) if self.of is None else map(self.chosen, keys)
        parts: list[list[Key]] = [[] for _ in range(self.count)]
        for key, number in zip(keys, numbers, strict=True):
            parts[number].append(key)
        return [sort_keys(part) for part in parts]

    def chosen(self, key: Key) -> int:
        """Return the partition that the job's function chooses.

        Raises UserError with the key where that fails, or answers no partition.
        """
        assert self.of is not None
        key = representative(key)
        try:
            partition = self.of(key, self.count)
            if not hasattr(partition, "__index__") or not 0 <= operator.index(partition) < self.count:
                raise PairError(
                    f"partitioner: for key {shown(key, ANSWER_CHARACTERS_MAX)} it answered "
                    f"{shown(partition, ANSWER_CHARACTERS_MAX)}, of type {type(partition).__name__}; "
                    f"the answer must be an int from 0 to {self.count - 1}"
                )
        except (Exception, SystemExit) as error:
            raise UserError(error, record=key, source="partitioner") from error
        return operator.index(partition)


@dataclass(frozen=True, slots=True)
class Run:
    """A scratch file with one sorted block for each partition, at `offsets[p]` to `offsets[p + 1]`.

    `kind` is the one type that all its keys can be compared in plainly, None where they need `order`; `frame_bytes`
    is its largest frame.
    """

    path: Path
    offsets: tuple[int, ...]
    kind: type | None
    frame_bytes: int

    def place(self, partition: int) -> tuple[int, int]:
        """Return where the block of `partition` is: offset and length."""
        start, stop = self.offsets[partition : partition + 2]
        return start, stop - start


class RunStore:
    """Writes runs into `folder`, up to `limit_bytes` in all. Raises HostError when there is no more room.

    `memory_bytes` is what frames that are merged may take.
    """

    def __init__(self, folder: Path, limit_bytes: int, memory_bytes: int) -> None:
        self._folder = folder
        self._left_bytes = limit_bytes
        self._limit_bytes = limit_bytes
        self._count = 0
        self.memory_bytes = memory_bytes

    def write(self, partitions: int, write_block: Callable[[Writable, int], object], kind: type | None = None) -> Run:
        """Write one run: `write_block(file, partition)` writes each partition's frames in turn, with keys of `kind`."""
        path = self._folder / f"run-{self._count}"
        self._count += 1
        offsets = [0]
        with path.open("wb") as file:
            frames = FrameSizes(file)
            for partition in range(partitions):
                write_block(frames, partition)
                offsets.append(frames.written)
        self._left_bytes -= offsets[-1]
        if self._left_bytes < 0:
            raise HostError(
                f"the task's scratch files exceed {self._limit_bytes} bytes; "
                "raise --scratch-limit, or give smaller splits or more partitions"
            )
        return Run(path, tuple(offsets), kind, frames.largest)

    def fan_in(self, runs: Iterable[Run]) -> int:
        """Return how many of `runs` may be merged at once: a decoded frame of each is in memory."""
        frame_bytes = max(FRAME_BYTES, *(DECODED_SIZE * run.frame_bytes for run in runs))
        return max(2, min(FAN_IN_MAX, self.memory_bytes // frame_bytes))

    def remove(self, runs: Iterable[Run]) -> None:
        """Delete runs that were merged into another."""
        for run in runs:
            run.path.unlink()
            self._left_bytes += run.offsets[-1]


def that_fit(blocks: Iterable[Block], memory_bytes: int, frame_bytes: Callable[[Block], int]) -> Iterator[list[Block]]:
    """Yield runs of blocks of which a frame each fits into memory; two blocks at least, or there would be no end."""
    group: list[Block] = []
    group_bytes = 0
    for block in blocks:
        size = frame_bytes(block)
        if len(group) >= 2 and group_bytes + size > memory_bytes:
            yield group
            group, group_bytes = [], 0
        group.append(block)
        group_bytes += size
    yield group


def merged(store: RunStore, runs: list[Run], partition: int) -> Iterator[tuple[Key, Iterator[Any]]]:
    """Yield `(key, values)` of `partition` over `runs`; equal keys' values come in the order of the runs."""
    entries = merged_entries(store, runs, partition)
    for _, group in groupby(entries, key=_comparison(runs)):
        key, head = next(group)
        yield key, chain(head, chain.from_iterable(map(operator.itemgetter(1), group)))  # noqa: B031 - what next() left


def merged_entries(store: RunStore, runs: list[Run], partition: int) -> Iterator[Entry]:
    """Yield the entries of `partition` over `runs` in order; a key may stand in several.

    Where the runs are more than the fan-in, consecutive ones are first merged into longer ones, in place in `runs`.
    """
    while len(runs) > (fan_in := store.fan_in(runs)):
        groups = [runs[start : start + fan_in] for start in range(0, len(runs), fan_in)]
        runs[:] = [_merge_group(store, group) for group in groups]
    return _merge(runs, partition)


def _merge_group(store: RunStore, group: list[Run]) -> Run:
    if len(group) == 1:
        return group[0]
    count = len(group[0].offsets) - 1
    run = store.write(count, lambda file, partition: write_entries(file, _merge(group, partition)), _common_kind(group))
    store.remove(group)
    return run


def _merge(runs: list[Run], partition: int) -> Iterator[Entry]:
    readers = [_read(run, partition) for run in runs]
    return heapq.merge(*readers, key=_comparison(runs))


def _common_kind(runs: list[Run]) -> type | None:
    """Return the one type that the keys of all `runs` can be compared in plainly."""
    kinds = {run.kind for run in runs}
    return kinds.pop() if len(kinds) == 1 else None


def _comparison(runs: list[Run]) -> Callable[[Entry], Any]:
    """Return what entries of `runs` are compared by: calling `order` for every key costs five times as much."""
    return operator.itemgetter(0) if _common_kind(runs) is not None else _entry_order


def _entry_order(entry: Entry) -> tuple[int, Any]:
    return order(entry[0])


def _read(run: Run, partition: int) -> Iterator[Entry]:
    start, length = run.place(partition)
    with run.path.open("rb") as file:
        file.seek(start)
        yield from read_entries(file, length)
