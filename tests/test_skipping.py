"""Records on which a job fails: given up where the job allows it, saved, and shown."""

import json
from pathlib import Path

from gomr import Client
from tests.conftest import JOBS, RunJob, result_of

POISONED = JOBS / "poisoned.py"


def write(tmp_path: Path, lines: list[str]) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_without_leave_a_bad_record_fails_the_job(client: Client, run_job: RunJob, tmp_path: Path) -> None:
    status, job = run_job(POISONED, [write(tmp_path, ["good", "bad 1"])], attempts_max=2)
    assert status.state == "failed"
    assert not list(client.skipped(job))


def test_bad_records_are_given_up_saved_and_shown(client: Client, run_job: RunJob, tmp_path: Path) -> None:
    """More of them in one task than attempts: failures on what is given up do not count."""
    lines = ["good"] + [f"bad {number}" for number in range(5)] + ["good", "better"]
    path = write(tmp_path, lines)
    status, job = run_job(POISONED, [path], max_skipped=5, attempts_max=2)
    assert status.state == "done", status.error
    assert result_of(client, job) == b"better\t1\ngood\t2\n"
    assert status.counters["map.skipped"] == 5
    assert status.counters["map.records_in"] == 3
    skipped = [json.loads(line) for data in client.skipped(job) for line in data.splitlines()]
    assert [item["record"] for item in skipped] == [f"'bad {number}'" for number in range(5)]
    assert [item["record_number"] for item in skipped] == [2, 3, 4, 5, 6]
    assert {item["source"] for item in skipped} == {f"file://{path}"}


def test_no_more_are_given_up_than_the_job_allows(client: Client, run_job: RunJob, tmp_path: Path) -> None:
    status, _ = run_job(POISONED, [write(tmp_path, ["bad 1", "bad 2", "good"])], max_skipped=1, attempts_max=3)
    assert status.state == "failed"
    assert "bad 2" in status.error["message"]


def test_a_record_that_kills_its_process_is_found_and_given_up(client: Client, run_job: RunJob, tmp_path: Path) -> None:
    lines = ["good"] * 10 + ["deadly"] + ["good"] * 5
    status, job = run_job(POISONED, [write(tmp_path, lines)], max_skipped=3)
    assert status.state == "done", status.error
    assert result_of(client, job) == b"good\t15\n"
    (skipped,) = [json.loads(line) for data in client.skipped(job) for line in data.splitlines()]
    assert (skipped["record_number"], skipped["record"]) == (11, "'deadly'")
