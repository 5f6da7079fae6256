"""Which names a folder or a wildcard takes: the part of the rule for inputs that needs no storage."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

WILDCARDS = "*?["
ACROSS = "**"


def has_wildcard(text: str) -> bool:
    """Say whether a path or key may be a wildcard."""
    return any(letter in text for letter in WILDCARDS)


def is_hidden(name: str) -> bool:
    """Say whether folders and wildcards leave this name out: ".x", and "_x" such as the markers of Hadoop and Spark.

    "_date=2026-11-28" is the folder of a partition, which Spark reads, too.
    """
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def is_left_out(path: str) -> bool:
    """Say whether any name of a path below a folder is hidden."""
    return any(is_hidden(name) for name in path.split("/"))


def fits(name: str, pattern: str) -> bool:
    """Say whether one name fits one part of a wildcard: a hidden one only where the part begins as it does."""
    return fnmatchcase(name, pattern) and (not is_hidden(name) or pattern.startswith(name[0]))


def matches(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Say whether a path, in names, fits a wildcard, in parts; the part `**` stands for any number of folders."""
    if not parts:
        return not names
    if parts[0] != ACROSS:
        return bool(names) and fits(names[0], parts[0]) and matches(names[1:], parts[1:])
    if len(parts) == 1:
        return bool(names) and not any(map(is_hidden, names))
    if matches(names, parts[1:]):
        return True
    return len(names) > 1 and not is_hidden(names[0]) and matches(names[1:], parts)
