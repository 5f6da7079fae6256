"""Each line is read exactly once, however the input is cut."""

import io
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gomr.builtin.file import FileStorage
from gomr.job.errors import DefinitionError
from gomr.job.formats import CHUNK_BYTES, INPUT_FORMATS, Lines, chunk_size, input_format
from gomr.model import Input
from gomr.planning import ALIGN_BELOW_BYTES, cut
from gomr.worker.fetch import whole_lines

pieces = [
    b"a",
    b"bc",
    b"\n",
    b"\r\n",
    b"\r",
    b"\x85",
    b"\f",
    b"\xff",
    "é".encode(),
    "\u20ac".encode()[:2],
    "\u20ac".encode(),
]
contents = st.lists(st.sampled_from(pieces)).map(b"".join)


def lines_of(data: bytes) -> list[bytes]:
    """The rule, said another way: split at newlines, drop one carriage return before each."""
    *ended, rest = data.split(b"\n")
    lines = [line[:-1] if line.endswith(b"\r") else line for line in ended]
    return lines + ([rest] if rest else [])


def read(name: str, data: bytes) -> list[Any]:
    return list(INPUT_FORMATS[name].records(io.BytesIO(data), len(data), 2**20))


def lines_by_splits(data: bytes, split_bytes: int) -> list[bytes]:
    """Cut a file into splits as a submit does, and read each as a worker and a job do."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "input").write_bytes(data)
        storage = FileStorage(Path(folder))
        item = Input("file:///input", len(data), "")
        found = []
        for split in cut([item], split_bytes, splittable=True, locate=lambda _url: (storage, "input")):
            for _, offset, length in split:
                start, stop = whole_lines(storage, "input", len(data), offset, offset + length)
                found += read("lines-bytes", data[start:stop]) if start < stop else []
        return found


@settings(max_examples=300, deadline=None)
@given(contents, st.integers(1, 40))
@example(b"", 1)
@example(b"\n", 1)
@example(b"no newline", 3)
@example(b"a\r\nb\r\n", 2)
def test_each_line_is_read_exactly_once_at_every_split_size(data: bytes, split_bytes: int) -> None:
    assert lines_by_splits(data, split_bytes) == lines_of(data)


def test_splits_that_are_not_looked_into_at_submit_read_each_line_once() -> None:
    data = b"".join(b"%d\n" % number for number in range(500_000))
    assert len(data) > 3 * ALIGN_BELOW_BYTES
    assert lines_by_splits(data, ALIGN_BELOW_BYTES) == lines_of(data)


def test_ranges_inside_one_long_line_are_no_splits(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"short\n" + b"x" * 1_000_000 + b"\nlast")
    storage = FileStorage(tmp_path)
    size = (tmp_path / "input").stat().st_size
    splits = cut([Input("file:///input", size, "")], 7, splittable=True, locate=lambda _url: (storage, "input"))
    assert len(splits) <= 3


@given(contents)
def test_text_lines_are_the_bytes_lines_decoded_without_loss(data: bytes) -> None:
    lines = read("lines", data)
    assert [line.encode("utf-8", "surrogateescape") for line in lines] == read("lines-bytes", data)
    assert lines == [line.decode("utf-8", "surrogateescape") for line in lines_of(data)]


@given(contents)
def test_chunks_are_whole_lines_and_lose_nothing(data: bytes) -> None:
    chunks = read("chunks-bytes", data)
    assert b"".join(chunks) == data
    assert all(chunk.endswith(b"\n") for chunk in chunks[:-1])
    assert "".join(read("chunks", data)).encode("utf-8", "surrogateescape") == data


def test_a_chunk_is_as_large_as_the_job_wants_within_its_memory() -> None:
    assert chunk_size(1000, 512 * 2**20) == 1000
    assert chunk_size(4 * 2**20, 512 * 2**20) == 4 * 2**20
    assert chunk_size(2**30, 64 * 2**20) == 2**20
    assert chunk_size(2**30, 0) == CHUNK_BYTES


def test_a_subclass_says_what_the_records_are() -> None:
    class Words(Lines):
        def records(self, stream: BinaryIO, length: int, chunk_bytes: int) -> Iterator[Any]:
            for line in super().records(stream, length, chunk_bytes):
                yield from line.split()

    words = Words("words", text=True)
    runs = list(words.batches(io.BytesIO(b"a b\nc\n"), 6, 2**20))
    assert [record for run in runs for record in run] == ["a", "b", "c"]


def test_a_line_longer_than_a_chunk_is_one_record() -> None:
    long = b"x" * 3_000_000
    assert read("lines-bytes", b"a\n" + long + b"\r\nb") == [b"a", long, b"b"]


def test_objects_are_read_whole() -> None:
    assert read("objects", b"a\nb\0c") == [b"a\nb\0c"]


def test_an_unknown_input_format_is_refused() -> None:
    with pytest.raises(DefinitionError, match="'lines'"):
        input_format("csv")
