"""The simulation of gomr's core: no seed may break a promise, and each bug that is put in must be found."""

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.simulation import campaign, herd
from tests.simulation.mutants import MUTANTS
from tests.simulation.stdlib import CORE, REPLACED

ROOT = Path(__file__).parent.parent
FIRST = 700_000
SEEDS = 200  # a part; scripts/simulate runs as many as you like
PARTS = 6
MUTANT_SEEDS_MAX = 10_000  # the rarest takes a thousand or so, by luck several
REPLAY = "import sys; from tests.simulation.world import simulate; print(simulate(int(sys.argv[1])).digest)"


@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_breaks_a_promise(part: int) -> None:
    """The same seeds for every commit, and in the last part new ones."""
    first = int(campaign.commit(), 16) if part == PARTS - 1 else FIRST
    report = campaign.run(first + part * SEEDS, SEEDS)
    assert not report.violations, "replay: scripts/simulate --replay SEED\n" + "\n".join(report.lines())
    assert report.states["done"] > SEEDS / 2
    assert sum(report.faults.values()) > SEEDS


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [mutant.name for mutant in MUTANTS])
def test_each_bug_that_is_put_in_is_found(name: str) -> None:
    report = campaign.run(0, MUTANT_SEEDS_MAX, mutant=name, until_found=True)
    assert report.violations, f"not found in {report.seeds} seeds"


def test_workers_that_wake_up_at_once_keep_out_of_each_others_way() -> None:
    """scripts/simulate --herd 10000 --tasks 20000 does it with the numbers that the promise is about."""
    report = herd.run(workers=500, tasks=1000)
    assert report.claims == 1000
    assert report.conflicts < 0.1 * 1000, "\n".join(report.lines())


@pytest.mark.parametrize("seed", [1, 58, 240, 264])
def test_a_seed_replays_exactly(seed: int) -> None:
    """In another process, whose sets and dicts are hashed otherwise."""
    digests = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", REPLAY, str(seed)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.splitlines()[-1])
    assert len(digests) == 1


@pytest.mark.parametrize("name", CORE)
def test_the_core_takes_time_and_chance_from_where_they_are_replaced(name: str) -> None:
    """By the name of the module alone: `from time import sleep` would slip through."""
    path = import_module(name).__file__
    assert path is not None
    for node in ast.walk(ast.parse(Path(path).read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.module not in (*REPLACED, "datetime", "uuid"), f"{path}:{node.lineno}"
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & {"datetime", "uuid"}, f"{path}:{node.lineno}"
            assert all(alias.asname is None for alias in node.names if alias.name in REPLACED), f"{path}:{node.lineno}"
