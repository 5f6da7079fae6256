"""Breaks things one after the other, as the seed decides, and mends them again."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

from tests.chaos import proxy
from tests.chaos.machines import LEASE_SECONDS, Machines, pause, rest

BETWEEN_SECONDS = (0.5, 3.0)  # from the end of a fault to the next one
LINK_MODES = {
    "link slow": proxy.SLOW,
    "link loses answers": proxy.DEAF,
    "link half-open": proxy.SILENT,
    "link cut": proxy.CLOSED,
}


class Nemesis:
    """Injects one fault at a time, from a thread of its own; several at once come from those that take long."""

    def __init__(self, machines: Machines, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: list[Exception] = []
        self._machines = machines
        self._chance = random.Random(seed)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nemesis")
        self._faults: dict[str, Callable[[], None]] = {
            "worker killed": self._kill_worker,
            "worker paused past its lease": lambda: self._pause_worker(2.5 * LEASE_SECONDS),
            "worker paused": lambda: self._pause_worker(1.0),
            "etcd member killed": lambda: self._kill_member(self._any_member()),
            "etcd leader killed": lambda: self._kill_member(machines.etcd.leader()),
            "etcd member paused": self._pause_member,
            "etcd without a majority": self._take_majority,
            "S3 server killed": self._kill_storage,
            "S3 server paused": self._pause_storage,
            **{name: lambda mode=mode: self._break_link(mode) for name, mode in LINK_MODES.items()},  # type: ignore[misc]
        }

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, with everything mended."""
        self._ended.set()
        self._thread.join()
        for link in self._machines.links.values():
            link.set(proxy.PASS)
        self._machines.etcd.start()
        self._machines.seaweed.start()
        self._machines.keep_workers()

    def _run(self) -> None:
        try:
            while not self._ended.wait(self._chance.uniform(*BETWEEN_SECONDS)):
                name = self._chance.choice(sorted(self._faults))
                self.counts[name] += 1
                self._faults[name]()
                self._machines.keep_workers()
        except Exception as error:
            self.problems.append(error)

    def _kill_worker(self) -> None:
        self._chance.choice(self._machines.workers).kill()
        rest(self._chance)

    def _pause_worker(self, seconds: float) -> None:
        pause(self._chance.choice(self._machines.workers), seconds)

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

    def _kill_storage(self) -> None:
        self._machines.seaweed.process.kill()
        rest(self._chance)
        self._machines.seaweed.start()

    def _pause_storage(self) -> None:
        self._machines.seaweed.process.send(signal.SIGSTOP)
        time.sleep(self._chance.uniform(0.5, 5.0))
        self._machines.seaweed.process.send(signal.SIGCONT)

    def _break_link(self, mode: str) -> None:
        link = self._machines.links[self._chance.choice(sorted(self._machines.links))]
        link.set(mode)
        time.sleep(self._chance.uniform(0.5, 2 * LEASE_SECONDS))
        link.set(proxy.CLOSED)  # what was lost in between must not be followed by what was not
        link.set(proxy.PASS)
