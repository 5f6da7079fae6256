"""Large word counts equal an independent count, key by key: real text, several workers, one of them killed."""

import json
import sysconfig
import time
from collections import Counter
from pathlib import Path

import pytest

from gomr.job.outputs import parse_text
from tests.conftest import EXAMPLES, Gomr

TEXT_BYTES = 100_000_000


def library_files() -> list[Path]:
    """The sources of the standard library, packages that were installed into it left out."""
    root = Path(sysconfig.get_path("stdlib"))
    return sorted(path for path in root.rglob("*.py") if not {"site-packages", "dist-packages"} & set(path.parts))


def counted(paths: list[Path]) -> dict[str, int]:
    words: Counter[str] = Counter()
    for path in paths:
        # Some begin with a byte order mark, which is no part of their first word.
        for line in path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"):
            words.update(line.decode("utf-8", "surrogateescape").split())
    return dict(words)


def counts_in(path: Path) -> dict[str, int]:
    lines = path.read_bytes().split(b"\n")
    found = {key: int(value) for key, value in map(parse_text, filter(None, lines))}
    assert len(found) == len(lines) - 1
    return found


@pytest.mark.parametrize(("workers", "partitions", "kill"), [(1, 1, False), (4, 3, True), (4, 16, True)])
def test_the_words_of_the_standard_library(gomr: Gomr, workers: int, partitions: int, kill: bool) -> None:
    files = library_files()
    (gomr.folder / "inputs").mkdir()
    for number, path in enumerate(files):
        (gomr.folder / "inputs" / f"{number:05d}.py").symlink_to(path)
    options = ["--partitions", partitions, "--split-size", "1MB"]
    job = gomr("submit", EXAMPLES / "wordcount.py", "inputs/*.py", *options).stdout.strip()
    processes = [gomr.worker("--once", "--slots", "1") for _ in range(workers)]
    if kill:
        deadline = time.monotonic() + 120
        while json.loads(gomr("status", job, "--json").stdout)["stages"][0]["done"] < 3:
            assert time.monotonic() < deadline
        processes[0].kill()
    for process in processes[1 if kill else 0 :]:
        assert process.wait(240) == 0, gomr.output_of(process)
    gomr("result", job, "-o", "out.tsv")
    assert counts_in(gomr.folder / "out.tsv") == counted(files)


def test_a_text_of_100_mb_with_a_worker_killed(gomr: Gomr) -> None:
    text = b"".join(path.read_bytes() for path in library_files())
    text = (text * (TEXT_BYTES // len(text) + 1))[:TEXT_BYTES]
    (gomr.folder / "in.txt").write_bytes(text)
    job = gomr("submit", EXAMPLES / "wordcount.py", "in.txt", "--partitions", "3").stdout.strip()
    victim, heir = (gomr.worker("--once", "--slots", "1") for _ in range(2))
    deadline = time.monotonic() + 200
    while not json.loads(gomr("status", job, "--json").stdout)["stages"][0]["done"]:
        assert time.monotonic() < deadline
    victim.kill()
    assert heir.wait(280) == 0, gomr.output_of(heir)
    gomr("result", job, "-o", "out.tsv")
    assert counts_in(gomr.folder / "out.tsv") == counted([gomr.folder / "in.txt"])


def test_a_line_of_100_mb_at_tiny_splits_with_little_memory(gomr: Gomr) -> None:
    """Everything that breaks line readers, in the smallest splits: \\x85, form feeds, CRLF, no last newline."""
    line = b"a-long-word of a-long-line " * (TEXT_BYTES // 27 + 1)
    text = b"a\x85b\r\nc\fd\r\n" + line + b"\n\n\r\nlast line without a newline \xe9"
    (gomr.folder / "in.txt").write_bytes(text)
    gomr(
        *("run", EXAMPLES / "wordcount.py", "in.txt", "-o", "out.tsv"),
        *("--split-size", "7", "--partitions", "16", "--memory", "32MB"),
    )
    assert counts_in(gomr.folder / "out.tsv") == counted([gomr.folder / "in.txt"])
