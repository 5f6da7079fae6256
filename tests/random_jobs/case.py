"""A random job: its pairs, its functions, and what a plain loop over its records gives."""

import enum
import functools
import pickle
import random
from collections import namedtuple
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy

import gomr
from gomr.job.definition import JobDefinition
from gomr.job.formats import INPUT_FORMATS
from gomr.job.keys import order
from gomr.job.outputs import OUTPUT_FORMATS

Point = namedtuple("Point", "x y")
Pair = tuple[Any, Any]
KNOWN = (gomr.total, gomr.largest, gomr.smallest, gomr.first)
LINES_MAX = 12


class Word(enum.StrEnum):
    A = "a"
    B = "b"


class Level(enum.IntEnum):
    ONE = 1
    TWO = 2


@dataclass
class Box:
    """A value of a class of the job's own."""

    items: list[Any]


PLAIN_KEYS: list[Any] = [
    *("a", "b", "word", "", "tab\there", "\udc80", "é", b"a", b"\xff", b"", None),
    *(0, 1, 2, -1, 2**31, 2**63 - 1, 2**63, -(2**70), True, False, 1.0, 0.5, -0.0, float("inf"), 1e300),
    *(("a", 1), (), ("a", (None, b"x")), (1, 2)),
]
LIKE_KEYS: list[tuple[Any, Any]] = [
    *((Word.A, "a"), (Word.B, "b"), (Level.ONE, 1), (Level.TWO, 2), (Point(1, 2), (1, 2))),
    *(((Word.A, Level.ONE), ("a", 1)), (numpy.int64(2), 2), (numpy.float32(0.5), 0.5)),
    *((numpy.bool_(True), True), (numpy.str_("word"), "word")),
]


class Case:
    """The job of a seed. Two of the same seed are alike, also in other processes."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        self.seed = seed
        self.keys = [self._key() for _ in range(dice.randint(1, 6))]
        self.shape = dice.choice(("numbers", "lists", "anything"))
        self.shared = [[1, 2], {"a": [3]}, Box([4])]
        count = dice.randint(1, LINES_MAX)
        self.pairs = [[self._pair() for _ in range(dice.randint(0, 5))] for _ in range(count)]
        self.reducer, self.combiner = self._functions()
        speaks_json = self.reducer is not exact and self.shape == "numbers" and float("inf") not in self.keys
        self.output_format = dice.choice(("text", "json")) if speaks_json else "text"
        self.is_generator = dice.random() < 0.6
        self.edits_later = dice.random() < 0.5
        self.splits = dice.randint(1, min(4, count))
        self.partitions = dice.randint(1, 4)
        self.partitioner = dice.choice((None, None, by_hash, by_text))

    def definition(self) -> JobDefinition:
        """Return the job."""
        return JobDefinition(
            module=__name__,
            mapper=self.yielding if self.is_generator else self.returning,
            reducer=self.reducer,
            combiner=self.combiner,
            partitioner=self.partitioner,
            setup=None,
            input_format=INPUT_FORMATS["lines"],
            output_format=OUTPUT_FORMATS[self.output_format],
        )

    def yielding(self, line: str) -> Iterator[Pair]:
        """Map a record, the number of its pairs; a generator, which may edit what it has yielded."""
        for key, value in self.pairs[int(line)]:
            own = pickle.loads(pickle.dumps(value)) if self.edits_later else value
            yield key, own
            if self.edits_later and isinstance(own, list):
                own.append("later")

    def returning(self, line: str) -> list[Pair] | dict[Any, Any]:
        """Map a record; a function, which returns its pairs."""
        pairs = self.pairs[int(line)]
        try:
            found = dict(pairs)
        except TypeError:
            return pairs
        return found if len(found) == len(pairs) else pairs

    def expected(self) -> list[bytes]:
        """Return the lines of the result, in the order of keys."""
        groups: dict[Any, list[Any]] = {}
        for line in range(len(self.pairs)):
            for key, value in self.pairs[line]:
                groups.setdefault(_plain(key), []).append(pickle.loads(pickle.dumps(value)))
        formatter = OUTPUT_FORMATS[self.output_format]
        return [formatter(*pair) for key in sorted(groups, key=order) for pair in self._reduced(key, groups[key])]

    def _reduced(self, key: Any, values: list[Any]) -> Iterable[Pair]:
        if self.reducer in KNOWN:
            numbers = [value.item() if isinstance(value, numpy.generic) else value for value in values]
            folded = functools.reduce(self.reducer.fold, numbers)
            return [(key, int(folded) if isinstance(folded, bool) and self.reducer is gomr.total else folded)]
        return list(self.reducer(key, iter(values)))

    def _key(self) -> Any:
        if self.dice.random() < 0.25:
            return self.dice.choice(LIKE_KEYS)[0]
        return self.dice.choice(PLAIN_KEYS)

    def _pair(self) -> Pair:
        key = self.dice.choice(self.keys)
        if self.shape == "numbers":
            return key, self.dice.choice((0, 1, True, 2.5, -3, 2**31, 2**62, 2**63, numpy.int64(4), numpy.float64(0.5)))
        if self.shape == "lists":
            return key, self.dice.choice((self.shared[0], [], ["x"], [self.shared[0]]))
        return key, self.dice.choice((*self.shared, 1, "text", b"\xff", None, (1, "a"), (1, [2]), {3}, bytearray(b"z")))

    def _functions(self) -> tuple[Any, Any]:
        if self.shape == "numbers":
            known = self.dice.choice(KNOWN)
            return self.dice.choice(
                ((known, known), (known, None), (summed, summed), (summed, None), (counted, None), (exact, exact))
            )
        if self.shape == "lists":
            return self.dice.choice(((joined, joined), (joined, None), (edited, None), (seen, None)))
        return self.dice.choice(((edited, None), (seen, None), (counted, None), (some, None)))


def by_hash(key: Any, partitions: int) -> int:
    """Deal a key by its hash."""
    return hash(key) % partitions


def by_text(key: Any, partitions: int) -> int:
    """Deal a key by its text, which differs for keys that are equal."""
    return len(repr(key)) % partitions


def summed(key: Any, values: Iterable[Any]) -> Iterator[Pair]:
    """Reduce and combine to a sum."""
    yield key, sum(value.item() if isinstance(value, numpy.generic) else value for value in values)


def exact(key: Any, values: Iterable[Any]) -> Iterator[Pair]:
    """Reduce and combine to a sum of a type that is not plain."""
    numbers = (value.item() if isinstance(value, numpy.generic) else value for value in values)
    yield key, sum(map(Fraction, numbers), Fraction(0))


def counted(key: Any, values: Iterable[Any]) -> Iterator[Pair]:
    """Reduce to the number of values; a function without `yield`."""
    return iter([(key, sum(1 for _ in values))])


def joined(key: Any, values: Iterable[Any]) -> Iterator[Pair]:
    """Reduce and combine lists to one, in place."""
    first, *rest = values
    for value in rest:
        first.extend(value)
    yield key, first


def edited(key: Any, values: Iterable[Any]) -> Iterator[Pair]:
    """Yield each value, and change it and what it holds as far as can be."""
    for value in values:
        yield key, shown(value)
        change(value)


def seen(key: Any, values: Iterable[Any]) -> Iterator[Pair]:
    """Yield all values at once."""
    yield key, [shown(value) for value in values]


def some(key: Any, values: Iterator[Any]) -> Iterator[Pair]:
    """Read the first value alone, where there is one."""
    yield key, shown(next(values))


def shown(value: Any) -> str:
    """Return a value as text."""
    return repr(sorted(value) if isinstance(value, set) else value)


def change(value: Any) -> None:
    """Change a value in place."""
    if isinstance(value, (list, bytearray)):
        value.append(9)
    elif isinstance(value, tuple):
        for part in value:
            change(part)
    elif isinstance(value, dict):
        for part in value.values():
            change(part)
    elif isinstance(value, Box):
        change(value.items)


def _plain(key: Any) -> Any:
    """Return the plain key that a key stands for: by the table, not by gomr's rule."""
    for like, plain in LIKE_KEYS:
        if type(like) is type(key) and like == key and not _is_plain(key):
            return plain
    return key


def _is_plain(key: Any) -> bool:
    if type(key) is tuple:
        return all(map(_is_plain, key))
    return type(key) in (str, bytes, int, bool, float, type(None))
