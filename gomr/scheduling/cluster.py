"""A cluster: one storage and one coordinator that belong together, and how they are asked."""

import hashlib
import json
import random
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from gomr.backends import Answer, Compare, Coordinator, Found, Operation, Put, Range, Storage, Version
from gomr.errors import ConfigurationError, CoordinatorError, GomrError, NotFound, NotFoundError, Unavailable, Unknown
from gomr.model import JobHead, JobRecord, StageRecord
from gomr.scheduling import keys

PATIENCE_SECONDS = 30.0  # how long a back end that answers nothing is asked again, before the caller hears of it
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.05, 2.0
T = TypeVar("T")


class Cluster:
    """The storage and the coordinator that all workers of a cluster share."""

    def __init__(self, storage: Storage, coordinator: Coordinator) -> None:
        self.storage = storage
        self.coordinator = coordinator

    def identify(self) -> str:
        """Return the id that both carry, written at first use.

        Raises ConfigurationError where they carry different ones: an empty coordinator beside a full bucket would
        make every object look like garbage.
        """
        try:
            stored = json.loads(self.retried(lambda: self.storage.read(keys.CLUSTER_OBJECT)))["id"]
        except NotFound:
            stored = secrets.token_hex(16)
            data = json.dumps({"id": stored}).encode()
            if not self.retried(lambda: self.storage.create(keys.CLUSTER_OBJECT, data)):
                stored = json.loads(self.storage.read(keys.CLUSTER_OBJECT))["id"]
        answer = self.transact(
            [Version(keys.CLUSTER, exists=False)],
            [Put(keys.CLUSTER, stored.encode())],
            [Range(keys.CLUSTER)],
            durable=True,
        )
        if not answer.ok and answer.found[0].items[0].value.decode() != stored:
            raise ConfigurationError(
                "the storage and the coordinator belong to different clusters; "
                "set GOMR_STORAGE and GOMR_COORDINATOR to a pair that was used together, or to an empty pair"
            )
        return str(stored)

    def read(self, *ranges: Range) -> tuple[Found, ...]:
        """Read ranges in one transaction, patiently."""
        return self.transact((), ranges).found

    def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        orelse: Sequence[Operation] = (),
        *,
        durable: bool = False,
    ) -> Answer:
        """Run a transaction, again after Unknown: callers make theirs so that a second run recognises the first."""
        return self.retried(lambda: self.coordinator.transact(compares, then, orelse, durable=durable))

    def retried(self, action: Callable[[], T], patience_seconds: float = PATIENCE_SECONDS) -> T:
        """Run `action` again while it raises Unknown or Unavailable, for `patience_seconds`."""
        deadline = time.monotonic() + patience_seconds
        delay = RETRY_SECONDS_MIN
        while True:
            try:
                return action()
            except (Unknown, Unavailable):
                if time.monotonic() > deadline:
                    raise
            time.sleep(delay * random.random())  # noqa: S311 - jitter, not a secret
            delay = min(2 * delay, RETRY_SECONDS_MAX)

    def head(self, job: str) -> tuple[JobHead, int]:
        """Return a job's head and its revision. Raises NotFoundError."""
        found = self.read(Range(keys.head(job)))[0]
        if not found.items:
            raise NotFoundError(f"no job {job!r}; `gomr jobs` lists them")
        return JobHead.from_json(found.items[0].value), found.items[0].revision

    def stage(self, job: str, stage: str) -> tuple[StageRecord, int]:
        """Return a stage's record and its revision. Raises NotFoundError where it is not open yet."""
        found = self.read(Range(keys.stage(job, stage)))[0]
        if not found.items:
            raise NotFoundError(f"job {job!r} has no stage {stage!r} yet")
        return StageRecord.from_json(found.items[0].value), found.items[0].revision

    def job_record(self, job: str, digest: str) -> JobRecord:
        """Return the full record of a job, whose head names it by `digest`. Raises NotFoundError, GomrError."""
        try:
            data = self.retried(lambda: self.storage.read(keys.job_record(job, digest)))
        except NotFound as error:
            raise NotFoundError(f"job {job!r} has no record in the storage") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise GomrError(f"the record of job {job!r} in the storage is damaged: its digest does not match")
        return JobRecord.from_json(data)

    @contextmanager
    def lease(self, seconds: float) -> Iterator[int]:
        """Yield a lease that ends with the block, or by itself where the coordinator is out of reach then."""
        lease = self.retried(lambda: self.coordinator.grant_lease(seconds))
        try:
            yield lease
        finally:
            with suppress(CoordinatorError):
                self.coordinator.revoke_lease(lease)

    def close(self) -> None:
        """Close both."""
        self.coordinator.close()
        self.storage.close()
