"""Fixtures: a cluster of files and SQLite in a temporary folder, and the command line as a real process."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gomr.builtin.file import FileStorage
from gomr.builtin.sqlite import SqliteCoordinator
from gomr.client import Client
from gomr.config import Config
from gomr.options import JobOptions
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.status import JobStatus

JOBS = Path(__file__).parent / "jobs"
EXAMPLES = Path(__file__).parent.parent / "examples"
LEASE_SECONDS = 2.0  # the shortest: tests of take-over wait for it


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of builds and executables that the tests of a run share, as the workers of a machine do."""
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    return folder / "gomr-cache"


@pytest.fixture
def environment(tmp_path: Path, builds: Path) -> dict[str, str]:
    """The environment of a user with a home of their own; the coordinator and storage are the embedded ones."""
    return {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "GOMR_CACHE_DIR": str(builds),
        "GOMR_SCRATCH_DIR": str(tmp_path / "scratch"),
        "LANG": "C.UTF-8",
    }


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of its own, for tests of the protocol."""
    cluster = Cluster(FileStorage(tmp_path / "storage"), SqliteCoordinator(tmp_path / "c.db"))
    cluster.identify()
    yield cluster
    cluster.close()


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    """A file that is never executed."""
    path = tmp_path / "executable"
    path.write_bytes(b"some program")
    return path


@pytest.fixture
def client(environment: dict[str, str], tmp_path: Path) -> Iterator[Client]:
    """A client of the temporary cluster."""
    with Client(config=Config({}, environment, tmp_path)) as client:
        yield client


class Gomr:
    """Runs the command line as real processes."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.environment = dict(environment)
        self.folder = folder
        self._started: list[subprocess.Popen[bytes]] = []

    def __call__(self, *arguments: object, status: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end; check its exit status unless `status` is None."""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "gomr.cli", *map(str, arguments)],
            env=self.environment,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=240,
            check=False,
        )
        if status is not None:
            assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(
        self, *arguments: object, command: Sequence[str] = ("-m", "gomr.cli"), below: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start a command that goes on, `below` a command that makes the machine odd; the test's end kills it."""
        log = self.folder / f"process-{len(self._started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*below, sys.executable, *command, *map(str, arguments)],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._started.append(process)
        return process

    def worker(self, *arguments: object, below: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start a worker with the tests' lease, `below` what `start` takes."""
        return self.start("worker", "--lease-seconds", LEASE_SECONDS, *arguments, below=below)

    def output_of(self, process: subprocess.Popen[bytes]) -> str:
        """Return what a started command has printed so far."""
        return (self.folder / f"process-{self._started.index(process)}.log").read_text()

    def end(self) -> None:
        """Kill what was started."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def gomr(environment: dict[str, str], tmp_path: Path) -> Iterator[Gomr]:
    """The command line, in the temporary folder."""
    runner = Gomr(environment, tmp_path)
    yield runner
    runner.end()


RunJob = Callable[..., tuple[JobStatus, str]]


@pytest.fixture
def run_job(client: Client) -> RunJob:
    """Submit a job and work on it in this process until it ends; return its status and its id."""

    def run(
        job: str | Path,
        inputs: Sequence[object],
        settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> tuple[JobStatus, str]:
        job_id = client.submit(job, [str(item) for item in inputs], JobOptions(**options))
        worker = client.worker(
            client.worker_settings(
                **{"once": True, "slots": 2, "only_job": job_id, "lease_seconds": LEASE_SECONDS, **(settings or {})}
            )
        )
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            status = client.wait(job_id, 240)
        finally:
            worker.stop()
            thread.join()
        return status, job_id

    return run


def result_of(client: Client, job: str) -> bytes:
    """Return a job's result."""
    return b"".join(client.read_result(job))
