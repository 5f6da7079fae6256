"""Grouping within a memory budget gives what a dict would, however often it spills."""

from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr import first, largest, total
from gomr.job.errors import HostError, PairError, UserError
from gomr.job.frames import read_entries, read_frames, write_entries
from gomr.job.grouping import Grouper
from gomr.job.keys import order, partition_of, sort_keys
from gomr.job.runs import Partitioning, RunStore
from gomr.job.values import packed, unpacked
from tests.test_keys import keys

values = st.one_of(st.integers(), st.text(max_size=50), st.tuples(st.integers(), st.text(max_size=3)), st.none())
pairs = st.lists(st.tuples(keys, values), max_size=60)


def grouped(
    some: list[tuple[Any, Any]], folder: Path, budget: int, partitions: int, combiner: Any = None
) -> list[list[tuple[Any, list[Any]]]]:
    store = RunStore(folder, 2**30, 1)
    grouper = Grouper(store, budget, combiner=combiner, partitioning=Partitioning(partitions))
    for pair in some:
        grouper.add_pairs([pair])
    grouper.combine_all()
    return [[(key, list(given)) for key, given in grouper.groups(number)] for number in range(partitions)]


def expected(some: list[tuple[Any, Any]], partitions: int) -> list[list[tuple[Any, list[Any]]]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for key, value in some:
        groups[key].append(value)
    return [
        [(key, groups[key]) for key in sort_keys(groups) if partition_of(key, partitions) == number]
        for number in range(partitions)
    ]


@settings(max_examples=150, deadline=None)
@given(pairs, st.sampled_from([1, 500, 10**9]), st.integers(1, 4))
def test_grouping_equals_a_dict_at_every_budget(some: list[tuple[Any, Any]], budget: int, partitions: int) -> None:
    with TemporaryDirectory() as folder:
        assert grouped(some, Path(folder), budget, partitions) == expected(some, partitions)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(keys, st.integers()), max_size=60), st.sampled_from([1, 500, 10**9]))
def test_a_known_reducer_folds_to_the_sum_in_every_run(some: list[tuple[Any, int]], budget: int) -> None:
    with TemporaryDirectory() as folder:
        (found,) = grouped(some, Path(folder), budget, 1, total)
    (wanted,) = expected(some, 1)
    assert [(key, sum(given)) for key, given in found] == [(key, sum(given)) for key, given in wanted]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers()), max_size=40), st.sampled_from([1, 10**9]))
def test_largest_and_first_fold_in_input_order(some: list[tuple[str, int]], budget: int) -> None:
    with TemporaryDirectory() as folder:
        most = dict(grouped(some, Path(folder), budget, 1, largest)[0])
    with TemporaryDirectory() as folder:
        firsts = dict(grouped(some, Path(folder), budget, 1, first)[0])
    for key, given_values in expected(some, 1)[0]:
        assert max(most[key]) == max(given_values)
        assert firsts[key][0] == given_values[0]


def test_a_key_with_very_many_values_stands_in_several_frames(tmp_path: Path) -> None:
    path = tmp_path / "block"
    numbers = list(range(100_000))
    with path.open("wb") as file:
        size = write_entries(file, [("a", [1]), ("hot", numbers), ("z", [2])])
    with path.open("rb") as file:
        entries = list(read_entries(file, size))
    assert [value for key, given in entries if key == "hot" for value in given] == numbers
    assert max(len(given) for _, given in entries) <= 4096


def test_large_values_make_small_frames(tmp_path: Path) -> None:
    path = tmp_path / "block"
    with path.open("wb") as file:
        size = write_entries(file, ((f"{number:04d}", ["x" * 100_000]) for number in range(200)))
    with path.open("rb") as file:
        assert max(len(frame_keys) for frame_keys, *_ in read_frames(file, size)) <= 8


@pytest.mark.parametrize("position", [0, 5, 40])
def test_a_damaged_block_is_found(tmp_path: Path, position: int) -> None:
    path = tmp_path / "block"
    with path.open("wb") as file:
        size = write_entries(file, [("some key", ["some value", (1, 2)])])
    data = bytearray(path.read_bytes())
    data[position] ^= 0x20
    path.write_bytes(data)
    with path.open("rb") as file, pytest.raises(HostError):
        list(read_entries(file, size))


def test_values_keep_their_types(tmp_path: Path) -> None:
    """Nothing that marshal would turn into bytes, or lose the class of, goes through marshal."""
    some = [bytearray(b"x"), memoryview(b"y").tobytes(), True, 1.5, None, {"a": [1]}, {1, 2}, (1, [2])]
    path = tmp_path / "block"
    with path.open("wb") as file:
        size = write_entries(file, [("k", [packed(value, "mapper") for value in some])])
    with path.open("rb") as file:
        found = [unpacked(value) for _, given in read_entries(file, size) for value in given]
    assert found == some
    assert list(map(type, found)) == list(map(type, some))


def test_scratch_space_has_a_limit(tmp_path: Path) -> None:
    store = RunStore(tmp_path, 10_000, 1)
    grouper = Grouper(store, 1, partitioning=Partitioning(1))
    with pytest.raises(HostError, match="--scratch-limit"):
        for number in range(1000):
            grouper.add_pairs([(number, "x" * 1000)])


def test_a_combiner_must_keep_its_key(tmp_path: Path) -> None:
    def swaps(_key: str, given: Any) -> Any:
        yield "other", sum(given)

    with pytest.raises(UserError, match="combiner"):
        grouped([("a", 1), ("a", 2)], tmp_path, 10**9, 1, swaps)


def test_a_combiner_that_yields_nothing_takes_the_key_away(tmp_path: Path) -> None:
    assert grouped([("a", 1), ("a", 2), ("b", 1)], tmp_path, 10**9, 1, lambda _key, _given: []) == [[("b", [1])]]


def test_a_partitioner_out_of_range_is_refused(tmp_path: Path) -> None:
    grouper = Grouper(
        RunStore(tmp_path, 2**30, 1), 10**9, partitioning=Partitioning(3, lambda _key, partitions: partitions)
    )
    grouper.add_pairs([("a", 1)])
    with pytest.raises(UserError, match="from 0 to 2"):
        list(grouper.groups(0))


@pytest.mark.parametrize("not_a_pair", [1, "ab", (1,), (1, 2, 3), None])
def test_what_is_not_a_pair_is_refused(tmp_path: Path, not_a_pair: Any) -> None:
    for combiner in (None, total):
        with pytest.raises(PairError, match="pair was expected"):
            grouped([not_a_pair], tmp_path, 10**9, 1, combiner)


@pytest.mark.parametrize("bad_key", [[1], {}, float("nan")])
def test_a_bad_key_is_refused_when_it_comes(tmp_path: Path, bad_key: Any) -> None:
    for combiner in (None, total):
        with pytest.raises(PairError, match="key"):
            grouped([(bad_key, 1)], tmp_path, 10**9, 1, combiner)


def test_keys_of_mixed_types_merge_in_order(tmp_path: Path) -> None:
    mixed = [(1, 0), ("a", 1), (b"a", 2), ((1, "x"), 3), (None, 4), (1.5, 5), (True, 6)]
    (found,) = grouped(mixed, tmp_path, 1, 1)
    assert [order(key) for key, _ in found] == sorted(order(key) for key, _ in found)
    assert dict(found)[1] == [0, 6]
