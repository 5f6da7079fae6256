"""A worker's key in the coordinator: without it the worker can claim nothing."""

import time

from gomr.backends import Put, Range
from gomr.executables import offers
from gomr.model import WorkerRecord
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster
from gomr.scheduling.membership import Membership
from tests.conftest import LEASE_SECONDS


def test_a_key_that_went_with_an_earlier_lease_is_put_again(cluster: Cluster) -> None:
    """Its put came late, after that of the lease which is kept alive: the key then goes with the one that is not."""
    record = WorkerRecord("host", 1, 1, "0", 0.0, offers())
    membership = Membership(cluster, "w1", record, LEASE_SECONDS, lambda: None)
    membership.join()
    try:
        earlier = cluster.coordinator.grant_lease(LEASE_SECONDS)
        cluster.transact((), [Put(keys.worker("w1"), record.to_json(), earlier)])
        cluster.coordinator.revoke_lease(earlier)
        deadline = time.monotonic() + 60
        while not cluster.read(Range(keys.worker("w1"), count_only=True))[0].count:
            assert time.monotonic() < deadline, "it is gone for good"
            time.sleep(0.05)
    finally:
        membership.leave()
    assert not cluster.read(Range(keys.WORKERS, keys.end_of(keys.WORKERS), count_only=True))[0].count
