"""Intents: what keeps gc from objects that a submit is about to use, while no job names them yet."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gomr.backends import Put, Range, Version
from gomr.errors import UnavailableError
from gomr.scheduling import keys
from gomr.scheduling.cluster import Cluster

CUT_OFF = "the submit was cut off from the coordinator for too long; submit again"
INTENT_SECONDS = 300.0  # renewed at each step; a submitter that is gone for so long leaves its objects to gc


class Intent:
    """A submit's leased word that it will use its job's name, and the executable and inputs that it covers.

    Its nonce is in the names of the files that it stores, and is never used again: what gc once found without an intent
    and without a job will never have either, so that nothing is ever deleted too late.
    """

    def __init__(self, cluster: Cluster, lease: int, job: str) -> None:
        self._cluster = cluster
        self._lease = lease
        self._renewed = time.monotonic()
        self.nonce = secrets.token_hex(8)
        self.key = self._key(keys.job_folder(job).rstrip("/"))
        self.stands = Version(self.key, exists=True)  # and with it all that it covers: they share one lease
        self._used = f"{self.key}/used"
        self.is_unused = Version(self._used, exists=False)
        cluster.run_there([Put(self.key, b"", lease)])

    def covering(self, name: str) -> Put:
        """Return the operation that has the intent cover `name`, too."""
        return Put(self._key(name), b"", self._lease)

    def using(self) -> Put:
        """Return the operation that uses the intent up.

        A repetition of the transaction that comes late, after the job was removed, finds it used, or the lease gone.
        To delete the intent would not do: the transaction that put it may be repeated late, too.
        """
        return Put(self._used, b"", self._lease)

    def cover(self, name: str) -> None:
        """Cover `name`, too. Raises UnavailableError where the lease is gone."""
        if not self._cluster.transact([self.stands], [self.covering(name)]).ok:
            raise UnavailableError(CUT_OFF)

    def check(self) -> None:
        """Raise UnavailableError where the lease is gone."""
        if not self._cluster.read(Range(self.key, count_only=True))[0].count:
            raise UnavailableError(CUT_OFF)

    def renew_in_time(self) -> None:
        """Renew where a quarter of the time is over. Raises UnavailableError where the lease is gone."""
        if time.monotonic() - self._renewed > INTENT_SECONDS / 4:
            self.renew()

    def renew(self) -> None:
        """Give the lease its whole time again. Raises UnavailableError where it is gone."""
        self._renewed = time.monotonic()
        if self._cluster.retried(lambda: self._cluster.coordinator.keep_lease(self._lease)) <= 0:
            raise UnavailableError(CUT_OFF)

    def _key(self, name: str) -> str:
        return f"{keys.intents(name)}{self.nonce}"


@contextmanager
def intended(cluster: Cluster, job: str) -> Iterator[Intent]:
    """Yield the intent to open a job; it ends with the block, or by itself where the submitter dies."""
    with cluster.lease(INTENT_SECONDS) as lease:
        yield Intent(cluster, lease, job)
