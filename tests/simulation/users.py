"""The users of a simulated cluster: each command is a process of its own, which may pause and die."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gomr.errors import CoordinatorError, GomrError, NotFoundError, StorageError, UsageError
from gomr.executables import file_digest
from gomr.model import PAUSED, JobRecord
from gomr.scheduling import control, gc, submit
from gomr.scheduling.cluster import Cluster
from tests.simulation.auditor import Auditor
from tests.simulation.faults import ACTIONS, Faults
from tests.simulation.kernel import Kernel, Party
from tests.simulation.keyvalue import kind_of
from tests.simulation.machine import REQUIRES

PARTITIONS_MAX = 3
PROGRAMS = (Path(__file__), Path(__file__).with_name("kernel.py"))  # any do: simulated executables are never run
EXPECTED = (GomrError, CoordinatorError, StorageError)  # what a command may end with
QUARREL_SECONDS = 0.1  # within which users who quarrel over a job all begin
CHANGES = ("j/s", "j/c", "j/t", "h")  # keys whose changes may have a user do something at that moment


class Users:
    """Submit jobs, quarrel over them, collect garbage: at any time, or at the moment something changes."""

    def __init__(
        self, kernel: Kernel, faults: Faults, auditor: Auditor, open_cluster: Callable[[Party], Cluster]
    ) -> None:
        self._kernel = kernel
        self._faults = faults
        self._auditor = auditor
        self._open_cluster = open_cluster
        self._sizes = kernel.chance.choice(((1, 3, 8, 9, 20), (1, 2, 3)))
        self._command_count = 0
        self._keys: dict[str, str] = {}  # the idempotency key of each job that was submitted with one
        self.commands: dict[Party, None] = {}  # that run
        self.submitted: set[str] = set()  # acknowledged
        self.removed: Counter[str] = Counter()  # how many have, or may have, or are about to

    def submit(self) -> None:
        """Submit a new job."""
        self._run(self._submit)

    def collect_all(self) -> None:
        """Collect garbage of any age."""
        self._run(lambda cluster: [*gc.collect(cluster, grace_seconds=0.0)])

    def resume_all(self) -> None:
        """Resume what is paused."""
        for job in self._auditor.jobs():
            head = self._auditor.head(job)
            if head is not None and head.state == PAUSED:
                self._run(lambda cluster, job=job: control.resume(cluster, job))  # type: ignore[misc]

    def are_gone(self) -> bool:
        """Say whether no command runs any more."""
        return not any(party.alive for party in self.commands)

    def act(self, name: str, job: str = "") -> None:
        """Do one of ACTIONS to a job; others may do something else to it at the same time."""
        chance, jobs = self._kernel.chance, self._auditor.jobs()
        job = job or (chance.choice(jobs) if jobs else "")
        names = [name, *chance.sample([*ACTIONS], chance.choice((0, 0, 1, 2)))]
        for number, what in enumerate(names):
            seconds = chance.uniform(0.0, QUARREL_SECONDS) if number else 0.0
            if what in self._faults.rates:
                self._kernel.after(seconds, lambda what=what: self._begin(what, job))  # type: ignore[misc]

    def heard(self, key: str) -> None:
        """Hear of a change; perhaps do something about it."""
        if kind_of(key) in CHANGES and self._faults.happens("user at a change"):
            self._faults.counts["(by users at a change)"] += 1
            self.act(self._kernel.chance.choice([*ACTIONS]), key.split("/")[1])

    def _begin(self, name: str, job: str) -> None:
        again = self._kernel.chance.choice(("", job))
        if name == "gc":
            self._run(self._collect)
        elif name == "second submit":
            self._run(lambda cluster: self._submit(cluster, again))
        elif name == "remove" and job:
            self._run(lambda cluster: self._remove(cluster, job))
        elif job:
            self._run(lambda cluster: getattr(control, name)(cluster, job))

    def _run(self, action: Callable[[Cluster], object]) -> None:
        """Run a command as a process of its own."""
        self._command_count += 1
        chance = self._kernel.chance
        party = Party(f"command{self._command_count}", chance.uniform(0.9, 1.1), chance.uniform(-1e5, 1e5))
        self.commands[party] = None

        def act() -> None:
            with suppress(*EXPECTED):  # it tells its user; what it left behind is what this simulation is about
                action(self._open_cluster(party))
            self.commands.pop(party, None)

        self._kernel.spawn(party, act)

    def _submit(self, cluster: Cluster, again: str = "") -> None:
        """Submit a job, or `again` a second time, where it has an idempotency key."""
        chance = self._kernel.chance
        idempotency_key = self._keys.get(again, "") or chance.choice(("", chance.randbytes(8).hex()))
        program = chance.choice(PROGRAMS)
        record = JobRecord(
            job=submit.new_job_id("job"),
            name="job",
            executable=file_digest(program),
            describe={"reducer": True, "requires": REQUIRES},
            inputs=[],
            splits=[[] for _ in range(chance.choice(self._sizes))],
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
            backups=chance.choice((True, False)),
            max_skipped=chance.choice((0, 1, 5)),
        )
        if idempotency_key:
            self._keys.setdefault(record.job, idempotency_key)
        cluster.identify()
        self.submitted.add(submit.submit(cluster, program, record, idempotency_key).job)
        self._faults.counts["(submits acknowledged)"] += 1

    def _remove(self, cluster: Cluster, job: str) -> None:
        self.removed[job] += 1
        try:
            control.remove(cluster, job)
        except (UsageError, NotFoundError):
            self.removed[job] -= 1
            raise

    def _collect(self, cluster: Cluster) -> None:
        cluster.identify()
        for _ in gc.collect(cluster, grace_seconds=self._kernel.chance.choice((0.0, 0.0, 5.0, 60.0))):
            pass
