"""Runs jobs on real workers, etcd and SeaweedFS for hours, removes them, and watches what grows; draws a plot.

Exits 1 where memory, file descriptors, etcd or the storage hold more in the last third than in the second: the first
one warms up.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from gomr import urls
from gomr.playground.etcd import EtcdServer
from gomr.playground.seaweedfs import SeaweedServer
from gomr.plugins import Plugins

SAMPLE_SECONDS = 5.0
GROWTH_MAX = 1.10  # of the median of the last third to that of the second: noise, and a little of everything
LINES = 2000
JOB = '''"""Word count."""


def mapper(line):
    for word in line.split():
        yield word, 1


def reducer(word, counts):
    yield word, sum(counts)
'''
MEASURES = {  # what is watched: what it is called in the plot, and how much of it is nothing to speak of
    "memory_megabytes": ("memory of all workers, MB", 5.0),
    "descriptors": ("file descriptors of all workers", 4.0),
    "etcd_kilobytes": ("etcd, in use, kB", 100.0),
    "storage_objects": ("objects in the storage", 10.0),
    "storage_kilobytes": ("bytes in the storage, kB", 100.0),
}
Sample = dict[str, float]


class Cluster:
    """Servers, workers and the command line, in one folder."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.etcd = EtcdServer(folder / "etcd")
        self.seaweed = SeaweedServer(folder / "seaweedfs")
        self.etcd.start()
        self.seaweed.start()
        self._environment = {
            **os.environ,
            "GOMR_STORAGE": self.seaweed.url,
            "GOMR_COORDINATOR": self.etcd.url,
            "GOMR_CACHE_DIR": str(folder / "cache"),
            "GOMR_SCRATCH_DIR": str(folder / "scratch"),
        }
        self._storage = Plugins().open_storage(urls.parse(self.seaweed.url))
        self.log = (folder / "workers.log").open("wb")
        self.workers = [
            subprocess.Popen(
                self._command("worker", "--slots", 2), env=self._environment, stdout=self.log, stderr=self.log
            )
            for _ in range(workers)
        ]

    def gomr(self, *arguments: object) -> str:
        """Run a command; return what it printed. Raises CalledProcessError."""
        command = self._command(*arguments)
        return subprocess.run(command, env=self._environment, check=True, text=True, capture_output=True).stdout

    def sample(self) -> Sample:
        """Return how much there is of everything."""
        sizes = [info.size for info in self._storage.list("")]
        in_use = re.search(r"^etcd_mvcc_db_total_size_in_use_in_bytes (\S+)", self.etcd.metrics(), re.MULTILINE)
        assert in_use, "etcd does not say how large it is"
        return {
            "memory_megabytes": sum(_resident_bytes(worker.pid) for worker in self.workers) / 1e6,
            "descriptors": sum(len([*Path(f"/proc/{worker.pid}/fd").iterdir()]) for worker in self.workers),
            "etcd_kilobytes": float(in_use[1]) / 1e3,
            "storage_objects": len(sizes),
            "storage_kilobytes": sum(sizes) / 1e3,
        }

    def stop(self) -> None:
        """End everything."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait()
        self.log.close()
        self._storage.close()
        self.seaweed.stop()
        self.etcd.stop()

    @staticmethod
    def _command(*arguments: object) -> list[str]:
        return [sys.executable, "-m", "gomr.cli", *map(str, arguments)]


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    """Return the medians of the second and of the last third, by measure."""
    third = len(samples) // 3
    parts = samples[third : 2 * third], samples[2 * third :]
    return {
        name: (
            statistics.median(sample[name] for sample in parts[0]),
            statistics.median(sample[name] for sample in parts[1]),
        )
        for name in MEASURES
    }


def draw(samples: Sequence[Sample], path: Path) -> None:
    """Draw one curve a measure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(MEASURES), 1, sharex=True, figsize=(9, 2 * len(MEASURES)))
    minutes = [sample["seconds"] / 60 for sample in samples]
    for axis, (name, (title, _)) in zip(axes, MEASURES.items(), strict=True):
        axis.plot(minutes, [sample[name] for sample in samples], linewidth=1)
        axis.set_title(title, loc="left", fontsize=9)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(path)


@click.command()
@click.option("--hours", type=float, default=1.0, help="How long [1].")
@click.option("--workers", type=click.IntRange(1), default=2, help="Of two slots each [2].")
@click.option("--plot", type=click.Path(path_type=Path), default=Path("soak.svg"), help="Where to draw it [soak.svg].")
def main(hours: float, workers: int, plot: Path) -> None:
    """Run jobs, remove them, watch what grows."""
    samples: list[Sample] = []
    jobs = 0
    with tempfile.TemporaryDirectory(prefix="gomr-soak-") as name:
        folder = Path(name)
        (folder / "count.py").write_text(JOB)
        text = folder / "in.txt"
        text.write_text("".join(f"word{number % 97} word{number % 13} other\n" for number in range(LINES)))
        cluster = Cluster(folder, workers)
        started = last = time.monotonic()
        try:
            while time.monotonic() - started < 3600 * hours:
                job = cluster.gomr("submit", folder / "count.py", text, "--split-size", 4000, "--wait").split()[0]
                cluster.gomr("rm", job)
                jobs += 1
                if time.monotonic() - last >= SAMPLE_SECONDS:  # between jobs: nothing is in flight
                    last = time.monotonic()
                    samples.append({"seconds": last - started, **cluster.sample()})
        finally:
            cluster.stop()
    draw(samples, plot)
    plot.with_suffix(".json").write_text(json.dumps(samples))
    click.echo(f"{hours:g} hours, {workers} workers, {jobs} jobs, {len(samples)} samples; drawn to {plot}")
    grown = []
    for measure, (before, after) in growth(samples).items():
        title, slack = MEASURES[measure]
        click.echo(f"{title}: {before:.1f} in the second third, {after:.1f} in the last")
        if after > GROWTH_MAX * before + slack:
            grown.append(title)
    if grown:
        raise SystemExit(f"grown: {', '.join(grown)}")


if __name__ == "__main__":
    main()
