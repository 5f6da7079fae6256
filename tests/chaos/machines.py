"""The processes of a chaos run: real servers, proxies before them, workers, and the command line of a user."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from gomr.playground.etcd import EtcdServer
from gomr.playground.seaweedfs import SeaweedServer
from tests.chaos import network
from tests.chaos.network import Namespace
from tests.chaos.proxy import Proxy

LEASE_SECONDS = 3.0
RESTART_SECONDS_MAX = 2.0
COMMAND_SECONDS_MAX = 600.0
S3 = "s3"  # the name of the link to it
ROOT = Path(__file__).parent.parent.parent


class Machines:
    """Servers and workers in one folder. The user reaches the servers directly, the workers through proxies."""

    def __init__(self, folder: Path, members: int, worker_count: int) -> None:
        self.folder = folder
        self.etcd = EtcdServer(folder / "etcd", members)
        self.seaweed = SeaweedServer(folder / "seaweedfs")
        self.worker_count = worker_count
        self.workers: list[subprocess.Popen[bytes]] = []
        self.links: dict[str, Proxy] = {}
        self.far_links: dict[str, Proxy] = {}  # for the worker in the namespace
        self.namespace = Namespace()
        self._far_worker: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()  # of the list of workers
        self.restarts = 0

    def start(self) -> None:
        """Start everything."""
        self.etcd.start()
        self.seaweed.start()
        self.links = self._proxies("127.0.0.1")
        for _ in range(self.worker_count):
            self.start_worker()
        if not self.namespace.missing:
            self.far_links = self._proxies(network.HOST)
            self._start_far_worker()

    def stop(self) -> None:
        """End everything."""
        with self.lock:
            workers, self.workers = self.workers, []
        for worker in workers:
            worker.send_signal(signal.SIGCONT)
            worker.kill()
            worker.wait()
        for link in (*self.links.values(), *self.far_links.values()):
            link.stop()
        self.namespace.close()
        self.etcd.stop()
        self.seaweed.stop()

    def start_worker(self) -> None:
        """Start one more worker, and keep it running from now on."""
        worker = self.run_worker()
        with self.lock:
            self.workers.append(worker)

    def run_worker(
        self, doom: Sequence[str] = (), scratch: Path | None = None, *, far: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start a worker with folders of its own; `doom` is where it dies, `far` puts it into the namespace."""
        with self.lock:
            self.restarts += 1
            number = self.restarts
        links = self.far_links if far else self.links
        etcd = ",".join(f"{link.host}:{link.port}" for name, link in links.items() if name != S3)
        url = self.seaweed.url.replace(self.seaweed.endpoint, f"http://{links[S3].host}:{links[S3].port}")
        environment = self._environment(f"{url}&timeout_seconds=3&tries=2", f"etcd://{etcd}", f"worker-{number}")
        if scratch:
            environment["GOMR_SCRATCH_DIR"] = str(scratch)
        command = [*_program(doom), "worker", "--slots", "2", "--lease-seconds", str(LEASE_SECONDS)]
        with (self.folder / f"worker-{number}.log").open("wb") as log:
            return subprocess.Popen(
                self.namespace.command(command) if far else command, env=environment, stdout=log, stderr=log
            )

    def keep_workers(self) -> None:
        """Start a worker for each that has ended, as a service manager does."""
        with self.lock:
            ended = [worker for worker in self.workers if worker.poll() is not None]
            self.workers = [worker for worker in self.workers if worker not in ended]
        for worker in ended:
            if worker is self._far_worker:
                self._start_far_worker()
            else:
                self.start_worker()

    def gomr(self, *arguments: object, doom: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run a command as the user; it may fail, and dies at `doom`."""
        return subprocess.run(
            [*_program(doom), *map(str, arguments)],
            env=self._environment(self.seaweed.url, self.etcd.url, "user"),
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS_MAX,
        )

    def embedded(self, *arguments: object) -> None:
        """Run a command on the embedded default, without any server."""
        environment = self._environment("", "", "embedded")
        del environment["GOMR_STORAGE"], environment["GOMR_COORDINATOR"]
        subprocess.run([sys.executable, "-m", "gomr.cli", *map(str, arguments)], env=environment, check=True)

    def _proxies(self, host: str) -> dict[str, Proxy]:
        endpoint = urlsplit(self.seaweed.endpoint)
        return {
            **{f"etcd {port}": Proxy(("127.0.0.1", port), host) for port in self.etcd.client_ports},
            S3: Proxy((str(endpoint.hostname), int(endpoint.port or 0)), host),
        }

    def _start_far_worker(self) -> None:
        self._far_worker = self.run_worker(far=True)
        with self.lock:
            self.workers.append(self._far_worker)

    def _environment(self, storage: str, coordinator: str, name: str) -> dict[str, str]:
        home = self.folder / name
        home.mkdir(exist_ok=True)
        return {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),  # of `tests`, for the commands that are to die
            "GOMR_STORAGE": storage,
            "GOMR_COORDINATOR": coordinator,
            "GOMR_CACHE_DIR": str(self.folder / "cache"),
            "GOMR_SCRATCH_DIR": str(home / "scratch"),
        }


def _program(doom: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", *(("tests.chaos.doomed", *doom) if doom else ("gomr.cli",))]


def descendants(pid: int) -> list[int]:
    """Return the processes below a process."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *descendants(child)]
    return found


def pause(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Stop a process for so long."""
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)


def rest(chance: random.Random) -> None:
    """Wait for a service manager to notice."""
    time.sleep(chance.uniform(0.0, RESTART_SECONDS_MAX))
