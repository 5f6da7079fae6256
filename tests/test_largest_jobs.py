"""A job of a million tasks, on a real etcd: no request or answer comes near its limits."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gomr.backends import Answer, Compare, Coordinator, Operation, Put, Range
from gomr.builtin.file import FileStorage
from gomr.model import DONE, MAP_STAGE
from gomr.plugins import Plugins
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.submit import submit
from tests.protocol import new_record, new_worker, work

TASKS = 1_000_000
REQUEST_BYTES_MAX = 1.5 * 2**20  # etcd's --max-request-bytes
OPERATIONS_MAX = 128  # etcd's --max-txn-ops
ANSWER_BYTES_MAX = 4 * 2**20  # gRPC's default
ITEM_BYTES = 32  # that etcd adds to a key and its value, at most
PUTS = 100  # a transaction


class Measured(Coordinator):
    """Passes everything on, and remembers the largest."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self.operations = self.request_bytes = self.answer_bytes = 0

    def transact(
        self, compares: Sequence[Compare], then: Sequence[Operation], orelse: Sequence[Operation] = (), **options: float
    ) -> Answer:
        answer = self._coordinator.transact(compares, then, orelse, **options)  # type: ignore[arg-type]
        self.operations = max(self.operations, len(compares), len(then), len(orelse))
        puts = [operation for operation in then if isinstance(operation, Put)]
        self.request_bytes = max(self.request_bytes, sum(len(put.key) + len(put.value) + ITEM_BYTES for put in puts))
        items = [item for found in answer.found for item in found.items]
        size = sum(len(item.key) + len(item.value) + ITEM_BYTES for item in items)
        self.answer_bytes = max(self.answer_bytes, size)
        return answer

    def grant_lease(self, seconds: float, **options: float) -> int:
        return self._coordinator.grant_lease(seconds, **options)

    def keep_lease(self, lease: int, **options: float) -> float:
        return self._coordinator.keep_lease(lease, **options)

    def revoke_lease(self, lease: int, **options: float) -> None:
        self._coordinator.revoke_lease(lease, **options)

    def wait(self, key: str, end: str, after_revision: int, timeout_seconds: float) -> None:
        self._coordinator.wait(key, end, after_revision, timeout_seconds)

    def close(self) -> None:
        self._coordinator.close()


@pytest.fixture
def measured(etcd_url: str) -> Iterator[Measured]:
    coordinator = Measured(Plugins().open_coordinator(etcd_url))
    yield coordinator
    coordinator.close()


def test_a_million_tasks_stay_within_the_limits_of_etcd(measured: Measured, tmp_path: Path, executable: Path) -> None:
    """The first chunk and the last are worked on, to the end of the stage; what is between is written at once."""
    cluster = Cluster(FileStorage(tmp_path / "storage"), measured)
    cluster.identify()
    splits = [[[0, 100 * number, 100]] for number in range(TASKS)]
    record = replace(new_record(executable, 1), splits=splits, describe={"reducer": False, "requires": {}})
    job = submit(cluster, executable, record).job
    stage, _ = cluster.stage(job, MAP_STAGE)
    claims = new_worker(cluster, "w1")
    first, last = range(stage.chunk_size), stage.chunk_tasks(stage.chunks - 1)
    counted = [claims.claim() for _ in first]
    assert [claim.index for claim in counted if claim] == [*first]
    for claim in counted:
        assert claim
        claims.release(claim)
    others = [*range(stage.chunks - 1)]
    for start in range(0, len(others), PUTS):
        facts = json.dumps({"record": "0" * 64, "tasks": stage.chunk_size, "median_seconds": 1.234}).encode()
        cluster.transact((), [Put(keys.chunk(job, MAP_STAGE, chunk), facts) for chunk in others[start : start + PUTS]])
    assert sorted(work(cluster, new_worker(cluster, "w2"))) == [f"{MAP_STAGE}/{index}" for index in last]
    assert cluster.head(job)[0].state == DONE
    assert measured.operations <= OPERATIONS_MAX
    assert measured.request_bytes <= REQUEST_BYTES_MAX / 4
    assert measured.answer_bytes <= ANSWER_BYTES_MAX / 4
    live = cluster.read(Range(keys.job(job), keys.end_of(keys.job(job)), count_only=True))[0].count
    assert live <= stage.chunks + stage.chunk_size + 2, f"{live} keys of one job"
