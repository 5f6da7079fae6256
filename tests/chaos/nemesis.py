"""Breaks things one after the other, as the seed decides, and mends them again."""

import os
import random
import resource
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gomr_etcd.calls import Calls, rpc

from tests.chaos import proxy
from tests.chaos.doomed import DELETION_POINTS, SUBMIT_POINTS, WORKER_POINTS
from tests.chaos.machines import LEASE_SECONDS, Machines, descendants, pause, rest

BETWEEN_SECONDS = (0.5, 2.0)  # from the end of a fault to the next one
POINT_SECONDS_MAX = 30.0  # for a doomed worker to come to its point; then it is killed where it is
DOOMED_MAX = 2  # such workers at a time, beside those that are to live
SHORT_SECONDS_MAX = 10.0  # for a worker on a full disk, or short of memory, to leave
DISK_BYTES = 128 * 1024
MEMORY_BYTES = 4 * 2**20  # more than a worker has just now, and no more
LINK_MODES = {
    "link slow": proxy.SLOW,
    "link loses answers": proxy.DEAF,
    "link half-open": proxy.SILENT,
    "link cut": proxy.CLOSED,
}


class Nemesis:
    """Injects one fault at a time, from a thread of its own; several at once come from those that take long."""

    def __init__(self, machines: Machines, seed: int, submit: Callable[..., object]) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: list[Exception] = []
        self.missing: dict[str, str] = {}  # faults that this machine does not let us make, and why
        self.ended_jobs: list[str] = []  # that may be removed
        self.removed_jobs: set[str] = set()  # or nearly so: the command may have died, or found the servers ill
        self._machines = machines
        self._submit = submit
        self._chance = random.Random(seed)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nemesis")
        self._doomed: list[tuple[str, subprocess.Popen[bytes], float]] = []  # with the point, and when it is over
        self._disk = Path(tempfile.mkdtemp(dir=machines.folder, prefix="small-disk-"))
        self._faults: dict[str, Callable[[], None]] = {
            "worker killed": self._kill_worker,
            "worker paused past its lease": lambda: self._pause_worker(2.5 * LEASE_SECONDS),
            "worker paused": lambda: self._pause_worker(1.0),
            "worker short of memory": self._take_memory,
            "worker on a full disk": self._fill_disk,
            "a process of a worker's killed": self._kill_descendant,
            "etcd member killed": lambda: self._kill_member(self._any_member()),
            "etcd leader killed": lambda: self._kill_member(machines.etcd.leader()),
            "etcd member paused": self._pause_member,
            "etcd without a majority": self._take_majority,
            "etcd out of space": self._fill_etcd,
            "S3 server killed": self._kill_storage,
            "S3 server paused": self._pause_storage,
            "network partition": self._cut_network,
            **{f"worker killed {point}": lambda point=point: self._doom_worker(point) for point in WORKER_POINTS},  # type: ignore[misc]
            **{f"submit killed {point}": lambda point=point: self._doom_submit(point) for point in SUBMIT_POINTS},  # type: ignore[misc]
            **{f"gc killed {point}": lambda point=point: self._doom_gc(point) for point in DELETION_POINTS},  # type: ignore[misc]
            **{f"rm killed {point}": lambda point=point: self._doom_remove(point) for point in DELETION_POINTS},  # type: ignore[misc]
            **{name: lambda mode=mode: self._break_link(mode) for name, mode in LINK_MODES.items()},  # type: ignore[misc]
        }
        if machines.namespace.missing:
            self._leave_out("network partition", machines.namespace.missing)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", self._disk], capture_output=True, check=False
        )
        if mounted.returncode:
            self._leave_out("worker on a full disk", mounted.stderr.decode().strip())

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, with everything mended."""
        self._ended.set()
        self._thread.join()
        self._bury(all_of_them=True)
        for link in self._machines.links.values():
            link.set(proxy.PASS)
        self._machines.etcd.start()
        self._machines.seaweed.start()
        self._machines.keep_workers()
        if "worker on a full disk" in self._faults:
            subprocess.run(["umount", "--lazy", self._disk], check=True)

    def _leave_out(self, name: str, reason: str) -> None:
        del self._faults[name]
        self.missing[name] = reason

    def _run(self) -> None:
        try:
            while not self._ended.wait(self._chance.uniform(*BETWEEN_SECONDS)):
                name = self._chance.choice(sorted(self._faults))
                self.counts[name] += 1
                self._faults[name]()
                self._bury()
                self._machines.keep_workers()
        except Exception as error:
            self.problems.append(error)

    def _kill_worker(self) -> None:
        self._chance.choice(self._machines.workers).kill()
        rest(self._chance)

    def _pause_worker(self, seconds: float) -> None:
        pause(self._chance.choice(self._machines.workers), seconds)

    def _kill_descendant(self) -> None:
        """Kill a task's process, or what looks after one: as the kernel does that is out of memory."""
        processes = descendants(self._chance.choice(self._machines.workers).pid)
        if processes:
            with suppress(ProcessLookupError):
                os.kill(self._chance.choice(processes), signal.SIGKILL)

    def _take_memory(self) -> None:
        """Let a worker have hardly more memory than it has; it may leave, and must not spoil a job."""
        worker = self._chance.choice(self._machines.workers)
        with suppress(ProcessLookupError, FileNotFoundError):
            size = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[0]) * resource.getpagesize()
            _, hard = resource.prlimit(worker.pid, resource.RLIMIT_AS)
            resource.prlimit(worker.pid, resource.RLIMIT_AS, (size + MEMORY_BYTES, hard))
            self._wait_for(worker, self._chance.uniform(1.0, SHORT_SECONDS_MAX))
            resource.prlimit(worker.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, hard))

    def _fill_disk(self) -> None:
        """Have one more worker whose scratch files have no room."""
        (self._disk / "filler").write_bytes(b"x" * self._chance.randrange(DISK_BYTES))
        worker = self._machines.run_worker(scratch=self._disk / "scratch")
        self._wait_for(worker, SHORT_SECONDS_MAX)
        worker.kill()
        worker.wait()

    def _doom_worker(self, point: str) -> None:
        """Start one more worker, that will die at a point while other faults go on."""
        name = f"worker killed {point}"
        self.counts[name] -= 1  # it counts when it comes true
        if len(self._doomed) < DOOMED_MAX:
            worker = self._machines.run_worker((point, str(self._chance.choice((1, 1, 2, 5)))))
            self._doomed.append((name, worker, time.monotonic() + POINT_SECONDS_MAX))

    def _bury(self, *, all_of_them: bool = False) -> None:
        """Count the doomed workers that have died; end those that take too long."""
        for name, worker, deadline in [*self._doomed]:
            if worker.poll() is not None or all_of_them or time.monotonic() > deadline:
                self._doomed.remove((name, worker, deadline))
                self.counts[name] += 1
                self._killed(name, worker.poll())
                worker.kill()
                worker.wait()

    def _doom_submit(self, point: str) -> None:
        """Have a submit die, and submit the same again: there is one job, whole."""
        key = secrets.token_hex(8)
        self._killed(f"submit killed {point}", self._submit(key, (point, "1")))
        self._submit(key)

    def _doom_gc(self, point: str) -> None:
        done = self._machines.gomr("gc", "--grace-hours", 0, doom=(point, "1"))
        self._killed(f"gc killed {point}", done.returncode)

    def _doom_remove(self, point: str) -> None:
        """Have `rm` die over a job, and remove it again."""
        if not self.ended_jobs:
            self.counts[f"rm killed {point}"] -= 1
            return
        job = self.ended_jobs.pop(0)
        self.removed_jobs.add(job)
        done = self._machines.gomr("rm", job, doom=(point, "1"))
        self._killed(f"rm killed {point}", done.returncode)
        time.sleep(1.0)
        self._machines.gomr("rm", job)

    def _killed(self, name: str, status: object) -> None:
        """Count a fault only where it came true."""
        if status != -signal.SIGKILL:
            self.counts[name] -= 1
            self.counts[f"(never came to it: {name})"] += 1

    def _wait_for(self, worker: subprocess.Popen[bytes], seconds: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            worker.wait(seconds)

    def _any_member(self) -> int:
        return self._chance.randrange(len(self._machines.etcd.members))

    def _kill_member(self, number: int) -> None:
        member = self._machines.etcd.members[number]
        member.kill()
        rest(self._chance)
        self._machines.etcd.start()

    def _pause_member(self) -> None:
        member = self._machines.etcd.members[self._any_member()]
        member.send(signal.SIGSTOP)
        time.sleep(self._chance.uniform(1.0, 2.5 * LEASE_SECONDS))
        member.send(signal.SIGCONT)

    def _take_majority(self) -> None:
        members = self._machines.etcd.members
        for member in members[: len(members) // 2 + 1]:
            member.kill()
        time.sleep(self._chance.uniform(1.0, 2 * LEASE_SECONDS))
        self._machines.etcd.start()

    def _fill_etcd(self) -> None:
        """Raise the alarm that etcd raises when its quota is used up: it refuses every write."""
        calls = Calls([f"127.0.0.1:{port}" for port in self._machines.etcd.client_ports])
        try:
            self._set_alarm(calls, rpc.AlarmRequest.ACTIVATE)
            time.sleep(self._chance.uniform(1.0, 2 * LEASE_SECONDS))
            self._set_alarm(calls, rpc.AlarmRequest.DEACTIVATE)
        finally:
            calls.close()

    @staticmethod
    def _set_alarm(calls: Calls, action: int) -> None:
        calls.ask("Maintenance", "Alarm", rpc.AlarmRequest(action=action, alarm=rpc.NOSPACE), 10.0)

    def _kill_storage(self) -> None:
        self._machines.seaweed.process.kill()
        rest(self._chance)
        self._machines.seaweed.start()

    def _pause_storage(self) -> None:
        self._machines.seaweed.process.send(signal.SIGSTOP)
        time.sleep(self._chance.uniform(0.5, 5.0))
        self._machines.seaweed.process.send(signal.SIGCONT)

    def _cut_network(self) -> None:
        self._machines.namespace.cut(True)
        time.sleep(self._chance.uniform(1.0, 3 * LEASE_SECONDS))
        self._machines.namespace.cut(False)

    def _break_link(self, mode: str) -> None:
        link = self._machines.links[self._chance.choice(sorted(self._machines.links))]
        link.set(mode)
        time.sleep(self._chance.uniform(0.5, 2 * LEASE_SECONDS))
        link.set(proxy.CLOSED)  # what was lost in between must not be followed by what was not
        link.set(proxy.PASS)
