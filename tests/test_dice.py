"""A task's random numbers are its own, the same on a retry; hash() and sets are alike in all processes of a job."""

import ast
from pathlib import Path

import pytest

from tests.conftest import JOBS, Gomr

DRAWN = ("random", "mine", "new", "old", "global")
Draws = dict[str, dict[str, object]]
NUMPY_JOB = '# /// script\n# dependencies = ["numpy"]\n# ///\n'


@pytest.fixture
def inputs(gomr: Gomr) -> Path:
    """Two tasks' worth of lines, which all begin alike."""
    folder = gomr.folder / "inputs"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.txt").write_text(f"line {number}\n")
    return folder


@pytest.fixture(scope="session")
def job(builds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job, with NumPy in its executable."""
    folder = tmp_path_factory.mktemp("dice")
    path = folder / "dice.py"
    path.write_text(NUMPY_JOB + (JOBS / "dice.py").read_text())
    del builds
    return path


def draws(gomr: Gomr, job: Path, inputs: Path, *arguments: str) -> Draws:
    """Run the job in two map tasks; return what each drew, by the name of what and the line of the task."""
    text = gomr("run", job, inputs, "--split-size", "7", "--partitions", "3", *arguments).stdout
    lines = [line.split("\t") for line in text.splitlines()]
    found = {name: dict(ast.literal_eval(values)) for name, values in lines}
    assert len(found) == len(lines), "a key stands in several parts"
    assert {len(values) for values in found.values()} == {2}
    return found


def test_each_task_has_numbers_of_its_own_and_all_else_is_alike(gomr: Gomr, job: Path, inputs: Path) -> None:
    for flags in ([], ["--exec-per-task"]):
        found = draws(gomr, job, inputs, *flags)
        for name in DRAWN:
            assert len({*found[name].values()}) == 2, f"{name}: two tasks drew the same"
        for name in ("imported", "hash", "order"):
            assert len({*found[name].values()}) == 1, f"{name}: two processes differ"


def test_a_parameter_seed_gives_the_same_numbers_in_each_run(gomr: Gomr, job: Path, inputs: Path) -> None:
    first, executed = (
        draws(gomr, job, inputs, "--param", "seed=5", *flags) for flags in ([], ["--exec-per-task", "--slots", "1"])
    )
    assert first == executed
    assert draws(gomr, job, inputs, "--param", "seed=6")["mine"] != first["mine"]


def test_without_it_each_run_has_numbers_of_its_own(gomr: Gomr, job: Path, inputs: Path) -> None:
    first, second = draws(gomr, job, inputs), draws(gomr, job, inputs)
    for name in DRAWN:
        assert not {*first[name].values()} & {*second[name].values()}, name
    assert first["hash"] == second["hash"]
    assert first["imported"] == second["imported"]


def test_a_retry_draws_the_same(gomr: Gomr, job: Path, inputs: Path) -> None:
    failed = gomr.folder / "failed"
    tried_twice = draws(gomr, job, inputs, "--param", "seed=5", "--param", f"fail_once={failed}")
    assert failed.exists()
    assert tried_twice == draws(gomr, job, inputs, "--param", "seed=5")


def test_what_setup_seeds_stays_seeded(gomr: Gomr, job: Path, inputs: Path) -> None:
    found = draws(gomr, job, inputs, "--param", "seed=in setup")
    assert len({*found["random"].values()}) == 1
