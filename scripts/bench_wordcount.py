"""Times word counts of one file: gomr's jobs and a hand-written multiprocessing count, in turn, and compares them."""

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing import Pool
from pathlib import Path

from gomr.job.outputs import parse_text

RUNS_DEFAULT = 3
SPLIT_BYTES = 16 * 1024 * 1024
PROCESSES = 2
CHUNK_JOB = '''"""Word count over chunks of whole lines, with a well-known reducer."""

from collections import Counter

from gomr import total

input_format = "chunks-bytes"
reducer = total


def mapper(chunk):
    return Counter(chunk.split())
'''


def count(piece: tuple[str, int, int]) -> Counter[bytes]:
    """Count the words of a byte range."""
    path, start, stop = piece
    with Path(path).open("rb") as file:
        file.seek(start)
        return Counter(file.read(stop - start).split())


def pieces(path: str) -> list[tuple[str, int, int]]:
    """Cut a file into ranges of whole lines."""
    size, found, start = Path(path).stat().st_size, [], 0
    with Path(path).open("rb") as file:
        while start < size:
            file.seek(min(size, start + SPLIT_BYTES))
            file.readline()
            found.append((path, start, file.tell()))
            start = file.tell()
    return found


def by_hand(path: str, output: Path) -> None:
    """Count with a pool of processes whose counts the parent adds up."""
    total: Counter[bytes] = Counter()
    with Pool(PROCESSES) as pool:
        for part in pool.imap_unordered(count, pieces(path)):
            total.update(part)
    output.write_bytes(b"".join(b"%s\t%d\n" % item for item in total.items()))


def by_gomr(job: Path, path: str, output: Path, home: Path) -> None:
    """Count with `gomr run`, on a cluster of its own."""
    variables = {**os.environ, "XDG_DATA_HOME": str(home / "data"), "XDG_CACHE_HOME": str(home / "cache")}
    command = ["gomr", "run", str(job), path, "--slots", str(PROCESSES), "-o", str(output)]
    subprocess.run(command, env=variables, check=True, stderr=subprocess.DEVNULL)


def plain(line: bytes) -> tuple[str, str]:
    """Return the word and the count of a line of `by_hand`."""
    word, _, number = line.decode("utf-8", "surrogateescape").rpartition("\t")
    return word, number


def counts_of(path: Path, parse: Callable[[bytes], tuple[str, str]]) -> dict[str, str]:
    """Return the counts in a result."""
    return dict(map(parse, path.read_bytes().rstrip(b"\n").split(b"\n")))


def seconds_of(action: Callable[[], None]) -> tuple[float, float]:
    """Return the wall and the processor seconds of an action, its processes included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    action()
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(path: str, runs: int) -> None:
    """Run everything in turn and print the figures."""
    size = Path(path).stat().st_size / 1e6
    with tempfile.TemporaryDirectory(prefix="gomr-bench-") as folder:
        home = Path(folder)
        chunk_job = home / "wordcount_chunks.py"
        chunk_job.write_text(CHUNK_JOB)
        line_job = Path(__file__).parent.parent / "examples" / "wordcount.py"
        actions = {
            "multiprocessing, by hand": lambda: by_hand(path, home / "hand.tsv"),
            "gomr, chunks and total": lambda: by_gomr(chunk_job, path, home / "chunks.tsv", home),
            "gomr, a pair a word": lambda: by_gomr(line_job, path, home / "lines.tsv", home),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in actions}
        for job in (chunk_job, line_job):  # builds and unpacks once, as a user's second run has done
            by_gomr(job, str(line_job), home / "warm.tsv", home)
        for _ in range(runs):
            for name, action in actions.items():
                found[name].append(seconds_of(action))
        same = counts_of(home / "hand.tsv", plain) == counts_of(home / "chunks.tsv", parse_text)
    print(f"{path}: {size:.1f} MB; {runs} runs in turn, {PROCESSES} processes each")
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} processors")
    base = statistics.median(wall for wall, _ in found["multiprocessing, by hand"])
    for name, times in found.items():
        walls = sorted(wall for wall, _ in times)
        median = statistics.median(walls)
        processor = statistics.median(cpu for _, cpu in times)
        print(
            f"{name:26} MB/s min {size / walls[-1]:6.1f}  median {size / median:6.1f}  max {size / walls[0]:6.1f}"
            f"  processor s {processor:6.1f}  speed relative to by hand {base / median:.2f}"
        )
    print(f"the counts of chunks and by hand are {'equal' if same else 'DIFFERENT'}")
    if not same:
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else RUNS_DEFAULT)
