"""Sizes and times as people write and read them."""

import re

from gomr.errors import UsageError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
    "K": 2**10,
    "M": 2**20,
    "G": 2**30,
    "T": 2**40,
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def parse_size(text: str | int) -> int:
    """Return a size in bytes: a number, or one with a unit (32MB is 32,000,000; 32MiB and 32M are 33,554,432).

    Raises UsageError for anything else, and for less than one byte.
    """
    found = _SIZE.fullmatch(str(text))
    if found is None or found[2].upper() not in _UNITS:
        raise UsageError(f"{text!r} is not a size; write bytes, or a number with KB, MB, GB, KiB, MiB, GiB")
    size = int(float(found[1]) * _UNITS[found[2].upper()])
    if size < 1:
        raise UsageError(f"{text!r} is not a size: it is less than one byte")
    return size


def shown_size(size: float) -> str:
    """Return a size in bytes as a short text."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def shown_seconds(seconds: float) -> str:
    """Return a duration as a short text."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d} min"
