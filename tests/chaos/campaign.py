"""Runs jobs while things break, and compares what they leave with what a run without faults leaves."""

import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gomr import urls
from gomr.backends import Range
from gomr.plugins import Plugins
from gomr.scheduling import keys
from tests.chaos.machines import Machines
from tests.chaos.nemesis import Nemesis

JOB = Path(__file__).parent.parent / "jobs" / "slow_count.py"
LINES, WORDS = 2000, 300
SPLIT_BYTES = 4000
PARTITIONS = 3
MEND_SECONDS_MAX = 300.0  # for a job to end once the faults have
SETTLE_SECONDS = 10.0  # longer than any lease that commands hold at their end


@dataclass(slots=True)
class Report:
    """What a run came to."""

    seed: int
    members: int
    seconds: float = 0.0
    jobs: int = 0
    bytes_compared: int = 0
    workers_started: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the report as text."""
        faults, minutes = sum(self.faults.values()), self.seconds / 60
        yield f"seed {self.seed}, etcd of {self.members}: {minutes:.1f} minutes, {faults} faults"
        yield f"workers: {self.workers_started} started in all"
        yield "faults: " + ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        yield f"compared: {self.jobs} jobs, {self.bytes_compared} bytes of results"
        yield from (f"DIFFERENCE: {text}" for text in self.differences)
        yield f"differences: {len(self.differences)}"


def run(minutes: float, seed: int, members: int = 1, workers: int = 3) -> Report:
    """Run jobs for so long, one after the other, with faults all the time; the last one ends without."""
    report = Report(seed, members)
    with tempfile.TemporaryDirectory(prefix="gomr-chaos-") as name:
        folder = Path(name)
        machines = Machines(folder, members, workers)
        text = folder / "in.txt"
        write_text(text, seed)
        machines.embedded("run", JOB, text, "--partitions", PARTITIONS, "-o", folder / "expected.tsv")
        machines.start()
        nemesis = Nemesis(machines, seed)
        started = time.monotonic()
        try:
            nemesis.start()
            while time.monotonic() - started < 60 * minutes and not nemesis.problems:
                job = _submit(machines, text)
                if job:
                    _wait(machines, job, started + 60 * minutes)
                    report.differences += _compare(machines, nemesis, job, folder, report, started + 60 * minutes)
        finally:
            if not report.faults:
                _end(nemesis, report)
            report.differences += [f"the chaos itself failed: {error!r}" for error in nemesis.problems]
            report.workers_started = machines.restarts
            report.seconds = time.monotonic() - started
            machines.stop()
    return report


def write_text(path: Path, seed: int) -> None:
    """Write a text of which every word is counted."""
    chance = random.Random(seed)
    words = [f"w{chance.randrange(10**6)}" for _ in range(WORDS)]
    path.write_text("".join(" ".join(chance.choices(words, k=8)) + "\n" for _ in range(LINES)))


def _submit(machines: Machines, text: Path) -> str:
    """Submit a job; return its id, or "" where the cluster was too ill for it."""
    done = machines.gomr("submit", JOB, text, "--partitions", PARTITIONS, "--split-size", SPLIT_BYTES)
    return done.stdout.strip() if done.returncode == 0 else ""


def _state(machines: Machines, job: str) -> str:
    done = machines.gomr("status", job, "--json")
    return str(json.loads(done.stdout)["state"]) if done.returncode == 0 else "unknown"


def _wait(machines: Machines, job: str, until: float) -> None:
    """Wait for the end of a job, or for that of the run."""
    while time.monotonic() < until and _state(machines, job) in ("running", "unknown"):
        time.sleep(0.5)


def _end(nemesis: Nemesis, report: Report) -> None:
    nemesis.stop()
    report.faults = nemesis.counts


def _compare(
    machines: Machines, nemesis: Nemesis, job: str, folder: Path, report: Report, until: float
) -> Iterator[str]:
    """Compare a job's result with the expected one, and what it left with what may be left."""
    if time.monotonic() >= until:
        _end(nemesis, report)
        _wait(machines, job, time.monotonic() + MEND_SECONDS_MAX)
    state = _state(machines, job)
    while state == "unknown" and time.monotonic() < until + MEND_SECONDS_MAX:
        state = _state(machines, job)
    if state != "done":
        yield f"{job} is {state}: {machines.gomr('status', job).stdout[-500:]}"
        return
    for _ in range(20):  # the servers may be ill just now
        done = machines.gomr("result", job, "-o", folder / "result.tsv")
        if done.returncode == 0:
            break
    expected = (folder / "expected.tsv").read_bytes()
    found = (folder / "result.tsv").read_bytes() if done.returncode == 0 else b""
    (folder / "result.tsv").unlink(missing_ok=True)
    if found != expected:
        yield f"{job}: {len(found)} bytes of result, {len(expected)} expected: {done.stderr[-300:]}"
    report.jobs += 1
    report.bytes_compared += len(found)
    if report.faults:  # the last one: everything is quiet now
        yield from leftovers(machines, report)


def leftovers(machines: Machines, report: Report) -> Iterator[str]:
    """Yield what is left in the storage and in etcd that should not be, once gc has run."""
    time.sleep(SETTLE_SECONDS)
    done = machines.gomr("gc", "--grace-hours", 0)
    if done.returncode:
        yield f"gc failed: {done.stderr[-300:]}"
    storage = Plugins().open_storage(urls.parse(machines.seaweed.url))
    coordinator = Plugins().open_coordinator(machines.etcd.url)
    try:
        for prefix in (keys.QUEUE, "i/", "g/", "f/"):
            count = coordinator.transact((), [Range(prefix, keys.end_of(prefix), count_only=True)]).found[0].count
            if count:
                yield f"{count} keys {prefix} are left in etcd"
        for item in coordinator.transact((), [Range("j/", "j0", keys_only=True)]).found[0].items:
            if item.key.split("/")[2] in "tbd":
                yield f"{item.key} is left in etcd"
        parts: Counter[str] = Counter()
        for info in storage.list("jobs/"):
            _, job, stage, *rest = info.key.split("/")
            if stage == "1-map" and rest[0].isdigit():
                yield f"{info.key} is left in the storage"
            parts[job] += stage == "1-reduce" and rest[0].isdigit()
        yield from (f"{job} has {count} parts of a result" for job, count in parts.items() if count != PARTITIONS)
    finally:
        storage.close()
        coordinator.close()
