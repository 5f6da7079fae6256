"""Prints what the contenders took and how they compare, and draws the ratios over time."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.fingerprint import Fingerprint
from benchmark.measure import Run, median_seconds
from benchmark.works import NATIVE, PURE, Work


def show(work: Work, source: Path, taken: Mapping[str, Sequence[Run]], prints: Mapping[str, Fingerprint]) -> None:
    """Print one work: times, and peer time over gomr time beside what is to be reached."""
    size = sum(file.stat().st_size for file in source.iterdir()) if source.is_dir() else source.stat().st_size
    print(f"\n{work.title} ({source.name}, {size / 1e6:.1f} MB), {len(next(iter(taken.values())))} runs in turn")
    for name, runs in taken.items():
        seconds = [run.seconds for run in runs]
        print(
            f"  {name:16} s min {min(seconds):7.2f}  median {statistics.median(seconds):7.2f}  max {max(seconds):7.2f}"
            f"  MB/s {size / 1e6 / statistics.median(seconds):6.1f}"
            f"  processor s {statistics.median(run.processor_seconds for run in runs):6.1f}"
            f"  largest process {max(run.peak_bytes for run in runs) / 2**20:5.0f} MiB"
        )
    for peer in taken:
        if peer not in (PURE, NATIVE):
            goals = work.goals.get(peer, (None, None))
            shown = [_ratio(taken, peer, name, goal) for name, goal in zip((PURE, NATIVE), goals, strict=True)]
            print(f"  {peer} : gomr{''.join(shown)}")
    if len(set(prints.values())) == 1:
        print("  the results are the same")
    else:
        print("  the results DIFFER:", *(f"    {name}: {found}" for name, found in prints.items()), sep="\n")


def draw(history: Path, path: Path) -> None:
    """Draw, for each work, peer time over gomr time as it was measured over the days."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = [line for line in map(json.loads, history.read_text().splitlines()) if "runs" in line]
    works = sorted({line["work"] for line in lines})
    figure, axes = pyplot.subplots(len(works), 1, figsize=(9, 2.5 * len(works)), squeeze=False)
    for axis, work in zip(axes[:, 0], works, strict=True):
        curves: dict[str, list[tuple[int, float]]] = {}
        for number, line in enumerate(line for line in lines if line["work"] == work):
            medians = {name: _median(runs) for name, runs in line["runs"].items()}
            for peer in set(medians) - {PURE, NATIVE}:
                for name in (PURE, NATIVE):
                    curves.setdefault(f"{peer} : {name}", []).append((number, medians[peer] / medians[name]))
        for label, points in sorted(curves.items()):
            axis.plot(*zip(*points, strict=True), marker=".", linewidth=1, label=label)
        axis.set_title(work, loc="left", fontsize=9)
        axis.axhline(1, color="grey", linewidth=0.5)
        axis.legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path)


def _ratio(taken: Mapping[str, Sequence[Run]], peer: str, name: str, goal: float | None) -> str:
    ratio = median_seconds(taken[peer]) / median_seconds(taken[name])
    wanted = "" if goal is None else f" (goal {goal:g}{'' if ratio >= goal else ', MISSED'})"
    return f"   {name.removeprefix('gomr, ')} {ratio:.2f}{wanted}"


def _median(runs: list[dict[str, float]]) -> float:
    return statistics.median(run["seconds"] for run in runs)
