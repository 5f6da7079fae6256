"""Reads ranges at once or not at all: who looks for people says that nothing answers, and does not wait for it."""

from collections.abc import Sequence

from gomr.backends import Found, Range
from gomr.scheduling.cluster import Cluster

READ_SECONDS = 5.0
RANGES_MAX = 100  # of one transaction, by the coordinator's contract


def read_now(cluster: Cluster, ranges: Sequence[Range]) -> list[Found]:
    """Return what the ranges hold, of up to RANGES_MAX at one moment. Raises CoordinatorError."""
    found: list[Found] = []
    for first in range(0, len(ranges), RANGES_MAX):
        batch = ranges[first : first + RANGES_MAX]
        found += cluster.coordinator.transact((), batch, timeout_seconds=READ_SECONDS).found
    return found
