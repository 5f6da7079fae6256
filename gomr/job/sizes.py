"""How many bytes a key or value takes in memory: an estimate that depends on the data alone.

Measured process memory would differ from run to run, and with it the places where a combiner runs; a run with
faults must give the bytes of a run without.
"""

from sys import getsizeof
from typing import Any

KEY_OVERHEAD_BYTES = 190  # a dict entry at its usual load, and an empty list of values with one slot
NUMBER_BYTES = 32  # between a small int, which takes only its slot in a list, and a large one with its slot
_DEPTH_MAX = 4
_SAMPLE = 16


def size_of(value: Any, depth: int = 0) -> int:
    """Estimate the bytes of `value`, containers with their contents."""
    kind = type(value)
    if kind is str or kind is bytes:
        return getsizeof(value) + 8
    if kind is int or kind is float or value is None:
        return NUMBER_BYTES
    size = getsizeof(value) + 8
    if depth < _DEPTH_MAX:
        if kind in (list, tuple, set, frozenset):
            size += _sampled(value, depth)
        elif isinstance(value, dict):
            size += _sampled(value.keys(), depth) + _sampled(value.values(), depth)
        elif hasattr(value, "__dict__"):
            size += size_of(value.__dict__, depth + 1)
    return size


def _sampled(items: Any, depth: int) -> int:
    """Estimate the bytes of a container's items from the first few of them."""
    sample = [size_of(item, depth + 1) for item, _ in zip(items, range(_SAMPLE), strict=False)]
    return sum(sample) * len(items) // len(sample) if sample else 0
