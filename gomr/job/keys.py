"""Keys: which are allowed, their order, and the partition each belongs to on every machine.

A key is None, a bool, int, float, str, bytes, or a tuple of keys. 1, 1.0 and True are one key. What is of a class
derived from one of these (a StrEnum, a named tuple), or a number of NumPy's, is the plain key that it stands for. The
order is None < numbers < str < bytes < tuple, within a tuple element by element.
"""

import math
import struct
import zlib
from collections.abc import Callable, Collection, Iterable
from typing import Any

from gomr.job.errors import PairError, shown
from gomr.job.numbers import number_of

Key = Any

_NUMBERS = frozenset({int, float, bool})
PLAIN_KEYS = frozenset({str, bytes, int, bool, type(None)})
_BASES: tuple[tuple[type, Callable[[Any], Key]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, lambda key: bytes.__getitem__(key, slice(None))),
    (tuple, lambda key: tuple(tuple.__iter__(key))),
)
_RANKS: dict[type, int] = {type(None): 0, bool: 1, int: 1, float: 1, str: 2, bytes: 3, tuple: 4}
_STR_SEED, _BYTES_SEED = zlib.crc32(b"s"), zlib.crc32(b"b")


def plain_key(key: Key) -> Key:
    """Return the plain key that `key` is, or stands for. Raises PairError for what is no key."""
    kind = type(key)
    if kind is tuple:
        for part in key:  # of pairs of texts, the most frequent ones: no function is called, no set made
            if type(part) not in PLAIN_KEYS:
                return tuple(map(plain_key, key))
        return key
    if kind in PLAIN_KEYS:
        return key
    if kind is float:
        if math.isnan(key):
            raise PairError("a key is NaN, which is equal to no key; yield None or a string in its place")
        return key
    return plain_key(_base_of(key))


def _base_of(key: Key) -> Key:
    """Return what a key of another class stands for, whatever methods that class has. Raises PairError."""
    number = number_of(key)
    if number is not None:
        return number
    for base, plain in _BASES:
        if isinstance(key, base):
            return plain(key)
    raise PairError(
        f"key {shown(key)} is of type {type(key).__name__}; keys are None, bool, int, float, str, bytes, "
        "or tuples of them; yield one of these, such as str(key)"
    )


def order(key: Key) -> tuple[int, Any]:
    """Return a value whose plain comparison is the order of keys of any type."""
    kind = type(key)
    if kind is tuple:
        return 4, tuple(order(part) for part in key)
    return _RANKS[kind], (0 if key is None else key)


def order_kind(keys: Iterable[Key]) -> type | None:
    """Return the one type that `keys` can be compared in plainly, or None where `order` is needed."""
    kinds = set(map(type, keys))
    if not kinds - _NUMBERS:
        return int
    if len(kinds) == 1:
        kind = kinds.pop()
        if kind is str or kind is bytes:
            return kind
    return None


def sort_keys(keys: Iterable[Key]) -> list[Key]:
    """Return `keys` in order."""
    keys = list(keys)
    if order_kind(keys) is not None:
        keys.sort()
    else:
        keys.sort(key=order)
    return keys


def partition_of(key: Key, partitions: int) -> int:
    """Return the partition of `key`: CRC-32 of its canonical bytes, the same in every process."""
    if type(key) is str:
        return zlib.crc32(key.encode("utf-8", "surrogatepass"), _STR_SEED) % partitions
    return zlib.crc32(canonical(key)) % partitions


def partitions_of(keys: Collection[Key], partitions: int) -> list[int]:
    """Return `partition_of` for each of `keys`: one loop without calls, where all are str or all bytes."""
    kind = order_kind(keys)
    crc32 = zlib.crc32
    if kind is bytes:
        return [crc32(key, _BYTES_SEED) % partitions for key in keys]
    if kind is str:
        try:
            return [crc32(key.encode(), _STR_SEED) % partitions for key in keys]
        except UnicodeEncodeError:  # surrogates: undecodable input bytes
            pass
    return [partition_of(key, partitions) for key in keys]


def canonical(key: Key) -> bytes:
    """Return bytes that are equal for equal keys and differ for different ones."""
    kind = type(key)
    if kind is str:
        return b"s" + str(key).encode("utf-8", "surrogatepass")
    if kind is bytes:
        return b"b" + bytes(key)
    if key is None:
        return b"0"
    if kind is tuple:
        parts = [canonical(part) for part in key]
        return b"t" + b"".join(struct.pack(">I", len(part)) + part for part in parts)
    if kind is float and not key.is_integer():  # an infinity is no integer either
        return b"f" + struct.pack(">d", key)
    return b"i%x" % int(key)  # hexadecimal: of any length


def representative(key: Key) -> Key:
    """Return the one of equal keys that a partitioner is asked about: of True, 1 and 1.0, whichever came first, 1."""
    kind = type(key)
    if kind is tuple:
        return tuple(map(representative, key))
    return int(key) if kind is bool or (kind is float and key.is_integer()) else key
