"""Ranges of whole lines of a file, for the peers that cut their input themselves."""

from collections import Counter
from collections.abc import Callable
from multiprocessing import Pool
from pathlib import Path

PIECE_BYTES = 16_000_000
Piece = tuple[str, int, int]


def pieces(path: str) -> list[Piece]:
    """Return ranges of whole lines, of about `PIECE_BYTES` each: path, start, end."""
    found = []
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        start = 0
        while start < size:
            file.seek(min(size, start + PIECE_BYTES))
            file.readline()
            found.append((path, start, file.tell()))
            start = file.tell()
    return found


def counted(piece: Piece) -> Counter[bytes]:
    """Count the words of a piece line by line, as a function of a line does."""
    path, start, end = piece
    counts: Counter[bytes] = Counter()
    with Path(path).open("rb") as file:
        file.seek(start)
        for line in file:
            counts.update(line.split())
            start += len(line)
            if start >= end:
                break
    return counts


def counted_whole(piece: Piece) -> Counter[bytes]:
    """Count the words of a piece at once."""
    path, start, end = piece
    with Path(path).open("rb") as file:
        file.seek(start)
        return Counter(file.read(end - start).split())


def count_in_pool(count: Callable[[Piece], Counter[bytes]], source: str, target: str) -> None:
    """Count the words of a file: two processes count pieces, this one adds up."""
    total: Counter[bytes] = Counter()
    with Pool(2) as pool:
        for part in pool.imap_unordered(count, pieces(source)):
            total.update(part)
    write_counts(total, target)


def write_counts(counts: dict[bytes, int], path: str) -> None:
    """Write a line a word."""
    with Path(path).open("wb") as file:
        file.writelines(b"%s\t%d\n" % item for item in counts.items())
