"""Jobs that sort whole records: in a total order over all parts, by both data planes, whatever the memory."""

import bz2
import gzip
import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import pytest
from gomr_native import _core
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr import Sort
from gomr.builtin.file import FileStorage
from gomr.job import map_task, native, sort_task
from gomr.job.contract import Piece, TaskFile
from gomr.job.errors import DefinitionError, HostError, UserError
from gomr.job.sort_task import run_sort_map, run_sort_reduce
from gomr.model import Input
from gomr.sampling import range_starts
from tests.conftest import Gomr

PLANES = [pytest.param(None, id="pure"), pytest.param(_core, id="native")]
lines = st.lists(st.binary(max_size=6).map(lambda line: line.replace(b"\n", b"x")) | st.sampled_from([b"same", b"sam"]))
keys = st.sampled_from([slice(None), slice(1, 3), slice(2, None), slice(0, 20), slice(0, 0)])


def task_file(folder: Path, kind: str, inputs: list[Piece], ranges: list[bytes]) -> TaskFile:
    folder.mkdir()
    return TaskFile(
        kind=kind,
        inputs=tuple(inputs),
        partitions=len(ranges) + 1,
        params={},
        output=str(folder / "output"),
        scratch=str(folder),
        result=str(folder / "result"),
        memory_bytes=64,
        scratch_bytes=2**30,
        ranges=tuple(start.hex() for start in ranges),
    )


def run(
    sort: Sort, splits: list[bytes], ranges: list[bytes], maps: ModuleType | None, reduces: ModuleType | None
) -> bytes:
    """Sort `splits`; return the parts of the result, one after the other."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder, blocks, result = Path(name), [], b""
        patch.setattr(native, "core", maps)
        for number, data in enumerate(splits):
            source = folder / f"input-{number}"
            source.write_bytes(b"before\n" + data)
            task = task_file(folder / f"map-{number}", "map", [Piece(str(source), 7, len(data))], ranges)
            facts = run_sort_map(sort, task)
            blocks.append([Piece(task.output, *block) for block in facts["blocks"]])
        patch.setattr(native, "core", reduces)
        for partition in range(len(ranges) + 1):
            pieces = [block[partition] for block in blocks if block[partition].length]
            task = task_file(folder / f"reduce-{partition}", "reduce", pieces, [])
            facts = run_sort_reduce(sort, task)
            part = Path(task.output).read_bytes()
            assert facts["records_out"] == sort.count(part)
            result += part
        return result


@pytest.mark.parametrize("maps", PLANES)
@pytest.mark.parametrize("reduces", PLANES)
@pytest.mark.parametrize(("memory", "batch"), [(2**21, 2**16), (1, 16)], ids=["in memory", "spilling"])
@settings(max_examples=40, deadline=None)
@given(splits=st.lists(lines, min_size=1, max_size=4), starts=st.lists(st.binary(max_size=3), max_size=3), key=keys)
def test_lines(
    splits: list[list[bytes]],
    starts: list[bytes],
    key: slice,
    memory: int,
    batch: int,
    maps: ModuleType | None,
    reduces: ModuleType | None,
) -> None:
    texts = [b"\n".join(split) for split in splits]  # the last line of each has no end of its own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(map_task, "SPILL_BYTES_MIN", memory)
        patch.setattr(sort_task, "PIECE_BYTES_MIN", batch)
        found = run(Sort(key=key), texts, sorted(starts), maps, reduces)
    given_lines = [line for text in texts for line in text.removesuffix(b"\n").split(b"\n") if text]
    assert found == b"".join(line + b"\n" for line in sorted(given_lines, key=lambda line: line[key]))


@pytest.mark.parametrize("maps", PLANES)
@pytest.mark.parametrize("reduces", PLANES)
@pytest.mark.parametrize(("memory", "batch"), [(2**21, 2**16), (1, 16)], ids=["in memory", "spilling"])
def test_records(
    maps: ModuleType | None, reduces: ModuleType | None, memory: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_task, "SPILL_BYTES_MIN", memory)
    monkeypatch.setattr(sort_task, "PIECE_BYTES_MIN", batch)
    source = random.Random(1)
    records = [source.randbytes(2) + b"%03d" % number for number in range(1000)]  # equal keys, bytes of all values
    splits = [b"".join(records[start : start + 300]) for start in range(0, 1000, 300)]
    found = run(Sort(5, slice(0, 2)), splits, [b"\x40", b"\x80", b"\x80", b"\xc0\x01"], maps, reduces)
    wanted = sorted(records, key=lambda record: record[:2])
    assert found == b"".join(wanted)


def test_an_input_that_ends_within_a_record(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"x" * 25)
    task = task_file(tmp_path / "map", "map", [Piece(str(tmp_path / "input"), 0, 25, "input")], [])
    with pytest.raises(UserError, match="no whole number of records of 10 bytes"):
        run_sort_map(Sort(10), task)


@pytest.mark.parametrize("core", PLANES)
def test_a_damaged_block(tmp_path: Path, core: ModuleType | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "core", core)
    (tmp_path / "input").write_bytes(b"b\na\n")
    task = task_file(tmp_path / "map", "map", [Piece(str(tmp_path / "input"), 0, 4)], [])
    ((offset, length),) = run_sort_map(Sort(), task)["blocks"]
    data = bytearray(Path(task.output).read_bytes())
    data[-1] ^= 1
    Path(task.output).write_bytes(data)
    with pytest.raises((HostError, OSError), match="checksum"):
        run_sort_reduce(Sort(), task_file(tmp_path / "reduce", "reduce", [Piece(task.output, offset, length)], []))


@pytest.mark.parametrize("key", [slice(-1, None), slice(0, 10, 2), 3, slice("a", None)])
def test_a_key_that_is_no_plain_slice(key: object) -> None:
    with pytest.raises(DefinitionError, match="key is"):
        Sort(key=key)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [-1, 2**30, True, "10"])
def test_a_length_that_is_none(length: object) -> None:
    with pytest.raises(DefinitionError, match="record_bytes is"):
        Sort(length)  # type: ignore[arg-type]


def test_ranges_are_of_about_equal_size(tmp_path: Path) -> None:
    source = random.Random(2)
    words = [b"%06x\n" % source.randrange(2**24) for _ in range(50_000)]
    (tmp_path / "a").write_bytes(b"".join(words[:10_000]))
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"".join(words[10_000:])))
    storage = FileStorage(tmp_path)
    inputs = [Input(name, storage.stat(name).size, "") for name in ("a", "b.gz")]
    starts = range_starts(inputs, lambda url: (storage, url), Sort().facts(), 4)
    assert starts == sorted(starts)
    counts = [0] * 4
    for word in words:
        counts[sum(start <= word[:-1] for start in starts)] += 1
    assert max(counts) < 2 * len(words) / 4


def test_ranges_of_an_input_whose_first_compressed_block_is_large(tmp_path: Path) -> None:
    source = random.Random(4)
    text = b"".join(b"%016x\n" % source.randrange(2**64) for _ in range(100_000))
    (tmp_path / "a.bz2").write_bytes(bz2.compress(text))
    storage = FileStorage(tmp_path)
    inputs = [Input("a.bz2", storage.stat("a.bz2").size, "")]
    first, second = range_starts(inputs, lambda url: (storage, url), Sort().facts(), 3)
    assert b"4" < first < b"7"
    assert b"9" < second < b"c"


def test_ranges_of_inputs_in_which_no_record_is_found(tmp_path: Path) -> None:
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8b\x08\0no gzip.")
    storage = FileStorage(tmp_path)
    inputs = [Input("broken.gz", 12, "")]
    assert range_starts(inputs, lambda url: (storage, url), Sort().facts(), 3) == [b"", b""]


def test_a_job_that_sorts(gomr: Gomr) -> None:
    source = random.Random(3)
    records = [b"%08x %s\n" % (source.randrange(2**32), b"x" * 40) for _ in range(20_000)]
    (gomr.folder / "records").write_bytes(b"".join(records))
    (gomr.folder / "by_number.py").write_text("from gomr import Sort\nsort = Sort(50, slice(0, 8))\n")
    (gomr.folder / "lines.py").write_text("from gomr import Sort\nsort = Sort()\n")
    for job in ("by_number.py", "lines.py"):
        options = ["--split-size", "100kB", "--partitions", 3, "--memory", "9MB"]
        gomr("run", job, "records", "-o", "sorted", *options)
        assert (gomr.folder / "sorted").read_bytes() == b"".join(sorted(records))
    jobs = [line.split()[0] for line in gomr("jobs").stdout.splitlines()]
    parts = [
        task["bytes_out"] for task in json.loads(gomr("tasks", jobs[0], "--json").stdout) if "reduce" in task["task"]
    ]
    assert len(parts) == 3
    assert max(parts) < 2 * 1_000_000 / 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from gomr import Sort\nsort = Sort()\ndef mapper(line): return []\n", "mapper beside sort"),
        ("sort = 1\n", "write sort = gomr.Sort"),
    ],
)
def test_a_job_file_that_sorts_and_more(gomr: Gomr, text: str, message: str) -> None:
    (gomr.folder / "wrong.py").write_text(text)
    (gomr.folder / "input").write_text("a\n")
    refused = gomr("run", "wrong.py", "input", status=None)
    assert refused.returncode != 0
    assert message in refused.stderr


def test_inputs_that_are_no_records_are_refused_at_once(gomr: Gomr) -> None:
    (gomr.folder / "by_number.py").write_text("from gomr import Sort\nsort = Sort(50, slice(0, 8))\n")
    (gomr.folder / "input").write_text("a\n")
    assert "2 bytes are no whole number of records of 50 bytes" in gomr("run", "by_number.py", "input", status=2).stderr
    assert "--format: a job that sorts" in gomr("run", "by_number.py", "input", "--format", "json", status=2).stderr
