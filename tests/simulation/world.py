"""One seed: a small cluster, its workers and users, and everything that goes wrong with them."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gomr.errors import CoordinatorError, GomrError, StorageError
from gomr.executables import file_digest
from gomr.model import ENDED, FAILED, PAUSED, JobRecord, StageRecord
from gomr.scheduling import control, gc, keys, submit
from gomr.scheduling.attempts import LOSSES_MAX
from gomr.scheduling.cluster import Cluster
from gomr.worker import worker as worker_module
from gomr.worker.settings import WorkerSettings
from gomr.worker.worker import Worker
from tests.simulation.auditor import Auditor
from tests.simulation.coordinator import SimulatedCoordinator
from tests.simulation.executor import TASK_SECONDS_MAX, SimulatedExecutor
from tests.simulation.faults import ACTIONS, EVENTS, LATE_SECONDS_MAX, NETWORK, Faults
from tests.simulation.kernel import Kernel, Party
from tests.simulation.keyvalue import KeyValue
from tests.simulation.network import Server
from tests.simulation.stdlib import replaced
from tests.simulation.storage import Bucket, SimulatedStorage

LEASE_SECONDS = 15.0
LIVENESS_LEASES = 10  # after the last fault, and beyond the work itself, every job has ended within so many
SETTLE_SECONDS = 400.0  # after the last worker has left: longer than any lease of the protocol
PARTITIONS_MAX = 3
DAY_SECONDS = 86400.0
PROGRAMS = (Path(__file__), Path(__file__).with_name("kernel.py"))  # any do: simulated executables are never run
LOSING = (  # faults that may cost a worker the task in its hands
    *(name for name in NETWORK if name != "request doubled"),
    *(name for name in EVENTS if name != "storage away"),
)
JOB_ACTIONS: dict[str, Callable[[Cluster, str], object]] = {
    "cancel": control.cancel,
    "pause": control.pause,
    "resume": control.resume,
    "rerun": control.rerun,
    "remove": control.remove,
}
EXPECTED = (GomrError, CoordinatorError, StorageError)  # what a command may end with


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
        self.submitted: set[str] = set()  # acknowledged
        self.removed: set[str] = set()  # somebody asked for it, at least
        self.workers: dict[Party, Worker] = {}
        self.commands: dict[Party, None] = {}  # that run
        self.executors: dict[Party, SimulatedExecutor] = {}
        self.closing = False
        self._party_count = 0
        self._job_count = 0
        self._seed = seed
        self._trace = hashlib.sha256()
        self.truth.on_change.append(lambda key, _before, after: self._note(key, after.value if after else b""))
        chance = self.kernel.chance
        self._worker_count = chance.randint(1, 4)
        self._slots = chance.randint(1, 2)

    def run(self) -> Outcome:
        """Run to the end; return what was found."""
        kernel, chance = self.kernel, self.kernel.chance
        with replaced(kernel), self._stand_ins():
            for _ in range(chance.randint(1, 2)):
                self._command(self._submit)
            for _ in range(self._worker_count):
                self._start_worker()
            for name in (*EVENTS, *ACTIONS):
                self._plan(name)
            kernel.run(chance.uniform(10.0, 90.0))
            self._heal()
            kernel.run(kernel.now + LATE_SECONDS_MAX)  # the last late requests arrive
            self._resume_all()
            kernel.run(kernel.now + LIVENESS_LEASES * LEASE_SECONDS + self._work_seconds(), self._all_ended)
            violations = [*self.auditor.violations, *(f"{error!r} reached a thread's end" for error in kernel.problems)]
            if not violations:
                violations = [*self._unfinished(), *self._wrongly_failed()]
            states = Counter(head.state for job in self.auditor.jobs() if (head := self.auditor.head(job)))
            if not violations:
                violations = self._leftovers()
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

    @contextmanager
    def _stand_ins(self) -> Iterator[None]:
        """Replace what a worker asks of its machine."""
        fakes: dict[str, Any] = {
            "offers": lambda: {"contracts": [1], "pythons": ["cp311"], "platform": "linux"},
            "hide_memory": lambda: None,
            "os": SimpleNamespace(getpid=lambda: 1),
            "JOIN_SECONDS": 1.0,  # a signal is heeded later, and the simulation runs faster
            "new_worker_id": lambda: self._new_party().name if self.kernel.party is None else self.kernel.party.name,
        }
        real = {name: getattr(worker_module, name) for name in fakes}
        vars(worker_module).update(fakes)
        try:
            yield
        finally:
            vars(worker_module).update(real)

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
        self.kernel.spawn(party, lambda: self._be_worker(party))

    def _be_worker(self, party: Party) -> None:
        cluster = self._connect(party)
        settings = WorkerSettings(
            Path("cache"), Path("scratch"), self._slots, lease_seconds=LEASE_SECONDS, memory_limit_bytes=1
        )

        def open_executor(_worker: str, on_refusal: Callable[[dict[str, str]], None]) -> SimulatedExecutor:
            executor = SimulatedExecutor(self.kernel, self.faults, cluster, self.failures, self.poisoned, on_refusal)
            self.executors[party] = executor
            return executor

        worker = Worker(cluster, settings, open_executor)
        self.workers[party] = worker
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

    # Users

    def _command(self, action: Callable[[Cluster], object]) -> None:
        """Run a command as a process of its own."""
        party = self._new_party("command")
        self.commands[party] = None

        def act() -> None:
            with suppress(*EXPECTED):  # it tells its user; what it left behind is what this simulation is about
                action(self._connect(party))
            self.commands.pop(party, None)

        self.kernel.spawn(party, act)

    def _submit(self, cluster: Cluster, again: str = "") -> None:
        chance = self.kernel.chance
        program = chance.choice(PROGRAMS)
        record = JobRecord(
            job=again or submit.new_job_id("job", str(self._job_count)),
            name="job",
            executable=file_digest(program),
            describe={"reducer": True, "requires": {"contract": 1, "python": "cp311", "platform": None}},
            inputs=[],
            splits=[[] for _ in range(chance.choice((1, 3, 8, 9, 20)))],
            params={},
            partitions=chance.randint(1, PARTITIONS_MAX),
            memory_bytes=1,
            task_seconds=1.0,
            attempts_max=chance.choice((1, 2, 4)),
            output_format="",
            split_bytes=1,
            created_seconds=0.0,
            submitter="simulation",
            version="1",
            priority=chance.choice((5, 5, 9)),
            max_skipped=chance.choice((0, 1, 5)),
        )
        self._job_count += 1
        cluster.identify()
        submit.submit(cluster, program, record)
        self.submitted.add(record.job)
        self.faults.counts["(submits acknowledged)"] += 1

    def _any_job(self) -> str | None:
        jobs = self.auditor.jobs()
        return self.kernel.chance.choice(jobs) if jobs else None

    def _remove(self, cluster: Cluster, job: str) -> None:
        self.removed.add(job)
        control.remove(cluster, job)

    def _collect(self, cluster: Cluster) -> None:
        cluster.identify()
        for _ in gc.collect(cluster, grace_seconds=self.kernel.chance.choice((0.0, 5.0, 60.0))):
            pass

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
            self._act(name)
        elif name.startswith(("worker", "command")):
            self._disturb(name)
        else:
            self._disturb_server(name)
        self._plan(name)

    def _act(self, name: str) -> None:
        """Have a user do something."""
        chance, job = self.kernel.chance, self._any_job()
        workers = [worker for party, worker in self.workers.items() if party.alive]
        if name == "gc":
            self._command(self._collect)
        elif name == "second submit":
            self._command(lambda cluster: self._submit(cluster, chance.choice(("", job or ""))))
        elif name == "drain":
            if workers:
                chance.choice(workers).drain()
        elif job is not None:
            act = self._remove if name == "remove" else JOB_ACTIONS[name]
            for _ in range(chance.choice((1, 1, 2))):  # two users may do the same at once
                self._command(lambda cluster: act(cluster, job))

    def _disturb(self, name: str) -> None:
        """Kill or pause a process."""
        kind, _, what = name.partition(" ")
        parties = [party for party in (self.workers if kind == "worker" else self.commands) if party.alive]
        if parties:
            party = self.kernel.chance.choice(parties)
            if what == "killed":
                self.kernel.crash(party)
            else:
                self.kernel.pause(party, self.kernel.chance.choice((0.05, 1.0, 12.0, 40.0)))

    def _disturb_server(self, name: str) -> None:
        now, chance = self.kernel.now, self.kernel.chance
        if name == "coordinator restarted":
            self.truth.keep_all()
            self.coordinator.away_until = now + chance.uniform(0.0, 3.0)
        elif name == "coordinator away":
            self.coordinator.away_until = now + chance.uniform(5.0, 40.0)
        elif name == "storage away":
            self.storage.away_until = now + chance.uniform(5.0, 60.0)
        elif name == "all leases lost":
            for lease in list(self.truth.leases):
                self.truth.revoke(lease)

    def _heal(self) -> None:
        """End all faults: from here on everybody is there, and refuses nothing."""
        self.faults.over = True
        self._note("[the faults are over]", b"")
        self.coordinator.away_until = self.storage.away_until = 0.0
        for party in self.commands:
            party.paused_until = 0.0
        for party, executor in list(self.executors.items()):
            party.paused_until = 0.0
            if executor.refused or not party.alive:
                self.kernel.crash(party)
                self.workers.pop(party, None)
                self.executors.pop(party, None)
        for _ in range(self._worker_count - sum(not worker.draining for worker in self.workers.values())):
            self._start_worker()

    def _resume_all(self) -> None:
        for job in self.auditor.jobs():
            head = self.auditor.head(job)
            if head is not None and head.state == PAUSED:
                self._command(lambda cluster, job=job: control.resume(cluster, job))  # type: ignore[misc]

    # What must be true in the end

    def _work_seconds(self) -> float:
        """Return how long all tasks of live jobs may take one slot, without any fault."""
        return sum(
            TASK_SECONDS_MAX * (StageRecord.from_json(item.value).tasks + PARTITIONS_MAX)
            for item in self.truth.range_items("j/", "j0")
            if "/s/" in item.key
        )

    def _all_ended(self) -> bool:
        heads = [self.auditor.head(job) for job in self.auditor.jobs()]
        return bool(self.auditor.violations) or all(head is None or head.state in ENDED for head in heads)

    def _unfinished(self) -> list[str]:
        found = []
        for job in sorted({*self.auditor.jobs(), *(self.submitted - self.removed)}):
            head = self.auditor.head(job)
            if head is None:
                found.append(f"{job}: its submit was acknowledged, and it is not there")
            elif head.state not in (*ENDED, "removing"):
                found.append(f"{job}: still {head.state} {LIVENESS_LEASES} lease times after the last fault")
        return found

    def _wrongly_failed(self) -> list[str]:
        """Return the jobs that failed although too few faults were made for it."""
        found = []
        for job in self.auditor.jobs():
            head = self.auditor.head(job)
            if head is None or head.state != FAILED:
                continue
            failures = self.failures[f"{job}/{head.error['task']}"]
            losses = self.failures["machines"] + sum(self.faults.counts[name] for name in LOSING)
            if failures < head.attempts_max and losses < LOSSES_MAX:
                found.append(f"{job}: failed after {failures} failures and {losses} faults: {head.error}")
        return found

    def _leftovers(self) -> list[str]:
        """Let everybody leave, collect garbage, and return what should not be there then."""
        kernel = self.kernel
        self.closing = True
        for worker in self.workers.values():
            worker.drain()
        kernel.run(kernel.now + SETTLE_SECONDS)
        self._command(lambda cluster: [*gc.collect(cluster, grace_seconds=0.0)])
        kernel.run(kernel.now + SETTLE_SECONDS)
        found = [f"{error!r} reached a thread's end" for error in kernel.problems] + self.auditor.violations
        if self.workers:
            found.append(f"{len(self.workers)} workers did not leave when they were told to")
        if self.truth.leases:
            found.append(f"leases left: {[sorted(lease.keys) for lease in self.truth.leases.values()]}")
        needed = {"cluster.json", "gc/marker"}
        for job in self.auditor.jobs():
            head = self.auditor.head(job)
            assert head is not None
            needed |= {f"bin/{head.executable}", f"jobs/{job}/job-{head.record_digest}.json"}
            if head.state == "done":
                for key in self.truth.range_items(keys.job(job), keys.end_of(keys.job(job))):
                    if key.key.split("/")[2] in "tbd":
                        found.append(f"{key.key} is left of a finished job")
                counted = {
                    f"jobs/{job}/{stage}/{index}/{nonce}"
                    for (name, stage, index), nonce in self.auditor.counted.items()
                    if name == job and stage == head.stages[-1]
                }
                needed |= counted
                found += [f"{key} of the result is not there" for key in counted - {*self.bucket.objects}]
        extra = [
            key
            for key in sorted(self.bucket.objects)
            if key not in needed and "/chunk/" not in key and "/manifest/" not in key and not self._is_kept(key)
        ]
        return found + [f"{key} is left in the storage" for key in extra]

    def _is_kept(self, key: str) -> bool:
        """Say whether an object belongs to a job that may run again, or is being removed."""
        parts = key.split("/")
        head = self.auditor.head(parts[1]) if parts[0] == "jobs" else None
        return head is not None and head.state != "done"


def simulate(seed: int) -> Outcome:
    """Run one seed."""
    return World(seed).run()
