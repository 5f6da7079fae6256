"""Well-known reducers as values, which the runtime folds pair by pair, without lists of values."""

from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from typing import Any

from gomr.job.numbers import with_numbers


class KnownReducer:
    """An associative reducer: usable as `reducer` and as `combiner`, and folded as pairs arrive."""

    def __init__(self, name: str, fold: Callable[[Any, Any], Any], summary: str) -> None:
        self.name = name
        self.fold = fold
        self.__doc__ = summary

    def __call__(self, key: Any, values: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield `(key, folded values)`."""
        yield key, self.finished(reduce(self.fold, map(with_numbers, values)))

    def finished(self, folded: Any) -> Any:
        """Return the result of a fold: a total of one bool is a number like any other total."""
        return int(folded) if folded.__class__ is bool and self is total else folded

    def __repr__(self) -> str:
        return f"gomr.{self.name}"


def _extreme(choose: Callable[[Any, Any], Any], so_far: Any, value: Any) -> Any:
    """Return the extreme of two; NaN stays NaN, so that the order in which values meet is of no account."""
    return so_far if so_far != so_far else value if value != value else choose(value, so_far)  # noqa: PLR0124


total = KnownReducer("total", lambda so_far, value: so_far + value, "The sum of a key's values.")
largest = KnownReducer("largest", lambda so_far, value: _extreme(max, so_far, value), "The largest value of a key.")
smallest = KnownReducer("smallest", lambda so_far, value: _extreme(min, so_far, value), "The smallest value of a key.")
first = KnownReducer("first", lambda so_far, _value: so_far, "The first value of a key, in input order.")
