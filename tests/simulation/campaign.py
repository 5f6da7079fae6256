"""Many seeds, on several processors, and what came of them; with or without a bug put in."""

import gc
import json
import multiprocessing
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from gomr.logs import log
from tests.simulation.mutants import BY_NAME
from tests.simulation.world import Outcome, simulate

BATCH = 50  # seeds that a process takes at a time
VIOLATIONS_SHOWN = 10


@dataclass(slots=True)
class Report:
    """What a run of seeds came to."""

    mutant: str = ""
    seeds: int = 0
    virtual_hours: float = 0.0
    transactions: int = 0
    steps: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Add one seed."""
        self.seeds += 1
        self.virtual_hours += outcome.virtual_seconds / 3600
        self.transactions += outcome.transactions
        self.steps += outcome.steps
        self.faults += outcome.faults
        self.states += outcome.states
        self.violations += [(outcome.seed, text) for text in outcome.violations[:1]]

    def lines(self) -> Iterator[str]:
        """Yield the report as text."""
        name = f"mutant {self.mutant}: " if self.mutant else ""
        yield (
            f"{name}{self.seeds} seeds, {self.virtual_hours:.1f} virtual hours, {self.transactions} transactions, "
            f"{self.steps} steps in {self.seconds:.0f} s"
        )
        yield "jobs: " + ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        yield "faults: " + ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        for seed, text in self.violations[:VIOLATIONS_SHOWN]:
            yield f"VIOLATION at seed {seed}: {text}"
        yield f"violations: {len(self.violations)}"


def run(first: int, count: int, jobs: int = 1, mutant: str = "", until_found: bool = False) -> Report:
    """Run seeds `first` to `first + count`, in `jobs` processes; with `until_found`, until one finds a violation."""
    report = Report(mutant)
    started = time.monotonic()
    size = 10 if until_found else BATCH
    batches = [(seed, min(seed + size, first + count), mutant) for seed in range(first, first + count, size)]
    if jobs == 1:
        for batch in batches:
            _add(report, _run_batch(batch))
            if until_found and report.violations:
                break
    else:
        with multiprocessing.get_context("spawn").Pool(jobs) as pool:
            for outcomes in pool.imap(_run_batch, batches):
                _add(report, outcomes)
                if until_found and report.violations:
                    break
    report.seconds = time.monotonic() - started
    return report


def commit() -> str:
    """Return the short hash of the commit that is checked out; "0" where that is not known."""
    command = ["git", "rev-parse", "--short=8", "HEAD"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "0"


def remember(report: Report, path: Path, commit: str) -> None:
    """Add a line to the record of all runs."""
    facts = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit,
        "seeds": report.seeds,
        "virtual_hours": round(report.virtual_hours, 1),
        "transactions": report.transactions,
        "faults": sum(report.faults.values()),
        "violations": len(report.violations),
        "seconds": round(report.seconds),
        "processors": os.cpu_count(),
    }
    with path.open("a") as file:
        file.write(json.dumps(facts) + "\n")


def remembered(path: Path) -> Counter[str]:
    """Return the sums of all runs on record."""
    total: Counter[str] = Counter()
    for line in path.read_text().splitlines():
        facts = json.loads(line)
        total.update({name: facts[name] for name in ("seeds", "virtual_hours", "transactions", "faults", "violations")})
    return total


def _add(report: Report, outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        report.add(outcome)


def _run_batch(batch: tuple[int, int, str]) -> list[Outcome]:
    log.configure([], "error")
    first, end, mutant = batch
    gc.disable()  # its pauses are a tenth of the time; a seed's garbage is small
    with BY_NAME[mutant].applied() if mutant else nullcontext():
        outcomes = [simulate(seed) for seed in range(first, end)]
    gc.enable()
    gc.collect()
    return outcomes
