"""Runs jobs while things break, and compares what they leave with what a run without faults leaves."""

import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

from gomr import urls
from gomr.backends import Coordinator, Range
from gomr.errors import CoordinatorError
from gomr.model import JobHead
from gomr.plugins import Plugins
from gomr.scheduling import keys
from tests.chaos.machines import Machines
from tests.chaos.nemesis import Nemesis

JOB = Path(__file__).parent.parent / "jobs" / "slow_count.py"
LINES, WORDS = 2000, 300
SPLIT_BYTES = 4000
PARTITIONS = 3
RESULT_TRIES = 20
MEND_SECONDS_MAX = 300.0  # for a job to end once the faults have
LEASE_SECONDS_MAX = 60.0  # for the leases to end that commands which died have left


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
    missing: dict[str, str] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the report as text."""
        faults = sum(count for name, count in self.faults.items() if not name.startswith("("))
        minutes = self.seconds / 60
        yield f"seed {self.seed}, etcd of {self.members}: {minutes:.1f} minutes, {faults} faults"
        yield f"workers: {self.workers_started} started in all"
        yield "faults: " + ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        yield from (f"NOT MADE HERE: {name}: {reason}" for name, reason in self.missing.items())
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
        coordinator = Plugins().open_coordinator(machines.etcd.url)
        submits = Submits(machines, text)
        nemesis = Nemesis(machines, seed, submits.submit)
        started = time.monotonic()
        until = started + 60 * minutes
        compared: set[str] = set()
        try:
            nemesis.start()
            while time.monotonic() < until and not nemesis.problems:
                job = submits.submit_one()
                if job and _wait(coordinator, job, until) not in ("running", "unknown"):
                    report.differences += _compare(machines, job, folder, report)
                    compared.add(job)
                    nemesis.ended_jobs.append(job)
        finally:
            nemesis.stop()
            report.faults = +nemesis.counts
            report.missing = nemesis.missing
            report.differences += [f"the chaos itself failed: {error!r}" for error in nemesis.problems]
        try:
            for job in _jobs(machines):  # those that were left, and those of submits that died
                if job not in compared:
                    _wait(coordinator, job, time.monotonic() + MEND_SECONDS_MAX)
                    report.differences += _compare(machines, job, folder, report)
            report.differences += _removed(machines, nemesis.removed_jobs)
            report.differences += leftovers(machines, coordinator, nemesis.removed_jobs)
            lost = submits.acknowledged - nemesis.removed_jobs - {*_jobs(machines)}
            report.differences += [f"{job}: its submit was acknowledged, and it is not there" for job in sorted(lost)]
        finally:
            report.workers_started = machines.restarts
            report.seconds = time.monotonic() - started
            coordinator.close()
            machines.stop()
    return report


def write_text(path: Path, seed: int) -> None:
    """Write a text of which every word is counted."""
    chance = random.Random(seed)
    words = [f"w{chance.randrange(10**6)}" for _ in range(WORDS)]
    path.write_text("".join(" ".join(chance.choices(words, k=8)) + "\n" for _ in range(LINES)))


class Submits:
    """Submits the job again and again, and remembers which ids it was told."""

    def __init__(self, machines: Machines, text: Path) -> None:
        self._machines = machines
        self._text = text
        self.acknowledged: set[str] = set()

    def submit(self, key: str = "", doom: Sequence[str] = ()) -> int:
        """Submit the job; return the exit status: the cluster may be too ill for it."""
        return self._run(key, doom).returncode

    def submit_one(self) -> str:
        """Submit the job; return its id, or "" where the cluster is too ill for it."""
        done = self._run()
        return done.stdout.strip() if done.returncode == 0 else ""

    def _run(self, key: str = "", doom: Sequence[str] = ()) -> CompletedProcess[str]:
        options = ["--partitions", PARTITIONS, "--split-size", SPLIT_BYTES]
        options += ["--idempotency-key", key] if key else []
        done = self._machines.gomr("submit", JOB, self._text, *options, doom=doom)
        if done.returncode == 0:
            self.acknowledged.add(done.stdout.strip())
        return done


def _jobs(machines: Machines) -> list[str]:
    done = machines.gomr("jobs", "--json")
    return [job["job"] for job in json.loads(done.stdout)]


def _state(coordinator: Coordinator, job: str) -> str:
    try:
        items = coordinator.transact((), [Range(keys.head(job))]).found[0].items
    except CoordinatorError:
        return "unknown"
    return JobHead.from_json(items[0].value).state if items else "missing"


def _wait(coordinator: Coordinator, job: str, until: float) -> str:
    """Wait for the end of a job, or until that time; return its state then."""
    while (state := _state(coordinator, job)) in ("running", "unknown") and time.monotonic() < until:
        time.sleep(0.5)
    return state


def _compare(machines: Machines, job: str, folder: Path, report: Report) -> Iterator[str]:
    """Compare a job's result with the expected one."""
    path = folder / "result.tsv"
    for _ in range(RESULT_TRIES):  # the servers may be ill just now
        done = machines.gomr("result", job, "-o", path)
        if done.returncode == 0:
            break
    else:
        yield f"{job} has no result: {done.stderr[-500:]} {machines.gomr('status', job).stdout[-500:]}"
        return
    expected, found = (folder / "expected.tsv").read_bytes(), path.read_bytes()
    path.unlink()
    if found != expected:
        yield f"{job}: {len(found)} bytes of result, {len(expected)} expected"
    report.jobs += 1
    report.bytes_compared += len(found)


def _removed(machines: Machines, jobs: set[str]) -> Iterator[str]:
    """Remove once more what was to be removed while things broke."""
    for job in sorted(jobs & {*_jobs(machines)}):
        done = machines.gomr("rm", job)
        if done.returncode:
            yield f"{job} cannot be removed: {done.stderr[-300:]}"


def leftovers(machines: Machines, coordinator: Coordinator, removed: set[str]) -> Iterator[str]:
    """Yield what is left in the storage and in etcd that should not be, once gc has run."""
    leased = [Range(prefix, keys.end_of(prefix), count_only=True) for prefix in ("i/", "f/")]
    deadline = time.monotonic() + LEASE_SECONDS_MAX
    while any(found.count for found in coordinator.transact((), leased).found) and time.monotonic() < deadline:
        time.sleep(1.0)
    done = machines.gomr("gc", "--grace-hours", 0)
    if done.returncode:
        yield f"gc failed: {done.stderr[-300:]}"
    storage = Plugins().open_storage(urls.parse(machines.seaweed.url))
    try:
        for prefix in (keys.QUEUE, "i/", "f/"):
            count = coordinator.transact((), [Range(prefix, keys.end_of(prefix), count_only=True)]).found[0].count
            if count:
                yield f"{count} keys {prefix} are left in etcd"
        for item in coordinator.transact((), [Range("j/", "j0", keys_only=True)]).found[0].items:
            if item.key.split("/")[2] in "tbd":
                yield f"{item.key} is left in etcd"
        parts: Counter[str] = Counter()
        for info in storage.list("jobs/"):
            _, job, stage, *rest = info.key.split("/")
            if job in removed:
                yield f"{info.key} is left of a job that was removed"
            if stage == "1-map" and rest[0].isdigit():
                yield f"{info.key} is left in the storage"
            parts[job] += stage == "1-reduce" and rest[0].isdigit()
        yield from (f"{job} has {count} parts of a result" for job, count in parts.items() if count != PARTITIONS)
    finally:
        storage.close()
