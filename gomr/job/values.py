"""Values on their way from a mapper to a reducer: each is one's own, and is read once, in its turn.

A plain value (None, a number, a str, bytes, a tuple of these) cannot change, and travels as it is. Any other value is
packed the moment it is yielded: what the job's code does to the object later changes nothing, no two pairs share a
part of it, and what cannot be packed is known while the record that made it is still in hand.
"""

import pickle
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NoReturn

from gomr.job.errors import PairError, ValuesError, shown
from gomr.job.numbers import number_of

PLAIN = frozenset({int, float, str, bytes, bool, type(None)})
_PLAIN_OR_TUPLE = PLAIN | {tuple}
_PICKLE_PROTOCOL = 5
_NAMES_A_CLASS = b"\x93"  # pickle's STACK_GLOBAL: where it is not, there is nothing but plain values and containers
_CONTAINERS = frozenset({tuple, list, dict, set, frozenset})
_UNCHANGING = frozenset(
    {
        *(("datetime", name) for name in ("date", "datetime", "time", "timedelta")),
        *(("decimal", "Decimal"), ("fractions", "Fraction"), ("builtins", "complex"), ("uuid", "UUID")),
    }
)

# A packed value is a list of one bytes object: marshal writes it as it is, and no plain value is a list.
Packed = list[bytes]
_tried: set[type] = set()


def packed(value: Any, function: str) -> Any:
    """Return `value` as it travels: a plain one itself, any other as Packed.

    Raises PairError, which names `function`, for an iterator and for what pickle does not take or give back.
    """
    kind = type(value)
    if kind in PLAIN or (kind is tuple and is_plain(value)):
        return value
    if hasattr(kind, "__next__"):
        raise PairError(f"{function}: a value is {_named(kind)}, which can be read only once; yield list(...) of it")
    try:
        data = pickle.dumps(value, _PICKLE_PROTOCOL)
        if _NAMES_A_CLASS in data and (kind not in _tried or kind in _CONTAINERS):
            # A class may refuse to be made again: better known now than in a reducer.
            pickle.loads(data)  # noqa: S301 - written above
            _tried.add(kind)
    except Exception as error:
        raise PairError(
            f"{function}: the value {shown(value)} of type {kind.__name__} cannot travel to a reducer, "
            f"since pickle does not take it and give it back: {type(error).__name__}: {error}; "
            "yield plain values: numbers, texts, tuples, lists, dicts"
        ) from error
    return [data]


def unpacked(value: Any) -> Any:
    """Return the value that travelled as `value`, a new object where it was packed. Raises PairError."""
    if value.__class__ is not list:
        return value
    try:
        return pickle.loads(value[0])  # noqa: S301 - written by this executable, and checked
    except Exception as error:
        raise PairError(
            f"a value cannot be made again from what pickle wrote: {type(error).__name__}: {error}; "
            "yield plain values, or mend the __reduce__ of its class"
        ) from error


def own(value: Any, function: str) -> Any:
    """Return `value`, or a copy that shares nothing with it where it could change. Raises PairError like `packed`."""
    kind = type(value)
    if kind in PLAIN or (kind.__module__, kind.__name__) in _UNCHANGING:
        return value
    number = number_of(value)
    return unpacked(packed(value, function)) if number is None else number


def is_plain(values: tuple[Any, ...]) -> bool:
    """Say whether a tuple holds nothing but plain values, and tuples of them."""
    kinds = {*map(type, values)}
    if kinds <= PLAIN:
        return True
    return kinds <= _PLAIN_OR_TUPLE and all(is_plain(part) for part in values if type(part) is tuple)


class Values:
    """The values of one key: an iterator that says so where it is read a second time, or after its key's turn."""

    __slots__ = ("_end", "_stream")

    def __init__(self, base: Iterator[Any], has_packed: bool) -> None:
        self._end = end = _End()
        # A chain, and no method of ours: sum(values) makes no step of Python for each value.
        self._stream = chain(map(unpacked, base) if has_packed else base, end)

    def __iter__(self) -> Iterator[Any]:
        """Return a plain iterator over what is not read yet. Raises ValuesError where nothing can be."""
        if self._end.is_over or self._end.is_read:
            refuse_reading(self._end.is_over)
        return self._stream

    def __next__(self) -> Any:
        """Return the next value. Raises ValuesError after the key's turn."""
        if self._end.is_over:
            refuse_reading(True)
        return next(self._stream)


class _End:
    """The end of a chain of values: it notes that they are all read, or says that their turn is over."""

    is_over = is_read = False

    def __iter__(self) -> Iterator[Any]:
        if self.is_over:
            refuse_reading(True)
        self.is_read = True
        return iter(())


def in_turn(groups: Iterable[tuple[Any, Iterator[Any]]], *, has_packed: bool) -> Iterator[tuple[Any, Values]]:
    """Yield `(key, values)` for each key and the values held for it; a key's turn ends when the next is asked for.

    Whatever still reads its values then, also an iterator made of them, is told so.
    """
    for key, base in groups:
        values = Values(base, has_packed)
        yield key, values
        end = values._end
        end.is_over = True
        if not end.is_read:
            deque(base, maxlen=0)


def refuse_reading(is_over: bool) -> NoReturn:
    """Raise ValuesError: the turn of the values `is_over`, or they were read to their end before."""
    if is_over:
        raise ValuesError(
            "values are read after their turn: they are a stream, which ends when the next key begins; "
            "keep what you need of them, such as list(values)"
        )
    raise ValuesError(
        "values are read a second time: they are a stream, and were read to their end; "
        "keep them first, values = list(values), or go on with one iterator, stream = iter(values)"
    )


def _named(kind: type) -> str:
    return "values, the stream of a key," if kind.__name__ == "Values" else f"an iterator ({kind.__name__})"
