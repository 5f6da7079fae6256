"""Thousands of workers that wake up at once for one stage: how often they get into each other's way."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gomr.backends import Answer, Compare, Operation, Put
from gomr.model import DONE
from gomr.scheduling import submit
from gomr.scheduling.cluster import Cluster
from gomr.worker.settings import WorkerSettings
from gomr.worker.worker import Worker
from tests.protocol import new_record
from tests.simulation.auditor import Auditor
from tests.simulation.coordinator import SimulatedCoordinator
from tests.simulation.executor import SimulatedExecutor
from tests.simulation.faults import Faults
from tests.simulation.kernel import Kernel, Party
from tests.simulation.keyvalue import KeyValue
from tests.simulation.machine import PYTHON, REQUIRES, machine_replaced
from tests.simulation.network import Server
from tests.simulation.stdlib import replaced
from tests.simulation.storage import Bucket, SimulatedStorage

START_SECONDS = 30.0  # until all workers are up, and wait
VIRTUAL_SECONDS_MAX = 3600.0


@dataclass(slots=True)
class Herd:
    """What a stage came to."""

    workers: int
    tasks: int
    claims: int = 0
    conflicts: int = 0  # claims that another worker's was before
    transactions: int = 0
    seconds: float = 0.0
    virtual_seconds: float = 0.0

    def lines(self) -> Iterator[str]:
        """Yield the report as text."""
        yield f"{self.workers} workers, {self.tasks} tasks: done in {self.virtual_seconds:.1f} virtual seconds"
        yield f"claims that came too late: {self.conflicts}, {self.conflicts / self.tasks:.4f} a task"
        yield f"transactions: {self.transactions}, {self.transactions / self.tasks:.2f} a task"
        yield f"simulated in {self.seconds:.0f} s"


class CountingKeyValue(KeyValue):
    """Counts transactions by what they are for."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.counts: Counter[str] = Counter()

    def transact(self, compares: Sequence[Compare], then: Sequence[Operation], orelse: Sequence[Operation]) -> Answer:
        answer = super().transact(compares, then, orelse)
        if any(isinstance(operation, Put) and "/t/" in operation.key for operation in then):
            self.counts["claims" if answer.ok else "conflicts"] += 1
        return answer


def run(workers: int, tasks: int, seed: int = 0) -> Herd:
    """Have so many workers of one slot wait, submit one job of so many tasks, and count. Raises AssertionError."""
    started = time.monotonic()
    kernel = Kernel(seed)
    faults = Faults(kernel)
    truth, bucket = CountingKeyValue(kernel), Bucket(kernel)
    auditor = Auditor(truth, bucket)
    servers = Server(kernel, faults, 0.005), Server(kernel, faults, 0.02)
    number = iter(range(10**9))

    def connect(party: Party) -> Cluster:
        storage = SimulatedStorage(kernel, servers[1], bucket, party)
        return Cluster(storage, SimulatedCoordinator(kernel, servers[0], truth, party))

    def be_worker(party: Party) -> None:
        cluster = connect(party)
        settings = WorkerSettings(Path("cache"), Path("scratch"), 1, ahead=0, lease_seconds=15.0, memory_limit_bytes=1)
        Worker(
            cluster,
            settings,
            lambda _worker, on_refusal: SimulatedExecutor(kernel, faults, cluster, Counter(), {}, on_refusal),
        ).run()

    def act() -> None:
        record = new_record(Path(__file__), tasks)
        submit.submit(connect(user), Path(__file__), replace(record, describe={"reducer": False, "requires": REQUIRES}))

    def is_done() -> bool:
        heads = [auditor.head(job) for job in auditor.jobs()]
        return bool(heads) and all(head is not None and head.state == DONE for head in heads)

    user = Party("user")
    with replaced(kernel), machine_replaced(lambda: f"w{next(number):06d}", lambda: PYTHON):
        parties = [Party(f"worker{index}", kernel.chance.uniform(0.9, 1.1)) for index in range(workers)]
        for party in parties:
            delay = kernel.chance.uniform(0.0, START_SECONDS / 2)
            kernel.after(delay, lambda party=party: kernel.spawn(party, lambda: be_worker(party)))  # type: ignore[misc,arg-type]
        kernel.run(START_SECONDS)
        before = truth.transactions
        submitted = kernel.now
        kernel.spawn(user, act)
        kernel.run(VIRTUAL_SECONDS_MAX, is_done)
        transactions, virtual_seconds = truth.transactions - before, kernel.now - submitted
        for party in parties:
            kernel.crash(party)
        kernel.run(kernel.now)
    assert not kernel.problems, kernel.problems[0]
    assert not auditor.violations, auditor.violations[0]
    assert is_done(), f"not done after {VIRTUAL_SECONDS_MAX} virtual seconds"
    return Herd(
        workers,
        tasks,
        truth.counts["claims"],
        truth.counts["conflicts"],
        transactions,
        time.monotonic() - started,
        virtual_seconds,
    )
