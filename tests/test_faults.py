"""Anything may die: nothing is lost, nothing counts twice, and what fails says why."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gomr.builtin.process.watch import memory_bytes
from gomr.client import Client
from gomr.errors import JobFailed, NotFoundError
from gomr.options import JobOptions
from tests.conftest import EXAMPLES, JOBS, LEASE_SECONDS, Gomr, RunJob, result_of

INTERRUPTED = str(Path(__file__).parent / "interrupted_worker.py")
WORDS = b"".join(b"word-%d other\n" % (number % 7) for number in range(200))
COUNTS = b"other\t200\n" + b"".join(b"word-%d\t%d\n" % (number, 29 if number < 4 else 28) for number in range(7))


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Say whether a process has ended; one that waits to be reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    """The folder in which tasks of jobs/sleeps.py leave their process ids."""
    folder = tmp_path / "pids"
    folder.mkdir()
    return folder


def pids_in(folder: Path) -> list[int]:
    return [int(path.name.rpartition("-")[2]) for path in folder.iterdir()]


def submit_words(gomr: Gomr, *options: object) -> str:
    (gomr.folder / "in.txt").write_bytes(WORDS)
    return gomr(
        *("submit", EXAMPLES / "wordcount.py", "in.txt", "--split-size", "1KB", "--partitions", "1", *options)
    ).stdout.strip()


@pytest.mark.parametrize(
    ("when", "point", "number"),
    [
        *((when, "transact", number) for when in ("before", "after") for number in (3, 6, 9, 12, 16, 20, 25)),
        *((when, "put", number) for when in ("before", "after") for number in (1, 3)),
        *((when, "create", number) for when in ("before", "after") for number in (1, 2)),
        *((when, "launch", number) for when in ("before", "after") for number in (1, 2)),
    ],
)
def test_a_worker_killed_at_any_point_loses_nothing(gomr: Gomr, when: str, point: str, number: int) -> None:
    job = submit_words(gomr)
    arguments = [when, point, str(number), "worker", "--once", "--slots", "1", "--lease-seconds", str(LEASE_SECONDS)]
    victim = gomr.start(*arguments, command=[INTERRUPTED])
    victim.wait(120)
    heir = gomr.worker("--once")
    assert heir.wait(120) == 0, gomr.output_of(heir)
    assert gomr("result", job).stdout.encode() == COUNTS
    tasks = json.loads(gomr("tasks", job, "--json").stdout)
    assert all(task["state"] == "done" for task in tasks)
    assert sum(task["records_in"] for task in tasks if task["task"].startswith("1-map")) == 200
    assert victim.returncode == -signal.SIGKILL or number > 12, gomr.output_of(victim)


def test_all_workers_killed_and_new_ones_finish(gomr: Gomr, tmp_path: Path) -> None:
    (tmp_path / "pids").mkdir()
    (tmp_path / "in.txt").write_text("a b\n" * 12)
    job = gomr(
        *("submit", JOBS / "sleeps.py", "in.txt", "--split-size", "4", "--partitions", "2"),
        *("--param", f"folder={tmp_path / 'pids'}"),
    ).stdout.strip()
    workers = [gomr.worker("--slots", "2") for _ in range(2)]
    until(lambda: len(pids_in(tmp_path / "pids")) >= 4)
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.wait()
    assert gomr.worker("--once").wait(120) == 0
    assert sorted(gomr("result", job).stdout.splitlines()) == ["a\t12", "b\t12"]
    assert json.loads(gomr("status", job, "--json").stdout)["counters"]["lines"] == 12


@pytest.mark.parametrize("mode", [[], ["--exec-per-task"]])
def test_a_killed_worker_leaves_no_child_and_no_grandchild(
    gomr: Gomr, tmp_path: Path, mode: list[str], pids: Path
) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    options = ["--param", f"folder={pids}", "--param", "seconds=3600", "--param", "grandchild=yes"]
    gomr("submit", JOBS / "sleeps.py", "in.txt", *options)
    worker = gomr.worker("--slots", "1", *mode)
    until(lambda: len(pids_in(pids)) == 2)
    found = pids_in(pids)
    assert not any(is_gone(pid) for pid in found)
    worker.kill()
    worker.wait()
    until(lambda: all(is_gone(pid) for pid in found))


@pytest.mark.parametrize("mode", [{}, {"exec_per_task": True}])
def test_a_task_that_ends_leaves_no_grandchild_when_its_worker_ends(
    tmp_path: Path, mode: dict[str, bool], gomr: Gomr, pids: Path
) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    options = ["--param", f"folder={pids}", "--param", "grandchild=yes", *(["--exec-per-task"] if mode else [])]
    gomr("run", JOBS / "sleeps.py", "in.txt", *options)
    until(lambda: all(is_gone(pid) for pid in pids_in(pids)))
    assert len(pids_in(pids)) == 2


def test_sigterm_gives_tasks_back_and_a_second_one_ends_now(gomr: Gomr, tmp_path: Path, pids: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    options = ["--param", f"folder={pids}", "--param", "seconds=3600"]
    job = gomr("submit", JOBS / "sleeps.py", "in.txt", *options).stdout.strip()
    for arguments, signals in ((["--drain-seconds", "0.5"], 1), (["--drain-seconds", "3600"], 2)):
        worker = gomr.worker("--slots", "1", *arguments)
        before = len(pids_in(pids))
        until(lambda before=before: len(pids_in(pids)) > before)  # type: ignore[misc]
        for _ in range(signals):
            worker.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        assert worker.wait(60) == 0, gomr.output_of(worker)
        until(lambda: all(is_gone(pid) for pid in pids_in(pids)))
        (task,) = json.loads(gomr("tasks", job, "--json").stdout)
        assert (task["state"], task["attempt"]) == ("pending", 0)
    assert json.loads(gomr("workers", "--json").stdout) == []


def test_sigterm_lets_a_short_task_finish(gomr: Gomr, tmp_path: Path, pids: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    options = ["--param", f"folder={pids}", "--param", "seconds=2"]
    job = gomr("submit", JOBS / "sleeps.py", "in.txt", *options).stdout.strip()
    worker = gomr.worker("--slots", "1")
    until(lambda: pids_in(pids))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    states = {task["task"]: task["state"] for task in json.loads(gomr("tasks", job, "--json").stdout)}
    assert states["1-map/0"] == "done"


@pytest.mark.parametrize("number", range(1, 8))
def test_a_submitter_killed_anywhere_leaves_no_half_job(gomr: Gomr, number: int) -> None:
    (gomr.folder / "in.txt").write_bytes(WORDS)
    gomr("jobs")
    arguments = ["after", "transact", str(number), "submit", str(EXAMPLES / "wordcount.py"), "in.txt"]
    gomr.start(*arguments, command=[INTERRUPTED]).wait(120)
    jobs = json.loads(gomr("jobs", "--json").stdout)
    assert len(jobs) <= 1
    gomr("worker", "--once", "--slots", "1")
    for job in jobs:
        assert gomr("result", job["job"]).stdout.encode() == COUNTS


@pytest.mark.parametrize("exec_per_task", [False, True])
def test_a_mapper_that_raises_fails_the_job_with_traceback_and_record(
    run_job: RunJob, client: Client, tmp_path: Path, exec_per_task: bool
) -> None:
    (tmp_path / "in.txt").write_text("1\n2\nthree\n4\n")
    settings = {"exec_per_task": exec_per_task}
    status, job = run_job(JOBS / "raises.py", [tmp_path / "in.txt"], settings, attempts_max=2)
    assert status.state == "failed"
    with pytest.raises(JobFailed) as caught:
        list(client.read_result(job))
    message = str(caught.value)
    assert message.startswith('Traceback (most recent call last):\n  File "raises.py", line 9, in mapper')
    assert 'File "raises.py", line 5, in parse' in message
    assert "ValueError: invalid literal for int() with base 10: 'three'" in message
    assert f"record 3 of file://{tmp_path}/in.txt: 'three'" in message
    assert "attempt 2" in message
    assert "gomr/job" not in message
    assert not [info.key for info in client.cluster.storage.list(f"jobs/{job}/1-map/")]
    logs = list(client.logs(job, "1-map/0"))
    assert [log.attempt for log in logs] == ["1", "2"]
    assert b"ValueError" in logs[0].data


def test_a_mapper_that_ends_the_process_fails_the_job(run_job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("1\n")
    status, _ = run_job(JOBS / "exits.py", [tmp_path / "in.txt"], attempts_max=1)
    assert status.state == "failed"
    assert "ended with status 3, without a result" in status.error["message"]


def test_a_task_that_hangs_is_killed_at_its_time_limit(run_job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("1\n")
    status, _ = run_job(JOBS / "hangs.py", [tmp_path / "in.txt"], attempts_max=1, task_seconds=1.0)
    assert status.state == "failed"
    assert "longer than the task timeout of 1 s" in status.error["message"]


@pytest.mark.parametrize("exec_per_task", [False, True])
def test_a_task_that_eats_memory_is_killed_at_its_limit(run_job: RunJob, tmp_path: Path, exec_per_task: bool) -> None:
    (tmp_path / "in.txt").write_text("1\n")
    settings = {"exec_per_task": exec_per_task, "memory_limit_bytes": 300 * 2**20}
    status, _ = run_job(JOBS / "eats_memory.py", [tmp_path / "in.txt"], settings, attempts_max=1)
    assert status.state == "failed"
    assert "more than the limit of 300 MiB" in status.error["message"]


def test_a_task_that_writes_too_much_fails(run_job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("x" * 5_000_000)
    status, _ = run_job(JOBS / "echo_lines.py", [tmp_path / "in.txt"], {"file_bytes": 1_000_000}, attempts_max=1)
    assert status.state == "failed"
    assert "File too large" in status.error["message"]


def test_a_fork_server_serves_no_task_of_other_limits(run_job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("x" * 5_000_000)
    for file_bytes, state in ((10_000_000, "done"), (1_000_000, "failed"), (10_000_000, "done")):
        settings = {"file_bytes": file_bytes}
        status, _ = run_job(JOBS / "echo_lines.py", [tmp_path / "in.txt"], settings, attempts_max=1)
        assert status.state == state


def test_what_a_task_leaves_behind_ends_with_it(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\nb\n")
    status, job = run_job(JOBS / "leaves_processes.py", [tmp_path / "in.txt"], {"slots": 1}, split_bytes=2)
    assert status.state == "done"
    lines = [line.split("\t") for line in result_of(client, job).decode().splitlines()]
    assert [value for key, value in lines if key == "helper"] == ["True", "True"]
    left = [int(value) for key, value in lines if key == "left"]
    assert len(left) == 6
    assert not [pid for pid in left if Path(f"/proc/{pid}").exists()]


def test_memory_is_measured_over_the_whole_tree() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytearray(80_000_000); input()'])"
    with subprocess.Popen([shutil.which("python3") or "", "-c", script], stdin=subprocess.PIPE) as process:
        until(lambda: memory_bytes(process.pid) > 80_000_000)
        process.communicate(b"\n")


def test_a_corrupted_cached_executable_is_fetched_again(run_job: RunJob, client: Client, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    cache = tmp_path / "own-cache"
    settings = {"cache_dir": cache}
    _, job = run_job(EXAMPLES / "wordcount.py", [tmp_path / "in.txt"], settings)
    (path,) = cache.glob("bin/*/executable")
    good = path.read_bytes()
    path.write_bytes(good[:1000] + b"?" + good[1001:])
    status, job = run_job(EXAMPLES / "wordcount.py", [tmp_path / "in.txt"], settings)
    assert status.state == "done"
    assert path.read_bytes() == good
    assert result_of(client, job) == b"a\t1\n"


def test_an_unpacked_executable_that_is_damaged_is_rebuilt(run_job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    settings = {"cache_dir": tmp_path / "own-cache", "exec_per_task": True}
    run_job(EXAMPLES / "wordcount.py", [tmp_path / "in.txt"], settings)
    for path in (tmp_path / "own-cache").glob("bin/*/pex/**/gomr/job/main.py"):
        path.unlink()
        path.write_text("raise SystemExit(1)\n")
    status, _ = run_job(EXAMPLES / "wordcount.py", [tmp_path / "in.txt"], settings)
    assert status.state == "done"


def test_the_cache_stays_below_its_limit(run_job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    settings = {"cache_dir": tmp_path / "own-cache", "cache_bytes": 1}
    for job_file in ("echo_lines.py", "counts_total.py"):
        run_job(JOBS / job_file, [tmp_path / "in.txt"], settings)
    assert len(list((tmp_path / "own-cache").glob("bin/*/executable"))) == 1


def test_a_damaged_executable_in_the_storage_is_no_task_failure(gomr: Gomr, client: Client) -> None:
    job = submit_words(gomr)
    head, _ = client.cluster.head(job)
    client.cluster.storage.put(head.executable_object, b"#!/bin/sh\nexit 1\n")
    gomr.environment["GOMR_CACHE_DIR"] = str(gomr.folder / "own-cache")
    gomr.worker("--slots", "1")
    until(lambda: any("damaged" in task.error for task in client.tasks(job)), 200)
    assert client.status(job).state in ("running", "failed")


@pytest.mark.parametrize("change", ["vanish", "grow", "touch"])
def test_an_input_that_changed_since_the_submit_fails_the_job_at_once(gomr: Gomr, change: str) -> None:
    job = submit_words(gomr)
    path = gomr.folder / "in.txt"
    if change == "vanish":
        path.unlink()
    elif change == "grow":
        path.write_bytes(WORDS + b"more\n")
    else:
        os.utime(path, (1, 1))
    gomr("worker", "--once", "--slots", "1")
    done = gomr("result", job, status=1)
    assert ("was deleted" if change == "vanish" else "changed after the job was submitted") in done.stderr
    assert "attempt 1" in done.stderr


def test_a_truncated_compressed_input_fails_the_job_at_once(run_job: RunJob, tmp_path: Path) -> None:
    import gzip

    packed = gzip.compress(os.urandom(100_000))
    (tmp_path / "in.gz").write_bytes(packed[:-5000])
    status, _ = run_job(EXAMPLES / "wordcount.py", [tmp_path / "in.gz"])
    assert status.state == "failed"
    assert "not a whole .gz file" in status.error["message"]


def test_decompression_has_a_limit(run_job: RunJob, tmp_path: Path) -> None:
    import bz2

    (tmp_path / "in.bz2").write_bytes(bz2.compress(bytes(5_000_000)))
    settings = {"decompressed_bytes": 1_000_000}
    status, _ = run_job(EXAMPLES / "wordcount.py", [tmp_path / "in.bz2"], settings)
    assert "--decompressed-limit" in status.error["message"]


def test_an_executable_for_another_python_is_left_alone_and_said(gomr: Gomr) -> None:
    script = (JOBS / "job.sh").read_text().replace('"python": null', '"python": "cp399"')
    path = gomr.folder / "other.sh"
    path.write_text(script.replace('"platform": null', '"platform": "plan9-vax"'))
    path.chmod(0o755)
    (gomr.folder / "in.txt").write_text("a\n")
    job = gomr("submit", "other.sh", "in.txt").stdout.strip()
    assert "no worker is alive" in gomr("status", job).stdout
    worker = gomr.start("worker", "--once", "--slots", "1")
    assert worker.wait(60) == 0
    assert "this worker does not offer cp399-plan9-vax" in gomr.output_of(worker)
    gomr.worker()
    until(lambda: "no worker offers cp399-plan9-vax" in gomr("status", job).stdout)
    (task,) = json.loads(gomr("tasks", job, "--json").stdout)
    assert task["state"] == "pending"


def test_an_executable_that_does_not_start_here_is_refused_not_failed(gomr: Gomr, client: Client) -> None:
    """It describes itself to the submitter, and to no worker."""
    script = (JOBS / "job.sh").read_text().replace("describe)", 'describe) test -e "$HOME/../executable" && exit 9\n')
    path = gomr.folder / "picky.sh"
    path.write_text(script.replace("set -eu", "set -eu\ncase $0 in */executable) exit 9 ;; esac"))
    path.chmod(0o755)
    (gomr.folder / "in.txt").write_text("a\n")
    job = gomr("submit", "picky.sh", "in.txt").stdout.strip()
    gomr.worker("--slots", "1")
    until(lambda: "refused by a worker" in gomr("status", job).stdout)
    status = client.status(job)
    assert status.state == "running"
    assert [(task.state, task.attempt) for task in client.tasks(job)] == [("pending", 0)]


def test_a_job_process_sees_no_secret(gomr: Gomr) -> None:
    """As another user, too: it cannot read the worker's environment."""
    (gomr.folder / "in.txt").write_text("a\n")
    gomr.environment.update(AWS_SECRET_ACCESS_KEY="hidden-1", GOMR_SECRET="hidden-2", LOGGLY_TOKEN="hidden-3")
    for mode in ([], ["--exec-per-task"]):
        seen = gomr("run", JOBS / "spy.py", "in.txt", *mode).stdout
        names = {line.split("\t")[0] for line in seen.splitlines() if line.startswith("env ")}
        assert "env PATH" in names
        assert not [name for name in names if any(word in name for word in ("AWS", "GOMR", "LOGGLY", "TOKEN"))]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("mounting a file system of 1 MB needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_scratch_disk_stops_the_worker_and_loses_nothing(gomr: Gomr, small_disk: Path) -> None:
    (gomr.folder / "in.txt").write_text("".join(f"word{number}\n" for number in range(100_000)))
    job = gomr("submit", EXAMPLES / "wordcount.py", "in.txt", "--split-size", "2MB").stdout.strip()
    victim = gomr.worker("--once", "--scratch-dir", small_disk / "scratch", "--slots", "1")
    assert victim.wait(120) == 5, gomr.output_of(victim)
    output = gomr.output_of(victim)
    assert "No space left on device" in output
    assert "Traceback" not in output
    assert gomr.worker("--once").wait(120) == 0
    assert len(gomr("result", job).stdout.splitlines()) == 100_000


def test_a_full_result_disk_is_said_and_leaves_no_half_file(gomr: Gomr, small_disk: Path) -> None:
    (gomr.folder / "in.txt").write_text("".join(f"word{number}\n" for number in range(100_000)))
    done = gomr("run", EXAMPLES / "wordcount.py", "in.txt", "-o", small_disk / "out.tsv", status=5)
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(small_disk.iterdir()) == []


def test_a_full_storage_disk_is_said(gomr: Gomr, small_disk: Path) -> None:
    (gomr.folder / "in.txt").write_text("a\n")
    done = gomr("submit", EXAMPLES / "wordcount.py", "in.txt", "--storage", f"file://{small_disk}/s", status=5)
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(gomr("jobs", "--json", "--storage", f"file://{small_disk}/s").stdout) == []


def test_a_machine_that_restarted_goes_on(gomr: Gomr, client: Client, tmp_path: Path, pids: Path) -> None:
    """A lease of another boot is over at once, however long it still had."""
    import sqlite3

    (tmp_path / "in.txt").write_text("a\n")
    options = ["--param", f"folder={pids}", "--param", "seconds=1"]
    job = gomr("submit", JOBS / "sleeps.py", "in.txt", *options).stdout.strip()
    worker = gomr.start("worker", "--slots", "1", "--lease-seconds", "3600")
    until(lambda: pids_in(pids))
    worker.kill()
    worker.wait()
    with sqlite3.connect(tmp_path / "data" / "gomr" / "coordinator.db") as db:
        db.execute("UPDATE lease SET boot = 'an earlier boot'")
    db.close()
    assert gomr.worker("--once").wait(120) == 0
    assert result_of(client, job) == b"a\t1\n"


def test_a_cancelled_job_stops_its_tasks(gomr: Gomr, tmp_path: Path, pids: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    options = ["--param", f"folder={pids}", "--param", "seconds=3600"]
    job = gomr("submit", JOBS / "sleeps.py", "in.txt", *options).stdout.strip()
    worker = gomr.worker("--once", "--slots", "1")
    until(lambda: pids_in(pids))
    assert "is cancelled" in gomr("cancel", job).stderr
    until(lambda: all(is_gone(pid) for pid in pids_in(pids)))
    assert worker.wait(60) == 0
    assert "was cancelled" in gomr("result", job, status=6).stderr


def test_what_is_not_there_is_said(client: Client, gomr: Gomr) -> None:
    with pytest.raises(NotFoundError):
        client.status("none-000000000000")
    for arguments in (["status"], ["result"], ["logs"], ["cancel"], ["rerun"], ["rm"], ["tasks"]):
        done = gomr(*arguments, "none-000000000000", status=4)
        assert "no job 'none-000000000000'" in done.stderr
        assert "Traceback" not in done.stderr
    job = submit_words(gomr)
    assert "it has no result yet" in gomr("result", job, status=4).stderr
    (gomr.folder / "empty").mkdir()
    for nothing in ("absent.txt", "*.nothing", "empty"):
        assert "no such input" in gomr("submit", EXAMPLES / "wordcount.py", nothing, status=2).stderr
    assert "no input" in gomr("submit", EXAMPLES / "wordcount.py", status=2).stderr
    assert "No such file" in gomr("submit", "absent.pex", "in.txt", status=4).stderr


def test_logs_can_be_followed_while_they_are_written(gomr: Gomr, client: Client, tmp_path: Path) -> None:
    (tmp_path / "talks.py").write_text(
        "import os\nimport time\n\nimport gomr\n\n\ndef mapper(line):\n    gomr.log('begun')\n"
        "    while not os.path.exists(line):\n        time.sleep(0.05)\n    gomr.log('ended')\n    yield line, 1\n"
    )
    (tmp_path / "in.txt").write_text(f"{tmp_path}/go on\n")
    job = client.submit(tmp_path / "talks.py", [str(tmp_path / "in.txt")], JobOptions())
    gomr.worker("--once", "--slots", "1")
    logs = client.logs(job, follow=True)
    first = next(logs).data
    assert first == b"begun\n", first
    assert client.status(job).state == "running"
    (tmp_path / "go on").touch()
    assert b"".join(log.data for log in logs) == b"ended\n"
