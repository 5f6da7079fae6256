"""Jobs and workers without executables: they only claim and commit."""

import hashlib
import time
from pathlib import Path
from typing import Any

from gomr.backends import Put
from gomr.model import DoneRecord, JobRecord
from gomr.scheduling import attempts, keys
from gomr.scheduling.claims import Claim, Claims
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.submit import new_job_id, submit

LEASE = 600.0


def new_record(executable: Path, tasks: int, job: str = "", attempts_max: int = 4, losses_max: int = 5) -> JobRecord:
    return JobRecord(
        job=job or new_job_id("test"),
        name="test",
        executable=hashlib.sha256(executable.read_bytes()).hexdigest(),
        describe={"reducer": True, "requires": {}},
        inputs=[],
        splits=[[] for _ in range(tasks)],
        params={},
        partitions=3,
        memory_bytes=1,
        task_seconds=1.0,
        attempts_max=attempts_max,
        losses_max=losses_max,
        output_format="",
        split_bytes=1,
        created_seconds=time.time(),
        submitter="me",
        version="1",
    )


def open_job(cluster: Cluster, executable: Path, tasks: int = 20, **options: Any) -> str:
    return submit(cluster, executable, new_record(executable, tasks, **options)).job


def new_worker(cluster: Cluster, name: str, lease_seconds: float = LEASE) -> Claims:
    lease = cluster.coordinator.grant_lease(lease_seconds)
    cluster.transact((), [Put(keys.worker(name), b"{}", lease)])
    return Claims(cluster, name, lease_seconds, lambda _job, _head: True)


def done(claim: Claim, size: int = 10) -> DoneRecord:
    return DoneRecord(
        nonce=claim.record.nonce,
        attempt=claim.record.attempt,
        worker=claim.record.worker,
        size=size,
        checksum="",
        blocks=[[0, 4], [4, 3], [7, 3]],
        records_in=1,
        records_out=2,
        bytes_in=3,
        spills=0,
        peak_memory_bytes=0,
        fetch_seconds=0.0,
        run_seconds=0.0,
        write_seconds=0.0,
        counters={"seen": 1},
        history=claim.record.history,
        started_seconds=claim.record.started_seconds,
    )


def work(cluster: Cluster, claims: Claims) -> list[str]:
    """Claim and commit until nothing is open."""
    counted = []
    while (claim := claims.claim()) is not None:
        bid = claims.next_bid(claim)
        if attempts.commit(cluster, claim, done(claim), bid).counted:
            counted.append(claim.name)
        claims.release(claim)
        if bid:
            claims.settle(bid)
    return counted
