"""Outside bytes, of any kind: whatever reads them says what is wrong in gomr's own words, and nothing else."""

import contextlib
import io
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gomr_loggly import reader
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gomr import urls
from gomr.config import Config
from gomr.errors import ConfigurationError, GomrError, UnavailableError
from gomr.job.contract import read_task
from gomr.job.errors import ContractError, HostError
from gomr.job.frames import read_entries, write_flat
from gomr.model import DoneRecord, JobHead, JobRecord, StageRecord, TaskRecord, WorkerRecord
from gomr.worker.outcome import TaskFailed, read_outcome

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5)
)
RECORDS = [JobHead, StageRecord, TaskRecord, DoneRecord, WorkerRecord, JobRecord]
many = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def some_fields(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of the names that are looked for, and any values."""
    return st.dictionaries(st.sampled_from(names), JSON)


def names_of(kind: type) -> list[str]:
    return list(kind.__dataclass_fields__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", RECORDS)
@many
@given(data=st.data())
def test_records(kind: type[JobHead], data: st.DataObject) -> None:
    """What is read has the types that it says; so nothing that works with it later meets another."""
    raw = data.draw(st.binary(max_size=100) | JSON.map(json.dumps) | some_fields(names_of(kind)).map(json.dumps))
    with contextlib.suppress(GomrError):
        record = kind.from_json(raw if isinstance(raw, bytes) else raw.encode())
        assert kind.from_json(record.to_json()) == record
        for name, annotation in kind.__annotations__.items():
            if annotation in (str, int, bool):
                assert isinstance(getattr(record, name), annotation), name


@many
@given(raw=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 100_000)
@example(b'{"contract": 1, "ok": true, "records_in": Infinity}')
def test_result_files(tmp_path: Path, raw: bytes) -> None:
    read_result(tmp_path, raw)


RESULT_NAMES = ["ok", "error", "records_in", "blocks", "counters", "spills", "skipped", "peak_memory_bytes"]


@many
@given(facts=some_fields(RESULT_NAMES))
@example({"ok": True, "records_in": 1e400})
@example({"ok": True, "blocks": [[0, 0]], "counters": {"a": float("nan")}})
def test_result_files_that_look_right(tmp_path: Path, facts: dict[str, Any]) -> None:
    read_result(tmp_path, json.dumps({"contract": 1, "blocks": [[0, 0]], **facts}).encode())


def read_result(folder: Path, raw: bytes) -> None:
    (folder / "result").write_bytes(raw)
    (folder / "output").touch()
    with contextlib.suppress(TaskFailed):
        outcome = read_outcome(folder / "result", folder / "output", 0, 1)
        assert isinstance(outcome.records_in, int)


TASK_NAMES = "kind inputs partitions params output scratch result memory_bytes scratch_bytes skip identity".split()  # noqa: SIM905


@many
@given(facts=some_fields(TASK_NAMES) | JSON)
def test_task_files(tmp_path: Path, facts: Any) -> None:
    whole = {"kind": "map", "inputs": [], "partitions": 1, "params": {}, "output": "o", "scratch": "s", "result": "r"}
    whole |= {"contract": 1, "memory_bytes": 1, "scratch_bytes": 1}
    (tmp_path / "task").write_text(json.dumps({**whole, **facts} if isinstance(facts, dict) else facts))
    with contextlib.suppress(ContractError):
        task = read_task(tmp_path / "task")
        assert isinstance(task.partitions, int)
        assert all(isinstance(piece.offset, int) for piece in task.inputs)


@many
@given(position=st.integers(0, 400), value=st.integers(1, 255), cut=st.integers(0, 400))
def test_blocks(position: int, value: int, cut: int) -> None:
    """A byte that was changed, or an end that is missing, is noticed."""
    file = io.BytesIO()
    write_flat(file, [f"key {number}" for number in range(20)], list(range(20)))
    data = bytearray(file.getvalue())
    data[position % len(data)] ^= value
    with pytest.raises(HostError):
        list(read_entries(io.BytesIO(bytes(data)), len(data)))
    whole = file.getvalue()
    part = whole[: cut % len(whole)]
    with pytest.raises(HostError):
        list(read_entries(io.BytesIO(part), len(whole)))


def test_a_block_with_a_right_checksum_over_nonsense_is_damaged() -> None:
    for payload in (b"", b"i\x01\x00\x00\x00", b"("):
        frame = struct.pack("<BII", 0, len(payload), zlib.crc32(payload)) + payload
        with pytest.raises(HostError):
            list(read_entries(io.BytesIO(frame), len(frame)))


@many
@given(text=st.text(max_size=60) | st.text("abc:/@?&=%#[]. ", max_size=60))
@example("s3://[")
@example("s3://a:b/c@d")
def test_urls(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        url = urls.parse(text)
        assert url.password == "" or url.password not in str(url).replace("***", "") or len(url.password) < 3


@many
@given(raw=st.binary(max_size=100) | st.text('abc=[]"\n.', max_size=60).map(str.encode))
def test_configuration_files(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "gomr.toml").write_bytes(raw)
    with contextlib.suppress(ConfigurationError):
        Config({}, {"HOME": str(tmp_path)}, tmp_path).text("storage")


@many
@given(answer=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"events": [1, null, {"event": 3}], "next": 7}')
@example(b'{"events": [{"event": {"json": []}}]}')
@example(b'{"events": [], "next": "http://127.0.0.1:9/n"}')
def test_answers_of_loggly(answer: bytes) -> None:
    def request(*_: object) -> tuple[int, bytes]:
        return 200, answer

    account = reader.Account("http://127.0.0.1:9", "user", "password")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "request", request)
        with contextlib.suppress(UnavailableError):
            for event in _first(account.events({}, 60.0)):
                assert isinstance(event, dict)


def _first(events: Iterator[Any]) -> list[Any]:
    return [event for event, _ in zip(events, range(20), strict=False)]
