"""The checksum of a result's part: XXH3 of 128 bits, which finds damage, and proves nothing of who made the bytes."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import xxhash

READ_BYTES = 1024 * 1024


class Checksum:
    """The checksum of the bytes that went by."""

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_128()

    def watch(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield `pieces` as they are."""
        for data in pieces:
            self._hash.update(data)
            yield data

    def __str__(self) -> str:
        """Return it in hexadecimal."""
        return self._hash.hexdigest()


def file_checksum(path: Path) -> str:
    """Return the checksum of a file. Raises OSError."""
    checksum = Checksum()
    with path.open("rb") as file:
        for _ in checksum.watch(iter(lambda: file.read(READ_BYTES), b"")):
            pass
    return str(checksum)
