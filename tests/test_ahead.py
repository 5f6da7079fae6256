"""A worker has tasks in hand beside those that run, and never runs more of them than it has slots."""

import json
from pathlib import Path

import pytest

from gomr.client import Client
from gomr.options import JobOptions
from tests.conftest import Gomr
from tests.test_faults import until

TASKS = 8
JOB = '''"""Each task says how many run, and waits."""

import os
import time


def mapper(line):
    folder, number = line.split()
    mine = f"{folder}/running-{number}"
    open(mine, "w").close()
    with open(f"{folder}/seen", "a") as file:
        file.write(f"{sum(name.startswith('running-') for name in os.listdir(folder))}\\n")
    while not os.path.exists(f"{folder}/go"):
        time.sleep(0.05)
    os.remove(mine)
    yield number, 1
'''


def submit_tasks_that_wait(client: Client, tmp_path: Path) -> tuple[str, Path]:
    """Return the job, and the folder in which its tasks say that they run, and wait for a file `go`."""
    (tmp_path / "waits.py").write_text(JOB)
    folder = tmp_path / "told"
    folder.mkdir()
    for number in range(TASKS):
        (tmp_path / f"in-{number}.txt").write_text(f"{folder} {number}\n")
    job = client.submit(tmp_path / "waits.py", [str(tmp_path / "in-*.txt")], JobOptions(split_bytes=1))
    return job, folder


@pytest.mark.parametrize("ahead", [0, 2])
def test_tasks_are_in_hand_beside_those_that_run(gomr: Gomr, client: Client, tmp_path: Path, ahead: int) -> None:
    job, folder = submit_tasks_that_wait(client, tmp_path)
    worker = gomr.worker("--slots", 1, "--ahead", ahead, "--once")

    def in_hand() -> int:
        return json.loads(gomr("status", job, "--json").stdout)["stages"][0]["running"]  # type: ignore[no-any-return]

    until(lambda: (folder / "seen").exists() and in_hand() == 1 + ahead)
    (folder / "go").touch()
    assert worker.wait(120) == 0, gomr.output_of(worker)
    assert client.status(job).state == "done"
    assert (folder / "seen").read_text() == "1\n" * TASKS


def test_tasks_that_wait_for_a_slot_are_given_back(gomr: Gomr, client: Client, tmp_path: Path) -> None:
    job, _ = submit_tasks_that_wait(client, tmp_path)
    worker = gomr.worker("--slots", 1, "--ahead", 2, "--drain-seconds", 0)
    until(lambda: sum(task.state == "run" for task in client.tasks(job)) == 3)
    worker.terminate()
    assert worker.wait(120) == 0, gomr.output_of(worker)
    assert {task.state for task in client.tasks(job)} == {"pending"}
    assert not any(task.error for task in client.tasks(job))
