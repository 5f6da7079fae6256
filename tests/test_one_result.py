"""One job, one result: whatever the partitions and splits, and with or without the native core."""

import enum
import subprocess
import sys
from collections import Counter, namedtuple
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy
import pytest

import gomr
from gomr.job.definition import JobDefinition
from tests.planes import as_list, core, failure, job_of, run

__all__ = ["core"]

Point = namedtuple("Point", "x y")


class Colour(enum.StrEnum):
    RED = "red"


class Plain(enum.Enum):
    A = 1


class Number(enum.IntEnum):
    THREE = 3


class Shouting(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str(self).upper() == str(other).upper()

    def __hash__(self) -> int:
        return hash(str(self).upper())


def lines(job: JobDefinition, core: ModuleType | None, splits: int = 1, partitions: int = 1) -> list[str]:
    """Return the lines of a job's result, sorted."""
    return sorted(b"".join(run(job, splits, partitions, [core], core)).decode().splitlines())


# -- values are their own ---------------------------------------------------------------------------------------------


def without_its_key(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    for value in values:
        value.remove(key)
        yield key, value


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_list_that_is_the_value_of_several_keys_is_each_keys_own(core: ModuleType | None, partitions: int) -> None:
    words = ["a", "b", "c"]
    job = job_of([(word, words) for word in words], reducer=without_its_key)
    assert lines(job, core, partitions=partitions) == ["a\t['b', 'c']", "b\t['a', 'c']", "c\t['a', 'b']"]


@pytest.mark.parametrize("partitions", [1, 3])
def test_parts_of_values_are_their_own_too(core: ModuleType | None, partitions: int) -> None:
    shared = ["a", "b"]
    job = job_of([(word, (1, shared)) for word in shared], reducer=popped)
    assert lines(job, core, partitions=partitions) == ["a\t['a']", "b\t['a']"]


def popped(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    for _, shared in values:
        shared.pop()
        yield key, shared


def test_a_value_within_itself_twice_stays_one_object(core: ModuleType | None) -> None:
    inner = ["x"]

    def reducer(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        for first, second in values:
            yield key, first is second

    assert lines(job_of([("a", [inner, inner])], reducer=reducer), core) == ["a\tTrue"]


@pytest.mark.parametrize("make", [list, dict.fromkeys, set, bytearray, Counter])
def test_what_a_mapper_does_to_a_value_after_the_yield_changes_nothing(
    core: ModuleType | None, make: Callable[[Any], Any]
) -> None:
    def mapper(_line: str) -> Iterator[Any]:
        value = make(b"x")
        yield "a", value
        value.clear()
        yield "a", value

    def reducer(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        yield key, [len(value) for value in values]

    job = replace(job_of([], reducer=reducer), mapper=mapper)
    assert lines(job, core) == ["a\t[1, 0]"]


@pytest.mark.parametrize("reducer", [gomr.first, gomr.total, gomr.largest])
def test_known_reducers_keep_what_was_yielded(core: ModuleType | None, reducer: Any) -> None:
    def mapper(_line: str) -> Iterator[Any]:
        value = [5]
        yield "a", value
        value[0] = 1
        yield "b", value
        value[0] = 7

    job = replace(job_of([], reducer=reducer), combiner=reducer, mapper=mapper)
    assert lines(job, core) == ["a\t[5]", "b\t[1]"]


def appended(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    merged = next(values)
    for value in values:
        merged += value
    yield key, merged


@pytest.mark.parametrize("budget", [1, 2 * 1024 * 1024])
def test_a_combiner_may_edit_what_it_is_given(
    core: ModuleType | None, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gomr.job.map_task.SPILL_BYTES_MIN", budget)
    shared = [1]
    pairs = [(key, shared) for key in "abab"]
    assert lines(job_of(pairs, pairs, reducer=appended, combiner=appended), core, 2) == [
        "a\t[1, 1, 1, 1]",
        "b\t[1, 1, 1, 1]",
    ]


def test_what_a_combiner_yields_twice_is_two_values(core: ModuleType | None) -> None:
    def twice(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        together = [item for value in values for item in value]
        yield key, together
        yield key, together

    def reducer(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        for value in values:
            value.append("mine")
            yield key, len(value)

    job = job_of([("a", [1]), ("a", [2])], reducer=reducer, combiner=twice)
    assert lines(job, core) == ["a\t3", "a\t3"]


# -- values that outlive their turn -----------------------------------------------------------------------------------


kept: list[Any] = []


def keeps_values(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    kept.append(values)
    yield key, len(list(kept[0]))


def keeps_an_iterator(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    kept.append(iter(values))
    yield key, len(list(kept[0])) if len(kept) > 1 else 0


def keeps_a_map(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    kept.append(map(str, values))
    yield key, len(list(kept[0])) if len(kept) > 1 else 0


def steps_late(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    kept.append(values)
    yield key, next(kept[0])


@pytest.mark.parametrize("reducer", [keeps_values, keeps_an_iterator, keeps_a_map, steps_late])
@pytest.mark.parametrize("budget", [1, 2 * 1024 * 1024])
def test_values_that_are_read_after_their_turn_say_so(
    core: ModuleType | None, reducer: Any, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gomr.job.map_task.SPILL_BYTES_MIN", budget)
    kept.clear()
    pairs = [(key, value) for key in "ab" for value in (1, 2, (3,), "four")]
    error = failure(job_of(pairs, reducer=reducer), core)
    assert (type(error.cause).__name__, error.record, error.source) == ("ValuesError", "'b'", "reducer")
    assert "after their turn" in str(error.cause)


@pytest.mark.parametrize("read", [list, sum, lambda values: max(values, default=0), lambda values: [*values]])
@pytest.mark.parametrize("value", [1, True, 1.5])
def test_values_that_are_read_twice_say_so(core: ModuleType | None, read: Any, value: Any) -> None:
    def reducer(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        read(values)
        yield key, read(values)

    error = failure(job_of([("a", value), ("a", value)], reducer=reducer), core)
    assert (type(error.cause).__name__, error.record) == ("ValuesError", "'a'")
    assert "a second time" in str(error.cause)


def test_a_combiners_values_are_read_once_too(core: ModuleType | None) -> None:
    def combiner(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        yield key, sum(values) + len(list(values))

    error = failure(job_of([("a", 1), ("a", 2)], reducer=combiner, combiner=combiner), core)
    assert (type(error.cause).__name__, error.record, error.source) == ("ValuesError", "'a'", "combiner")


def test_values_may_be_read_in_steps_and_in_batches(core: ModuleType | None) -> None:
    def reducer(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        yield key, next(values)
        for value in values:
            yield key, value
            break
        stream = iter(values)
        while batch := [value for value, _ in zip(stream, "xx", strict=False)]:
            yield key, tuple(batch)
        yield key, next(values, "end")

    assert lines(job_of([("a", number) for number in range(6)], reducer=reducer), core) == [
        "a\t(2, 3)",
        "a\t(5,)",
        "a\t0",
        "a\t1",
        "a\tend",
    ]


LAZY = {
    "values": lambda values: values,
    "an iterator of them": iter,
    "a map": lambda values: map(str, values),
    "a generator": lambda values: (value for value in values),
    "an iterator of its own": lambda _values: iter([1]),
    "one inside a tuple": lambda values: (1, iter(values)),
    "one inside a dict": lambda values: {"a": [zip(values, strict=True)]},
    "a function": lambda _values: len,
    "an object without a text": lambda _values: object(),
}


@pytest.mark.parametrize("output_format", ["text", "json"])
@pytest.mark.parametrize("lazy", LAZY.values(), ids=LAZY)
def test_what_is_no_value_is_no_result(core: ModuleType | None, lazy: Any, output_format: str) -> None:
    def reducer(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        yield key, lazy(values)

    error = failure(job_of([("a", 1)], reducer=reducer, output_format=output_format), core)
    assert (type(error.cause).__name__, error.record, error.source) == ("PairError", "'a'", "reducer")
    assert "of key 'a'" in str(error.cause)


@pytest.mark.parametrize(
    "lazy", [iter([1]), map(str, [1]), (1 for _ in "a"), open], ids=["an iterator", "a map", "a generator", "a file"]
)
def test_what_is_no_value_goes_to_no_reducer(core: ModuleType | None, lazy: Any) -> None:
    values = [("a", 1), ("b", lazy if lazy is not open else sys.stdin)]
    error = failure(job_of(values, reducer=as_list), core)
    assert (type(error.cause).__name__, error.record) == ("PairError", "'0'")
    assert str(error.cause).startswith("mapper: ")


# -- keys -------------------------------------------------------------------------------------------------------------

ALIKE = {
    "StrEnum": (Colour.RED, "red"),
    "IntEnum": (Number.THREE, 3),
    "namedtuple": (Point(1, "x"), (1, "x")),
    "a tuple of them": ((Colour.RED, Number.THREE), ("red", 3)),
    "str subclass": (Shouting("Word"), "Word"),
    "numpy.int64": (numpy.int64(5), 5),
    "numpy.float64": (numpy.float64(2.5), 2.5),
    "numpy.float32": (numpy.float32(0.5), 0.5),
    "numpy.bool": (numpy.bool_(True), 1),
    "numpy.str_": (numpy.str_("red"), "red"),
    "a tuple of numpy's": ((numpy.int16(5), "a"), (5, "a")),
}


@pytest.mark.parametrize("splits", [1, 2])
@pytest.mark.parametrize("plain_first", [True, False])
@pytest.mark.parametrize(("like", "plain"), ALIKE.values(), ids=ALIKE)
@pytest.mark.parametrize("reducer", [gomr.total, as_list])
def test_a_key_of_a_derived_class_is_the_plain_key_it_stands_for(
    core: ModuleType | None, like: Any, plain: Any, plain_first: bool, splits: int, reducer: Any
) -> None:
    pairs = [(plain, 1), (like, 1)] if plain_first else [(like, 1), (plain, 1)]
    dealt = [pairs] if splits == 1 else [pairs[:1], pairs[1:]]
    combiner = reducer if reducer is gomr.total else None
    job = job_of(*dealt, reducer=reducer, combiner=combiner)
    (line,) = lines(job, core, splits, partitions=3)
    shown_key, value = line.split("\t")
    assert value == ("2" if combiner else "[1, 1]")
    assert shown_key in (str(plain), "True")


@pytest.mark.parametrize("plain_first", [True, False])
@pytest.mark.parametrize("key", [Decimal(1), 1j, numpy.array(1), frozenset(), Plain.A], ids=str)
def test_any_other_key_is_refused_whatever_came_first(core: ModuleType | None, key: Any, plain_first: bool) -> None:
    pairs = [(1, 1), (key, 1)] if plain_first else [(key, 1)]
    error = failure(job_of(pairs, reducer=as_list), core)
    assert type(key).__name__ in str(error.cause)
    assert "keys are None, bool, int" in str(error.cause)


@pytest.mark.parametrize("key", [1, 1.0, True])
def test_a_partitioner_is_asked_about_one_of_equal_keys(core: ModuleType | None, key: Any) -> None:
    asked: list[Any] = []

    def partitioner(key: Any, partitions: int) -> int:
        asked.append(key)
        return len(repr(key)) % partitions

    job = replace(job_of([(key, 1)], [(1, 1)], reducer=as_list), partitioner=partitioner)
    assert len(lines(job, core, 2, partitions=3)) == 1
    assert {*map(repr, asked)} == {"1"}


@pytest.mark.parametrize("output_format", ["text", "json"])
@pytest.mark.parametrize("reducer", [gomr.total, gomr.largest, as_list])
@pytest.mark.parametrize("make", [numpy.int64, numpy.uint8, numpy.float32, numpy.float64])
def test_numpys_numbers_come_out_as_pythons(
    core: ModuleType | None, make: Any, reducer: Any, output_format: str
) -> None:
    pairs = [(make(7), make(1)), (make(7), make(1))]
    combiner = None if reducer is as_list else reducer
    with_numpy = job_of(pairs, reducer=reducer, combiner=combiner, output_format=output_format)
    plain = [(key.item(), value.item()) for key, value in pairs]
    with_python = job_of(plain, reducer=reducer, combiner=combiner, output_format=output_format)
    assert lines(with_numpy, core) == lines(with_python, core)


def test_jobs_import_no_numpy_for_it() -> None:
    code = "import sys, gomr.job.map_task, gomr.job.reduce_task, gomr.job.task; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("output_format", ["text", "json"])
@pytest.mark.parametrize(("like", "plain"), [(Number.THREE, 3), (Point(1, 2), (1, 2)), (Colour.RED, "red")])
def test_a_key_of_a_result_is_the_plain_key_it_stands_for_too(
    core: ModuleType | None, like: Any, plain: Any, output_format: str
) -> None:
    def result_of(key: Any) -> list[str]:
        def reducer(_key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
            yield key, sum(values)

        return lines(job_of([("a", 1)], reducer=reducer, output_format=output_format), core)

    assert result_of(like) == result_of(plain)


@pytest.mark.parametrize("key", [numpy.datetime64("2024-01-01", "ns"), numpy.timedelta64(5, "ns")])
def test_times_of_numpy_are_no_numbers(core: ModuleType | None, key: Any) -> None:
    assert "keys are None, bool, int" in str(failure(job_of([(key, 1)], reducer=as_list), core).cause)


def test_an_array_is_no_text_for_its_text_leaves_out_most_of_it(core: ModuleType | None) -> None:
    def reducer(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        yield key, numpy.arange(sum(values))

    assert "yield array.tolist()" in str(failure(job_of([("a", 2000)], reducer=reducer), core).cause)


def halves(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    yield key, sum(map(Fraction, values), Fraction(0))


@pytest.mark.parametrize("budget", [1, 300, 2 * 1024 * 1024])
def test_a_combiner_may_make_of_numbers_what_is_none(
    core: ModuleType | None, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gomr.job.map_task.SPILL_BYTES_MIN", budget)
    pairs = [(key, number) for number in range(5) for key in "ab"]
    job = job_of(pairs, pairs, reducer=halves, combiner=halves)
    assert lines(job, core, 2) == ["a\tFraction(20, 1)", "b\tFraction(20, 1)"]
