"""The processes of a chaos run: real servers, proxies before them, workers, and the command line of a user."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from gomr.playground.etcd import EtcdServer
from gomr.playground.seaweedfs import SeaweedServer
from tests.chaos.proxy import Proxy

LEASE_SECONDS = 3.0
RESTART_SECONDS_MAX = 2.0
COMMAND_SECONDS_MAX = 600.0


class Machines:
    """Servers and workers in one folder. The user reaches the servers directly, the workers through proxies."""

    def __init__(self, folder: Path, members: int, worker_count: int) -> None:
        self.folder = folder
        self.etcd = EtcdServer(folder / "etcd", members)
        self.seaweed = SeaweedServer(folder / "seaweedfs")
        self.worker_count = worker_count
        self.workers: list[subprocess.Popen[bytes]] = []
        self.lock = threading.Lock()  # of the list of workers
        self.restarts = 0

    def start(self) -> None:
        """Start everything."""
        self.etcd.start()
        self.seaweed.start()
        self.links = {f"etcd {port}": Proxy(("127.0.0.1", port)) for port in self.etcd.client_ports}
        endpoint = urlsplit(self.seaweed.endpoint)
        self.links["s3"] = Proxy((str(endpoint.hostname), int(endpoint.port or 0)))
        for _ in range(self.worker_count):
            self.start_worker()

    def stop(self) -> None:
        """End everything."""
        with self.lock:
            workers, self.workers = self.workers, []
        for worker in workers:
            worker.send_signal(signal.SIGCONT)
            worker.kill()
            worker.wait()
        for link in self.links.values():
            link.stop()
        self.etcd.stop()
        self.seaweed.stop()

    def start_worker(self) -> None:
        """Start one more worker, with folders of its own."""
        with self.lock:
            self.restarts += 1
            number = self.restarts
        etcd = ",".join(f"127.0.0.1:{link.port}" for name, link in self.links.items() if name != "s3")
        url = self.seaweed.url.replace(self.seaweed.endpoint, f"http://127.0.0.1:{self.links['s3'].port}")
        environment = self._environment(f"{url}&timeout_seconds=3&tries=2", f"etcd://{etcd}", f"worker-{number}")
        with (self.folder / f"worker-{number}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "gomr.cli", "worker", "--slots", "2", "--lease-seconds", str(LEASE_SECONDS)],
                env=environment,
                stdout=log,
                stderr=log,
            )
        with self.lock:
            self.workers.append(process)

    def keep_workers(self) -> None:
        """Start a worker for each that has ended, as a service manager does."""
        with self.lock:
            ended = [worker for worker in self.workers if worker.poll() is not None]
            self.workers = [worker for worker in self.workers if worker not in ended]
        for _ in ended:
            self.start_worker()

    def gomr(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a command as the user; it may fail."""
        return subprocess.run(
            [sys.executable, "-m", "gomr.cli", *map(str, arguments)],
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

    def _environment(self, storage: str, coordinator: str, name: str) -> dict[str, str]:
        home = self.folder / name
        home.mkdir(exist_ok=True)
        return {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "GOMR_STORAGE": storage,
            "GOMR_COORDINATOR": coordinator,
            "GOMR_CACHE_DIR": str(self.folder / "cache"),
            "GOMR_SCRATCH_DIR": str(home / "scratch"),
        }


def pause(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Stop a process for so long."""
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)


def rest(chance: random.Random) -> None:
    """Wait for a service manager to notice."""
    time.sleep(chance.uniform(0.0, RESTART_SECONDS_MAX))
