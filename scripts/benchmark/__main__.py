"""The command: python -m benchmark WORK... [--runs N] [--text FILE] [--peer NAME]..."""

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from benchmark import fingerprint, measure, report
from benchmark.alone import ALONE as ALONE_WITHOUT_PAGE
from benchmark.alone import Setup
from benchmark.contenders import Places
from benchmark.corpus import Corpus
from benchmark.scratch import Scratch
from benchmark.web import web
from benchmark.works import WORKS, Work

ROOT = Path(__file__).parent.parent.parent
HISTORY = "history.jsonl"
ALONE = {**ALONE_WITHOUT_PAGE, "web": web}


@click.command()
@click.argument("names", nargs=-1, metavar="WORK...", type=click.Choice([*WORKS, *ALONE, "all"]))
@click.option("--runs", default=3, show_default=True, type=click.IntRange(1), help="Of each contender, in turn.")
@click.option("--text", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Text to count [fetched].")
@click.option("--peer", "peers", multiple=True, help="Only these peers; '-' for none.")
@click.option("--seconds-max", default=900.0, show_default=True, help="After which a run has failed.")
@click.option("--folder", default=".bench", show_default=True, type=click.Path(path_type=Path), help="For all files.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the ratios of all runs so far into this file.")
def main(
    names: tuple[str, ...],
    runs: int,
    text: Path | None,
    peers: tuple[str, ...],
    seconds_max: float,
    folder: Path,
    plot: Path | None,
) -> None:
    """Run gomr on WORKs, beside peers or beside itself, check the results, and print times and ratios."""
    folder = folder.resolve()
    bench = Bench(folder, Corpus(folder / "corpus", text), runs, seconds_max)
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} processors, commit {_commit()}")
    wrong = False
    for name in [*WORKS, *ALONE] if "all" in names else names:
        if name in ALONE:
            bench.run_alone(name)
        else:
            wrong |= not bench.run(name, WORKS[name], peers)
    if plot:
        report.draw(folder / HISTORY, plot)
    sys.exit(wrong)


class Bench:
    """Runs works, and remembers what they took."""

    def __init__(self, folder: Path, corpus: Corpus, runs: int, seconds_max: float) -> None:
        self._folder = folder
        self._corpus = corpus
        self._runs = runs
        self._seconds_max = seconds_max
        self._places = Places(folder / "made")

    def run(self, name: str, work: Work, only: tuple[str, ...]) -> bool:
        """Run one work, all contenders in turn, and print it; return whether all results are the same."""
        source = work.make_input(self._corpus)
        contenders = [*work.gomr, *(peer for peer in work.peers if not only or peer.name in only)]
        commands = {contender.name: contender.make(self._places) for contender in contenders}
        taken: dict[str, list[measure.Run]] = {contender.name: [] for contender in contenders}
        prints: dict[str, fingerprint.Fingerprint] = {}
        with self._scratch() as scratch:
            for contender in work.gomr:  # unpacks the executable, as a user's second run finds it
                scratch.run(commands[contender.name](work.make_small(self._corpus), scratch.output))
                scratch.clear()
            for number in range(self._runs):
                for contender in contenders:
                    taken[contender.name].append(scratch.run(commands[contender.name](source, scratch.output)))
                    if number == 0:
                        prints[contender.name] = fingerprint.of(contender.fingerprint, scratch.output)
                    scratch.clear()
        same = len(set(prints.values())) == 1
        report.show(work, source, taken, prints)
        runs = {contender: [asdict(run) for run in runs] for contender, runs in taken.items()}
        self._remember({"work": name, "input": source.name, "same_results": same, "runs": runs})
        return same

    def run_alone(self, name: str) -> None:
        """Run gomr beside itself, and print it."""
        print(f"\n{name}")
        with self._scratch() as scratch:
            setup = Setup(scratch, self._corpus, self._places, self._runs)
            figures = list(ALONE[name](setup))
        print(*figures, sep="\n")
        self._remember({"work": name, "seconds": setup.seconds, "figures": [asdict(figure) for figure in figures]})

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Scratch]:
        with tempfile.TemporaryDirectory(prefix="gomr-bench-", dir=self._folder) as folder:
            yield Scratch(Path(folder), self._seconds_max)

    def _remember(self, found: dict[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = {"date": now, "commit": _commit(), "machine": platform.platform(), **found}
        with (self._folder / HISTORY).open("a") as file:
            file.write(json.dumps(line) + "\n")


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return found or "unknown"


if __name__ == "__main__":
    main()
