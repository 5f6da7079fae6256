"""A cluster: one storage and one coordinator that belong together, and how they are asked."""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from gomr.backends import Answer, Compare, Coordinator, Found, Operation, Put, Range, Revision, Storage, Version
from gomr.errors import (
    ConfigurationError,
    CoordinatorError,
    GomrError,
    NotFound,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from gomr.job.version import VERSION
from gomr.model import RECORD_FORMAT, JobHead, JobRecord, StageRecord
from gomr.patience import PATIENCE_SECONDS, PatientStorage, patiently
from gomr.scheduling import keys
from gomr.urls import URL

FIRST_USE_SECONDS = 60.0  # to agree on an id: far longer than it takes
PENDING = b"pending:"  # before the id in the coordinator, until the storage carries it too
T = TypeVar("T")


class Cluster:
    """The storage and the coordinator that all workers of a cluster share."""

    def __init__(self, storage: Storage, coordinator: Coordinator, storage_url: URL | None = None) -> None:
        self.storage = PatientStorage(storage)
        self.coordinator = coordinator
        self.storage_url = storage_url
        self._identity = ""  # of both, once that was looked at

    def identify(self) -> str:
        """Return the id that both carry, written at first use: by any number of processes at a time.

        Raises ConfigurationError where they carry different ones, or only one carries any: an empty coordinator
        beside a full bucket would make every object look like garbage.
        """
        self._identity = self._common_id()
        return self._identity

    def _common_id(self) -> str:
        stored = self._stored_id()
        item = next(iter(self.read(Range(keys.CLUSTER))[0].items), None)
        if stored is not None and item is not None and item.value == stored.encode():
            return stored
        with self.lease(FIRST_USE_SECONDS) as lease:
            return self._first_use(lease)

    def _first_use(self, lease: int) -> str:
        """Agree on an id with whoever uses the cluster first, too; or find out that it is not new.

        Each change puts a key on a lease that is older: none that comes late, or twice, reaches a coordinator that has
        been emptied since, where the id would stand beside no jobs.
        """
        stored = self._stored_id()
        proposed = (stored or secrets.token_hex(16)).encode()
        fence = Put(f"{keys.intents(keys.CLUSTER)}{secrets.token_hex(8)}", b"", lease)
        propose = [Put(keys.CLUSTER, PENDING + proposed), fence] if stored is None else []
        look = Range(keys.CLUSTER)
        answer = self.transact([Version(keys.CLUSTER, exists=False)], [*propose, look], [look], durable=True)
        item = answer.found[0].items[0] if answer.found[0].items else None
        if item is not None and item.value.startswith(PENDING):
            value = item.value.removeprefix(PENDING)
            if stored is None:  # an id that is there stays: the coordinator may have been emptied since we looked
                self.storage.create(keys.CLUSTER_OBJECT, json.dumps({"id": value.decode()}).encode())
                stored = self._stored_id()
            if stored == value.decode():
                compares = [Revision(keys.CLUSTER, item.revision)]
                self.transact(compares, [Put(keys.CLUSTER, value), fence], durable=True)
                return stored
        elif item is not None:
            stored = stored or self._stored_id()  # another process may have written both since we looked
            if stored == item.value.decode():
                return stored
        raise ConfigurationError(_mismatch(stored, item is not None))

    def _stored_id(self) -> str | None:
        try:
            return str(json.loads(self.storage.read(keys.CLUSTER_OBJECT))["id"])
        except NotFound:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"the storage's {keys.CLUSTER_OBJECT} is not gomr's: {error!r}") from error

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

    def run_there(self, operations: Sequence[Operation]) -> tuple[Found, ...]:
        """Run operations in one transaction; return what its ranges found, if the coordinator is still the cluster's.

        Raises UnavailableError where it has lost all it held: it knows no job then, and all would look like garbage.
        By the id's value, not by its presence: who began when the cluster had none may have written another since.
        """
        identity = self._identity or self.identify()
        *found, carried = self.transact((), [*operations, Range(keys.CLUSTER)]).found
        if [item.value for item in carried.items] != [identity.encode()]:
            raise UnavailableError("the coordinator has lost all it held since this command began; see gomr doctor")
        return tuple(found)

    @staticmethod
    def retried(action: Callable[[], T], patience_seconds: float = PATIENCE_SECONDS) -> T:
        """Run `action` again while it raises Unknown, for `patience_seconds`."""
        return patiently(action, patience_seconds)

    def head(self, job: str) -> tuple[JobHead, int]:
        """Return a job's head and its revision. Raises NotFoundError, UsageError for a newer gomr's job."""
        found = self.read(Range(keys.head(job)))[0]
        if not found.items:
            raise NotFoundError(f"no job {job!r}; `gomr jobs` lists them")
        head = JobHead.from_json(found.items[0].value)
        check_layout(job, head)
        return head, found.items[0].revision

    def stage(self, job: str, stage: str) -> tuple[StageRecord, int]:
        """Return a stage's record and its revision. Raises NotFoundError where it is not open yet."""
        found = self.read(Range(keys.stage(job, stage)))[0]
        if not found.items:
            raise NotFoundError(f"job {job!r} has no stage {stage!r} yet")
        return StageRecord.from_json(found.items[0].value), found.items[0].revision

    def job_record(self, job: str, digest: str) -> JobRecord:
        """Return the full record of a job, whose head names it by `digest`. Raises NotFoundError, GomrError."""
        try:
            data = self.storage.read(keys.job_record(job, digest))
        except NotFound as error:
            raise NotFoundError(f"job {job!r} has no record in the storage") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise GomrError(f"the record of job {job!r} in the storage is damaged: its digest does not match")
        return JobRecord.from_json(data)

    @contextmanager
    def lease(self, seconds: float) -> Iterator[int]:
        """Yield a lease that ends with the block, or by itself where the coordinator is out of reach then."""
        lease = self.grant_lease(seconds)
        try:
            yield lease
        finally:
            self.end_lease(lease)

    def grant_lease(self, seconds: float) -> int:
        """Return a new lease, which ends by itself or with `end_lease`."""
        return self.retried(lambda: self.coordinator.grant_lease(seconds))

    def end_lease(self, lease: int) -> None:
        """End a lease now; where the coordinator is out of reach, it ends by itself."""
        with suppress(CoordinatorError):
            self.coordinator.revoke_lease(lease)

    def close(self) -> None:
        """Close both."""
        self.coordinator.close()
        self.storage.close()


def check_layout(job: str, head: JobHead) -> None:
    """Raise UsageError for a job whose records a newer gomr wrote: to change them would lose what is new in them."""
    if head.format > RECORD_FORMAT:
        raise UsageError(f"job {job} was submitted by a newer gomr (this is {VERSION}): use that one, or a newer one")


def _mismatch(stored: str | None, is_coordinated: bool) -> str:
    if stored is None:
        what = "the coordinator belongs to a cluster, and this storage is empty"
    elif is_coordinated:
        what = "the storage and the coordinator belong to different clusters"
    else:
        what = "the storage belongs to a cluster, and this coordinator is empty"
    return (
        f"{what}: set GOMR_STORAGE and GOMR_COORDINATOR to a pair that was used together, or to an empty pair "
        f"(where the other half is lost for good: delete {keys.CLUSTER_OBJECT} in the storage and all it holds)"
    )
