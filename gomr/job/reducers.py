"""Well-known reducers as values, which the runtime folds pair by pair, without lists of values."""

from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from typing import Any


class KnownReducer:
    """An associative reducer: usable as `reducer` and as `combiner`, and folded as pairs arrive."""

    def __init__(self, name: str, fold: Callable[[Any, Any], Any], summary: str) -> None:
        self.name = name
        self.fold = fold
        self.__doc__ = summary

    def __call__(self, key: Any, values: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield `(key, folded values)`."""
        yield key, reduce(self.fold, values)

    def __repr__(self) -> str:
        return f"gomr.{self.name}"


total = KnownReducer("total", lambda so_far, value: so_far + value, "The sum of a key's values.")
largest = KnownReducer("largest", lambda so_far, value: max(value, so_far), "The largest value of a key.")
smallest = KnownReducer("smallest", lambda so_far, value: min(value, so_far), "The smallest value of a key.")
first = KnownReducer("first", lambda so_far, _value: so_far, "The first value of a key, in input order.")
