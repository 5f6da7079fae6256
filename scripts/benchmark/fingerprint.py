"""Fingerprints of results that do not depend on the order of lines, or say whether it is right."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gomr.job.outputs import parse_text

Fingerprint = tuple[int, ...]


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, or of all files of a folder that hold parts of a result."""
    files = sorted(path.glob("part*")) if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as lines:
            yield from lines


def unescaped_lines_of(path: Path) -> Iterator[bytes]:
    """Yield the lines of a result of gomr with its words as they were."""
    for line in lines_of(path):
        yield line if b"\\" not in line else _unescaped(line)


def of_counts(lines: Iterable[bytes]) -> Fingerprint:
    """Return how many words, the sum of their counts, and a sum over the lines `word<TAB>count`."""
    words = total = checksum = 0
    for line in lines:
        words += 1
        total += int(line.rpartition(b"\t")[2])
        checksum += zlib.crc32(line)
    return words, total, checksum


def of_index(lines: Iterable[bytes]) -> Fingerprint:
    """Return how many words, and a sum over the lines `word<TAB>files`."""
    words = checksum = 0
    for line in lines:
        words += 1
        checksum += zlib.crc32(line)
    return words, checksum


def of_sorted(lines: Iterable[bytes]) -> Fingerprint:
    """Return how many lines, how many stand before a lesser one by their first ten bytes, and a sum over the lines."""
    count = wrong = checksum = 0
    last = b""
    for line in lines:
        count += 1
        wrong += line[:10] < last
        last = line[:10]
        checksum += zlib.crc32(line)
    return count, wrong, checksum


def of(kind: str, path: Path) -> Fingerprint:
    """Return the fingerprint of a result of `kind`, one of `KINDS`."""
    read, fingerprint = KINDS[kind]
    return fingerprint(read(path))


def _unescaped(line: bytes) -> bytes:
    key, value = parse_text(line)
    return f"{key}\t{value}\n".encode("utf-8", "surrogateescape")


KINDS: dict[str, tuple[Callable[[Path], Iterator[bytes]], Callable[[Iterable[bytes]], Fingerprint]]] = {
    "counts": (lines_of, of_counts),
    "gomr counts": (unescaped_lines_of, of_counts),
    "index": (lines_of, of_index),
    "gomr index": (unescaped_lines_of, of_index),
    "sorted": (lines_of, of_sorted),
}
