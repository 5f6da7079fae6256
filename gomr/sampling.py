"""Chooses where the partitions of a sort begin: keys of a sample of the inputs, cut into equal parts."""

import bz2
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gomr.backends import Storage
from gomr.model import Input

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SAMPLES_MAX = 256  # places that are looked at: with the bytes of each, 100 records a partition and more
SAMPLE_BYTES = 32 * 1024
PACKED_BYTES_MAX = 2 * 1024 * 1024  # of a compressed input: it cannot be entered in the middle
READS_AT_A_TIME = 8
KEY_BYTES_MAX = 64  # of a partition's first key: enough to part any two keys that matter to the balance
GZIP_WINDOW = 31  # of zlib: a gzip header, the largest window
DECOMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: zlib.decompressobj(GZIP_WINDOW).decompress(data),
    ".bz2": lambda data: bz2.BZ2Decompressor().decompress(data),
    ".zst": lambda data: zstd.ZstdDecompressor().decompress(data),
}


def range_starts(
    inputs: Sequence[Input],
    locate: Callable[[str], tuple[Storage, str]],
    sort: Mapping[str, int],
    partitions: int,
) -> list[bytes]:
    """Return the first keys of all partitions but the first; `sort` says what records and keys are (`Sort.facts`).

    Wrong guesses cost balance, never order. Raises StorageError where an input cannot be read.
    """
    if partitions < 2:
        return []
    places = _places(inputs)

    def keys_at(place: tuple[Input, int]) -> list[bytes]:
        item, offset = place
        storage, key = locate(item.url)
        return _keys(_whole_records(storage, key, item, offset, sort["record_bytes"]), sort)

    with ThreadPoolExecutor(READS_AT_A_TIME, "sample") as pool:
        keys = sorted(key for found in pool.map(keys_at, places) for key in found)
    if not keys:
        return [b""] * (partitions - 1)
    return [keys[len(keys) * number // partitions][:KEY_BYTES_MAX] for number in range(1, partitions)]


def _places(inputs: Sequence[Input]) -> list[tuple[Input, int]]:
    """Return where to look: evenly over the bytes of all inputs; at the beginning of compressed ones, once."""
    total_bytes = sum(item.size for item in inputs)
    step = max(SAMPLE_BYTES, total_bytes / SAMPLES_MAX)
    places: dict[tuple[str, int], Input] = {}
    before, wanted = 0, step / 2
    for item in inputs:
        while wanted < before + item.size:
            offset = 0 if item.url.endswith(tuple(DECOMPRESSORS)) else int(wanted - before)
            places[item.url, offset] = item
            wanted += step
        before += item.size
    return [(item, offset) for (_, offset), item in places.items()] or [(item, 0) for item in inputs[:1]]


def _whole_records(storage: Storage, key: str, item: Input, offset: int, record_bytes: int) -> list[bytes]:
    """Return the records near `offset` that are whole, lines without their ends."""
    decompress = DECOMPRESSORS.get(Path(item.url).suffix)
    if decompress is None:
        if record_bytes:
            offset -= offset % record_bytes
        return _cut(storage.read(key, offset, SAMPLE_BYTES + record_bytes), record_bytes, from_middle=offset > 0)
    size = SAMPLE_BYTES
    while True:
        try:
            found = _cut(decompress(storage.read(key, 0, size)), record_bytes, from_middle=False)
        except (OSError, EOFError, zlib.error, zstd.ZstdError):  # the task that reads it says what is wrong
            return []
        if found or size >= min(item.size, PACKED_BYTES_MAX):
            return found
        size *= 4  # its first block, which may be of a megabyte, has not ended yet


def _cut(data: bytes, record_bytes: int, *, from_middle: bool) -> list[bytes]:
    if record_bytes:
        return [data[at : at + record_bytes] for at in range(0, len(data) - record_bytes + 1, record_bytes)]
    lines = data.split(b"\n")
    return lines[1 if from_middle else 0 : -1] or [line for line in lines[:1] if line]


def _keys(records: list[bytes], sort: Mapping[str, int]) -> list[bytes]:
    return [record[sort["start"] : sort["stop"]] for record in records]
