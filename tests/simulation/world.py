"""One seed: a small cluster, its workers and users, and everything that goes wrong with them."""

import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gomr.backends import Item
from gomr.model import ENDED, StageRecord
from gomr.scheduling.cluster import Cluster
from gomr.worker.settings import WorkerSettings
from gomr.worker.worker import Worker
from tests.simulation.auditor import Auditor
from tests.simulation.coordinator import SimulatedCoordinator
from tests.simulation.executor import TASK_SECONDS_MAX, SimulatedExecutor
from tests.simulation.faults import ACTIONS, EVENTS, Faults
from tests.simulation.kernel import Kernel, Party
from tests.simulation.keyvalue import KeyValue
from tests.simulation.machine import OLD_PYTHON, PYTHON, limits_varied, machine_replaced
from tests.simulation.network import Server
from tests.simulation.stdlib import replaced
from tests.simulation.storage import Bucket, SimulatedStorage
from tests.simulation.users import EXPECTED, PARTITIONS_MAX, Users
from tests.simulation.verdict import LIVENESS_LEASES, left_over, unfinished, wrongly_failed

LEASE_SECONDS = 15.0
SETTLE_SECONDS = 400.0  # for commands to end, for workers to leave: longer than any lease of the protocol
DAY_SECONDS = 86400.0
OLD_MACHINES_SHARE = 0.2  # of the seeds: some workers offer what no job wants, until the faults are over


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a seed came to."""

    seed: int
    violations: list[str]
    states: Counter[str]
    faults: Counter[str]
    virtual_seconds: float
    steps: int
    transactions: int
    digest: str  # of everything that happened, in order: the same for the same seed


class World:
    """All parties and servers of one seed."""

    def __init__(self, seed: int, on_step: Callable[[str], object] | None = None) -> None:
        self._on_step = on_step
        self.kernel = Kernel(seed)
        self.faults = Faults(self.kernel)
        self.faults.draw()
        self.truth = KeyValue(self.kernel)
        self.bucket = Bucket(self.kernel)
        self.coordinator = Server(self.kernel, self.faults, 0.005)
        self.storage = Server(self.kernel, self.faults, 0.02)
        self.auditor = Auditor(self.truth, self.bucket)
        self.failures: Counter[str] = Counter()
        self.poisoned: dict[str, int] = {}
        self.workers: dict[Party, Worker] = {}
        self.executors: dict[Party, SimulatedExecutor] = {}
        self.closing = False
        self._party_count = 0
        self._looked_at = 0  # revision at which somebody saw whether all jobs have ended
        self._seed = seed
        self._trace = hashlib.sha256()
        self._has_old_machines = self.kernel.chance.random() < OLD_MACHINES_SHARE
        self.users = Users(self.kernel, self.faults, self.auditor, self._connect)
        self.truth.on_change.append(self._heard)
        chance = self.kernel.chance
        self._worker_count = chance.randint(1, 4)
        self._slots = chance.randint(1, 2)

    def run(self) -> Outcome:
        """Run to the end; return what was found."""
        kernel, chance = self.kernel, self.kernel.chance
        with replaced(kernel), machine_replaced(self._worker_name, self._python), limits_varied(chance):
            for _ in range(chance.randint(1, 2)):
                self.users.submit()
            for _ in range(self._worker_count):
                self._start_worker()
            for name in (*EVENTS, *ACTIONS, "coordinator emptied"):
                self._plan(name)
            kernel.run(chance.uniform(10.0, 90.0))
            self._heal()
            kernel.run(max(kernel.now, self.faults.last_arrival) + 1.0)
            kernel.run(kernel.now + SETTLE_SECONDS, self.users.are_gone)
            self.users.resume_all()
            kernel.run(kernel.now + LIVENESS_LEASES * LEASE_SECONDS + self._work_seconds(), self._all_ended)
            states = Counter(head.state for job in self.auditor.jobs() if (head := self.auditor.head(job)))
            violations = self._violations()
            if not violations and not self.auditor.emptied:
                violations = [
                    *unfinished(self.auditor, self.users),
                    *wrongly_failed(self.auditor, self.faults, self.failures),
                ]
            if not violations:
                self._end()
                violations = self._violations() or left_over(self.auditor, self.truth, self.bucket)
                if self.workers:
                    violations.append(f"{len(self.workers)} workers did not leave when they were told to")
        return Outcome(
            self._seed,
            violations,
            states,
            self.faults.counts + self.auditor.counts,
            kernel.now,
            kernel.steps,
            self.truth.transactions,
            self._trace.hexdigest(),
        )

    def _worker_name(self) -> str:
        return self._new_party().name if self.kernel.party is None else self.kernel.party.name

    def _python(self) -> str:
        is_old = self.kernel.party is not None and self.kernel.party.name in self.auditor.unfit
        return OLD_PYTHON if is_old else PYTHON

    def _violations(self) -> list[str]:
        return [*self.auditor.violations, *(f"{error!r} reached a thread's end" for error in self.kernel.problems)]

    def _heard(self, key: str, _before: Item | None, after: Item | None) -> None:
        self._note(key, after.value if after else b"")
        self.users.heard(key)
        if key.startswith("j/") and self.faults.happens("coordinator away at a change"):  # its answer is lost, too
            self.coordinator.away_until = self.kernel.now + self.kernel.chance.choice((1.0, 10.0, 50.0))

    def _note(self, key: str, value: bytes) -> None:
        self._trace.update(f"{self.kernel.now!r} {key} ".encode() + value)
        if self._on_step:
            self._on_step(f"{self.kernel.now:9.3f} {key} {value[:200]!r}")

    def _new_party(self, kind: str = "party") -> Party:
        self._party_count += 1
        chance = self.kernel.chance
        return Party(f"{kind}{self._party_count}", chance.uniform(0.9, 1.1), chance.uniform(-DAY_SECONDS, DAY_SECONDS))

    def _connect(self, party: Party) -> Cluster:
        storage = SimulatedStorage(self.kernel, self.storage, self.bucket, party)
        return Cluster(storage, SimulatedCoordinator(self.kernel, self.coordinator, self.truth, party))

    # Workers

    def _start_worker(self) -> None:
        party = self._new_party("worker")
        if self._has_old_machines and not self.faults.over and self.kernel.chance.random() < 0.5:
            self.auditor.unfit.add(party.name)
        self.kernel.spawn(party, lambda: self._be_worker(party))

    def _be_worker(self, party: Party) -> None:
        cluster = self._connect(party)
        settings = WorkerSettings(
            Path("cache"),
            Path("scratch"),
            self._slots,
            ahead=0,  # it would be as many slots more: executors here run all that is in hand
            lease_seconds=LEASE_SECONDS,
            memory_limit_bytes=1,
        )

        def open_executor(_worker: str, on_refusal: Callable[[dict[str, str]], None]) -> SimulatedExecutor:
            executor = SimulatedExecutor(self.kernel, self.faults, cluster, self.failures, self.poisoned, on_refusal)
            self.executors[party] = executor
            return executor

        worker = Worker(cluster, settings, open_executor)
        self.workers[party] = worker
        if self.closing:
            worker.drain()
        try:
            with suppress(*EXPECTED):  # it could not reach the cluster when it started
                worker.run()
        finally:
            self.workers.pop(party, None)
            self.executors.pop(party, None)
            self.kernel.after(self.kernel.chance.uniform(0.0, 30.0), self._start_missing)

    def _start_missing(self) -> None:
        """Do what a service manager does: keep as many workers running as there should be."""
        running = sum(not worker.draining for worker in self.workers.values())
        if running < self._worker_count and not self.closing:
            self._start_worker()

    # What happens to them

    def _plan(self, name: str) -> None:
        seconds = self.faults.next_in_seconds(name)
        if seconds is not None:
            self.kernel.after(seconds, lambda: self._happen(name))

    def _happen(self, name: str) -> None:
        if self.faults.over:
            return
        self.faults.counts[name] += 1
        self._note(f"[{name}]", b"")
        if name in ACTIONS:
            self.users.act(name)
        elif name == "worker drained":
            if workers := [worker for party, worker in self.workers.items() if party.alive]:
                self.kernel.chance.choice(workers).drain()
        elif name.startswith(("worker", "command")):
            self._disturb(name)
        else:
            self._disturb_server(name)
        self._plan(name)

    def _disturb(self, name: str) -> None:
        """Kill or pause a process."""
        kind, _, what = name.partition(" ")
        parties = [party for party in (self.workers if kind == "worker" else self.users.commands) if party.alive]
        if parties:
            party = self.kernel.chance.choice(parties)
            if what == "killed":
                self.kernel.crash(party)
            else:
                self.kernel.pause(party, self.faults.pause_seconds())

    def _disturb_server(self, name: str) -> None:
        now, chance = self.kernel.now, self.kernel.chance
        if name == "coordinator restarted":
            self.truth.keep_all()
            self.coordinator.away_until = now + chance.uniform(0.0, 3.0)
        elif name == "coordinator away":
            self.coordinator.away_until = now + chance.uniform(5.0, 40.0)
        elif name == "coordinator full":
            self.truth.full_until = now + chance.uniform(1.0, 60.0)
        elif name == "storage away":
            self.storage.away_until = now + chance.uniform(5.0, 60.0)
        elif name == "all leases lost":
            self.truth.revoke_all()
        elif name == "reboot":  # of the one machine that all runs on
            for party in (*self.workers, *self.users.commands):
                self.kernel.crash(party)
            self.truth.revoke_all()
            self.coordinator.away_until = self.storage.away_until = now + chance.uniform(0.0, 20.0)
        elif name == "coordinator emptied":  # perhaps while garbage is collected
            self.users.collect_all()
            self.kernel.after(chance.uniform(0.0, 1.0), self._empty)

    def _empty(self) -> None:
        self.auditor.remember()
        self.truth.empty()

    def _heal(self) -> None:
        """End all faults: from here on everybody is there, and refuses nothing."""
        self.faults.over = True
        self._note("[the faults are over]", b"")
        self.coordinator.away_until = self.storage.away_until = self.truth.full_until = 0.0
        for party in self.users.commands:
            party.paused_until = 0.0
        for party, executor in list(self.executors.items()):
            party.paused_until = 0.0
            if executor.refused or not party.alive or party.name in self.auditor.unfit:
                self.kernel.crash(party)
                self.workers.pop(party, None)
                self.executors.pop(party, None)
        for _ in range(self._worker_count - sum(not worker.draining for worker in self.workers.values())):
            self._start_worker()

    def _end(self) -> None:
        """Let everybody leave, and collect garbage."""
        self.closing = True
        for worker in self.workers.values():
            worker.drain()
        self.kernel.run(self.kernel.now + SETTLE_SECONDS)
        self.users.collect_all()
        self.kernel.run(self.kernel.now + SETTLE_SECONDS)

    def _work_seconds(self) -> float:
        """Return how long all tasks of live jobs may take one slot, without any fault."""
        return sum(
            TASK_SECONDS_MAX * (StageRecord.from_json(item.value).tasks + PARTITIONS_MAX)
            for item in self.truth.range_items("j/", "j0")
            if "/s/" in item.key
        )

    def _all_ended(self) -> bool:
        if self.truth.revision == self._looked_at:
            return False
        self._looked_at = self.truth.revision
        heads = [self.auditor.head(job) for job in self.auditor.jobs()]
        return bool(self.auditor.violations) or all(head is None or head.state in ENDED for head in heads)


def simulate(seed: int) -> Outcome:
    """Run one seed."""
    return World(seed).run()
