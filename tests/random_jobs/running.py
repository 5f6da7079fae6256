"""Runs a random job: tasks with or without the native core, in memory or spilling, here or in other processes."""

import os
import random
import subprocess
import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import pytest
from gomr_native import _core

from gomr.job import map_task, native
from gomr.job.contract import Piece
from gomr.job.map_task import run_map
from gomr.job.reduce_task import run_reduce
from tests.planes import task_file
from tests.random_jobs.case import Case

EXECUTED_SHARE = 0.01  # of tasks in an interpreter of their own, which takes a tenth of a second and more
FORKED_SHARE = 0.5
HASH_SEED = "7"  # that all processes of a job have
ROOT = Path(__file__).parents[2]
Blocks = list[list[int]]


class Ways:
    """How each task of a case is run, drawn from a seed of its own."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(f"ways of {seed}")

    def draw(self) -> tuple[bool, int, float]:
        """Return whether a task has the native core, its budget in bytes, and a number that chooses its process."""
        budget = self._dice.choice((1, 300, 2 * 1024 * 1024))
        return self._dice.random() < 0.5, budget, self._dice.random()


def check(seed: int) -> None:
    """Run the case of a seed. Raises AssertionError where its result is not that of a plain loop."""
    case, ways = Case(seed), Ways(seed)
    with TemporaryDirectory(prefix="gomr-random-") as name:
        folder = Path(name)
        outputs = [_map(case, ways, folder, number) for number in range(case.splits)]
        parts = [_reduce(case, ways, folder, outputs, partition) for partition in range(case.partitions)]
    lines = [part.splitlines(keepends=True) for part in parts]
    found, wanted = sorted(line for part in lines for line in part), sorted(case.expected())
    assert found == wanted, f"seed {seed}: {found} where a plain loop gives {wanted}"
    if case.partitions == 1:
        assert parts[0] == b"".join(case.expected()), f"seed {seed}: keys are out of order"


def _map(case: Case, ways: Ways, folder: Path, number: int) -> list[Piece]:
    count = len(case.pairs)
    start, stop = count * number // case.splits, count * (number + 1) // case.splits
    lines = folder / f"input-{number}"
    lines.write_text("".join(f"{line}\n" for line in range(start, stop)))
    output, blocks = _run(case, ways, "map", folder / f"map-{number}", [Piece(str(lines), 0, lines.stat().st_size)])
    return [Piece(str(output), start, size) for start, size in blocks]


def _reduce(case: Case, ways: Ways, folder: Path, outputs: list[list[Piece]], partition: int) -> bytes:
    pieces = [blocks[partition] for blocks in outputs if blocks[partition].length]
    return _run(case, ways, "reduce", folder / f"reduce-{partition}", pieces)[0].read_bytes()


def _run(case: Case, ways: Ways, kind: str, folder: Path, pieces: list[Piece]) -> tuple[Path, Blocks]:
    """Run a task; return its output, and where its blocks are in it."""
    has_core, budget, draw = ways.draw()
    if draw < EXECUTED_SHARE:
        arguments = [case.seed, kind, folder, int(has_core), budget]
        arguments += [item for piece in pieces for item in (piece.path, piece.offset, piece.length)]
        command = [sys.executable, "-m", "tests.random_jobs", "task", *map(str, arguments)]
        environment = {**os.environ, "PYTHONHASHSEED": HASH_SEED}
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    elif draw < FORKED_SHARE:
        _forked(case, kind, folder, has_core, budget, pieces)
    else:
        run_here(case, kind, folder, has_core, budget, pieces)
    return folder / "output", [[*map(int, line.split())] for line in (folder / "blocks").read_text().splitlines()]


def _forked(case: Case, kind: str, folder: Path, has_core: bool, budget: int, pieces: list[Piece]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            run_here(case, kind, folder, has_core, budget, pieces)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, f"seed {case.seed}: the {kind} task of {folder.name} ended with status {status}"


def run_here(case: Case, kind: str, folder: Path, has_core: bool, budget: int, pieces: list[Piece]) -> None:
    """Run a task in this process, and note where its blocks are."""
    core: ModuleType | None = _core if has_core else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "core", core)
        patch.setattr(map_task, "SPILL_BYTES_MIN", budget)
        task = task_file(folder, kind, pieces, case.partitions)
        facts = (run_map if kind == "map" else run_reduce)(case.definition(), task)
    (folder / "blocks").write_text("".join(f"{start} {size}\n" for start, size in facts.get("blocks", [])))
