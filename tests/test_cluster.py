"""A real cluster: workers that share nothing but an etcd and an S3 bucket, both real, and both broken on purpose."""

import gzip
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gomr import urls
from gomr.playground.etcd import EtcdServer
from gomr.playground.seaweedfs import SeaweedServer
from gomr.plugins import Plugins
from gomr.scheduling.stages import CHUNK_SIZE_MIN
from tests.conftest import EXAMPLES, JOBS, LEASE_SECONDS, Gomr

WAIT_SECONDS = 120.0
WORDS = EXAMPLES / "wordcount.py"


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    """Texts of this machine, which no other machine can read."""
    folder = tmp_path / "in"
    folder.mkdir()
    sources = sorted(Path(os.__file__).parent.glob("[a-m]*.py"))
    for source in sources:
        (folder / source.name).write_bytes(source.read_bytes())
    return sorted(folder.iterdir())


@pytest.fixture
def expected(gomr: Gomr, inputs: Sequence[Path]) -> bytes:
    """The result of the embedded default, with neither server."""
    gomr("run", WORDS, inputs[0].parent, "--partitions", 4, "-o", "expected.tsv")
    return (gomr.folder / "expected.tsv").read_bytes()


class Machines:
    """The command line on several machines, each with folders of its own; only the two URLs are the same."""

    def __init__(self, gomr: Gomr, storage: str, coordinator: str) -> None:
        self.gomr = gomr
        self.urls = {"GOMR_STORAGE": storage, "GOMR_COORDINATOR": coordinator}
        self.submitter = self.machine("submitter")

    def machine(self, name: str) -> Gomr:
        folder = self.gomr.folder / name
        folder.mkdir()
        folders = {"GOMR_CACHE_DIR": f"{folder}/cache", "GOMR_SCRATCH_DIR": f"{folder}/scratch", "HOME": str(folder)}
        return Gomr({**self.gomr.environment, **self.urls, **folders}, folder)

    def workers(self, count: int, *options: object) -> list[tuple[Gomr, "subprocess.Popen[bytes]"]]:
        machines = [self.machine(f"worker-{number}") for number in range(count)]
        started = [(machine, machine.worker("--plugins", "s3,etcd", "--slots", 1, *options)) for machine in machines]
        self.started = [machine for machine, _ in started]
        eventually(lambda: len(json.loads(self.submitter("workers", "--json").stdout)) == count)
        return started

    def status(self, job: str) -> dict[str, Any]:
        done = self.submitter("status", job, "--json", status=None)
        return json.loads(done.stdout) if done.returncode == 0 else {"state": "unknown", "stages": []}

    def done(self, job: str) -> int:
        return sum(int(stage["done"]) for stage in self.status(job)["stages"])

    def result(self, job: str) -> bytes:
        self.submitter("status", job, "--watch")
        self.submitter("result", job, "-o", "result.tsv")
        return (self.submitter.folder / "result.tsv").read_bytes()

    def end(self) -> None:
        for machine in (self.submitter, *getattr(self, "started", [])):
            machine.end()


MakeMachines = Callable[[str, str], Machines]


@pytest.fixture
def make_machines(gomr: Gomr) -> Iterator[MakeMachines]:
    made: list[Machines] = []

    def make(storage: str, coordinator: str) -> Machines:
        made.append(Machines(gomr, storage, coordinator))
        return made[-1]

    yield make
    for machines in made:
        machines.end()


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def test_workers_that_share_nothing_but_the_servers_give_the_embedded_result(
    make_machines: MakeMachines, s3_url: str, etcd_url: str, inputs: Sequence[Path], expected: bytes
) -> None:
    """The second submit uploads no executable and no input, and no worker fetches an executable again."""
    machines = make_machines(s3_url, etcd_url)
    workers = machines.workers(3)
    submit = ("submit", WORDS, inputs[0].parent, "--partitions", 4, "--split-size", "100KB")

    first = machines.submitter(*submit)
    assert "executable uploaded" in first.stderr
    assert "uploading local inputs" in first.stderr
    assert machines.result(first.stdout.strip()) == expected
    fetched = [machine.output_of(process).count("cache.fetched") for machine, process in workers]
    assert sum(fetched) >= 1
    assert max(fetched) == 1

    storage = Plugins().open_storage(s3_url)
    stored = {info.key: info.version for prefix in ("bin/", "inputs/") for info in storage.list(prefix)}
    second = machines.submitter(*submit)
    job = second.stdout.strip()
    assert "stored already, not uploaded again" in second.stderr
    assert machines.result(job) == expected
    again = {info.key: info for prefix in ("bin/", "inputs/") for info in storage.list(prefix)}
    assert {key: info.version for key, info in again.items()} == stored
    first_job = min(info.modified_seconds for info in storage.list(f"jobs/{job}/"))
    assert all(info.modified_seconds <= first_job for info in again.values()), "stored again"
    assert max(machine.output_of(process).count("cache.fetched") for machine, process in workers) == 1

    counters = machines.status(job)["counters"]
    tasks = machines.status(job)["stages"]
    maps = [info.key for info in storage.list(f"jobs/{job}/1-map/") if info.key.split("/")[3].isdigit()]
    assert len(maps) == tasks[0]["tasks"] > 4, "one object a map task, and not one for each of its partitions"
    assert counters.get("storage.list", 0) == 0, "a LIST in the data path"
    assert counters["storage.put"] == tasks[0]["tasks"] + tasks[1]["tasks"], "one PUT a task"
    assert counters["storage.get_bytes"] > sum(path.stat().st_size for path in inputs)
    blocks = len(maps) * tasks[1]["tasks"]  # of so much text, none is empty
    pieces = len(maps) + len(inputs)  # at most: of each cut one more
    records = len(workers) * (1 + -(-len(maps) // CHUNK_SIZE_MIN))  # of the job and of chunks, at most
    assert len(maps) + blocks <= counters["storage.get"] <= 3 * pieces + blocks + records, (counters, len(maps), blocks)
    storage.close()


def test_a_killed_worker_a_killed_etcd_leader_and_a_restarted_s3_change_nothing(
    make_machines: MakeMachines,
    own_seaweed: SeaweedServer,
    own_etcd_of_three: EtcdServer,
    inputs: Sequence[Path],
    expected: bytes,
) -> None:
    machines = make_machines(own_seaweed.url, own_etcd_of_three.url)
    workers = machines.workers(3)
    submitted = machines.submitter(
        *("submit", WORDS, inputs[0].parent, "--partitions", 4, "--split-size", "30KB", "--max-attempts", 1)
    )
    job = submitted.stdout.strip()
    eventually(lambda: machines.done(job) >= 3)
    workers[0][1].kill()
    eventually(lambda: machines.done(job) >= 6)
    leader = own_etcd_of_three.leader()
    own_etcd_of_three.members[leader].kill()
    eventually(lambda: machines.done(job) >= 10)
    own_seaweed.process.kill()
    own_seaweed.start()
    own_etcd_of_three.members[leader].start()
    assert machines.result(job) == expected
    assert machines.status(job)["state"] == "done"


def test_inputs_lie_in_any_bucket_of_the_server(
    make_machines: MakeMachines, s3_url: str, etcd_url: str, inputs: Sequence[Path], expected: bytes
) -> None:
    """An input in another bucket is read in its place, with the options and the login of the cluster's own URL."""
    url = replace(urls.parse(s3_url), host=f"other-{secrets.token_hex(4)}")
    make_bucket(url)
    other = Plugins().open_storage(replace(url, path="/logs/2026"))
    for number, path in enumerate(inputs):
        name = f"{number % 12:02d}/{path.name}.gz"
        other.put(name, gzip.compress(path.read_bytes()))
    other.put("01/left-out.txt", b"left out")
    machines = make_machines(s3_url, etcd_url)
    machines.started = [worker := machines.machine("worker")]
    pattern = f"s3://{url.host}/logs/2026/*/*.gz"
    submitted = machines.submitter("submit", WORDS, pattern, "--partitions", 4)
    assert "uploading" not in submitted.stderr
    worker("worker", "--once")
    assert machines.result(submitted.stdout.strip()) == expected
    assert not list(Plugins().open_storage(s3_url).list("inputs/"))
    gone = machines.submitter("submit", WORDS, f"s3://{url.host}/logs/none/*", status=2)
    assert "no such input" in gone.stderr
    other.delete([info.key for info in other.list("")])
    other.close()


def make_bucket(url: urls.URL) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=url.options["endpoint"],
        aws_access_key_id=url.username,
        aws_secret_access_key=url.password,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=url.host)
    client.close()


def test_a_result_that_was_damaged_in_the_storage_is_refused(
    make_machines: MakeMachines, s3_url: str, etcd_url: str, inputs: Sequence[Path]
) -> None:
    machines = make_machines(s3_url, etcd_url)
    machines.workers(1)
    job = machines.submitter("submit", WORDS, inputs[0], "--partitions", 1).stdout.strip()
    assert machines.result(job)
    storage = Plugins().open_storage(s3_url)
    (part,) = [info.key for info in storage.list(f"jobs/{job}/1-reduce/") if info.key.split("/")[3].isdigit()]
    good = storage.read(part)
    storage.put(part, bytes([good[0] ^ 1]) + good[1:])
    storage.close()
    refused = machines.submitter("result", job, "-o", "damaged.tsv", status=1)
    assert f"part 0 of the result of {job} is damaged in the storage" in refused.stderr
    assert not (machines.submitter.folder / "damaged.tsv").exists()


def test_an_input_that_was_deleted_fails_its_job_at_once(
    make_machines: MakeMachines, s3_url: str, etcd_url: str, inputs: Sequence[Path]
) -> None:
    """Its reason names the input; no machine is blamed, and nothing is tried again."""
    machines = make_machines(s3_url, etcd_url)
    url = urls.parse(s3_url)
    storage = Plugins().open_storage(replace(url, path="/deleted"))
    storage.put("in.txt", b"some words")
    job = machines.submitter("submit", WORDS, f"s3://{url.host}/deleted/in.txt").stdout.strip()
    storage.delete(["in.txt"])
    storage.close()
    machines.workers(1)
    machines.submitter("status", job, "--watch", status=None)
    error = machines.status(job)["error"]
    assert (error["kind"], error["attempt"], "deleted after" in error["message"]) == ("input", 1, True)


def test_gc_takes_the_inputs_that_no_job_names(
    make_machines: MakeMachines, s3_url: str, etcd_url: str, inputs: Sequence[Path]
) -> None:
    machines = make_machines(s3_url, etcd_url)
    storage = Plugins().open_storage(s3_url)
    jobs = [machines.submitter("submit", WORDS, path).stdout.strip() for path in inputs[:2]]
    assert len(list(storage.list("inputs/"))) == 2
    for job in jobs:
        machines.submitter("cancel", job)
    machines.submitter("gc", "--grace-hours", 0)
    assert len(list(storage.list("inputs/"))) == 2
    machines.submitter("rm", jobs[0])
    time.sleep(1.5)  # S3 tells times in seconds
    machines.submitter("gc", "--grace-hours", 0)
    (left,) = storage.list("inputs/")
    assert storage.read(left.key) == inputs[1].read_bytes()
    storage.close()


def test_a_storage_that_is_away_delays_a_job_and_fails_nothing(
    make_machines: MakeMachines, own_seaweed: SeaweedServer, etcd_url: str, inputs: Sequence[Path], expected: bytes
) -> None:
    """Far longer than anything is asked again: the tasks wait, and neither failures nor losses count."""
    machines = make_machines(f"{own_seaweed.url}&tries=1", etcd_url)
    ((machine, process),) = machines.workers(1)
    job = machines.submitter(
        *("submit", WORDS, inputs[0].parent, "--partitions", 4, "--split-size", "100KB", "--max-attempts", 1)
    ).stdout.strip()
    eventually(lambda: machines.done(job) >= 2)
    own_seaweed.process.kill()
    eventually(lambda: "task.postponed" in machine.output_of(process))
    own_seaweed.start()
    assert machines.result(job) == expected


def test_few_transactions_a_task(make_machines: MakeMachines, own_etcd: EtcdServer, s3_url: str) -> None:
    """At most 2.3 transactions a task over a stage of 1,000 tasks, as etcd counts them; keepalives apart."""
    machines = make_machines(s3_url, own_etcd.url)
    path = machines.submitter.folder / "in.txt"
    path.write_text("".join(f"line {number:05d}\n" for number in range(1000)))  # of 11 bytes each
    pex = machines.submitter.folder / "echo.pex"
    machines.submitter("build", JOBS / "echo_lines.py", "-o", pex)
    submitted = machines.submitter("submit", pex, path, "--split-size", 11)
    job = submitted.stdout.strip()
    before = transactions(own_etcd)
    machines.started = [machines.machine(f"worker-{number}") for number in range(3)]
    workers = [machine.start("worker", "--once", "--slots", 2) for machine in machines.started]
    for process in workers:
        assert process.wait(WAIT_SECONDS) == 0
    used = transactions(own_etcd) - before
    status = machines.status(job)
    assert (status["state"], status["stages"][0]["tasks"]) == ("done", 1000)
    assert used <= 2.3 * 1000, f"{used} transactions for 1,000 tasks"


def transactions(etcd: EtcdServer) -> int:
    """Return how many transactions etcd has answered, those that only read included."""
    found = re.findall(r'grpc_server_handled_total\{.*grpc_method="Txn".*\} (\S+)', etcd.metrics())
    return int(sum(map(float, found)))


def test_a_job_process_makes_no_connection(
    make_machines: MakeMachines, s3_url: str, etcd_url: str, inputs: Sequence[Path]
) -> None:
    assert shutil.which("strace"), "strace is not installed (Debian, Ubuntu: apt-get install strace)"
    machines = make_machines(s3_url, etcd_url)
    submitted = machines.submitter("submit", WORDS, inputs[0], "--partitions", 2)
    worker = machines.machine("worker")
    traces = machines.gomr.folder / "traces"
    traces.mkdir()
    command = ["strace", "-ff", "-o", f"{traces}/t", "-e", "trace=network,execve,clone,clone3,fork,vfork"]
    gomr = [sys.executable, "-m", "gomr.cli", "worker", "--once", "--slots", "1"]
    subprocess.run([*command, *gomr], env=worker.environment, cwd=worker.folder, check=True, timeout=240)
    assert machines.status(submitted.stdout.strip())["state"] == "done"
    text = {path.suffix[1:]: path.read_text() for path in traces.iterdir()}
    jobs = {pid for pid, lines in text.items() if re.search(r'execve\("[^"]*/executable"', lines)}
    assert jobs
    while more := {child for pid in jobs for child in re.findall(r"fork.* = (\d+)|clone.* = (\d+)", text[pid])}:
        children = {number for pair in more for number in pair if number and number in text}
        if children <= jobs:
            break
        jobs |= children
    assert len(jobs) > 1, "the fork server forked nobody"
    for pid in jobs:
        assert "AF_INET" not in text[pid], text[pid]
    assert any("AF_INET" in lines for pid, lines in text.items() if pid not in jobs), "the worker itself connects"


def test_a_log_is_followed_while_its_task_runs(make_machines: MakeMachines, s3_url: str, etcd_url: str) -> None:
    machines = make_machines(s3_url, etcd_url)
    machines.workers(1)
    path = machines.submitter.folder / "in.txt"
    path.write_text("x\n")
    gate = machines.submitter.folder / "gate"
    job = machines.submitter("submit", JOBS / "prints_and_waits.py", path, "--param", f"gate={gate}").stdout.strip()
    follower = machines.submitter.start("logs", job, "-f")
    eventually(lambda: "printed before the end" in machines.submitter.output_of(follower))
    assert machines.status(job)["state"] == "running"
    gate.touch()
    assert follower.wait(WAIT_SECONDS) == 0
    assert "printed at the end" in machines.submitter.output_of(follower)


def test_a_paused_worker_that_wakes_up_changes_nothing(
    make_machines: MakeMachines, s3_url: str, etcd_url: str, inputs: Sequence[Path], expected: bytes
) -> None:
    machines = make_machines(s3_url, etcd_url)
    workers = machines.workers(2)
    submitted = machines.submitter("submit", WORDS, inputs[0].parent, "--partitions", 4, "--split-size", "50KB")
    job = submitted.stdout.strip()
    eventually(lambda: machines.done(job) >= 2)
    workers[0][1].send_signal(signal.SIGSTOP)
    time.sleep(3 * LEASE_SECONDS)
    workers[0][1].send_signal(signal.SIGCONT)
    assert machines.result(job) == expected
