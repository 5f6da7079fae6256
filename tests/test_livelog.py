"""What a task writes, on its way to followers and log sinks."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gomr.backends import LogSink
from gomr.logs import log
from gomr.worker import livelog


class Kept(LogSink):
    takes_output = True

    def __init__(self) -> None:
        self.lines: list[str] = []

    def emit(self, event: Mapping[str, Any]) -> None:
        self.lines.append(event["line"])


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Kept:
    sink = Kept()
    monkeypatch.setattr(log, "output_sinks", lambda: [sink])
    return sink


def output_lines(path: Path) -> livelog.OutputLines:
    claim: Any = SimpleNamespace(
        at=SimpleNamespace(job="j", stage="1-map"), index=0, record=SimpleNamespace(attempt_name="1", worker="w")
    )
    return livelog.OutputLines(claim, path, 100 * 1024**2)


def test_no_line_is_torn(tmp_path: Path, sink: Kept) -> None:
    """Not even where the file is longer than what is read at a time; and only a newline ends a line."""
    lines = [f"{number} ünïcödé\u2028\x0b {'x' * (number % 200)}" for number in range(30_000)]
    path = tmp_path / "log"
    path.write_text("\n".join(lines) + "\nunfinished")
    output = output_lines(path)
    output.send()
    assert sink.lines == lines
    with path.open("a") as file:
        file.write(" now it is\r\n\n")
    output.send(last=True)
    assert sink.lines[len(lines) :] == ["unfinished now it is", ""]


def test_a_line_without_an_end_is_cut_and_not_kept_for_ever(tmp_path: Path, sink: Kept) -> None:
    path = tmp_path / "log"
    path.write_text("x" * (2 * livelog.PIECE_BYTES_MAX + 5))
    output_lines(path).send(last=True)
    assert [len(line) for line in sink.lines] == [livelog.PIECE_BYTES_MAX, livelog.PIECE_BYTES_MAX, 5]
