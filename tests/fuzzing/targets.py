"""What reads outside bytes: each target takes any bytes, and lets nothing through but gomr's own errors."""

import contextlib
import io
import json
import marshal
import struct
import tempfile
import zlib
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

from gomr_loggly import reader
from gomr_native import _core

from gomr import urls
from gomr.config import Config
from gomr.errors import ConfigurationError, GomrError, UnavailableError
from gomr.job.contract import read_task
from gomr.job.errors import ContractError, HostError
from gomr.job.frames import read_entries
from gomr.job.values import refuse_reading
from gomr.model import DoneRecord, JobHead, JobRecord, Record, StageRecord, TaskRecord, WorkerRecord
from gomr.worker.outcome import TaskFailed, read_outcome

RECORDS: list[type[Record]] = [JobHead, StageRecord, TaskRecord, DoneRecord, WorkerRecord, JobRecord]
FOLDER = Path(tempfile.gettempdir())
EVENTS_MAX = 20


def records(data: bytes) -> None:
    """A value of the coordinator: whatever is read from it can be written, and is the same again."""
    kind = RECORDS[data[0] % len(RECORDS)] if data else JobHead
    with contextlib.suppress(GomrError):
        record = kind.from_json(data[1:])
        assert kind.from_json(record.to_json()) == record


def results(data: bytes) -> None:
    """A task's result file."""
    path, output = FOLDER / "result", FOLDER / "output"
    path.write_bytes(data)
    output.touch()
    with contextlib.suppress(TaskFailed):
        read_outcome(path, output, 0, 1)


def tasks(data: bytes) -> None:
    """A task file."""
    path = FOLDER / "task"
    path.write_bytes(data)
    with contextlib.suppress(ContractError):
        read_task(path)


def blocks(data: bytes) -> None:
    """A block file."""
    with contextlib.suppress(HostError):
        for _ in read_entries(io.BytesIO(data), len(data)):
            pass


def native_blocks(data: bytes) -> None:
    """A frame with a checksum that fits, which the native core reads: sums, groups, and writes it again."""
    codec, payload = data[0] if data else 0, data[1:]
    frame = struct.pack("<BII", codec, len(payload), zlib.crc32(payload, codec)) + payload
    path = FOLDER / "frame"
    path.write_bytes(frame)
    blocks = [(str(path), 0, len(frame))] * 2
    for fold in (_core.KEEP, _core.TOTAL):
        with contextlib.suppress(OSError, _core.Unfit):
            _core.Merge(blocks, fold, refuse_reading).write(len)
    with contextlib.suppress(OSError, _core.Unfit):
        _core.Merge(blocks, _core.TOTAL, refuse_reading).columns(1000)
    with contextlib.suppress(OSError, _core.Unfit):
        for _, values in _core.Merge(blocks, _core.KEEP, refuse_reading):
            list(values)


def addresses(data: bytes) -> None:
    """A URL."""
    with contextlib.suppress(ConfigurationError):
        urls.parse(data.decode("utf-8", "replace"))


def configurations(data: bytes) -> None:
    """A configuration file."""
    (FOLDER / "gomr.toml").write_bytes(data)
    with contextlib.suppress(ConfigurationError):
        Config({}, {"HOME": str(FOLDER)}, FOLDER).text("storage")


def loggly(data: bytes) -> None:
    """An answer of Loggly."""
    account: Any = reader.Account("http://127.0.0.1:9", "user", "password")
    answer: Callable[..., tuple[int, bytes]] = lambda *_: (200, data)  # noqa: E731 - a mock would remember all calls
    with mock.patch.object(reader, "request", answer), contextlib.suppress(UnavailableError):
        for event in islice(account.events({}, 60.0), EVENTS_MAX):
            assert isinstance(event, dict)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (records, results, tasks, blocks, native_blocks, addresses, configurations, loggly)
}
SEEDS: dict[str, list[bytes]] = {  # to begin from
    "records": [
        bytes([number]) + json.dumps(dict.fromkeys(kind.__dataclass_fields__)).encode()  # type: ignore[attr-defined]
        for number, kind in enumerate(RECORDS)
    ],
    "results": [b'{"contract": 1, "ok": true, "blocks": [[0, 0]], "records_in": 1, "counters": {"a": 1}}'],
    "tasks": [b'{"contract": 1, "kind": "map", "inputs": [], "partitions": 1, "params": {}, "output": "o"}'],
    "native_blocks": [
        bytes([kind << 2 | lists]) + marshal.dumps((keys, values), 2)
        for kind, keys in ((1, [1, 2**40]), (2, ["a", "\u00fc"]), (3, [b"a", b"b"]))
        for lists, values in ((0, [1, 2]), (0, ["x", (1, None)]), (1, [[1, 2**70], [2.5, True]]))
    ],
    "blocks": [b"\x00\x00\x00\x00\x00\x00\x00\x00\x00"],
    "addresses": [b"s3://user:secret@host:9000/bucket?region=x"],
    "configurations": [b'storage = "file:///x"\n[profile.a]\ncoordinator = "sqlite:///y"\n'],
    "loggly": [b'{"events": [{"event": {"json": {"job": "j"}}, "timestamp": 1}], "next": "http://127.0.0.1:9/n"}'],
}
