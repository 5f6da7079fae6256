"""Input formats: how the bytes of an input become the records that a mapper is called with.

Only `\\n` ends a line; it is removed, and one `\\r` before it. Text is UTF-8 with `surrogateescape`: bytes that are
not UTF-8 become lone surrogates, so nothing is lost and nothing crashes, and text output writes them back as they were.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any, AnyStr, BinaryIO

from gomr.job.errors import DefinitionError

CHUNK_BYTES = 64 * 1024  # its words fit into the processor's cache, which a count of larger chunks leaves
MEMORY_PER_CHUNK = 64  # a chunk is so small a part of --memory: what a mapper makes of it is several times larger


class InputFormat:
    """Cuts a stream into records. A job may use its own subclass as `input_format`.

    `split` says how the worker may cut a large input: "lines" (after any newline) or "none" (whole objects only).
    Where `text` is true, the worker takes a byte order mark off, and refuses what is plainly no UTF-8 text.
    """

    name = "custom"
    split = "none"
    text = False

    def records(self, stream: BinaryIO, length: int, chunk_bytes: int) -> Iterator[Any]:
        """Yield the records in the next `length` bytes of `stream`, read in pieces of about `chunk_bytes`."""
        raise NotImplementedError

    def batches(self, stream: BinaryIO, length: int, chunk_bytes: int) -> Iterator[list[Any]]:
        """Yield the same records in lists: of many at a time, where they are small."""
        for record in self.records(stream, length, chunk_bytes):
            yield [record]


class Lines(InputFormat):
    """Each line, as `str` or `bytes`."""

    split = "lines"

    def __init__(self, name: str, *, text: bool) -> None:
        self.name = name
        self.text = text

    def records(self, stream: BinaryIO, length: int, chunk_bytes: int) -> Iterator[Any]:
        """Yield each line without its end."""
        return chain.from_iterable(self._runs(stream, length, chunk_bytes))

    def batches(self, stream: BinaryIO, length: int, chunk_bytes: int) -> Iterator[list[Any]]:
        """Yield the lines of a chunk at a time, unless a subclass has other records."""
        if type(self).records is Lines.records:
            return self._runs(stream, length, chunk_bytes)
        return super().batches(stream, length, chunk_bytes)

    def _runs(self, stream: BinaryIO, length: int, chunk_bytes: int) -> Iterator[list[Any]]:
        for chunk in line_chunks(stream, length, min(chunk_bytes, CHUNK_BYTES)):
            if self.text:  # no byte of a character is a newline, however damaged: to decode all at once is the same
                yield _lines_of(chunk.decode("utf-8", "surrogateescape"), "\n", "\r")
            else:
                yield _lines_of(chunk, b"\n", b"\r")


class Chunks(InputFormat):
    """Runs of whole lines line ends included, as `str` or `bytes`."""

    split = "lines"

    def __init__(self, name: str, *, text: bool) -> None:
        self.name = name
        self.text = text

    def records(self, stream: BinaryIO, length: int, chunk_bytes: int) -> Iterator[Any]:
        """Yield each chunk."""
        for chunk in line_chunks(stream, length, chunk_bytes):
            yield chunk.decode("utf-8", "surrogateescape") if self.text else chunk


class Objects(InputFormat):
    """Each input object whole, as `bytes`; `gomr.input_name()` says which it is."""

    name = "objects"

    def records(self, stream: BinaryIO, length: int, chunk_bytes: int) -> Iterator[Any]:
        """Yield the one record."""
        del chunk_bytes  # it is one piece, however large
        yield stream.read(length)


INPUT_FORMATS: dict[str, InputFormat] = {
    "lines": Lines("lines", text=True),
    "lines-bytes": Lines("lines-bytes", text=False),
    "chunks": Chunks("chunks", text=True),
    "chunks-bytes": Chunks("chunks-bytes", text=False),
    "objects": Objects(),
}


def input_format(value: object) -> InputFormat:
    """Return the format that a job file's `input_format` names. Raises DefinitionError."""
    if isinstance(value, InputFormat):
        return value
    if isinstance(value, str) and value in INPUT_FORMATS:
        return INPUT_FORMATS[value]
    raise DefinitionError(
        f"input_format is {value!r}; it is one of {', '.join(map(repr, INPUT_FORMATS))}, or an InputFormat"
    )


def chunk_size(wanted_bytes: int, memory_bytes: int) -> int:
    """Return the bytes of a chunk for a task with so much memory."""
    return min(wanted_bytes, max(CHUNK_BYTES, memory_bytes // MEMORY_PER_CHUNK))


def _lines_of(data: AnyStr, newline: AnyStr, carriage_return: AnyStr) -> list[AnyStr]:
    lines = data.split(newline)
    rest = lines.pop()  # what follows the last newline: a line only at the very end of an input
    if carriage_return in data:
        lines = [line[:-1] if line.endswith(carriage_return) else line for line in lines]
    if rest:
        lines.append(rest)
    return lines


def line_chunks(stream: BinaryIO, length: int, chunk_bytes: int) -> Iterator[bytes]:
    """Yield the next `length` bytes of `stream` as runs of whole lines; a longer line is a chunk of its own."""
    held: list[bytes] = []
    while length > 0:
        is_near_end = length < chunk_bytes + chunk_bytes // 8  # a last chunk of a line or two is not worth a call
        data = stream.read(length if is_near_end else chunk_bytes)
        if not data:
            break
        length -= len(data)
        cut = data.rfind(b"\n") + 1
        if cut:
            held.append(data[:cut])
            yield b"".join(held)
            held = [data[cut:]] if cut < len(data) else []
        else:
            held.append(data)
    if held:
        yield b"".join(held)
