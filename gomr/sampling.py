"""Chooses where the partitions of a sort begin: keys of a sample of the inputs, cut into equal parts."""

import bz2
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from gomr.backends import Storage
from gomr.model import Input

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SAMPLES_MAX = 256  # places that are looked at: with the bytes of each, 100 records a partition and more
SAMPLE_BYTES = 32 * 1024
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
    """Return where to look: evenly over the bytes of all inputs, of compressed ones at their beginning."""
    total_bytes = sum(item.size for item in inputs)
    step = max(SAMPLE_BYTES, total_bytes / SAMPLES_MAX)
    places = []
    before, wanted = 0, step / 2
    for item in inputs:
        while wanted < before + item.size:
            places.append((item, int(wanted - before)))
            wanted += step
        before += item.size
    return places or [(item, 0) for item in inputs[:1]]


def _whole_records(storage: Storage, key: str, item: Input, offset: int, record_bytes: int) -> list[bytes]:
    """Return the records near `offset` that are whole, lines without their ends."""
    for suffix, decompress in DECOMPRESSORS.items():
        if item.url.endswith(suffix):
            try:
                data, offset = decompress(storage.read(key, 0, SAMPLE_BYTES)), 0
            except (OSError, EOFError, zlib.error, zstd.ZstdError):  # the task that reads it says what is wrong
                return []
            break
    else:
        if record_bytes:
            offset -= offset % record_bytes
        data = storage.read(key, offset, SAMPLE_BYTES + record_bytes)
    if record_bytes:
        return [data[at : at + record_bytes] for at in range(0, len(data) - record_bytes + 1, record_bytes)]
    lines = data.split(b"\n")
    return lines[1 if offset else 0 : -1] or lines[:1]


def _keys(records: list[bytes], sort: Mapping[str, int]) -> list[bytes]:
    return [record[sort["start"] : sort["stop"]] for record in records]
