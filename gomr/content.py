"""What the bytes of an input say it is: how it is compressed, and whether it can be UTF-8 text.

The first bytes decide. A name alone decides only where nobody has looked at the bytes yet.
"""

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# A page of the disk, and as far into a file as `grep` and `git` look about. A later NUL in a log stays data.
HEAD_BYTES = 4096
BOM = b"\xef\xbb\xbf"
PLAIN = ""
NAMES = {".gz": "gz", ".gzip": "gz", ".bz2": "bz2", ".zst": "zst", ".zstd": "zst", ".xz": "xz", ".lz4": "lz4"}
NAMES |= {".sz": "snappy", ".snappy": "snappy"}
SKIPPABLE = b"\x2a\x4d\x18"
SKIPPABLE_FRAMES_MAX = 16
FIXED = {
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xff\x06\x00\x00sNaPpY": "snappy",
}
BZIP2_BLOCKS = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
FOREIGN = {
    b"\xff\xfe\x00\x00": "UTF-32 text",
    b"\x00\x00\xfe\xff": "UTF-32 text",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"PK\x03\x04": "a ZIP archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"PAR1": "a Parquet file",
    b"Obj\x01": "an Avro file",
    b"\x1f\x9d": "a file of `compress`",
    b"%PDF-": "a PDF",
}
LIBRARIES = {"lz4": "lz4", "snappy": "python-snappy"}
DAMAGE = (EOFError, zlib.error, zstd.ZstdError, gzip.BadGzipFile, lzma.LZMAError, ValueError)


class LibraryMissing(Exception):
    """This machine has no library for a kind of compression."""


class Readable(Protocol):
    """What is read piece by piece."""

    def read(self, size: int, /) -> bytes:
        """Return some bytes, none at the end."""


def compression_of(head: bytes) -> str:
    """Return how a file that begins with `head` is compressed: "gz", "bz2", "zst", "xz", "lz4", "snappy", or ""."""
    for _ in range(SKIPPABLE_FRAMES_MAX):
        # zstd and LZ4 may begin with frames of notes, which say how long they are.
        if head[1:4] != SKIPPABLE or not 0x50 <= head[0] <= 0x5F or len(head) < 8:
            break
        head = head[8 + int.from_bytes(head[4:8], "little") :]
    for magic, name in FIXED.items():
        if head.startswith(magic):
            return name
    # Reserved flags are zero: records of random bytes are taken for gzip once in a hundred million files.
    if head.startswith(b"\x1f\x8b\x08") and len(head) > 3 and head[3] < 0x20:
        return "gz"
    if head.startswith(b"BZh") and head[3:4] in b"123456789" and head[4:10] in BZIP2_BLOCKS:
        return "bz2"
    return PLAIN


def compression_named(name: str) -> str:
    """Return how a file is compressed by its name; a name's case does not matter."""
    _, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return NAMES.get(f".{suffix.lower()}", PLAIN) if dot else PLAIN


def judged(name: str, head: bytes, split: str) -> str:
    """Return how an input is compressed, for a job whose inputs are split so ("lines", "records", "none").

    Bytes decide for lines. Records and whole objects may be anything, so that their names must say the same.
    """
    found = compression_of(head)
    return found if split == "lines" or compression_named(name) == found else PLAIN


def why_no_text(head: bytes) -> str:
    """Return why a file that begins with `head` is no UTF-8 text, or ""."""
    for magic, what in FOREIGN.items():
        if head.startswith(magic):
            return f"it is {what}"
    if b"\0" in head[:HEAD_BYTES]:
        return f"there are NUL bytes in its first {HEAD_BYTES} bytes"
    return ""


def no_text_message(name: str, problem: str) -> str:
    """Return the sentence that refuses an input as text."""
    hint = "; convert it first: iconv -f UTF-16 -t UTF-8" if "UTF-16" in problem else ""
    return (
        f"{name}: {problem}, and this job reads UTF-8 text{hint}; a job that wants its bytes says "
        'input_format = "lines-bytes", "chunks-bytes" or "objects"'
    )


def wants_text(facts: Mapping[str, Any]) -> bool:
    """Say whether a job, by what its executable says of itself, reads UTF-8 text."""
    said = facts["input"]
    if facts.get("sort"):
        return bool(said["split"] == "lines")
    return bool(said.get("text", said["format"] in ("lines", "chunks")))


def open_plain(compression: str, file: BinaryIO) -> AbstractContextManager[Readable]:
    """Open a compressed file to read what is in it. Raises LibraryMissing."""
    opened: AbstractContextManager[Readable] = OPENERS[compression](file)
    return opened


def begin(compression: str, data: bytes) -> bytes:
    """Return what the first `data` of a compressed file hold, as far as that is known. Raises what is in DAMAGE."""
    if compression not in BEGINNERS:
        raise ValueError(f"no sample of {compression}")
    return BEGINNERS[compression](data)


def _open_lz4(file: BinaryIO) -> AbstractContextManager[Readable]:
    try:
        from lz4 import frame
    except ImportError:
        raise LibraryMissing(_missing("lz4")) from None
    opened: AbstractContextManager[Readable] = frame.LZ4FrameFile(file)
    return opened


def _open_snappy(file: BinaryIO) -> AbstractContextManager[Readable]:
    try:
        import snappy
    except ImportError:
        raise LibraryMissing(_missing("snappy")) from None
    return _SnappyFile(file, snappy.StreamDecompressor())


def _missing(compression: str) -> str:
    library = LIBRARIES[compression]
    return f"compressed with {compression}, and this machine has no library for it; pip install {library}"


class _SnappyFile:
    """The bytes of a file in Snappy's framing format."""

    def __init__(self, file: BinaryIO, decompressor: Any) -> None:
        self._file = file
        self._decompressor = decompressor

    def __enter__(self) -> Readable:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, size: int, /) -> bytes:
        """Return what some more of the file holds: about `size` bytes, some times more where it is packed well."""
        while packed := self._file.read(min(size, 64 * 1024)):
            try:
                plain: bytes = self._decompressor.decompress(packed)
            except Exception as error:
                # The library's own errors have no common base.
                raise ValueError(str(error)) from error
            if plain:
                return plain
        if self._decompressor.remains:
            raise ValueError("it ends within a chunk")
        return b""


OPENERS: dict[str, Callable[[BinaryIO], Any]] = {
    "gz": lambda file: gzip.GzipFile(fileobj=file),
    "bz2": bz2.BZ2File,
    "zst": zstd.ZstdFile,
    "xz": lzma.LZMAFile,
    "lz4": _open_lz4,
    "snappy": _open_snappy,
}
BEGINNERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: zlib.decompressobj(wbits=31).decompress(data),
    "bz2": lambda data: bz2.BZ2Decompressor().decompress(data),
    "zst": lambda data: zstd.ZstdDecompressor().decompress(data),
    "xz": lambda data: lzma.LZMADecompressor().decompress(data),
}
