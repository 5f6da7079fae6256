"""What the web page costs: its first view, a batch of its stream, many listeners, and what a refresh reads."""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark.alone import Figure, Setup
from gomr.backends import Answer, Compare, Operation, Put, Range
from gomr.builtin.file import FileStorage
from gomr.builtin.sqlite import SqliteCoordinator
from gomr.model import MAP_STAGE, OPEN, REDUCE_STAGE, RUNNING, DoneRecord, JobHead, JobRecord, StageRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.stages import StageView, chunk_size, fold
from gomr.web.view import View

LISTENERS = 100
LISTEN_SECONDS = 10.0
BATCH = 40  # puts of one transaction
SMALL, LARGE = 1_000, 100_000
SHOWN = 10_000


def web(setup: Setup) -> Iterator[Figure]:
    """Measure the page over jobs that are written, not run: of 1,000, 10,000 and 100,000 tasks."""
    runs, folder = setup.runs, setup.scratch.folder / "web"
    folder.mkdir()
    with _cluster(folder) as cluster:
        jobs = {tasks: write_job(cluster, tasks) for tasks in (SMALL, SHOWN, LARGE)}
        reads = {tasks: refresh_reads(cluster, folder / "c.db", jobs[tasks]) for tasks in (SMALL, LARGE)}
        yield Figure("keys and objects more that a refresh of 100,000 tasks reads", reads[LARGE] - reads[SMALL], 20)
        batch = setup.keep("a batch of 10,000 tasks", batch_seconds(cluster, jobs[SHOWN], runs * 10))
        yield Figure("milliseconds a batch of 10,000 tasks", 1000 * batch, 50)
        with served(folder) as (base, process):
            first = [first_view_seconds(base, jobs[SHOWN]) for _ in range(runs + 1)][1:]
            yield Figure("seconds to the first view of 10,000 tasks", setup.keep("first view", first), 1.5)
            share = listeners_share(base, jobs[SHOWN], process.pid)
            yield Figure(f"% of a core for {LISTENERS} listeners", 100 * share, 15)


@contextlib.contextmanager
def _cluster(folder: Path) -> Iterator[Cluster]:
    cluster = Cluster(FileStorage(folder / "storage"), SqliteCoordinator(folder / "c.db"))
    cluster.identify()
    yield cluster
    cluster.close()


def write_job(cluster: Cluster, tasks: int) -> str:
    """Write a job that runs, of which nine tasks of ten are done, as the protocol would have; return its id."""
    job = f"tasks{tasks}-{secrets.token_hex(6)}"
    size = chunk_size(tasks)
    record = JobRecord(
        job=job,
        name="bench",
        executable="0" * 64,
        describe={"reducer": True},
        inputs=[],
        splits=[],
        params={},
        partitions=8,
        memory_bytes=1,
        task_seconds=1.0,
        attempts_max=4,
        output_format="",
        split_bytes=1,
        created_seconds=time.time() - 600,
        submitter="bench",
        version="0",
    )
    data = record.to_json()
    digest = hashlib.sha256(data).hexdigest()
    cluster.storage.put(keys.job_record(job, digest), data)
    head = JobHead("bench", RUNNING, MAP_STAGE, [MAP_STAGE, REDUCE_STAGE], "0" * 64, digest, time.time() - 600, {}, 4)
    stage = StageRecord(tasks, size, OPEN)
    cluster.transact((), [Put(keys.head(job), head.to_json()), Put(keys.stage(job, MAP_STAGE), stage.to_json())])
    item = cluster.read(Range(keys.stage(job, MAP_STAGE)))[0].items[0]
    at = StageView(job, MAP_STAGE, head, 0, stage, item.revision)
    for chunk in range(stage.chunks * 9 // 10):
        numbers = stage.chunk_tasks(chunk)
        puts = [Put(keys.done_task(job, MAP_STAGE, chunk, number), _done(number).to_json()) for number in numbers]
        for first in range(0, len(puts), BATCH):
            cluster.transact((), puts[first : first + BATCH])
        fold(cluster, at, chunk)
    return job


def _done(number: int) -> DoneRecord:
    started = time.time() - 600 + number % 500
    return DoneRecord(
        nonce=f"{number:016x}",
        attempt=1,
        worker=f"host-{number % 16}-0123456789abcdef",
        size=1000 + number,
        checksum="",
        blocks=[[0, 1000 + number]],
        records_in=1000,
        records_out=5000,
        bytes_in=10**6,
        spills=0,
        peak_memory_bytes=10**7,
        fetch_seconds=0.1,
        run_seconds=1.0 + number % 7 / 10,
        write_seconds=0.1,
        counters={"lines": 1000},
        started_seconds=started,
    )


class Counting(SqliteCoordinator):
    """Counts the keys that are read."""

    items = 0

    def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        orelse: Sequence[Operation] = (),
        *,
        timeout_seconds: float = 10.0,
        durable: bool = False,
    ) -> Answer:
        """Count what a transaction reads."""
        answer = super().transact(compares, then, orelse, timeout_seconds=timeout_seconds, durable=durable)
        self.items += sum(max(1, len(found.items)) for found in answer.found)
        return answer


class _Client:
    """As much of a client as the view asks for."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster


def refresh_reads(cluster: Cluster, path: Path, job: str) -> int:
    """Return how many keys and objects the second view of a job reads."""
    counting = Counting(path)
    view = View(_Client(Cluster(cluster.storage, counting)))  # type: ignore[arg-type]
    view.job(job)
    time.sleep(1.1)
    before, gets = counting.items, cluster.storage.requests.counts().get("get", 0)
    view.forget(job)
    view.job(job)
    return counting.items - before + cluster.storage.requests.counts().get("get", 0) - gets


def batch_seconds(cluster: Cluster, job: str, count: int) -> list[float]:
    """Return what it takes to make a batch of the stream, again and again, while the job goes on."""
    view = View(_Client(cluster))  # type: ignore[arg-type]
    for _ in range(5):
        view.forget(job)
        view.job(job)
    taken = []
    for _ in range(count):
        view.forget(job)
        started = time.perf_counter()
        json.dumps(view.job(job))
        taken.append(time.perf_counter() - started)
    return taken


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Serve a cluster; yield where, and the process."""
    command = [sys.executable, "-m", "gomr.cli", "web", "--port", "0", "--storage", f"file://{folder}/storage"]
    process = subprocess.Popen(
        [*command, "--coordinator", f"sqlite://{folder}/c.db"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    try:
        found = re.search(r"http://\S+", process.stderr.readline())
        assert found
        yield found[0].rstrip("/"), process
    finally:
        process.terminate()
        process.wait()


def first_view_seconds(base: str, job: str) -> float:
    """Return how long a browser that has seen nothing yet takes until the map of all tasks is drawn."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = os.environ.get("GOMR_CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        started = time.perf_counter()
        page.goto(f"{base}/jobs/{job}/tasks")
        page.get_by_text("of 10,000 tasks shown").wait_for()
        seconds = time.perf_counter() - started
        browser.close()
    return seconds


def listeners_share(base: str, job: str, process: int) -> float:
    """Return which share of a core the server takes while many follow one job."""
    return asyncio.run(_listen(base, job, process))


async def _listen(base: str, job: str, process: int) -> float:
    host, _, port = base.partition("://")[2].partition(":")
    request = f"GET /api/stream?job={job} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    open_now = [await asyncio.open_connection(host, int(port)) for _ in range(LISTENERS)]
    for _, writer in open_now:
        writer.write(request)

    async def listen(reader: asyncio.StreamReader) -> None:
        while await reader.read(1 << 16):
            pass

    tasks = [asyncio.create_task(listen(reader)) for reader, _ in open_now]
    await asyncio.sleep(3.0)
    before = _cpu_seconds(process)
    await asyncio.sleep(LISTEN_SECONDS)
    share = (_cpu_seconds(process) - before) / LISTEN_SECONDS
    for task in tasks:
        task.cancel()
    for _, writer in open_now:
        writer.close()
    return share


def _cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
