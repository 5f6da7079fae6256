"""The core on its own: damaged blocks, and memory that ends at every possible moment; scripts/sanitize runs it, too."""

import marshal
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gomr_native import _core
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr.job.values import refuse_reading

STR_KEYS, INT_KEYS = 2 << 2, 1 << 2
VALUES = [1, -(2**40), 2**70, "ü", "a" * 40, b"b", None, True, 2.5, (1, ("x", b"y"))]
PAIRS = [
    (key, value) for key in ("a", "bb", "\udc80", "long enough to differ", 7, -(2**63), b"raw") for value in VALUES
]
ALLOCATIONS_MAX = 10_000

fail_after: Callable[[int], None] | None = getattr(_core, "fail_after", None)


def frame(codec: int, payload: bytes) -> bytes:
    return struct.pack("<BII", codec, len(payload), zlib.crc32(payload, codec)) + payload


def block(path: Path, data: bytes) -> tuple[str, int, int]:
    path.write_bytes(data)
    return str(path), 0, len(data)


def collected(fold: int, pairs: list[tuple[Any, Any]], combine: Any = None) -> bytes:
    table = _core.Table(fold, 2**30, 1)
    assert table.add(iter(pairs)) == _core.ADDED_ALL
    table.deal(2, None)
    frames: list[bytes] = []
    for partition in (0, 1):
        table.write(partition, frames.append, combine)
    return b"".join(frames)


def repr_line(pair: Any) -> bytes:
    return repr(pair).encode() + b"\n"


def read_all(blocks: list[tuple[str, int, int]], fold: int) -> None:
    """Read blocks in every way there is."""
    if fold == _core.KEEP:
        for _, values in _core.Merge(blocks, fold, refuse_reading):
            next(values, None)
        _core.write_text(
            ((key, list(values)) for key, values in _core.Merge(blocks, fold, refuse_reading)), len, repr_line
        )
    else:
        merge = _core.Merge(blocks, fold, refuse_reading)
        while merge.lines(50, repr_line):
            pass
        while _core.Merge(blocks, fold, refuse_reading).columns(3)[0]:
            break
    _core.Merge(blocks, fold, refuse_reading).write(lambda _frame: None)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """Payloads with a few bytes changed, cut out or put in."""
    keys = draw(st.lists(st.text(max_size=5) | st.integers(-(2**65), 2**65), max_size=4))
    values = [draw(st.sampled_from(VALUES) | st.lists(st.sampled_from(VALUES), max_size=3)) for _ in keys]
    data = bytearray(marshal.dumps((keys, values), 2))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(data)


@settings(max_examples=2000, deadline=None)
@given(payload=payloads(), codec=st.integers(0, 255), fold=st.sampled_from([_core.KEEP, _core.TOTAL, _core.LARGEST]))
def test_damaged_blocks_are_refused(
    tmp_path_factory: pytest.TempPathFactory, payload: bytes, codec: int, fold: int
) -> None:
    """With a checksum that fits, which only a broken writer would make."""
    damaged = block(tmp_path_factory.getbasetemp() / "damaged", frame(codec, payload))
    try:
        read_all([damaged, damaged], fold)
    except (OSError, _core.Unfit):
        return


@pytest.mark.parametrize("cut", [0, 1, 8, 9, 20])
def test_a_block_that_is_cut_short(tmp_path: Path, cut: int) -> None:
    data = collected(_core.KEEP, PAIRS)
    path, _, length = block(tmp_path / "block", data[: len(data) - cut - 1])
    with pytest.raises(OSError, match="cut short"):
        read_all([(path, 0, length)], _core.KEEP)
    with pytest.raises(OSError, match="cut short"):
        read_all([(path, 0, len(data))], _core.KEEP)


def test_a_block_with_one_byte_changed(tmp_path: Path) -> None:
    data = bytearray(collected(_core.KEEP, PAIRS))
    data[30] ^= 1
    with pytest.raises(OSError, match="checksum"):
        read_all([block(tmp_path / "block", bytes(data))], _core.KEEP)


def test_a_merge_that_has_failed_fails_from_then_on(tmp_path: Path) -> None:
    """With long keys that begin alike, so that they are compared as a whole."""
    first = frame(STR_KEYS, marshal.dumps((["https://a", "https://c"], [1, 1]), 2))
    second = frame(STR_KEYS, marshal.dumps((["https://d" + "x" * 5000], [1]), 2))
    damaged = block(tmp_path / "damaged", first + second[:-1] + b"?")
    good = block(tmp_path / "good", frame(STR_KEYS, marshal.dumps((["https://b", "https://e"], [1, 1]), 2)))
    merge = _core.Merge([damaged, good], _core.KEEP, refuse_reading)
    assert [next(merge)[0] for _ in range(3)] == ["https://a", "https://b", "https://c"]
    for _ in range(3):
        with pytest.raises(OSError, match="damaged"):
            next(merge)
    with pytest.raises(OSError, match="damaged"):
        merge.write(lambda _frame: None)


def test_a_block_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _core.Merge([(str(tmp_path / "none"), 0, 10)], _core.KEEP, refuse_reading)


def test_what_the_core_does_not_take() -> None:
    table = _core.Table(_core.KEEP, 2**30, 1)
    for pair in [(None, 1), (1.5, 1), (True, 1), (2**63, 1), ("a", [1]), ("a", {1: 2}), ("a", (1, [2])), "ab", ("a",)]:
        assert table.add(iter([("fine", 1), pair])) == _core.IS_REFUSED
        assert table.refused == [pair]
    assert table.drain() == {"fine": [1] * 9}


def test_an_exception_of_the_iterator_passes() -> None:
    def pairs() -> Iterator[tuple[str, int]]:
        yield "a", 1
        raise KeyError("mine")

    table = _core.Table(_core.TOTAL, 2**30, 1)
    with pytest.raises(KeyError, match="mine"):
        table.add(pairs())
    assert table.add(iter([("b", 1)])) == _core.ADDED_ALL
    assert table.drain()["b"] == 1


def test_what_is_refused_is_kept_with_the_pairs_after_it_that_were_taken_from_the_iterator() -> None:
    table = _core.Table(_core.TOTAL, 2**30, 1)
    pairs = iter([("a", 1), ("big", 2**62), ("big", 2**62), ("b", 2), ("c", None), ("d", 3)])
    assert table.add(pairs) == _core.IS_REFUSED
    assert table.refused == [("big", 2**62), ("b", 2), ("c", None)]
    assert list(pairs) == [("d", 3)]
    assert table.drain() == {"a": 1, "big": 2**62}


def test_pairs_in_one_list_that_is_used_again_and_again() -> None:
    def pairs() -> Iterator[list[Any]]:
        pair: list[Any] = ["", 0]
        for number in range(100):
            pair[0], pair[1] = str(number), number
            yield pair

    table = _core.Table(_core.KEEP, 2**30, 1)
    assert table.add(pairs()) == _core.ADDED_ALL
    assert table.drain() == {str(number): [number] for number in range(100)}


def test_no_more_large_pairs_are_held_than_one() -> None:
    table = _core.Table(_core.KEEP, 2**20, 1)
    pairs = (("k", bytes(2**19)) for _ in range(100))
    times_full = 0
    while table.add(pairs) == _core.IS_FULL:
        assert table.used_bytes < 2 * 2**20
        table.clear()
        times_full += 1
    assert times_full >= 25


def test_a_partitioner_out_of_range() -> None:
    table = _core.Table(_core.TOTAL, 2**30, 1)
    table.add(iter([("a", 1)]))
    with pytest.raises(ValueError, match="out of range"):
        table.deal(2, lambda _key: 2)


def test_memory_is_counted_and_bounds_what_is_added() -> None:
    table = _core.Table(_core.KEEP, 8 * 2**20, 1)
    pairs = ((str(number), "x" * 100) for number in range(10**6))
    assert table.add(pairs) == _core.IS_FULL
    assert 8 * 2**20 < table.used_bytes < 16 * 2**20


@pytest.mark.skipif(fail_after is None, reason="a build whose allocations can be made to fail: scripts/sanitize")
@pytest.mark.parametrize("fold", [_core.KEEP, _core.TOTAL])
@pytest.mark.parametrize("combine", [None, lambda _key, values: values[:1]])
def test_memory_may_end_at_any_moment(tmp_path: Path, fold: int, combine: Any) -> None:
    assert fail_after is not None
    pairs = PAIRS if fold == _core.KEEP else [(key, 3) for key, _ in PAIRS]
    wanted = collected(fold, pairs, combine)
    written = block(tmp_path / "block", wanted)
    for allocations in range(ALLOCATIONS_MAX):
        fail_after(allocations)
        try:
            assert collected(fold, pairs, combine) == wanted
            read_all([written, written], fold)
            break
        except MemoryError:
            continue
        finally:
            fail_after(-1)
    else:
        pytest.fail(f"{ALLOCATIONS_MAX} allocations are not enough")
    assert allocations > 5
