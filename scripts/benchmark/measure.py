"""Runs commands in turn and times each as a whole process: wall clock, processor time, largest process."""

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a command took; `peak_bytes` is the largest of its processes."""

    seconds: float
    processor_seconds: float
    peak_bytes: int


class Failed(Exception):
    """A command ended with another status than 0."""


def run_once(command: Sequence[str], environment: Mapping[str, str], log: Path, seconds_max: float) -> Run:
    """Run a command with its output in `log`. Raises Failed."""
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        deadline = started + seconds_max
        while (found := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.killpg(process.pid, 9)
            time.sleep(0.002)
    seconds = time.monotonic() - started
    _, status, usage = found
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"{command[0]} ended with {process.returncode} after {seconds:.1f} s:\n{_end(log)}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def median_seconds(runs: Sequence[Run]) -> float:
    """Return the median wall clock."""
    return statistics.median(run.seconds for run in runs)


def _end(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
