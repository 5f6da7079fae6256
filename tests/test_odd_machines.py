"""A table of odd machines, each beside a healthy one: no job fails for what a machine cannot do, and it says so."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gomr.client import Client
from gomr.scheduling.stages import folded_tasks
from tests.conftest import EXAMPLES, JOBS, Gomr, result_of
from tests.odd import NOBODY, as_nobody, few_processes, in_mounts, little_memory, read_only
from tests.test_faults import COUNTS, WORDS, pids_in, until

SLOTS = 2


@pytest.fixture
def job(gomr: Gomr) -> str:
    """A job of several tasks, which any machine can do."""
    (gomr.folder / "in.txt").write_bytes(WORDS)
    options = ("--split-size", "1KB", "--partitions", "1")
    return gomr("submit", EXAMPLES / "wordcount.py", "in.txt", *options).stdout.strip()


def finish(gomr: Gomr, client: Client, job: str, *, losses_max: int = 0) -> None:
    """Have a healthy worker do what is left, and check that no attempt of the odd one counts."""
    healthy = gomr.worker("--once")
    assert healthy.wait(240) == 0, gomr.output_of(healthy)
    assert result_of(client, job) == COUNTS
    head, _ = client.cluster.head(job)
    done = [facts.done for stage in head.stages for facts in folded_tasks(client.cluster, job, stage)]
    assert sum(task.failures for task in done) == 0
    assert sum(task.losses for task in done) <= losses_max


def says(gomr: Gomr, words: str) -> Callable[[], bool]:
    """Return a condition: `gomr workers` tells what a worker cannot do."""
    return lambda: words in gomr("workers").stderr


def own_folders(gomr: Gomr) -> tuple[str, Path, str, Path]:
    """Return options that give a worker folders of its own."""
    cache, scratch = gomr.folder / "odd-cache", gomr.folder / "odd-scratch"
    for folder in (cache, scratch):
        folder.mkdir(exist_ok=True)
    return "--cache-dir", cache, "--scratch-dir", scratch


def test_no_temporary_folder__the_worker_needs_none(gomr: Gomr, client: Client, job: str) -> None:
    places = [Path(name) for name in ("/tmp", "/var/tmp") if Path(name).is_dir()]
    odd = gomr.start("worker", "--once", *own_folders(gomr), below=read_only(*places, but=[gomr.folder]))
    assert odd.wait(240) == 0, gomr.output_of(odd)
    assert client.status(job).state == "done", gomr.output_of(odd)
    finish(gomr, client, job)


@pytest.mark.parametrize("exec_per_task", [[], ["--exec-per-task"]])
@pytest.mark.parametrize("room", [0, 1, 2, 4])
def test_few_processes(gomr: Gomr, client: Client, job: str, room: int, exec_per_task: list[str]) -> None:
    """A worker that has been running for a while finds no room for the processes of its tasks."""
    client.pause(job)
    with few_processes() as group:
        odd = gomr.start("worker", "--slots", SLOTS, *exec_per_task, below=group.below)
        until(lambda: "worker.started" in gomr.output_of(odd))
        # The main thread, the heartbeat, the watcher, and as many tasks ahead as slots.
        until(lambda: group.count() >= 3 + 2 * SLOTS)
        group.limit(group.count() + room)
        client.resume(job)
        until(
            lambda: (
                says(gomr, "rests, for this machine cannot run tasks now")() or client.status(job).state != "running"
            )
        )
        finish(gomr, client, job)
        assert odd.poll() is None
        assert "Traceback" not in gomr.output_of(odd)


def test_eight_processes__a_worker_says_what_to_raise(gomr: Gomr, client: Client, job: str) -> None:
    with few_processes() as group:
        group.limit(5)
        odd = gomr.start("worker", "--slots", 8, below=group.below)
        assert odd.wait(120) == 5
        said = gomr.output_of(odd)
    assert "no thread can be started: raise the limit of processes" in said
    assert "Traceback" not in said
    finish(gomr, client, job)


def test_a_fork_server_that_cannot_fork__the_tasks_that_run_go_on(gomr: Gomr, client: Client, tmp_path: Path) -> None:
    (tmp_path / "pids").mkdir()
    (tmp_path / "in.txt").write_text("a b\n" * 2)
    options = ("--split-size", "4", "--partitions", "1", "--param", f"folder={tmp_path / 'pids'}")
    name = gomr("submit", JOBS / "sleeps.py", "in.txt", *options, "--param", "seconds=5").stdout.strip()
    with few_processes() as group:
        odd = gomr.worker("--slots", 1, "--ahead", 0, below=group.below)
        until(lambda: pids_in(tmp_path / "pids"))
        group.limit(group.count() - 1)
        until(says(gomr, "rests, for this machine cannot run tasks now"))
        assert [task.state for task in client.tasks(name)].count("done") == 1
        healthy = gomr.worker("--once")
        assert healthy.wait(240) == 0
        assert sorted(result_of(client, name).splitlines()) == [b"a\t2", b"b\t2"]
        assert "Traceback" not in gomr.output_of(odd)


def test_few_open_files(gomr: Gomr, client: Client, job: str) -> None:
    client.pause(job)
    odd = gomr.start("worker", "--slots", 1)
    until(lambda: "worker.started" in gomr.output_of(odd))
    limit = len(os.listdir(f"/proc/{odd.pid}/fd")) + 2  # noqa: PTH208
    subprocess.run(["prlimit", f"--pid={odd.pid}", f"--nofile={limit}:{limit}"], check=True)
    client.resume(job)
    until(lambda: says(gomr, "Too many open files")() or client.status(job).state != "running")
    try:
        finish(gomr, client, job)
    except AssertionError as error:
        raise AssertionError(gomr.output_of(odd)) from error
    assert "Traceback" not in gomr.output_of(odd)


@pytest.mark.parametrize("which", ["odd-scratch", "odd-cache"])
def test_a_folder_that_became_read_only(gomr: Gomr, client: Client, job: str, which: str) -> None:
    folders = own_folders(gomr)
    folder = gomr.folder / which
    start = gomr.folder / "start"
    below = in_mounts(
        f"(until test -e {start}; do sleep 0.05; done; mount -t tmpfs -o ro tmpfs {folder}; touch {start}ed) &"
    )
    client.pause(job)
    odd = gomr.start("worker", *folders, below=below)
    until(lambda: "worker.started" in gomr.output_of(odd))
    start.touch()
    until(lambda: Path(f"{start}ed").exists())
    client.resume(job)
    assert odd.wait(120) == 5
    said = gomr.output_of(odd)
    assert "Read-only file system" in said
    assert "Traceback" not in said
    finish(gomr, client, job)


def test_a_folder_that_one_may_not_write_to__the_setting_is_named(gomr: Gomr, client: Client, job: str) -> None:
    odd = gomr.start("worker", "--scratch-dir", "/proc/nothing/here")
    assert odd.wait(120) == 3
    assert "/proc/nothing/here" in gomr.output_of(odd)
    assert "Traceback" not in gomr.output_of(odd)
    finish(gomr, client, job)


@pytest.fixture
def noexec(gomr: Gomr) -> Iterator[Path]:
    """A folder from which no program can be started."""
    folder = gomr.folder / "noexec"
    folder.mkdir()
    in_mounts("")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize(
    "command", [("worker",), ("run", EXAMPLES / "wordcount.py", "in.txt"), ("build", EXAMPLES / "wordcount.py")]
)
def test_a_noexec_cache__the_setting_is_named(
    gomr: Gomr, client: Client, job: str, noexec: Path, command: tuple[object, ...]
) -> None:
    healthy = gomr.environment["GOMR_CACHE_DIR"]
    gomr.environment["GOMR_CACHE_DIR"] = str(noexec)
    said = gomr(*command, status=3).stderr
    assert re.search(f"{noexec} \\(GOMR_CACHE_DIR\\): .* mounted noexec; give a folder with GOMR_CACHE_DIR", said), said
    findings = gomr("doctor", status=5).stdout
    assert f"FAIL  this machine: {noexec} (GOMR_CACHE_DIR)" in findings
    gomr.environment["GOMR_CACHE_DIR"] = healthy
    finish(gomr, client, job)


@pytest.fixture
def full_disk(gomr: Gomr) -> Iterator[Path]:
    """A file system without room for anything but folders."""
    folder = gomr.folder / "full"
    folder.mkdir()
    in_mounts("")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("which", ["--scratch-dir", "--cache-dir"])
def test_a_disk_that_was_full_before__nothing_counts(
    gomr: Gomr, client: Client, job: str, full_disk: Path, which: str
) -> None:
    (full_disk / "file").write_bytes(bytes(64 * 1024))
    odd = gomr.worker("--slots", 1, which, full_disk / "gomr")
    assert odd.wait(120) == 5
    said = gomr.output_of(odd)
    assert "No space left on device" in said
    assert "Traceback" not in said
    finish(gomr, client, job)


def test_a_log_that_fills_the_disk__the_machine_leaves(gomr: Gomr, client: Client, full_disk: Path) -> None:
    """One loss: the task filled the disk, and another machine may have the room."""
    (gomr.folder / "in.txt").write_text("a\n")
    script = gomr.folder / "shouts.py"
    script.write_text("def mapper(line):\n    print('x' * 1_000_000)\n    yield line, 1\n")
    name = gomr("submit", script, "in.txt", "--max-attempts", "1").stdout.strip()
    odd = gomr.worker("--slots", 1, "--scratch-dir", full_disk / "gomr")
    assert odd.wait(120) == 5, gomr.output_of(odd)
    healthy = gomr.worker("--once")
    assert healthy.wait(240) == 0
    assert client.status(name).state == "done"


@pytest.mark.parametrize("mib", [45, 60, 80])
def test_little_memory(gomr: Gomr, client: Client, job: str, mib: int) -> None:
    """Whatever ends in so little memory, the job does not: neither its worker, its server nor its tasks matter."""
    with little_memory() as group:
        group.limit(mib * 2**20)
        odd = gomr.worker("--slots", SLOTS, below=group.below)
        until(lambda: odd.poll() is not None or gomr("workers").stdout or client.status(job).state != "running")
        finish(gomr, client, job, losses_max=4)


def test_a_task_killed_for_a_small_machine_is_a_loss(gomr: Gomr, client: Client, tmp_path: Path) -> None:
    """The healthy worker does what took more memory than the small machine has."""
    (tmp_path / "in.txt").write_text("1\n")
    script = tmp_path / "large.py"
    script.write_text("def mapper(line):\n    data = bytearray(150_000_000)\n    yield line, len(data)\n")
    name = gomr("submit", script, "in.txt", "--max-attempts", "1").stdout.strip()
    with little_memory() as group:
        group.limit(120 * 2**20)
        odd = gomr.worker("--slots", 1, below=group.below)
        until(lambda: "task.failed" in gomr.output_of(odd) or odd.poll() is not None)
        healthy = gomr.worker("--once")
        assert healthy.wait(240) == 0, gomr.output_of(healthy)
        assert client.status(name).state == "done"


HOMELESS: tuple[dict[str, str], ...] = ({}, {"HOME": "/"}, {"HOME": ""}, {"HOME": "/root"}, {"HOME": "/nonexistent"})


@pytest.fixture
def nobody(gomr: Gomr) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line as a user without a name, in an environment that holds what is given."""
    folder = gomr.folder / "nobody"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    for parent in gomr.folder.parents:
        if parent.name.startswith(("pytest-", "popen-")):
            parent.chmod(0o755)
    gomr.folder.chmod(0o755)

    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        python = [sys.executable, "-m", "gomr.cli"]
        done = subprocess.run(
            [*as_nobody(), *python, *map(str, arguments)],
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **variables},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.mark.parametrize("variables", HOMELESS, ids=str)
def test_a_user_without_a_name_or_a_home_is_told_what_to_give(
    nobody: Callable[..., subprocess.CompletedProcess[str]], variables: dict[str, str]
) -> None:
    for command, setting in (
        (("status",), "GOMR_STORAGE"),
        (("run", EXAMPLES / "wordcount.py", "/dev/null"), "GOMR_CACHE_DIR"),
        (("build", EXAMPLES / "wordcount.py"), "GOMR_CACHE_DIR"),
        (("dev", "env"), "GOMR_CACHE_DIR"),
        (("worker",), "GOMR_"),
        (("doctor",), "GOMR_STORAGE"),
    ):
        done = nobody(*command, **variables)
        assert done.returncode in (3, 5), (command, done)
        assert setting in done.stderr + done.stdout, (command, done)
    for command in (("config",), ("plugins",), ("completion", "bash"), ("--version",)):
        assert nobody(*command, **variables).returncode == 0


@pytest.mark.parametrize("variables", HOMELESS, ids=str)
def test_a_user_without_a_name_or_a_home_works_with_the_folders_given(
    nobody: Callable[..., subprocess.CompletedProcess[str]], gomr: Gomr, variables: dict[str, str]
) -> None:
    folder = gomr.folder / "nobody"
    (gomr.folder / "in.txt").write_text("a b a\n")
    given = {
        "GOMR_STORAGE": f"file://{folder}/storage",
        "GOMR_COORDINATOR": f"sqlite://{folder}/c.db",
        "GOMR_CACHE_DIR": str(folder / "cache"),
        **variables,
    }
    done = nobody("run", EXAMPLES / "wordcount.py", gomr.folder / "in.txt", **given)
    assert (done.returncode, done.stdout) == (0, "a\t2\nb\t1\n"), done.stderr
    built = nobody("build", EXAMPLES / "wordcount.py", "-o", folder / "w.pex", **given)
    assert built.returncode == 0, built.stderr
    submitted = nobody("submit", folder / "w.pex", gomr.folder / "in.txt", **given)
    assert submitted.returncode == 0, submitted.stderr
    worker = nobody("worker", "--once", **given)
    assert worker.returncode == 0, worker.stderr
    job = submitted.stdout.strip()
    assert json.loads(nobody("status", job, "--json", **given).stdout)["state"] == "done"
    doctor = nobody("doctor", **given)
    assert doctor.returncode == 0, doctor.stdout
    assert nobody("jobs", **given).returncode == nobody("workers", **given).returncode == 0
