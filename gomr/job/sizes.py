"""How many bytes a key or value takes in memory: an estimate that depends on the data alone.

Measured process memory would differ from run to run, and with it the places where a combiner runs; a run with
faults must give the bytes of a run without.
"""

from collections import deque
from itertools import islice
from sys import getsizeof
from typing import Any

KEY_OVERHEAD_BYTES = 190  # a dict entry at its usual load, and an empty list of values with one slot
NUMBER_BYTES = 32  # between a small int, which takes only its slot in a list, and a large one with its slot
_PACKED_BYTES = getsizeof([b""]) + getsizeof(b"") + 16
_DEPTH_MAX = 4
_SAMPLE = 16


def size_of(value: Any, depth: int = 0) -> int:
    """Estimate the bytes of `value`, containers with their contents."""
    kind = type(value)
    if kind is str or kind is bytes:
        return getsizeof(value) + 8
    if kind is float or value is None or (kind is int and value.bit_length() <= 64):
        return NUMBER_BYTES
    if kind is list and len(value) == 1 and type(value[0]) is bytes:  # packed: nearly all that is not plain
        return _PACKED_BYTES + len(value[0])
    size = getsizeof(value) + 8
    if depth < _DEPTH_MAX:
        if isinstance(value, (set, frozenset)):
            size += sum(size_of(item, depth + 1) for item in value)  # no sample: their order differs by process
        elif isinstance(value, (list, tuple, deque)):
            size += _sampled(value, depth)
        elif isinstance(value, dict):
            size += _sampled(value.keys(), depth) + _sampled(value.values(), depth)
        if hasattr(value, "__dict__"):
            size += size_of(value.__dict__, depth + 1)
        for base in kind.__mro__[:-1]:
            slots = base.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                size += size_of(getattr(value, name, None), depth + 1)
    return size


def _sampled(items: Any, depth: int) -> int:
    """Estimate the bytes of a container's items from the first few of them."""
    sample = [size_of(item, depth + 1) for item in islice(items, _SAMPLE)]
    return sum(sample) * len(items) // len(sample) if sample else 0
