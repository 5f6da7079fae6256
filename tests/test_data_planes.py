"""The native core and the standard-library path write blocks that each can read, and give the same result."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gomr
from gomr.job import map_task, native
from gomr.job.contract import Piece
from gomr.job.definition import JobDefinition
from gomr.job.errors import UserError
from gomr.job.map_task import run_map
from gomr.job.native_grouping import NativeGrouper
from gomr.job.reduce_task import run_reduce
from tests.planes import NATIVE, PURE, definition, run, task_file

ADD_PAIRS = NativeGrouper.add_pairs
whole = st.integers(-(2**70), 2**70) | st.sampled_from([2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, 2**63, -(2**63)])
texts = st.text(st.characters() | st.sampled_from("\t\n\\\r\udc80\udcff\ud800"), max_size=12)
simple_keys = texts | st.binary(max_size=12) | whole
any_keys = simple_keys | st.none() | st.booleans() | st.floats(allow_nan=False) | st.tuples(texts, whole)
any_values = (
    whole | texts | st.binary(max_size=9) | st.none() | st.booleans() | st.tuples(whole, texts) | st.lists(whole)
)
few_keys = st.one_of(simple_keys, simple_keys, st.sampled_from(["a", b"a", 1, "word"]))


def as_list(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    yield key, list(values)


def summed(key: Any, values: Iterator[int]) -> Iterator[tuple[Any, int]]:
    yield key, sum(values)


def paired(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    yield key, [value for value in values if value]


def flattened(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    yield key, sorted(item for value in values for item in (value if isinstance(value, list) else [value]) if item)


@pytest.fixture(params=[2 * 1024 * 1024, 1, 0], ids=["in memory", "spilling at each pair", "spilling"])
def budget(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_task, "SPILL_BYTES_MIN", request.param or 2 * 1024 * 1024)
    if not request.param:  # the core's tables take a megabyte at once: they are full after some pairs in any case
        monkeypatch.setattr(NativeGrouper, "add_pairs", by_fives)


def by_fives(grouper: NativeGrouper, pairs: Iterable[Any]) -> int:
    """Add pairs as NativeGrouper does, and spill after each five."""
    added, iterator = 0, iter(pairs)
    while some := list(islice(iterator, 5)):
        added += ADD_PAIRS(grouper, some)
        if grouper._is_native:
            grouper._spill()
    return added


def check(job: JobDefinition, splits: int, partitions: int) -> None:
    wanted = run(job, splits, partitions, [PURE], PURE)
    assert run(job, splits, partitions, [NATIVE], NATIVE) == wanted
    assert run(job, splits, partitions, [NATIVE, PURE], PURE) == wanted
    assert run(job, splits, partitions, [PURE, NATIVE], NATIVE) == wanted


@pytest.mark.usefixtures("budget")
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.tuples(few_keys, whole), max_size=30), min_size=1, max_size=4), st.integers(1, 3), st.data()
)
def test_known_reducers(splits: list[list[Any]], partitions: int, data: st.DataObject) -> None:
    reducer = data.draw(st.sampled_from([gomr.total, gomr.largest, gomr.smallest, gomr.first]))
    output_format = data.draw(st.sampled_from(["text", "json"]))
    if output_format == "json":  # it can write no surrogates and no long numbers differently: only its keys matter
        splits = [[(repr(key), value) for key, value in split] for split in splits]
    check(definition(splits, reducer, reducer, output_format), len(splits), partitions)


@pytest.mark.usefixtures("budget")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(any_keys, any_values), max_size=20), min_size=1, max_size=4), st.integers(1, 3))
def test_any_keys_and_values(splits: list[list[Any]], partitions: int) -> None:
    check(definition(splits, as_list, None, "text"), len(splits), partitions)


@pytest.mark.usefixtures("budget")
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.tuples(few_keys, whole), max_size=20), min_size=1, max_size=4),
    st.integers(1, 3),
    st.sampled_from([summed, paired]),
)
def test_combiners(splits: list[list[Any]], partitions: int, combiner: Callable[..., Any]) -> None:
    reducer = summed if combiner is summed else flattened
    check(definition(splits, reducer, combiner, "text"), len(splits), partitions)


def stops_at_two(line: str) -> list[tuple[str, int]]:
    return [(line, next(iter([] if line == "2" else [1])))]


def stops(_key: Any, values: Iterator[int]) -> list[tuple[str, int]]:
    return [("never", next(value for value in values if value > 1))]


@pytest.mark.parametrize("core", [PURE, NATIVE])
@pytest.mark.parametrize("reducer", [None, gomr.total, stops])
def test_a_stop_iteration_of_the_jobs_code_ends_no_run_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, core: ModuleType | None, reducer: Any
) -> None:
    monkeypatch.setattr(native, "core", core)
    job = replace(definition([], reducer, None, "text"), mapper=stops_at_two)
    lines = tmp_path / "lines"
    lines.write_text("1\n3\n" if reducer is stops else "1\n2\n3\n")
    task = task_file(tmp_path / "map", "map", [Piece(str(lines), 0, lines.stat().st_size)], 1)
    if reducer is not stops:
        with pytest.raises(UserError) as failed:
            run_map(job, task)
        assert failed.value.record == "'2'"
        return
    ((offset, length),) = run_map(job, task)["blocks"]
    with pytest.raises(UserError):
        run_reduce(job, task_file(tmp_path / "reduce", "reduce", [Piece(task.output, offset, length)], 1))
