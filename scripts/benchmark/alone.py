"""Gomr beside itself: less memory, another size, more slots, servers for files; and what a task or a job takes."""

import contextlib
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.contenders import GOMR, SLOTS, Places, gomr_run
from benchmark.corpus import Corpus
from benchmark.scratch import Scratch
from gomr.client import Client
from gomr.config import Config
from gomr.plugins import Plugins
from gomr.urls import parse

ROOT = Path(__file__).parent.parent.parent
GB = 10**9
TASKS = 1000
SUBMITS = 20
BUSY_LOOP = "for _ in range(50_000_000): pass"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, and what it should be: at most `goal`, or at least."""

    label: str
    value: float
    goal: float
    is_most: bool = True

    def __str__(self) -> str:
        met = self.value <= self.goal if self.is_most else self.value >= self.goal
        bound = "at most" if self.is_most else "at least"
        return f"  {self.label} {self.value:.2f} (goal: {bound} {self.goal:g}{'' if met else ', MISSED'})"


@dataclass(frozen=True, slots=True)
class Trial:
    """A command, and what its environment has beside ours."""

    command: Sequence[str]
    variables: Mapping[str, str]


class Setup:
    """Inputs, executables, and a folder in which commands run; `seconds` keeps what all runs took."""

    def __init__(self, scratch: Scratch, corpus: Corpus, places: Places, runs: int) -> None:
        self.scratch = scratch
        self.corpus = corpus
        self.seconds: dict[str, list[float]] = {}
        self._places = places
        self.runs = runs

    def executable(self, job: str) -> str:
        """Return a job of `jobs/` with the native core, unpacked."""
        executable = self._places.executable(job, pure=False)
        tiny = self.corpus.records(10_000) if job.startswith("sort") else self.corpus.tiny()
        self._run(self.job(executable, tiny))
        return executable

    def job(self, executable: str, source: str | Path, *options: str, **variables: str) -> Trial:
        """Return `gomr run` of an executable."""
        return Trial(gomr_run(executable, source, self.scratch.output, *options), variables)

    def in_turn(self, trials: Mapping[str, Trial]) -> dict[str, float]:
        """Run all trials in turn, several times; print and keep what each took, and return the medians in seconds."""
        taken: dict[str, list[float]] = {name: [] for name in trials}
        for _ in range(self.runs):
            for name, trial in trials.items():
                taken[name].append(self._run(trial))
        return {name: self.keep(name, seconds) for name, seconds in taken.items()}

    def keep(self, name: str, seconds: list[float]) -> float:
        """Print and keep what something took; return the median in seconds."""
        middle = statistics.median(seconds)
        print(
            f"  {name:36} s min {min(seconds):8.3f}  median {middle:8.3f}  max {max(seconds):8.3f}  runs {len(seconds)}"
        )
        self.seconds[name] = seconds
        return middle

    def _run(self, trial: Trial) -> float:
        run = self.scratch.run(trial.command, **trial.variables)
        self.scratch.clear()
        return run.seconds


def memory(setup: Setup) -> Iterator[Figure]:
    """Yield how much slower 1 GB is sorted, and grouped by 10 million distinct keys, with little memory."""
    records = setup.corpus.records(GB)
    for job in ("sort_records", "group_records"):
        executable = setup.executable(job)
        taken = setup.in_turn(
            {f"{job} --memory {size}": setup.job(executable, records, "--memory", size) for size in ("2GB", "256MB")}
        )
        much, little = taken.values()
        yield Figure(f"{job}: time with 256 MB over that with 2 GB", little / much, 1.6)


def scale(setup: Setup) -> Iterator[Figure]:
    """Yield how fast 5 GB are counted by how fast 1 GB is."""
    executable = setup.executable("count_pairs")
    texts = {f"count_pairs, {size} GB": setup.corpus.text(size * GB) for size in (1, 5)}
    taken = setup.in_turn({name: setup.job(executable, text) for name, text in texts.items()})
    small, large = (texts[name].stat().st_size / seconds for name, seconds in taken.items())
    yield Figure("MB/s at 5 GB over MB/s at 1 GB", large / small, 0.85, is_most=False)


def slots(setup: Setup) -> Iterator[Figure]:
    """Yield what a second slot gains of what a second processor gains for loops that do nothing else."""
    executable, text = setup.executable("count_pairs"), setup.corpus.text(GB)
    loops = 'for _ in $(seq "$2"); do "$0" -c "$1" & done; wait'
    trials = {f"count_pairs --slots {count}": setup.job(executable, text, "--slots", str(count)) for count in (1, 2)}
    trials |= {
        f"{count} busy loops": Trial(["sh", "-c", loops, sys.executable, BUSY_LOOP, str(count)], {}) for count in (1, 2)
    }
    one, two, loop, both = setup.in_turn(trials).values()
    yield Figure(
        "gain of a second slot over that of a second loop", (one / two) / (2 * loop / both), 0.9, is_most=False
    )


def tasks(setup: Setup) -> Iterator[Figure]:
    """Yield the milliseconds that one of many tasks takes, of one line each."""
    lines = setup.scratch.folder / "lines"
    lines.write_text("a\n" * TASKS)
    executable = setup.executable("count_pairs")
    name = f"{TASKS} tasks of a line"
    taken = setup.in_turn({name: setup.job(executable, lines, "--split-size", "2")})
    yield Figure("milliseconds a task", 1000 * taken[name] / TASKS, 4)


def servers(setup: Setup) -> Iterator[Figure]:
    """Yield how much longer 1 GB takes by S3 and etcd than by files and SQLite, its input lying in the bucket."""
    executable, text = setup.executable("count_pairs"), setup.corpus.text(GB)
    with _servers(setup) as variables:
        storage = Plugins().open_storage(variables["GOMR_STORAGE"])
        storage.put_file("input/text", text)
        storage.close()
        bucket = f"s3://{parse(variables['GOMR_STORAGE']).host}"  # reached as the cluster's own storage is
        taken = setup.in_turn(
            {
                "files and SQLite": setup.job(executable, text),
                "S3 and etcd": setup.job(executable, f"{bucket}/input/text", **variables),
            }
        )
    embedded, served = taken.values()
    yield Figure("time with servers over that without", served / embedded, 1.5)


def submits(setup: Setup) -> Iterator[Figure]:
    """Yield the milliseconds from a submit of three lines to its result, with a worker that waits."""
    yield Figure("milliseconds, files and SQLite", 1000 * _submit_seconds(setup, "files and SQLite", {}), 100)
    with _servers(setup) as variables:
        yield Figure("milliseconds, S3 and etcd", 1000 * _submit_seconds(setup, "S3 and etcd", variables), 150)


def _submit_seconds(setup: Setup, name: str, variables: Mapping[str, str]) -> float:
    executable, tiny = setup.executable("count_pairs"), setup.corpus.tiny()
    environment = {**setup.scratch.variables, **variables}
    taken = []
    with setup.scratch.log.open("wb") as log:
        worker = subprocess.Popen([*GOMR, "worker", "--slots", str(SLOTS)], env=environment, stdout=log, stderr=log)
    try:
        with Client(config=Config({}, environment, setup.scratch.folder)) as client:
            for _ in range(1 + SUBMITS):
                started = time.perf_counter()
                job = client.submit(executable, [str(tiny)])
                client.wait(job)
                client.result(job, setup.scratch.output)
                taken.append(time.perf_counter() - started)
    finally:
        worker.terminate()
        worker.wait()
    return setup.keep(f"submit to result, {name}", taken[1:])  # the first one found a worker that was starting


@contextlib.contextmanager
def _servers(setup: Setup) -> Iterator[dict[str, str]]:
    """Start an S3 server and an etcd; yield the variables that name them."""
    folder = shlex.quote(str(setup.scratch.folder / "servers"))
    programs = 'eval "$(scripts/services programs)"'
    script = f'{programs}; gomr dev up --folder {folder} > /dev/null; eval "$(gomr dev env --folder {folder})"; env -0'
    try:
        started = subprocess.run(["bash", "-euc", script], cwd=ROOT, stdout=subprocess.PIPE, check=True)
        pairs = (line.partition("=") for line in started.stdout.decode().split("\0"))
        yield {name: value for name, _, value in pairs if name in ("GOMR_STORAGE", "GOMR_COORDINATOR")}
    finally:
        subprocess.run([*GOMR, "dev", "down", "--delete", "--folder", setup.scratch.folder / "servers"], check=False)


ALONE: dict[str, Callable[[Setup], Iterator[Figure]]] = {
    "memory": memory,
    "scale": scale,
    "slots": slots,
    "tasks": tasks,
    "servers": servers,
    "submits": submits,
}
