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


def of_counts(path: Path) -> Fingerprint:
    """Return how many words, the sum of their counts, and a sum over the lines `word<TAB>count`."""
    return _of_counts(lines_of(path))


def of_gomr_counts(path: Path) -> Fingerprint:
    """Return the same for a result of gomr, whose words are escaped."""
    return _of_counts(line if b"\\" not in line else _plain(line) for line in lines_of(path))


def of_sorted(path: Path) -> Fingerprint:
    """Return how many lines, how many stand before a lesser one by their first ten bytes, and a sum over the lines."""
    lines = wrong = checksum = 0
    last = b""
    for line in lines_of(path):
        lines += 1
        wrong += line[:10] < last
        last = line[:10]
        checksum += zlib.crc32(line)
    return lines, wrong, checksum


def of_index(path: Path) -> Fingerprint:
    """Return how many words, and a sum over the lines `word<TAB>files`."""
    return _of_index(lines_of(path))


def of_gomr_index(path: Path) -> Fingerprint:
    """Return the same for a result of gomr, whose words are escaped."""
    return _of_index(line if b"\\" not in line else _plain(line) for line in lines_of(path))


def _of_index(lines: Iterable[bytes]) -> Fingerprint:
    words = checksum = 0
    for line in lines:
        words += 1
        checksum += zlib.crc32(line)
    return words, checksum


def _of_counts(lines: Iterator[bytes]) -> Fingerprint:
    words = total = checksum = 0
    for line in lines:
        words += 1
        total += int(line.rpartition(b"\t")[2])
        checksum += zlib.crc32(line)
    return words, total, checksum


def _plain(line: bytes) -> bytes:
    key, value = parse_text(line)
    return f"{key}\t{value}\n".encode("utf-8", "surrogateescape")


KINDS: dict[str, Callable[[Path], Fingerprint]] = {
    "counts": of_counts,
    "gomr counts": of_gomr_counts,
    "index": of_index,
    "gomr index": of_gomr_index,
    "sorted": of_sorted,
}
