"""The records of a task that has failed on some: those to skip are set aside, and the one in hand is traced."""

import json
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gomr.job.contract import TaskFile
from gomr.job.errors import shown

TRACE = struct.Struct("<II")  # which input, which record of it: what a process that died was at


class Careful:
    """Goes through the records of a task's inputs; slower than need be where none has failed yet."""

    def __init__(self, task: TaskFile) -> None:
        self._task = task
        self._trace = os.open(task.trace, os.O_WRONLY | os.O_CREAT, 0o644) if task.trace else -1
        self.skipped = 0

    @staticmethod
    def is_needed(task: TaskFile) -> bool:
        """Say whether the task is to skip or to trace anything."""
        return bool(task.skip or task.trace)

    def records(self, piece: int, records: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield the records of one input with their numbers from 1 on, but for those to skip."""
        source = self._task.inputs[piece].name
        for number, record in enumerate(records, 1):
            if (source, number) in self._task.skip:
                self._set_aside(source, number, record)
                continue
            if self._trace >= 0:
                os.pwrite(self._trace, TRACE.pack(piece, number), 0)
            yield number, record
        if self._trace >= 0:  # what dies from here on is no record's doing
            os.ftruncate(self._trace, 0)

    def _set_aside(self, source: str, number: int, record: object) -> None:
        line = json.dumps({"source": source, "record_number": number, "record": shown(record)})
        with Path(self._task.skipped).open("a", encoding="ascii") as file:
            file.write(line + "\n")
        self.skipped += 1
