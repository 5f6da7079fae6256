"""Blocks: sorted (key, values) entries as checked frames of a file, private to the executable.

A frame is a header (codec byte, payload length, CRC-32) and a payload: keys and values as two columns. `marshal`
version 2 (no references, so equal data gives equal bytes) carries them, values that pickle made bytes of included
(values.py); both are safe, because one job runs on one Python minor version, from one executable. The codec byte says
whether a frame has such values, and of what one kind its keys are: the native core wants to know before it reads it.
"""

import marshal
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from sys import getsizeof
from typing import Any, BinaryIO, NamedTuple, Protocol

from gomr.job.errors import HostError
from gomr.job.keys import Key
from gomr.job.sizes import size_of
from gomr.job.values import PLAIN

Entry = tuple[Key, list[Any]]

VALUES_PER_FRAME = 4096  # measured: from 1,000 to 20,000 records a frame the codecs cost the same
KEYS_AT_A_TIME = 1024  # few enough that most of them have few enough values for a frame
ORDINARY_RECORD_BYTES = 128  # a frame of larger values holds fewer of them
_SAMPLE = 8
HEADER = struct.Struct("<BII")
_PLAIN_FLAT, _PLAIN_LISTS, _PACKED_FLAT, _PACKED_LISTS = range(4)
_CODEC_MASK = 3
_MARSHAL_VERSION = 2
_KEY_KINDS: dict[type, int] = {int: 1 << 2, str: 2 << 2, bytes: 3 << 2}  # 0: of several kinds, or of another
_INTEGERS = range(-(2**63), 2**63)  # longer ones are of another kind


class Frame(NamedTuple):
    """A frame: keys, and for each its one value where it `is_flat`, else a list of its values."""

    keys: list[Key]
    values: list[Any]
    is_flat: bool
    has_packed: bool


class FrameSizes:
    """Writes to a file, and remembers the largest frame, and how many bytes they were."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.largest = 0
        self.written = 0

    def write(self, data: bytes) -> int:
        """Write one piece of a frame."""
        self.largest = max(self.largest, len(data))
        self.written += len(data)
        return self._file.write(data)


class Writable(Protocol):
    """What frames are written to."""

    def write(self, data: bytes, /) -> int:
        """Write `data`; return its length."""


def write_entries(file: Writable, entries: Iterable[Entry]) -> int:
    """Append `entries` to `file` as frames; return the bytes written."""
    written = weight = 0
    keys: list[Key] = []
    lists: list[list[Any]] = []
    for key, values in entries:
        value_weight = weight_of(values)
        key_weight = size_of(key) // ORDINARY_RECORD_BYTES
        step = max(1, VALUES_PER_FRAME // value_weight)
        if keys and weight + key_weight + len(values) * value_weight > VALUES_PER_FRAME:
            written += _write_lists(file, keys, lists)
            keys, lists, weight = [], [], 0
        last = 0
        while len(values) - last > step:  # one key may have more values than a frame: it stands in several
            written += _write_lists(file, [key], [values[last : last + step]])
            last += step
        keys.append(key)
        lists.append(values[last:] if last else values)
        weight += key_weight + len(lists[-1]) * value_weight
    if keys:
        written += _write_lists(file, keys, lists)
    return written


def write_groups(file: Writable, keys: list[Key], groups: Mapping[Key, list[Any]]) -> int:
    """Append the entries of `keys`, whose values are in memory, to `file` as frames; return the bytes written.

    Where all of some hundreds are small, they are a frame without a look at each.
    """
    written = 0
    for start in range(0, len(keys), KEYS_AT_A_TIME):
        some = keys[start : start + KEYS_AT_A_TIME]
        lists = list(map(groups.__getitem__, some))
        if _fit_into_a_frame(some, lists):
            written += _write_lists(file, some, lists)
        else:
            written += write_entries(file, zip(some, lists, strict=True))
    return written


def _fit_into_a_frame(keys: list[Key], lists: list[list[Any]]) -> bool:
    """Say whether entries of plain keys and values are small enough, all together."""
    values = list(chain.from_iterable(lists))
    if len(values) > VALUES_PER_FRAME or not {*map(type, keys), *map(type, values)} <= PLAIN:
        return False
    return sum(map(getsizeof, keys)) + sum(map(getsizeof, values)) <= VALUES_PER_FRAME * ORDINARY_RECORD_BYTES


def write_flat(file: Writable, keys: list[Key], values: list[Any]) -> int:
    """Append entries of one value each to `file` as frames; return the bytes written."""
    written = 0
    start = 0
    while start < len(keys):
        stop = start + VALUES_PER_FRAME
        weight = weight_of(keys[start:stop]) + weight_of(values[start:stop]) - 1
        stop = start + max(1, VALUES_PER_FRAME // weight)
        written += _write_frame(file, keys[start:stop], values[start:stop], flat=True)
        start = stop
    return written


def read_frames(file: BinaryIO, length: int) -> Iterator[Frame]:
    """Yield each frame in the next `length` bytes of `file`. Raises HostError on damage."""
    while length > 0:
        header = file.read(HEADER.size)
        if len(header) < HEADER.size:
            raise HostError("a block of map output is cut short")
        codec, size, checksum = HEADER.unpack(header)
        payload = file.read(size)
        if len(payload) < size or _checksum(codec, payload) != checksum:
            raise HostError("a block of map output is damaged: its checksum does not match")
        length -= HEADER.size + size
        try:
            keys, values = marshal.loads(payload)  # noqa: S302 - written by this executable, and checked
        except (ValueError, TypeError, EOFError) as error:
            raise HostError(f"a block of map output is damaged: {error}") from error
        codec &= _CODEC_MASK
        yield Frame(
            keys,
            values,
            is_flat=codec in (_PLAIN_FLAT, _PACKED_FLAT),
            has_packed=codec in (_PACKED_FLAT, _PACKED_LISTS),
        )


def largest_frame(path: str, offset: int, length: int) -> int:
    """Return the bytes of the largest frame in a block. Raises HostError on damage."""
    largest, end = 0, offset + length
    with Path(path).open("rb") as file:
        while offset < end:
            file.seek(offset)
            header = file.read(HEADER.size)
            if len(header) < HEADER.size:
                raise HostError("a block of map output is cut short")
            size: int = HEADER.unpack(header)[1]
            largest = max(largest, size)
            offset += HEADER.size + size
    return largest


def read_entries(file: BinaryIO, length: int) -> Iterator[Entry]:
    """Yield the entries of the next `length` bytes of `file`, in order."""
    for frame in read_frames(file, length):
        entries = zip(frame.keys, frame.values, strict=True)
        if frame.is_flat:
            for key, value in entries:
                yield key, [value]
        else:
            yield from entries


def weight_of(values: list[Any]) -> int:
    """Return the size of a value in units of an ordinary record, from a sample."""
    sizes = [size_of(value) for value in values[:: len(values) // _SAMPLE + 1]]
    return max(1, sum(sizes) // (len(sizes) or 1) // ORDINARY_RECORD_BYTES)


def _write_lists(file: Writable, keys: list[Key], lists: list[list[Any]]) -> int:
    flat = list(chain.from_iterable(lists))
    if len(flat) == len(keys):
        return _write_frame(file, keys, flat, flat=True)
    return _write_frame(file, keys, lists, flat=False)


def _write_frame(file: Writable, keys: list[Key], values: list[Any], *, flat: bool) -> int:
    if list in set(map(type, values if flat else chain.from_iterable(values))):
        codec = _PACKED_FLAT if flat else _PACKED_LISTS
    else:
        codec = (_PLAIN_FLAT if flat else _PLAIN_LISTS) | _key_kind(keys)
    payload = marshal.dumps((keys, values), _MARSHAL_VERSION)
    file.write(HEADER.pack(codec, len(payload), _checksum(codec, payload)))
    file.write(payload)
    return HEADER.size + len(payload)


def _key_kind(keys: list[Key]) -> int:
    kinds = set(map(type, keys))
    kind = kinds.pop()
    if kinds or (kind is int and not (keys[0] in _INTEGERS and keys[-1] in _INTEGERS)):  # they are sorted
        return 0
    return _KEY_KINDS.get(kind, 0)


def _checksum(codec: int, payload: bytes) -> int:
    """Return the checksum of a frame: of its codec, too, or a changed one would be read as another kind."""
    return zlib.crc32(payload, codec)
