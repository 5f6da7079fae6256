"""Chooses where the partitions of a sort begin: keys of a sample of the inputs, cut into equal parts."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from gomr.backends import Storage
from gomr.content import BOM, DAMAGE, HEAD_BYTES, begin, judged
from gomr.model import Input

SAMPLES_MAX = 256  # places that are looked at: with the bytes of each, 100 records a partition and more
SAMPLE_BYTES = 32 * 1024
PACKED_BYTES_MAX = 2 * 1024 * 1024  # of a compressed input: it cannot be entered in the middle
READS_AT_A_TIME = 8
KEY_BYTES_MAX = 64  # of a partition's first key: enough to part any two keys that matter to the balance


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
            offset = 0 if item.compression else int(wanted - before)
            places[item.url, offset] = item
            wanted += step
        before += item.size
    return [(item, offset) for (_, offset), item in places.items()] or [(item, 0) for item in inputs[:1]]


def _whole_records(storage: Storage, key: str, item: Input, offset: int, record_bytes: int) -> list[bytes]:
    """Return the records near `offset` that are whole, lines without their ends."""
    compression = item.compression
    if compression is None:
        compression = judged(item.shown, storage.read(key, 0, HEAD_BYTES), "records" if record_bytes else "lines")
    if not compression:
        if record_bytes:
            offset -= offset % record_bytes
        data = storage.read(key, offset, SAMPLE_BYTES + record_bytes)
        return _cut(data, record_bytes, from_middle=offset > 0)
    size = SAMPLE_BYTES
    while True:
        try:
            found = _cut(begin(compression, storage.read(key, 0, size)), record_bytes, from_middle=False)
        except (OSError, *DAMAGE):
            # The task that reads it says what is wrong.
            return []
        if found or size >= min(item.size, PACKED_BYTES_MAX):
            return found
        size *= 4  # its first block, which may be of a megabyte, has not ended yet


def _cut(data: bytes, record_bytes: int, *, from_middle: bool) -> list[bytes]:
    if record_bytes:
        return [data[at : at + record_bytes] for at in range(0, len(data) - record_bytes + 1, record_bytes)]
    lines = (data if from_middle else data.removeprefix(BOM)).split(b"\n")
    return lines[1 if from_middle else 0 : -1] or [line for line in lines[:1] if line]


def _keys(records: list[bytes], sort: Mapping[str, int]) -> list[bytes]:
    return [record[sort["start"] : sort["stop"]] for record in records]
