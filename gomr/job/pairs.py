"""What a function of the job gave, as pairs."""

from collections.abc import Generator, Iterable, Mapping
from typing import Any

from gomr.job.errors import PairError, shown
from gomr.job.keys import Key

SHOWN_CHARACTERS_MAX = 200  # of what is no pair: enough to find it in the job file


def pairs_of(result: Any, function: str) -> Iterable[Any]:
    """Return what `function` of the job gave as pairs: a mapping's items, nothing for None. Raises PairError."""
    if isinstance(result, Generator):  # nearly always, and quick to tell
        return result
    kind = type(result)
    if kind is list or result is None:
        return result or ()
    if isinstance(result, Mapping):
        return result.items()
    if kind is tuple and len(result) == 2 and not isinstance(result[0], (tuple, list)):
        raise PairError(f"{function} returned one pair, {_short(result)}; write `yield key, value`")
    if isinstance(result, (str, bytes)) or not hasattr(kind, "__iter__"):
        raise PairError(
            f"{function} returned {_short(result)}, of type {kind.__name__}; "
            "it gives (key, value) pairs: write `yield key, value`"
        )
    return result  # type: ignore[no-any-return]


def as_pair(pair: Any, function: str) -> tuple[Key, Any]:
    """Return what `function` of the job yielded as (key, value). Raises PairError for anything but two in a row."""
    if isinstance(pair, (tuple, list)) and len(pair) == 2:
        return pair[0], pair[1]
    raise PairError(
        f"{function} yielded {_short(pair)}, of type {type(pair).__name__}, where a (key, value) pair was expected"
    )


def _short(value: object) -> str:
    return shown(value, SHOWN_CHARACTERS_MAX)
