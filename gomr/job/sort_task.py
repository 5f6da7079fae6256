"""Tasks that sort whole records by bytes of them, in a total order over all parts.

Records travel as they are, in frames with a codec of their own: a map task writes a sorted block for each range of
keys, a reduce task merges the blocks of one range. No code of the job's runs. Equal keys keep the order of the input.
"""

import heapq
import mmap
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from gomr.job import native
from gomr.job.contract import Piece, TaskFile
from gomr.job.errors import HostError, UserError
from gomr.job.formats import line_chunks
from gomr.job.frames import HEADER, Writable, largest_frame
from gomr.job.map_task import run_store, spill_bytes
from gomr.job.runs import Block, Run, RunStore, that_fit
from gomr.job.sort import Sort

RECORDS = 0x80  # the codec of a frame of records
FRAME_BYTES = 512 * 1024
DECODED_SIZE = 4  # times its bytes in memory: a frame whose records are Python objects
COPIES = 3  # of the bytes that are sorted: as they were read, as records, and in a frame
RECORD_OVERHEAD_BYTES = 100  # of each record: an object, its key's, or the core's three entries of it
PIECES_PER_BUDGET = 32  # so small that one of very short lines, which take 50 times their bytes, is within the budget
PIECE_BYTES_MIN = 64 * 1024
IN_MEMORY_SHARE = 8  # of the budget: blocks of fewer bytes are sorted in memory, without a heap
RECORDS_AT_A_TIME = 4096

Data = bytes | memoryview


class Sorted(Protocol):
    """Sorted records, in partitions."""

    def write(self, partition: int, write: Callable[[bytes], object], /) -> object:
        """Write a partition's records as frames."""


def run_sort_map(sort: Sort, task: TaskFile) -> dict[str, Any]:
    """Write a sorted block for each range of keys; return the facts for the result file."""
    starts = [bytes.fromhex(start) for start in task.ranges]
    store, count = run_store(task), len(starts) + 1
    runs: list[Run] = []
    records = 0
    last: Sorted = PureSorted(sort, b"", starts)
    for data in _batches(sort, task):
        if records:
            runs.append(_run(store, count, last))
            last = PureSorted(sort, b"", starts)  # two batches at once would take twice the memory
        records += sort.count(data)
        last = _sorted(sort, data, starts)
    if runs:
        runs.append(_run(store, count, last))
    blocks = []
    with Path(task.output).open("wb") as file:
        for partition in range(count):
            start = file.tell()
            if runs:
                parts = [(str(run.path), *run.place(partition)) for run in runs]
                _write_frames(file, _merged(sort, store, parts))
            else:
                last.write(partition, file.write)
            blocks.append([start, file.tell() - start])
    return {"records_in": records, "records_out": records, "blocks": blocks, "spills": len(runs)}


def run_sort_reduce(sort: Sort, task: TaskFile) -> dict[str, Any]:
    """Write the records of one range of keys in order; return the facts for the result file."""
    blocks = [(block.path, block.offset, block.length) for block in task.inputs]
    records = 0
    with Path(task.output).open("wb") as file:
        for data in _merged(sort, run_store(task), blocks):
            records += sort.count(data)
            file.write(data)
    return {"records_in": records, "records_out": records}


def _batches(sort: Sort, task: TaskFile) -> Iterator[Data]:
    """Yield the records of a task's inputs, as many at a time as may be sorted in memory."""
    budget = spill_bytes(task) // 2
    held: list[Data] = []
    held_bytes = 0
    for data in _pieces(sort, task, budget):
        needed = COPIES * len(data) + RECORD_OVERHEAD_BYTES * sort.count(data)
        if held and held_bytes + needed > budget:
            yield b"".join(held)
            held, held_bytes = [], 0
        held.append(data)
        held_bytes += needed
    if held:
        yield held[0] if len(held) == 1 else b"".join(held)


def _pieces(sort: Sort, task: TaskFile, budget: int) -> Iterator[Data]:
    for piece in task.inputs:
        with Path(piece.path).open("rb") as stream:
            if sort.record_bytes:
                yield from _of_one_length(sort.record_bytes, stream, piece, budget)
                continue
            stream.seek(piece.offset)
            for data in line_chunks(stream, piece.length, max(PIECE_BYTES_MIN, budget // PIECES_PER_BUDGET)):
                yield data if data.endswith(b"\n") else data + b"\n"


def _of_one_length(record_bytes: int, stream: BinaryIO, piece: Piece, budget: int) -> Iterator[Data]:
    """Yield records as many at a time as the budget takes, which is known before they are read.

    They stay where the file is mapped: to read them into memory not touched before takes half as long as to sort them.
    """
    if piece.length % record_bytes:
        problem = f"{piece.length} bytes are no whole number of records of {record_bytes} bytes"
        raise UserError(ValueError(problem), source=piece.name)
    if not piece.length:
        return
    size = max(1, budget // (COPIES * record_bytes + RECORD_OVERHEAD_BYTES)) * record_bytes
    mapped = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))  # until the last slice of it is gone
    data = mapped[piece.offset : piece.offset + piece.length]
    for start in range(0, piece.length, size):
        yield data[start : start + size]


def _sorted(sort: Sort, data: Data, starts: list[bytes]) -> Sorted:
    if native.core is None:
        return PureSorted(sort, bytes(data), starts)
    found: Sorted = native.core.RecordSort(data, sort.record_bytes, *sort.ends, starts)
    return found


class PureSorted:
    """Sorted without the native core."""

    def __init__(self, sort: Sort, data: bytes, starts: list[bytes]) -> None:
        self._sort = sort
        self._records = sort.records(data)
        self._records.sort(key=sort.key_of)
        cuts = (bisect_left(self._records, start, key=sort.key_of) for start in starts)
        self._bounds = [*pairwise([0, *cuts, len(self._records)])]

    def write(self, partition: int, write: Callable[[bytes], object]) -> None:
        """Write a partition's records as frames."""
        start, end = self._bounds[partition]
        for at in range(start, end, RECORDS_AT_A_TIME):
            write(_frame(self._sort.joined(self._records[at : min(end, at + RECORDS_AT_A_TIME)])))


def _frame(payload: bytes) -> bytes:
    return HEADER.pack(RECORDS, len(payload), zlib.crc32(payload, RECORDS)) + payload


def _run(store: RunStore, partitions: int, found: Sorted) -> Run:
    return store.write(partitions, lambda file, partition: found.write(partition, file.write))


def _write_frames(file: Writable, pieces: Iterable[bytes]) -> None:
    for data in pieces:
        file.write(_frame(data))


def _merged(sort: Sort, store: RunStore, blocks: list[Block]) -> Iterator[bytes]:
    """Yield the records of sorted blocks in order, many at a time; first merge some where memory holds too few."""
    made: list[Run] = []
    while len(groups := list(that_fit(blocks, store.memory_bytes, _frame_bytes))) > 1:
        before, made = made, [_merged_run(sort, store, group) for group in groups]
        store.remove(before)
        blocks = [(str(run.path), *run.place(0)) for run in made]
    yield from _merge(sort, store, blocks)
    store.remove(made)


def _frame_bytes(block: Block) -> int:
    """Return what a frame of a block takes in memory, at most."""
    if native.core is not None:
        return native.frame_bytes(block)
    return DECODED_SIZE * largest_frame(*block)


def _merged_run(sort: Sort, store: RunStore, blocks: list[Block]) -> Run:
    return store.write(1, lambda file, _partition: _write_frames(file, _merge(sort, store, blocks)))


def _merge(sort: Sort, store: RunStore, blocks: list[Block]) -> Iterator[bytes]:
    if native.core is not None:
        merge = native.core.RecordMerge(blocks, sort.record_bytes, *sort.ends)
        while data := merge.read(FRAME_BYTES):
            yield data
        return
    readers = [_read(sort, block) for block in blocks]
    if sum(length for _, _, length in blocks) <= store.memory_bytes // IN_MEMORY_SHARE:
        records = [record for reader in readers for record in reader]
        records.sort(key=sort.key_of)  # it finds the sorted runs, and merges them faster than a heap
        for at in range(0, len(records), RECORDS_AT_A_TIME):
            yield sort.joined(records[at : at + RECORDS_AT_A_TIME])
        return
    some: list[bytes] = []
    for record in heapq.merge(*readers, key=sort.key_of):
        some.append(record)
        if len(some) == RECORDS_AT_A_TIME:
            yield sort.joined(some)
            some.clear()
    if some:
        yield sort.joined(some)


def _read(sort: Sort, block: Block) -> Iterator[bytes]:
    path, offset, left = block
    with Path(path).open("rb") as file:
        file.seek(offset)
        while left > 0:
            header = file.read(HEADER.size)
            codec, size, checksum = HEADER.unpack(header) if len(header) == HEADER.size else (0, 0, 0)
            payload = file.read(size)
            if codec != RECORDS or len(payload) < size or zlib.crc32(payload, RECORDS) != checksum:
                raise HostError("a block of map output is damaged: its checksum does not match")
            left -= HEADER.size + size
            yield from sort.records(payload)
