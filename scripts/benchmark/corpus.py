"""The inputs of the benchmarks, fetched or built once and kept: text, fixed-length records, folders of files."""

import hashlib
import itertools
import os
import random
import subprocess
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

KERNEL = "linux-source-6.1"  # Debian's package of the Linux sources: text with very many distinct words
SUFFIXES = (".c", ".h", ".rst", ".txt", ".S", ".dts", ".dtsi", ".yaml", ".json")
RECORD_BYTES = 100
KEY_BYTES = 10
RECORDS_AT_A_TIME = 100_000
LETTERS = bytes(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz01"[byte % 64] for byte in range(256))
UNUSUAL_SPACES = b"\r\v\f\0\x1c\x1d\x1e\x1f"  # of which not all agree whether they part words
FILES = 200
TINY = b"the quick brown fox\njumps over the lazy dog\nthe end\n"


class Corpus:
    """Makes inputs in `folder`, each when it is first asked for; `text_file` is taken for the text where given."""

    def __init__(self, folder: Path, text_file: Path | None = None) -> None:
        self._folder = folder
        self._text_file = text_file
        folder.mkdir(parents=True, exist_ok=True)

    def text(self, size: int) -> Path:
        """Return a text of `size` bytes, to the next end of a line; all of a file given that is shorter.

        Of a file given, the lines in which not all contenders would find the same words are left out.
        """
        name = self._text_file.name if self._text_file else "text"
        path = self._folder / f"{name}-{size}"
        if not path.exists():
            _write(path, _until(self._pieces(), size))
        return path

    def records(self, size: int) -> Path:
        """Return `size` bytes of 100-byte lines, each starting with a random key of 10 letters and digits."""
        path = self._folder / f"records-{size}"
        if not path.exists():
            _write(path, _records(size // RECORD_BYTES))
        return path

    def files(self, size: int) -> Path:
        """Return a folder with the text of `size` bytes as 200 files."""
        folder = self._folder / f"{self.text(size).name}-files"
        if not folder.exists():
            aside = folder.with_suffix(".part")
            aside.mkdir(exist_ok=True)
            with self.text(size).open("rb") as text:
                for number in range(FILES):
                    data = text.read(size // FILES) + text.readline()
                    (aside / f"file-{number:03d}.txt").write_bytes(data)
                _append(aside / f"file-{FILES - 1:03d}.txt", text.read())
            aside.rename(folder)
        return folder

    def tiny(self) -> Path:
        """Return a text of three lines."""
        path = self._folder / "tiny"
        path.write_bytes(TINY)
        return path

    def _pieces(self) -> Iterator[bytes]:
        if self._text_file:
            with self._text_file.open("rb") as lines:
                yield from filter(_is_agreed, lines)
            return
        root, paths = _kernel(self._folder) or _library()
        for turn in itertools.count():  # each time with other long words
            for data in _agreed(root, paths):
                yield data.replace(b"_", b"_%d_" % turn) if turn else data


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    aside = path.with_name(path.name + ".part")
    with aside.open("wb") as file:
        file.writelines(pieces)
    aside.rename(path)


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def _until(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        if len(piece) >= size:
            yield piece[: piece.find(b"\n", size - 1) + 1 or len(piece)]
            return
        size -= len(piece)
        yield piece


def _kernel(folder: Path) -> tuple[Path, list[Path]] | None:
    """Return the folder of the Linux sources and its texts; None where the package is out of reach."""
    fetched = subprocess.run(["apt-get", "download", KERNEL], cwd=folder, capture_output=True, check=False)
    packages = [*folder.glob(f"{KERNEL}_*.deb")]
    if fetched.returncode != 0 and not packages:
        return None
    if not (folder / "usr").exists():
        subprocess.run(["dpkg-deb", "-x", str(packages[0]), str(folder)], check=True)
    archive = folder / "usr/src" / f"{KERNEL}.tar.xz"
    root = folder / KERNEL
    if not root.exists():
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    return root, [path for path in root.rglob("*") if path.suffix in SUFFIXES and path.is_file()]


def _library() -> tuple[Path, list[Path]]:
    """Return the folder of Python's library and its sources."""
    root = Path(sysconfig.get_path("stdlib"))
    return root, [*root.rglob("*.py")]


def _agreed(root: Path, paths: list[Path]) -> Iterator[bytes]:
    """Yield the texts in which all contenders find the same words, whole lines each.

    In an order that looks random, and is the same everywhere.
    """

    def shuffled(path: Path) -> bytes:
        return hashlib.sha256(os.fsencode(path.relative_to(root))).digest()

    for path in sorted(paths, key=shuffled):
        data = path.read_bytes()
        if _is_agreed(data):
            yield data if data.endswith(b"\n") else data + b"\n"


def _is_agreed(data: bytes) -> bool:
    """Whether contenders that split bytes, text, or at blanks and tabs alone find the same words."""
    try:
        agreed = [word.encode() for word in data.decode().split()] == data.split()
    except UnicodeDecodeError:
        return False
    return agreed and len(data) == len(data.translate(None, UNUSUAL_SPACES))


def _records(count: int) -> Iterator[bytes]:
    source = random.Random(42)
    filler = b"abcdefghij" * 8
    for start in range(0, count, RECORDS_AT_A_TIME):
        number = min(RECORDS_AT_A_TIME, count - start)
        keys = source.randbytes(KEY_BYTES * number).translate(LETTERS)
        yield b"".join(
            b"%s %010d %s\n" % (keys[KEY_BYTES * i : KEY_BYTES * (i + 1)], start + i, filler[:77])
            for i in range(number)
        )
