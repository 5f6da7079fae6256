"""Counts the transactions a task that a large cluster makes: real workers, and many more that only claim and commit.

bench_coordination.py [WORKERS [CLIENTS [TASKS]]]; needs an etcd program (scripts/bench sets it).
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gomr import urls
from gomr.backends import Range
from gomr.client import Client
from gomr.model import DoneRecord
from gomr.options import JobOptions
from gomr.playground.etcd import EtcdServer
from gomr.plugins import Plugins
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.worker.executor import Executor, Running
from gomr.worker.settings import WorkerSettings
from gomr.worker.worker import Worker
from tests.protocol import done

CLIENTS_PER_PROCESS = 25
BARE = "protocol only"  # the counter of tasks that nobody ran
LINE = "line %06d\n"
JOB = '''"""Map-only: every line, as it is."""


def mapper(line):
    yield line, 1
'''
SECONDS_MAX = 3600


class ProtocolOnly(Executor):
    """Runs nothing: its tasks are done at once, and wrote nothing."""

    def refuses(self, _digest: str) -> bool:
        """Refuse nothing."""
        return False

    def refuse(self, _digest: str, _reason: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def execute(self, running: Running) -> DoneRecord:
        """Return what a commit is to say of a task that nobody ran."""
        return replace(done(running.claim, 0), blocks=[], counters={BARE: 1})


def be_clients(count: int, storage: str, coordinator: str) -> None:
    """Be so many workers of one slot, with a connection each."""

    def be_one() -> None:
        plugins = Plugins()
        url = urls.parse(storage)
        cluster = Cluster(plugins.open_storage(url), plugins.open_coordinator(coordinator), url)
        settings = WorkerSettings(Path("cache"), Path("scratch"), 1)
        open_executor: Callable[..., Executor] = lambda _worker, _on_refusal: ProtocolOnly()  # noqa: E731
        Worker(cluster, settings, open_executor).run()
        cluster.close()

    threads = [threading.Thread(target=be_one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run(workers: int, clients: int, tasks: int, folder: Path) -> None:
    """Run one job and print what it took."""
    etcd = EtcdServer(folder / "etcd")
    etcd.start()
    storage = f"file://{folder}/storage"
    environment = {
        **os.environ,
        "GOMR_STORAGE": storage,
        "GOMR_COORDINATOR": etcd.url,
        "GOMR_CACHE_DIR": str(folder / "cache"),
        "GOMR_SCRATCH_DIR": str(folder / "scratch"),
    }

    def gomr(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "gomr.cli", *map(str, arguments)]
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    processes: list[subprocess.Popen[str]] = []
    try:
        (folder / "echo.py").write_text(JOB)
        gomr("build", folder / "echo.py", "-o", folder / "echo.pex").wait()
        lines = folder / "in.txt"
        lines.write_text("".join(LINE % number for number in range(tasks)))
        processes = [gomr("worker", "--slots", 1) for _ in range(workers)]
        for first in range(0, clients, CLIENTS_PER_PROCESS):
            threads = min(CLIENTS_PER_PROCESS, clients - first)
            command = [sys.executable, __file__, "clients", str(threads), storage, etcd.url]
            processes.append(subprocess.Popen(command, env=environment, text=True, stdout=subprocess.DEVNULL))
        with Client(storage, etcd.url) as client:
            # What workers do before a job is submitted is not the job's.
            wait_until(lambda: count(client, keys.WORKERS) == workers + clients)
            before, started = transactions(etcd), time.monotonic()
            job = client.submit(folder / "echo.pex", [str(lines)], JobOptions(split_bytes=len(LINE % 0)))
            wait_until(lambda: not count(client, keys.QUEUE))
        seconds, used = time.monotonic() - started, transactions(etcd) - before
        status = json.loads(gomr("status", job, "--json").communicate()[0])
        bare = status["counters"].get(BARE, 0)
        print(f"{workers} workers, {clients} clients that only claim and commit, one etcd")
        print(f"{tasks} tasks, {status['state']}")
        print(f"done by workers: {tasks - bare}, by clients: {bare}; in {seconds:.0f} s, {os.cpu_count()} processors")
        print(f"transactions as etcd counts them, reads included: {used}, {used / tasks:.3f} a task")
    finally:
        for process in processes:
            process.kill()
            process.wait()
        etcd.stop()


def count(client: Client, prefix: str) -> int:
    """Return how many keys there are."""
    return client.cluster.read(Range(prefix, keys.end_of(prefix), count_only=True))[0].count


def wait_until(holds: Callable[[], bool]) -> None:
    """Ask once a second."""
    deadline = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline, f"not after {SECONDS_MAX} s"
        time.sleep(1.0)


def transactions(etcd: EtcdServer) -> int:
    """Return how many transactions etcd has answered."""
    return sum(
        int(float(count)) for count in re.findall(r'grpc_server_handled_total\{.*="Txn".*\} (\S+)', etcd.metrics())
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["clients"]:
        be_clients(int(sys.argv[2]), sys.argv[3], sys.argv[4])
    else:
        numbers = [*map(int, sys.argv[1:]), *(16, 200, 20_000)[len(sys.argv) - 1 :]]
        with tempfile.TemporaryDirectory(prefix="gomr-bench-") as name:
            run(numbers[0], numbers[1], numbers[2], Path(name))
