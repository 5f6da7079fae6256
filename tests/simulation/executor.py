"""A simulated machine: tasks that take virtual time, fail, and write objects that tell where they come from."""

import errno
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from gomr.executables import ExecutableRefused
from gomr.model import MAP_STAGE, DoneRecord, JobRecord
from gomr.scheduling import keys
from gomr.scheduling.claims import Claim
from gomr.scheduling.cluster import Cluster
from gomr.worker.executor import Executor, Running
from gomr.worker.jobs import Jobs
from gomr.worker.machine import MachineUnfit
from gomr.worker.outcome import TaskFailed
from tests.protocol import done
from tests.simulation.faults import Faults
from tests.simulation.kernel import Kernel

LOOK_SECONDS = 1.0  # how late a task heeds that it is to stop
TASK_SECONDS_MAX, SLOW_TASK_SECONDS_MAX = 4.0, 60.0


class SimulatedExecutor(Executor):
    """Runs tasks without a process: a map's blocks and a reduce's output name the attempts they were made of."""

    def __init__(
        self,
        kernel: Kernel,
        faults: Faults,
        cluster: Cluster,
        failures: Counter[str],
        poisoned: dict[str, int],
        on_refusal: Callable[[dict[str, str]], None],
    ) -> None:
        self._kernel = kernel
        self._faults = faults
        self._cluster = cluster
        self._failures = failures
        self._poisoned = poisoned
        self._on_refusal = on_refusal
        self._jobs = Jobs(cluster)
        self.refused: dict[str, str] = {}

    def refuses(self, digest: str) -> bool:
        return digest in self.refused

    def refuse(self, digest: str, reason: str) -> None:
        self.refused[digest] = reason
        self._on_refusal(dict(self.refused))

    def close(self) -> None:
        pass

    def execute(self, running: Running) -> DoneRecord:
        claim = running.claim
        record = self._jobs.record(claim.at)
        if self._faults.happens("machine unfit"):
            raise MachineUnfit("no process can be started", leaves=self._kernel.chance.random() < 0.2)
        if self._faults.happens("executable refused"):
            raise ExecutableRefused("it does not start on the simulated machine")
        self._cluster.storage.stat(claim.at.head.executable_object)
        data, blocks = self._map(record, claim.index, claim.record.nonce)
        if claim.at.stage != MAP_STAGE:
            data, blocks = self._reduce(running), []
        self._compute(running)
        key = keys.attempt_object(claim.at.job, claim.at.stage, claim.index, claim.record.nonce)
        self._cluster.storage.put(key, data)
        return replace(done(claim, len(data)), blocks=blocks, counters={"done": 1}, skipped=len(claim.record.skip))

    def _map(self, record: JobRecord, index: int, nonce: str) -> tuple[bytes, list[list[int]]]:
        """Return blocks that name the partition, the split and the attempt."""
        data, blocks = b"", []
        for partition in range(record.partitions):
            block = f"{partition} {index} {nonce}\n".encode()
            blocks.append([len(data), len(block)])
            data += block
        return data, blocks

    def _reduce(self, running: Running) -> bytes:
        """Return the lines of all blocks of the partition, as JSON."""
        claim = running.claim
        lines = []
        for task in self._jobs.finished_maps(claim.at):
            offset, length = task.blocks[claim.index]
            key = keys.attempt_object(claim.at.job, MAP_STAGE, task.index, task.done.nonce)
            lines.append(self._cluster.storage.read(key, offset, length).decode())
        return json.dumps(lines).encode()

    def _compute(self, running: Running) -> None:
        chance = self._kernel.chance
        left = chance.uniform(0.05, TASK_SECONDS_MAX)
        if self._faults.happens("task slow"):
            left = chance.uniform(TASK_SECONDS_MAX, SLOW_TASK_SECONDS_MAX)
        while left > 0:
            if running.stop.is_set():
                raise TaskFailed({"kind": "job", "message": "killed by its worker"})
            self._kernel.wait(min(left, LOOK_SECONDS))
            left -= LOOK_SECONDS
        name = f"{running.claim.at.job}/{running.claim.name}"
        record_number = self._poison(running.claim, name)
        if record_number:
            self._failures[name] += 1
            error = {"kind": "job", "message": "the record", "record_number": record_number, "source": "in.txt"}
            raise TaskFailed(error)
        if self._faults.happens("task failed"):
            self._failures[name] += 1
            raise TaskFailed({"kind": "job", "message": "the job's own error"})
        if self._faults.happens("machine failed"):
            self._failures["machines"] += 1
            if chance.random() < 0.5:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise TaskFailed({"kind": "host", "message": "the machine's error"})

    def _poison(self, claim: Claim, name: str) -> int:
        """Return the number of a record on which this task fails, on every machine, until it is skipped; or 0."""
        if claim.at.stage != MAP_STAGE:
            return 0
        if name not in self._poisoned:
            self._poisoned[name] = self._kernel.chance.randint(1, 9) if self._faults.happens("poisoned record") else 0
        number = self._poisoned[name]
        return 0 if ["in.txt", number] in claim.record.skip else number
