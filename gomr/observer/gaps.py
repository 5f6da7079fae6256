"""Reads of a range only what is not known yet, where keys come and never change."""

from collections.abc import Callable, Iterable

from gomr.backends import Range

RANGES_MAX = 16  # of one reading: a transaction holds 101 operations, and a look at a job reads several kinds of keys


def gaps(known: Iterable[tuple[int, int]], total: int, key_of: Callable[[int], str], end: str) -> list[Range]:
    """Return ranges over the keys of the numbers from 0 to below `total` that are not known.

    `known` holds pairs: from this number, to below that one. `key_of` gives the key of a number, in the order of the
    numbers; `end` ends the range of all. Where there would be more than RANGES_MAX, the shortest known runs are read
    again.
    """
    runs: list[list[int]] = []
    for first, after in sorted(known):
        if runs and runs[-1][1] >= first:
            runs[-1][1] = max(runs[-1][1], after)
        else:
            runs.append([first, after])
    longest = sorted(runs, key=lambda run: run[0] - run[1])[: RANGES_MAX - 1]
    ranges = []
    start = 0
    for first, after in sorted(longest):
        if first > start:
            ranges.append(Range(key_of(start), key_of(first)))
        start = after
    if start < total:
        ranges.append(Range(key_of(start), end))
    return ranges
