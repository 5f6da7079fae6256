"""What a function of the job gave, as pairs."""

from collections.abc import Generator, Iterable, Mapping
from typing import Any

from gomr.job.errors import PairError
from gomr.job.keys import Key


def pairs_of(result: Any) -> Iterable[Any]:
    """Return what a function of the job gave as pairs: a mapping's items, nothing for None."""
    if isinstance(result, Generator):  # nearly always, and quick to tell
        return result
    if isinstance(result, Mapping):
        return result.items()
    return () if result is None else result


def unpacked(pair: Any, function: str) -> tuple[Key, Any]:
    """Return what `function` of the job yielded as (key, value). Raises PairError for anything but two in a row."""
    if isinstance(pair, (tuple, list)) and len(pair) == 2:
        return pair[0], pair[1]
    raise PairError(f"{function}: got {pair!r:.200} where a (key, value) pair was expected")
