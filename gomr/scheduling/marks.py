"""Marks on names whose objects are being deleted: while one stands, no submit begins to use them."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gomr.backends import Put, Range, Version
from gomr.errors import UnavailableError
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster

DELETION_SECONDS = 300.0  # of a mark, renewed before each deletion: far longer than a request may be on its way


@dataclass(slots=True)
class Mark:
    """A leased mark: while it stands, no submit begins to use what it names."""

    cluster: Cluster
    lease: int
    lingers: bool = (
        False  # to the end of its lease: a request to delete may come late, when its repetition has been heard
    )

    def keep(self) -> None:
        """Give the mark its whole time again, before each request that relies on it. Raises UnavailableError."""
        if self.cluster.retried(lambda: self.cluster.coordinator.keep_lease(self.lease)) <= 0:
            raise UnavailableError("a deletion was cut off from the coordinator for too long; run it again")


@contextmanager
def marked(cluster: Cluster, name: str) -> Iterator[Mark | None]:
    """Mark `name` as being deleted while the block runs; yield the mark.

    Yields None where somebody else deletes it, or a submit is about to use it.
    """
    mark = Mark(cluster, cluster.grant_lease(DELETION_SECONDS))
    try:
        key, nonce = keys.deletion(name), secrets.token_bytes(8)
        intents = keys.intents(name)
        look = [Range(key), Range(intents, keys.end_of(intents), count_only=True)]
        # A coordinator that lost all it held knows no job: all would look like garbage.
        compares = [Version(key, exists=False), Version(keys.CLUSTER, exists=True)]
        answer = cluster.transact(compares, [Put(key, nonce, mark.lease), *look], look)
        marks, users = answer.found
        is_ours = bool(marks.items) and marks.items[0].value == nonce
        yield mark if is_ours and not users.count else None
    finally:
        if not mark.lingers:
            cluster.end_lease(mark.lease)
