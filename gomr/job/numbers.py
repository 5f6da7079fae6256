"""NumPy's scalars as the Python numbers that they equal, without an import of NumPy."""

import sys
from typing import Any

_CONTAINERS = frozenset({tuple, list, dict, set, frozenset})


def number_of(value: Any) -> bool | int | float | None:
    """Return the Python number that a NumPy scalar equals; None for anything else."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, getattr(numpy, "generic", ())):
        return None
    if isinstance(value, numpy.timedelta64) or not isinstance(value, (numpy.number, numpy.bool_)):
        return None  # a span of time is an integer to NumPy, of a unit that its number does not tell
    number = value.item()
    return number if type(number) in (bool, int, float) else None  # a long double's is a long double


def with_numbers(value: Any) -> Any:
    """Return `value`, with Python's numbers in place of the NumPy scalars in it and in its plain containers."""
    if "numpy" not in sys.modules:
        return value
    kind = type(value)
    if kind not in _CONTAINERS:
        number = number_of(value)
        return value if number is None else number
    if kind is dict:
        return {with_numbers(key): with_numbers(item) for key, item in value.items()}
    return kind(map(with_numbers, value))
